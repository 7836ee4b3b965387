from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from progrec.learning import showing
from progrec.learning.bundle import Bundle
from progrec.learning.showing import Showing, broken_weights
from scored import bundle_of


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_hand_worked_showing() -> None:
    bundle = bundle_of(
        {
            "ann": {"a": 4, "b": 3, "c": 2, "d": 1},
            "bob": {"a": 1, "b": 4, "c": 3, "d": 2},
            "cem": {"a": 9, "b": 9, "c": 9, "d": 9},
        },
        [("ann", "a", "2020-01-05")],
    )

    shown = Showing.of(bundle, ["bob", "ann"], 2)

    # Bob is shown b and c, and so is ann, who has a.
    probability = sum(map(sigmoid, (4, 3, 3, 2))) / 4
    assert shown == Showing(2, 0, 0, pytest.approx(probability), 2)


def test_who_has_bought_everything_is_shown_nothing() -> None:
    bundle = bundle_of({"ann": {"a": 1, "b": 2}}, [("ann", item, "2020-01-05") for item in "ab"])

    assert Showing.of(bundle, ["ann"], 3) == Showing(1, 0, 0, 0.0, 0)


def test_nobody_is_shown_nothing() -> None:
    assert Showing.of(bundle_of({"ann": {"a": 1}}), [], 3) == Showing(0, 0, 0, 0.0, 0)


def test_users_whose_products_are_all_equally_probable_are_counted() -> None:
    flat, one = {"a": 2.0, "b": 2.0}, {"a": 2.0, "b": 2.5}
    bundle = bundle_of({"ann": flat, "bob": one, "cem": flat})

    assert Showing.of(bundle, ["ann", "bob", "cem"], 1).undecided == 2
    # Where there is but one product, nobody can be told anything else.
    assert Showing.of(bundle_of({"ann": {"a": 2.0}}), ["ann"], 1).undecided == 0


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.5, math.inf])
def test_users_with_a_probability_that_is_none_are_counted_and_left_out(
    wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_of({"ann": {"a": 0, "b": 0}, "bob": {"a": 1, "b": 0}})
    answers = np.array([[0.5, wrong], [0.75, 0.25]], np.float32)
    monkeypatch.setattr(Bundle, "probabilities", lambda _, users: answers[users])

    assert Showing.of(bundle, ["ann", "bob"], 1) == Showing(2, 1, 0, 0.75, 1)


def test_batches_are_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    users = [f"u{number}" for number in range(7)]
    bundle = bundle_of(
        {user: dict(zip("abcde", random.normal(size=5), strict=True)) for user in users}
    )
    together = Showing.of(bundle, users, 2)

    monkeypatch.setattr(showing, "BATCH", 3)

    assert Showing.of(bundle, users, 2) == replace(
        together, probability=pytest.approx(together.probability)
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_named(bundle_with_fusion: Bundle, value: float) -> None:
    assert broken_weights(bundle_with_fusion) == []

    network = bundle_with_fusion.network
    assert network.fusion is not None
    with torch.no_grad():
        network.items.weight[2, 1] = value
        network.fusion.calibration[0] = value

    assert broken_weights(bundle_with_fusion) == ["items.weight", "fusion.calibration"]
