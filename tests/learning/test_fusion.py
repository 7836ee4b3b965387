from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch

from learning.moments import (
    CARTED,
    CONFIG,
    N_ITEMS,
    N_USERS,
    bought,
    examples,
    hit,
    moment,
    probabilities,
    start,
)
from progrec.learning import fusion
from progrec.learning.config import FusionConfig
from progrec.learning.evidence import INPUTS
from progrec.learning.fusion import Examples, MomentScorer
from progrec.learning.ncf import Fusion
from progrec.learning.vocabulary import Rows

# What the layers get


def test_the_inputs_are_the_towers_logit_and_the_evidence() -> None:
    told, users = moment(0), np.array([7, 3])

    found = told.inputs(users)

    assert found.shape == (2, N_ITEMS, 1 + len(INPUTS))
    assert torch.equal(found[..., 0], told.network.catalogue(torch.tensor([7, 3])))
    assert torch.equal(found[..., 1:], told.evidence.inputs(users))


def test_an_untrained_fusion_ranks_by_towers_and_neighbours() -> None:
    told = moment(0)
    told = replace(told, evidence=told.evidence.with_neighbours(CONFIG.neighbours))
    users = np.arange(5)

    scores = MomentScorer(start(), told).scores(users)

    towers = told.network.catalogue(torch.arange(5)).numpy()
    expected = towers + told.evidence.scores(users)
    assert scores.dtype == np.float32
    assert told.evidence.scores(users).any()
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


# Fits


@pytest.fixture(scope="module")
def fitted() -> tuple[Fusion, fusion.Curve, float | None]:
    """A fusion of two moments at which users bought what they had carted."""
    return fusion.fit(start(), [moment(0), moment(1)], CONFIG, 20, 0)


def test_a_rule_that_only_one_input_tells_is_learned(
    fitted: tuple[Fusion, fusion.Curve, float | None],
) -> None:
    trained, curve, figure = fitted
    unseen = moment(2)

    assert hit(start(), unseen) < 0.5
    assert hit(trained, unseen) == 1
    assert curve[-1]["loss"] < curve[0]["loss"] < np.log(8)
    assert [row["epoch"] for row in curve] == list(range(1, len(curve) + 1))
    assert not trained.training
    # What had learned the first moment ranks first whatever is bought after the second.
    assert figure == 1


def test_two_moments_calibrate_the_probabilities() -> None:
    # Of those who buy, half buy what they carted.
    moments = [moment(seed, rule="half carted") for seed in (0, 1)]
    trained, _, _ = fusion.fit(start(), moments, CONFIG, 20, 0)
    unseen = moment(2, rule="half carted")

    chances = probabilities(trained, unseen)

    carted = unseen.inputs(np.arange(N_USERS))[..., CARTED].numpy() > 0
    is_new = unseen.bought.toarray() == 0
    assert chances[carted].mean() == pytest.approx(1 / 3, abs=0.1)
    assert chances[is_new & ~carted].mean() == pytest.approx(1 / 3 / 10, abs=0.02)


def test_in_the_end_every_moment_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    passes = fusion._passes

    def watched(
        trained: Fusion, told: list[Examples], config: FusionConfig, n: Iterable[int], seed: int
    ):
        numbers = list(n)
        learned.append((len(told), len(numbers)))
        yield from passes(trained, told, config, numbers, seed)

    monkeypatch.setattr(fusion, "_passes", watched)

    _, curve, _ = fusion.fit(start(), [moment(seed) for seed in range(3)], CONFIG, 20, 0)

    best = int(np.argmin([row["loss"] for row in curve])) + 1
    assert learned == [(2, CONFIG.max_epochs), (3, best)]


def test_one_moment_is_learned_in_all_passes_and_calibrates_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    passes = fusion._passes

    def watched(*args):
        for epoch in passes(*args):
            seen.append(epoch)
            yield epoch

    monkeypatch.setattr(fusion, "_passes", watched)
    given = start()
    given.calibration.copy_(torch.tensor([2.0, -3.0]))

    trained, curve, _ = fusion.fit(given, [moment(0)], CONFIG, 20, 0)

    assert curve == []
    assert seen == list(range(1, CONFIG.max_epochs + 1))
    assert trained.calibration.tolist() == [2, -3]
    assert hit(trained, moment(2)) == 1


@pytest.mark.parametrize("n_moments", [1, 2])
def test_the_same_seed_gives_the_same_weights_and_the_start_stays(n_moments: int) -> None:
    moments = [moment(seed) for seed in range(n_moments)]
    config = CONFIG.model_copy(update={"max_epochs": 2})
    given = start()
    before = {name: value.clone() for name, value in given.state_dict().items()}

    one, other, third = (
        fusion.fit(given, moments, config, 20, seed)[0].state_dict() for seed in (0, 0, 1)
    )

    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], third[name]) for name in one)
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    assert all(weight.grad is None for weight in given.parameters())


def test_inputs_are_standardised_and_those_that_never_change_are_not_divided(
    fitted: tuple[Fusion, fusion.Curve, float | None],
) -> None:
    trained, _, _ = fitted
    made = [examples(moment(seed)) for seed in (0, 1)]
    flat = torch.cat([each.inputs.flatten(0, 1) for each in made])
    constant = flat.std(dim=0) == 0

    removed, clicked = (1 + INPUTS.index(name) for name in ("removed", "clicked"))
    assert constant[removed]
    assert constant[clicked]
    assert trained.scale[constant].tolist() == [1] * int(constant.sum())
    assert trained.centre[-1].item() == pytest.approx(flat[:, -1].mean().item())
    # One item of twelve is carted: somebody wants each, so that all choose among all.
    assert (trained.centre[CARTED] / flat[:, CARTED].max()).item() == pytest.approx(1 / N_ITEMS)


