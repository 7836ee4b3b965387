from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from progrec.learning import dataset, ials, towers
from progrec.learning.config import IALSConfig, ModelConfig, Recipe, TrainConfig
from progrec.learning.evaluation import Task
from progrec.learning.history import History

if TYPE_CHECKING:
    from conftest import Recorder

GOOD = IALSConfig(regularization=0.01, unobserved_weight=0.1, iterations=5, deviation=0.1)
USELESS = GOOD.model_copy(update={"regularization": 1e6})
"""Makes all products 0, as far as floats can tell."""

K = 3


@pytest.fixture
def history(checkerboard_tables: Path) -> History:
    return History.read(checkerboard_tables)


@pytest.fixture
def past(history: History) -> History:
    """The checkerboard before its last week."""
    return history.before(date(2020, 1, 25))


@pytest.fixture
def task(past: History, history: History) -> Task:
    return Task.of(past.bought, past.bought_later(history))


@pytest.fixture
def config(
    train_config: Callable[..., TrainConfig], checkerboard_tables: Path
) -> Callable[..., TrainConfig]:
    """Starts and overrides -> a configuration of a GMF tower."""

    def made(*starts: IALSConfig, **changes: float | str) -> TrainConfig:
        overrides = [f"{name.replace('__', '.')}={value}" for name, value in changes.items()]
        whole = train_config(checkerboard_tables, "trainer.max_epochs=2", *overrides)
        model = ModelConfig(towers=("gmf",), factors=4, layers=())
        return whole.model_copy(update={"pretraining": starts, "model": model})

    return made


def test_training_for_no_epoch_is_the_start(
    history: History, config: Callable[..., TrainConfig]
) -> None:
    chosen = config(GOOD)

    network, curve = towers.train(history, chosen, Recipe(start=GOOD, epochs=0))

    pairs = towers.pairs(history, chosen)
    shape = (len(history.users), len(history.items))
    users, items = ials.fit(
        dataset.matrix(pairs.users, pairs.items, shape), 4, GOOD, chosen.seed, quiet=True
    )
    everyone = torch.arange(len(history.users))
    torch.testing.assert_close(network.catalogue(everyone), 8 * users @ items.T - 4)
    assert curve == []
    assert not network.training


@pytest.mark.parametrize("start", [GOOD, None])
def test_training_makes_the_epochs_of_the_recipe(
    history: History, config: Callable[..., TrainConfig], start: IALSConfig | None
) -> None:
    network, curve = towers.train(history, config(GOOD), Recipe(start=start, epochs=3))

    assert [row["epoch"] for row in curve] == [1, 2, 3]
    assert set(curve[0]) == {"epoch", "loss"}
    assert not network.training


@pytest.mark.parametrize(
    ("loss", "sampler"),
    [
        (loss, sampler)
        for loss in ("bce", "bpr", "softmax")
        for sampler in ("uniform", "popularity", "hard")
        if (loss, sampler) != ("softmax", "hard")
    ],
)
def test_every_loss_falls_with_every_sampler(
    history: History, config: Callable[..., TrainConfig], loss: str, sampler: str
) -> None:
    pl.seed_everything(0, verbose=False)
    chosen = config(loss=loss, sampler=sampler, optimizer__table_rate=0.05)
    table = history.interactions
    few = table[(table["item_id"] > "p03") | (table["user_id"] < "u12")]
    uneven = replace(history, interactions=few)

    network, curve = towers.train(uneven, chosen, Recipe(start=None, epochs=25))

    logits, bought = network.catalogue(torch.arange(24)), uneven.bought.toarray() > 0
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]
    assert logits[bought].mean() > logits[~bought].mean() + 1


def test_what_is_learned_fades_with_the_half_life(
    history: History, past: History, config: Callable[..., TrainConfig]
) -> None:
    # The four early purchases lie 22, 19, 16 and 13 days before the fifth.
    fading = config(loss__half_life_days=3)

    weights, early = (towers.pairs(what, fading).weights for what in (history, past))

    assert sorted({*weights.tolist()}) == pytest.approx(
        [0.5 ** (n / 3) for n in (22, 19, 16, 13, 0)]
    )
    assert sorted({*early.tolist()}) == pytest.approx([0.5**n for n in (3, 2, 1, 0)])
    assert {*towers.pairs(history, config()).weights.tolist()} == {1.0}


@pytest.mark.parametrize("starts", [(USELESS, GOOD), (GOOD, USELESS)])
def test_the_better_of_two_starts_is_chosen(
    past: History,
    task: Task,
    config: Callable[..., TrainConfig],
    recorder: Recorder,
    starts: tuple[IALSConfig, ...],
) -> None:
    recipe, curve = towers.search(past, task, config(*starts), K, recorder)

    assert recipe.start == GOOD
    assert [row["epoch"] for row in curve] == list(range(len(curve)))
    assert curve[0]["ndcg@3"] > 0.6


def test_epoch_0_is_chosen_if_the_others_only_do_damage(
    past: History, task: Task, config: Callable[..., TrainConfig], recorder: Recorder
) -> None:
    damaging = config(GOOD, optimizer__table_rate=9)

    recipe, curve = towers.search(past, task, damaging, K, recorder)

    assert recipe == Recipe(start=GOOD, epochs=0)
    assert curve[0]["ndcg@3"] > max(row["ndcg@3"] for row in curve[1:])
    assert "loss" not in curve[0]


def test_a_start_of_noise_cannot_do_without_epochs(
    past: History, task: Task, config: Callable[..., TrainConfig], recorder: Recorder
) -> None:
    still = config(optimizer__table_rate=1e-9, optimizer__layer_rate=1e-9)

    recipe, curve = towers.search(past, task, still, K, recorder)

    assert recipe == Recipe(start=None, epochs=1)
    assert [row["epoch"] for row in curve] == [1, 2]


def test_an_mlp_tower_alone_has_no_start(
    past: History, task: Task, config: Callable[..., TrainConfig], recorder: Recorder
) -> None:
    model = ModelConfig(towers=("mlp",), factors=4, layers=(4, 3))
    alone = config(GOOD).model_copy(update={"model": model})

    recipe, _ = towers.search(past, task, alone, K, recorder)

    assert recipe.start is None


@pytest.mark.parametrize(
    ("starts", "recipe"),
    [
        ((USELESS, GOOD), Recipe(start=USELESS, epochs=0)),
        ((), Recipe(start=None, epochs=2)),
    ],
)
def test_with_nothing_to_measure_nothing_is_tried(
    past: History,
    config: Callable[..., TrainConfig],
    recorder: Recorder,
    starts: tuple[IALSConfig, ...],
    recipe: Recipe,
) -> None:
    nobody = Task.of(past.bought, past.bought)

    assert towers.search(past, nobody, config(*starts), K, recorder) == (recipe, [])
    assert recorder.epochs == []


def test_the_same_seed_finds_and_trains_the_same(
    past: History, task: Task, config: Callable[..., TrainConfig], recorder: Recorder
) -> None:
    chosen, found = config(GOOD), []
    for _ in range(2):
        pl.seed_everything(0, verbose=False)
        recipe, curve = towers.search(past, task, chosen, K, recorder)
        network, _ = towers.train(past, chosen, Recipe(start=recipe.start, epochs=1))
        found.append((recipe, curve, network.catalogue(torch.arange(24)).numpy()))

    one, other = found
    assert one[:2] == other[:2]
    np.testing.assert_array_equal(one[2], other[2])
