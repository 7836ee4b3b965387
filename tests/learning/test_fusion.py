from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array

from progrec.learning import evaluation, fusion
from progrec.learning.config import FusionConfig, ModelConfig, NeighboursConfig
from progrec.learning.dataset import matrix
from progrec.learning.evidence import INPUTS, Evidence
from progrec.learning.fusion import Examples, Moment, MomentScorer
from progrec.learning.ncf import NCF, Fusion
from progrec.learning.touches import COUNTED
from progrec.learning.vocabulary import Rows, Vocabulary

N_USERS, N_ITEMS = 90, 12
CARTED = 1 + INPUTS.index("carted")
CONFIG = FusionConfig(
    moments=2,
    max_users=1000,
    candidates=8,
    batch_size=16,
    max_epochs=8,
    patience=3,
    rate=0.05,
    weight_decay=0.0,
    neighbours=NeighboursConfig(regularizations=(1.0,), max_items=N_ITEMS, kept=3),
)


def network() -> NCF:
    torch.manual_seed(4)
    return NCF(N_USERS, N_ITEMS, ModelConfig(towers=("gmf",), factors=4, layers=(), fusion=(4,)))


def moment(seed: int, *, rule: str = "carted") -> Moment:
    """Users who have bought one item, viewed one and carted one, on one day.

    Next each buys the item that they carted, or another as the rule says; every third buys nothing.
    """
    items = np.argsort(np.random.default_rng(seed).random((N_USERS, N_ITEMS)), axis=1)
    done = {name: np.zeros(3 * N_USERS, np.int64) for name in COUNTED}
    for place, name in enumerate(("num_purchases", "num_views", "num_carts")):
        done[name][place * N_USERS : (place + 1) * N_USERS] = 1
    everyone = np.arange(N_USERS)
    names = np.array([f"u{user:02}" for user in everyone], dtype=object)
    catalogue = np.array([f"p{item:02}" for item in range(N_ITEMS)], dtype=object)
    table = pd.DataFrame(
        {
            "date": [date(2020, 1, 1)] * (3 * N_USERS),
            "user_id": np.tile(names, 3),
            "item_id": catalogue[items[:, :3].T.ravel()],
            **done,
        }
    )
    evidence = Evidence.of(table, Vocabulary(names), Vocabulary(catalogue), date(2020, 1, 2))
    buyers = everyone[everyone % 3 > 0]
    carted = {"carted": buyers >= 0, "half carted": buyers % 3 == 1, "else": buyers < 0}[rule]
    shape = (N_USERS, N_ITEMS)
    return Moment(
        network(),
        evidence,
        matrix(everyone, items[:, 0], shape),
        matrix(buyers, items[buyers, np.where(carted, 2, 3)], shape),
    )


def bought(*pairs: tuple[int, int]) -> csr_array:
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    return matrix(users, items, (N_USERS, N_ITEMS))


def start() -> Fusion:
    torch.manual_seed(5)
    return Fusion((4,))


def hit(trained: Fusion, told: Moment) -> float:
    return evaluation.evaluate(MomentScorer(trained, told), told.task, 1)["ndcg@1"]


def probabilities(trained: Fusion, told: Moment) -> np.ndarray:
    with torch.no_grad():
        return trained.probabilities(told.inputs(np.arange(N_USERS))).numpy()


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


# Examples


def examples(told: Moment, *, seed: int = 0, **changes: int) -> Examples:
    config = CONFIG.model_copy(update=changes)
    return Examples.of(told.inputs, told.task, config, np.random.default_rng(seed))


@pytest.mark.parametrize("candidates", [1, 2, 5, N_ITEMS, 99])
def test_examples_keep_all_targets(candidates: int) -> None:
    told = replace(moment(0), bought=bought((0, 1)), bought_next=bought((0, 1), (0, 2), (2, 3)))
    told = replace(told, bought_next=told.bought_next + bought((0, 5), (0, 7)))

    made = examples(told, candidates=candidates)

    # Three of the one user and one of the other, among which both choose.
    n = min(max(candidates, 4), N_ITEMS)
    assert made.shares.shape == made.offered.shape == made.inputs.shape[:2] == (2, n)
    assert sorted(made.shares[0].tolist())[-3:] == pytest.approx([1 / 3] * 3)
    assert (made.shares > 0).sum(dim=1).tolist() == [3, 1]
    assert made.shares.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert made.offered[made.shares > 0].all()


def test_what_was_bought_is_not_offered_again() -> None:
    told = replace(moment(0), bought=bought((4, 1), (4, 8)), bought_next=bought((4, 1), (4, 2)))

    made = examples(told, candidates=N_ITEMS)

    assert len(made) == 1
    assert (~made.offered).sum() == 2
    assert made.shares.max() == 1


def test_inputs_stay_with_their_items() -> None:
    made = examples(moment(0), candidates=N_ITEMS)

    # Who buys what they carted has an input for it there and nowhere else.
    assert len(made) == 60
    assert ((made.inputs[..., CARTED] > 0) == (made.shares > 0)).all()


def test_no_more_users_than_wanted_and_each_with_own_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fusion, "USERS_AT_ONCE", 4)

    made = examples(moment(0), max_users=10)

    assert made.inputs.shape == (10, 8, 1 + len(INPUTS))
    assert ((made.inputs[..., CARTED] > 0) == (made.shares > 0)).all()


def test_other_items_are_drawn_at_random() -> None:
    told = replace(moment(0), bought_next=bought((4, 2)))

    one, same, other = (examples(told, seed=seed, candidates=5) for seed in (0, 0, 1))

    assert one.inputs.shape[:2] == (1, 5)
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)


def test_the_items_that_are_drawn_stand_for_all_that_are_not() -> None:
    told = replace(moment(0), bought=bought((4, 1)), bought_next=bought((4, 2), (4, 3)))

    few, all_items = (examples(told, candidates=n) for n in (6, N_ITEMS))

    # Four of the ten that are no target.
    assert few.stand_for[few.shares > 0].tolist() == [0, 0]
    assert few.stand_for[few.shares == 0].tolist() == pytest.approx([np.log(10 / 4)] * 4)
    assert not all_items.stand_for.any()


def test_a_sample_sums_up_to_the_whole_catalogue_on_average() -> None:
    told = replace(moment(0), bought_next=bought((4, 2)))
    trained = start()
    torch.nn.init.normal_(trained.last.weight)

    def total(made: Examples) -> float:
        with torch.no_grad():
            return (trained(made.inputs) + made.stand_for).exp().sum().item()

    sampled = [total(examples(told, seed=seed, candidates=6)) for seed in range(300)]

    assert np.std(sampled) > 0
    whole = total(examples(told, candidates=N_ITEMS))
    error = np.std(sampled) / len(sampled) ** 0.5
    assert np.mean(sampled) == pytest.approx(whole, abs=4 * error)


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
    now = replace(examples(moment(0)), stand_for=torch.rand(60, N_ITEMS))
    given = start()
    before = {name: value.clone() for name, value in given.state_dict().items()}

    refined, loss = fusion.refine(given, now, CONFIG, 8, 0)
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
            logits = trained(told.inputs[row]) + told.stand_for[row]
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