def test_the_last_moment_decides_when_to_stop() -> None:
    # What is learned of the first moment is wrong of the last.
    moments = [moment(0), moment(1, rule="else")]
    config = CONFIG.model_copy(update={"max_epochs": 20, "patience": 2})

    trained, curve, _ = fusion.fit(start(), moments, config, 20, 0)

    best = int(np.argmin([row["loss"] for row in curve])) + 1
    assert len(curve) == best + 2 < 20
    # The passes after the best have no say, not in the calibration either.
    config = CONFIG.model_copy(update={"max_epochs": best})
    same, shorter, _ = fusion.fit(start(), moments, config, 20, 0)
    assert shorter == curve[:best]
    weights = same.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in trained.state_dict().items())


@pytest.mark.parametrize("rule", ["else", "nobody"])
def test_no_calibration_turns_the_order_around(rule: str) -> None:
    last = moment(1, rule="else")
    if rule == "nobody":
        # The only buyer is most likely not among the two that are drawn.
        last = replace(last, bought_next=bought((5, int(np.argmin(last.bought[[5]].toarray())))))
    config = CONFIG.model_copy(update={"max_epochs": 3, "max_users": 2 if rule == "nobody" else 90})

    trained, _, _ = fusion.fit(start(), [moment(0), last], config, 20, 0)

    with torch.no_grad():
        logits = trained(last.inputs(np.arange(N_USERS))).numpy()
    assert trained.calibration[0] > 0
    chances = probabilities(trained, last)
    for user in range(N_USERS):
        order = np.argsort(logits[user])
        apart = np.diff(logits[user, order]) > 1e-3
        assert (np.diff(chances[user, order])[apart] > 0).all()


def test_the_last_moment_calibrates_with_all_users_and_of_all_that_is_new_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def platt(logits: np.ndarray, outcomes: np.ndarray) -> tuple[float, float]:
        seen.append((logits, outcomes))
        return 2.0, -1.0

    monkeypatch.setattr(fusion.calibration, "platt", platt)
    monkeypatch.setattr(fusion, "USERS_AT_ONCE", 7)

    last = moment(1)
    last = replace(last, bought_next=last.bought_next * (np.arange(N_USERS) < 30)[:, None])

    trained, _, _ = fusion.fit(
        start(), [moment(0), last], CONFIG.model_copy(update={"max_epochs": 1}), 20, 0
    )

    ((logits, outcomes),) = seen
    assert len(logits) == len(outcomes) == N_USERS * (N_ITEMS - 1)
    assert outcomes.sum() == 20
    assert trained.calibration.tolist() == [2, -1]


# Refining


def test_refining_learns_what_is_bought_now_and_tells_the_loss_of_before() -> None:
    seeded = torch.Generator().manual_seed(0)
    now = replace(examples(moment(0)), stand_for=torch.rand(60, N_ITEMS, generator=seeded))
    given = start()
    before = {name: value.clone() for name, value in given.state_dict().items()}

    # Not more passes: single precision does not know five digits of a loss of nearly nothing.
    refined, loss = fusion.refine(given, now, CONFIG, 4, 0)
    _, later = fusion.refine(refined, now, CONFIG, 1, 0)

    assert loss == pytest.approx(loss_by_hand(given, now), rel=1e-5)
    assert later == pytest.approx(loss_by_hand(refined, now), rel=1e-5)
    assert later < loss / 2
    assert hit(refined, moment(2)) == 1
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    assert not refined.training


def loss_by_hand(trained: Fusion, told: Examples) -> float:
    losses = []
    for row, offered in enumerate(told.offered):
        with torch.no_grad():
            logits = (trained(told.inputs[row]) + told.stand_for[row]).double()
        chances = logits[offered].softmax(dim=0)
        losses.append(-(told.shares[row, offered] * chances.log()).sum())
    return torch.stack(losses).mean().item()


def test_refining_keeps_scale_and_calibration() -> None:
    given = start()
    given.centre.fill_(0.5)
    given.scale.fill_(2.0)
    given.calibration.copy_(torch.tensor([0.1, -3.0]))

    refined, _ = fusion.refine(given, examples(moment(0)), CONFIG, 2, 0)

    for name in ("centre", "scale", "calibration"):
        assert torch.equal(getattr(refined, name), getattr(given, name))
    assert not torch.equal(refined.last.weight, given.last.weight)


def test_refining_by_the_same_seed_gives_the_same_weights() -> None:
    now = examples(moment(0))

    one, other, third = (fusion.refine(start(), now, CONFIG, 1, seed)[0] for seed in (0, 0, 1))

    assert torch.equal(one.last.weight, other.last.weight)
    assert not torch.equal(one.last.weight, third.last.weight)


def test_a_scorer_is_one_of_rows() -> None:
    rows: Rows = np.array([3, 1, 3])

    scores = MomentScorer(start(), moment(0)).scores(rows)

    assert scores.shape == (3, N_ITEMS)
    assert (scores[0] == scores[2]).all()
