from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from progrec.learning import catalogue, rectified
from progrec.learning.catalogue import Catalogue, contenders
from progrec.learning.config import ModelConfig
from progrec.learning.evidence import INPUTS, Known
from progrec.learning.ncf import NCF

N_ITEMS = 500
KINDS = {
    "gmf": ModelConfig(towers=("gmf",), factors=8, layers=()),
    "mlp": ModelConfig(towers=("mlp",), factors=8, layers=(6, 5)),
    "neumf": ModelConfig(towers=("gmf", "mlp"), factors=8, layers=(6, 8, 5, 3)),
    "side": ModelConfig(
        towers=("gmf", "mlp"),
        factors=8,
        layers=(6, 5, 3),
        features={"items": ("views", "revenue"), "attributes": ("category",)},
    ),
    "fused": ModelConfig(towers=("gmf", "mlp"), factors=8, layers=(6, 5, 3), fusion=(4,)),
    "deep": ModelConfig(towers=("gmf",), factors=8, layers=(), fusion=(7, 5, 3)),
}


def network_of(kind: str, seed: int) -> NCF:
    """A network of random weights, large enough to make a difference."""
    torch.manual_seed(seed)
    config = KINDS[kind]
    codes = (torch.arange(N_ITEMS) % 3)[:, None].expand(-1, len(config.features.attributes))
    network = NCF(3, N_ITEMS, config, codes).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    if network.items.side is not None:
        network.items.side.fit(torch.randn(N_ITEMS, 2))
    if network.fusion is not None:
        network.fusion.centre.normal_()
        network.fusion.scale.uniform_(0.3, 3)
        network.fusion.calibration.copy_(torch.tensor([0.02, -1.0]))
    return network


def evidence_of(seed: int, n_known: int) -> tuple[np.ndarray, Known]:
    """What is known of items alone, and of one user."""
    generator = np.random.default_rng(seed)
    items = np.sort(generator.choice(N_ITEMS, n_known, replace=False))
    inputs = generator.normal(size=(n_known, 7)).astype(np.float32)
    demand = generator.gamma(1, size=(N_ITEMS, 5)).astype(np.float32)
    return demand, Known(items, inputs, float(np.float32(np.log1p(n_known))))


def plain(network: NCF, embedding: torch.Tensor, demand: np.ndarray, known: Known) -> np.ndarray:
    """Probabilities by the network's own pass over all pairs with a user, in double precision."""
    slope, intercept = (1, 0) if network.fusion is None else network.fusion.calibration.double()
    return torch.sigmoid(slope * logits_of(network, embedding, demand, known) + intercept).numpy()


@torch.no_grad()
def logits_of(
    network: NCF, embedding: torch.Tensor, demand: np.ndarray, known: Known
) -> torch.Tensor:
    """The same before they are calibrated."""
    items = network.items.block(slice(None)).double()
    whole = deepcopy(network).double()
    logits = whole._towers(embedding.double().expand(N_ITEMS, -1), items)
    if whole.fusion is None:
        return logits
    inputs = torch.zeros(N_ITEMS, 1 + len(INPUTS), dtype=torch.float64)
    inputs[:, 0] = logits
    inputs[torch.from_numpy(known.items), 1:8] = torch.from_numpy(known.inputs).double()
    inputs[:, 8:-1] = torch.from_numpy(demand)
    inputs[:, -1] = known.experience
    return whole.fusion(inputs)


def best(probabilities: np.ndarray, n: int = 100) -> list[int]:
    """The rows of the highest, equal ones by row."""
    return np.argsort(-probabilities, kind="stable")[:n].tolist()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rectified, "ITEMS_AT_ONCE", 64)


ALL = np.ones(N_ITEMS, dtype=bool)


@pytest.mark.parametrize("n_known", [0, 9, N_ITEMS])
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_and_all_numbers_are_those_of_the_plain_pass(kind: str, n_known: int) -> None:
    for seed in range(5):
        network = network_of(kind, seed)
        demand, known = evidence_of(seed, n_known)
        scored = Catalogue(network, demand)
        for embedding in network.users.weight.detach():
            expected = plain(network, embedding, demand, known)
            ranking = scored.ranking(embedding, known)

            rows, found = ranking.best(100, ALL)

            assert rows.tolist() == best(expected)
            np.testing.assert_allclose(found, expected[rows], rtol=1e-9)
            everything = ranking.probabilities(np.arange(N_ITEMS))
            np.testing.assert_allclose(everything, expected, rtol=1e-9)
            assert len(set(expected)) > 0.9 * N_ITEMS


@pytest.mark.parametrize("n", [0, 1, 20, N_ITEMS])
def test_the_best_are_among_the_free(n: int) -> None:
    network = network_of("fused", 0)
    demand, known = evidence_of(0, 30)
    embedding = network.users.weight[0].detach()
    expected = plain(network, embedding, demand, known)
    ranking = Catalogue(network, demand).ranking(embedding, known)
    generator = np.random.default_rng(0)
    for share in (0, 0.02, 0.5):
        free = generator.random(N_ITEMS) < share

        rows, found = ranking.best(n, free)

        ranked = best(np.where(free, expected, -1), N_ITEMS)
        assert rows.tolist() == [row for row in ranked if free[row]][:n]
        np.testing.assert_allclose(found, expected[rows], rtol=1e-9)


