from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from learning.moments import (
    CARTED,
    N_ITEMS,
    bought,
    examples,
    moment,
    start,
)
from progrec.learning import fusion
from progrec.learning.evidence import INPUTS
from progrec.learning.fusion import Examples


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