def test_a_tower_that_adds_nothing_costs_nothing() -> None:
    network = network_of("fused", 0)
    with torch.no_grad():
        network.output.weight[:, network.gmf_width :] = 0
    demand, known = evidence_of(0, 30)
    embedding = network.users.weight[0].detach()

    scored = Catalogue(network, demand)

    assert scored._towers.layers is None
    rows, found = scored.ranking(embedding, known).best(N_ITEMS, ALL)
    expected = plain(network, embedding, demand, known)
    assert rows.tolist() == best(expected, N_ITEMS)
    np.testing.assert_allclose(found, expected[rows], rtol=1e-9)


def test_the_single_precision_pass_alone_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(logits: np.ndarray, n: int, error: float) -> np.ndarray:
        return contenders(logits, n)

    network = alike(KINDS["neumf"])
    demand, known = evidence_of(0, 0)
    embedding = network.users.weight[0].detach()
    ranked = best(plain(network, embedding, demand, known))
    expected = [ranked[:n] for n in range(1, 100)]
    ranking = Catalogue(network, demand).ranking(embedding)

    assert [ranking.best(n, ALL)[0].tolist() for n in range(1, 100)] == expected
    monkeypatch.setattr(catalogue, "contenders", trusting)
    assert [ranking.best(n, ALL)[0].tolist() for n in range(1, 100)] != expected


def alike(config: ModelConfig) -> NCF:
    """A network whose items differ by less than single precision keeps in their logits."""
    torch.manual_seed(0)
    network = NCF(1, N_ITEMS, config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        network.items.weight.copy_(network.items.weight[:1].expand(N_ITEMS, -1))
        network.items.weight.mul_(1 + 2e-7 * torch.randn(N_ITEMS, 1))
    return network


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf", "fused", "deep"])
def test_equal_items_are_equal_wherever_they_stand_and_come_in_the_order_of_rows(kind: str) -> None:
    network = network_of(kind, 0)
    demand, known = evidence_of(0, 0)
    embedding = network.users.weight[0].detach()
    row = best(plain(network, embedding, demand, known))[0]
    twins = [*range(3, N_ITEMS, 7)]
    with torch.no_grad():
        network.items.weight[twins] = network.items.weight[row].clone()
    demand[twins] = demand[row]

    rows, found = Catalogue(network, demand).ranking(embedding, known).best(N_ITEMS, ALL)

    together = sorted({row, *twins})
    assert rows[: len(together)].tolist() == together
    assert len(set(found[: len(together)])) == 1


def test_only_those_within_twice_the_error_of_the_last_are_contenders() -> None:
    logits = np.array([1.0, 3.0, 2.5, 2.0, -np.inf], np.float32)

    assert contenders(logits, 2).tolist() == [1, 2]
    assert contenders(logits, 2, 0.2).tolist() == [1, 2]
    assert contenders(logits, 2, 0.25).tolist() == [1, 2, 3]


def test_contenders_are_all_if_more_are_asked_for_but_for_what_is_minus_infinity() -> None:
    logits = np.array([1.0, -np.inf, 2.5, 1.0], np.float32)

    assert contenders(logits, 9).tolist() == [0, 2, 3]
    assert contenders(logits, 2).tolist() == [0, 2, 3]  # the last of them has an equal
    assert contenders(logits, 0).tolist() == []
    assert contenders(logits[:0], 2).tolist() == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_of_the_quick_pass_is_wrong_by_more_than_the_bound(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []

    def noted(logits: np.ndarray, n: int, error: float) -> np.ndarray:
        bounds.append((logits.astype(np.float64), error))
        return np.arange(len(logits))

    monkeypatch.setattr(catalogue, "contenders", noted)
    network = network_of(kind, 1)
    demand, known = evidence_of(1, 30)
    with torch.no_grad():
        network.users.weight *= 1000  # what is added and taken away again is large
    for embedding in network.users.weight.detach():
        Catalogue(network, demand).ranking(embedding, known).best(1, ALL)
        quick, bound = bounds.pop()

        exact = logits_of(network, embedding, demand, known).numpy()
        assert 0 < np.abs(quick - exact).max() <= bound


def test_an_empty_catalogue_has_no_best() -> None:
    network = NCF(1, 0, KINDS["fused"]).eval()
    known = Known(np.array([], np.int64), np.empty((0, 7), np.float32), 0.0)
    scored = Catalogue(network, np.empty((0, 5), np.float32))

    rows, found = scored.ranking(network.users.weight[0].detach(), known).best(3, ALL[:0])

    assert rows.shape == found.shape == (0,)
