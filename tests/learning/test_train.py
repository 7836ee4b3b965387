from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from progrec import content
from progrec.errors import InputError
from progrec.learning import config as configs
from progrec.learning import learner, train
from progrec.learning.bundle import Bundle
from progrec.learning.config import TrainConfig
from progrec.settings import SplitSettings

if TYPE_CHECKING:
    from conftest import Recorder
    from learning.shop import Checkerboard, Event

Configured = Callable[..., TrainConfig]

QUICK = ("trainer.max_epochs=2", "model.factors=4", "model.layers=[4,3]")
LEARNING = (
    "trainer.max_epochs=20",
    "trainer.patience=20",
    "model.factors=8",
    "optimizer.table_rate=0.03",
    "optimizer.layer_rate=0.01",
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# What it learns


@pytest.mark.parametrize("model", ["neumf", "gmf"])
def test_what_a_shopper_never_bought_but_their_kind_did_is_above_all_of_the_other_kind(
    model: str,
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
) -> None:
    config = train_config(checkerboard_tables, f"model={model}", *LEARNING)

    bundle = train.train(config, checkerboard.split, 3, recorder).bundle

    scores = bundle.scores(checkerboard.users)
    for user, row in zip(checkerboard.users, scores, strict=True):
        never_bought = row[bundle.item_row[checkerboard.own(user)[5]]]
        assert never_bought > max(row[bundle.item_row[item]] for item in checkerboard.others(user))


def test_the_mlp_alone_puts_what_a_shopper_bought_above_the_other_kind(
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
) -> None:
    config = train_config(
        checkerboard_tables,
        "model=mlp",
        "model.layers=[16,16,8]",
        "trainer.max_epochs=30",
        "optimizer.table_rate=0.1",
        "optimizer.layer_rate=0.02",
    )
    unvalidated = checkerboard.split.model_copy(update={"validation_days": 1})

    bundle = train.train(config, unvalidated, 3, recorder).bundle

    scores = bundle.scores(checkerboard.users)
    for user, row in zip(checkerboard.users, scores, strict=True):
        bought = [row[bundle.item_row[item]] for item in checkerboard.own(user)[:5]]
        assert min(bought) > max(row[bundle.item_row[item]] for item in checkerboard.others(user))


# What it depends on


def test_the_same_seed_gives_the_same_bytes_and_another_others(
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
) -> None:
    digests = [
        train.train(
            train_config(checkerboard_tables, *QUICK, f"seed={seed}"),
            checkerboard.split,
            3,
            recorder,
        ).bundle.digest
        for seed in (0, 0, 1)
    ]

    assert digests[0] == digests[1] != digests[2]


def test_the_best_epoch_of_the_search_is_how_long_the_whole_history_is_learned(
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = []
    fit = learner.fit

    def watched(student: learner.Learner, batches: object, *rest: object, **options: object):
        fit(student, batches, *rest, **options)
        fitted.append((student, batches, rest[1]))

    monkeypatch.setattr(learner, "fit", watched)
    config = train_config(
        checkerboard_tables, *LEARNING, "trainer.max_epochs=40", "trainer.patience=2"
    )

    trained = train.train(config, checkerboard.split, 3, recorder)

    (search, past, most), (final, whole, epochs) = fitted
    figures = [row["ndcg@3"] for row in search.curve]
    assert most == 40
    assert trained.curve == search.curve
    assert len(trained.curve) < 40
    assert epochs == len(final.curve) == int(np.argmax(figures)) + 1
    # The search stopped when the two epochs after the best were no better.
    assert len(trained.curve) == epochs + 2
    assert trained.figure == max(figures)
    # Four purchases a user are before the validation's days, five in all.
    assert len(past.users) == 4 * len(checkerboard.users)
    assert len(whole.users) == 5 * len(checkerboard.users)
    assert trained.bundle.network is final.network
    assert trained.bundle.recipe.epochs == epochs
    # The figure before the first epoch, and the one after training.
    (first, before), *others = recorder.figures
    assert (first, list(before)) == (0, ["validation/ndcg@3"])
    assert others == [(0, {"epochs": epochs}), (1, {"validation/ndcg@3": trained.figure})]


def test_the_search_is_what_the_logger_sees_and_the_curve_on_disk(
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
) -> None:
    config = train_config(checkerboard_tables, *QUICK)

    curve = train.train(config, checkerboard.split, 3, recorder).curve

    rows = rows_of(config.curve)
    assert list(rows[0]) == ["epoch", "loss", "ndcg@3", "recall@3", "hr@10", "mrr", "coverage@3"]
    assert [{key: float(value) for key, value in row.items()} for row in rows] == curve
    assert [step for step, _ in recorder.epochs] == [1, 2]
    assert [row["towers/loss"] for _, row in recorder.epochs] == pytest.approx(
        [row["loss"] for row in curve]
    )


def test_without_purchases_to_validate_on_every_epoch_is_run_and_the_curve_has_the_loss_only(
    checkerboard: Checkerboard,
    tables: Callable[..., Path],
    train_config: Configured,
    recorder: Recorder,
) -> None:
    early = [event for event in checkerboard.events if event[0] < "2020-01-20"]
    config = train_config(tables(early), *QUICK)

    trained = train.train(config, checkerboard.split, 3, recorder)

    assert [list(row) for row in trained.curve] == [["epoch", "loss"]] * 2
    assert [list(row) for row in rows_of(config.curve)] == [["epoch", "loss"]] * 2
    # It is the bundle's own training then that is logged.
    assert [step for step, _ in recorder.epochs] == [1, 2]
    assert recorder.figures == [(0, {"epochs": 2})]
    assert trained.figure is None
    assert trained.bundle.provenance.watermark == date(2020, 1, 31)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([("2020-01-30", "ann", "p00", "purchase")], id="all of it is validation"),
        pytest.param(
            [
                ("2020-01-01", "ann", "p00", "remove_from_cart"),
                ("2020-01-01", "bob", "p01", "remove_from_cart"),
                ("2020-01-30", "ann", "p01", "purchase"),
            ],
            id="nothing before it has a weight",
        ),
        pytest.param(
            [
                ("2020-01-01", "ann", "p00", "purchase"),
                ("2020-01-30", "ann", "p00", "purchase"),
            ],
            id="what is bought in it is nothing new",
        ),
        pytest.param(
            [
                ("2020-01-01", "ann", "p00", "purchase"),
                ("2020-01-30", "ann", "p01", "purchase"),
                ("2020-01-30", "bob", "p00", "purchase"),
            ],
            id="all in it is new",
        ),
    ],
)
def test_a_history_that_cannot_validate_is_learned_all_the_same(
    history: list[tuple[str, str, str, str]],
    checkerboard: Checkerboard,
    tables: Callable[..., Path],
    train_config: Configured,
    recorder: Recorder,
) -> None:
    trained = train.train(train_config(tables(history), *QUICK), checkerboard.split, 3, recorder)

    assert list(trained.bundle.users.ids) == sorted({user for _, user, _, _ in history})
    assert [list(row) for row in trained.curve] == [["epoch", "loss"]] * 2

    hybrid = ("model=hybrid", "model.factors=4", "pretraining=ials")
    config = train_config(tables(history, "again"), *QUICK, *hybrid)
    trained = train.train(config, checkerboard.split, 3, recorder)

    # Nothing says for how long to go on from least squares: nothing is done.
    assert trained.curve == []
    assert config.curve.read_text() == "epoch,loss\n"
    scores = trained.bundle.scores(list(trained.bundle.users.ids))
    assert ((scores > 0) & (scores < 1)).all()


def test_a_history_without_anything_to_learn_is_an_error(
    checkerboard: Checkerboard,
    tables: Callable[..., Path],
    train_config: Configured,
    recorder: Recorder,
) -> None:
    config = train_config(tables([("2020-01-01", "ann", "p00", "remove_from_cart")]), *QUICK)

    with pytest.raises(InputError, match="holds no event that conf/loss gives a weight"):
        train.train(config, checkerboard.split, 3, recorder)

    assert not config.out.exists()


# Its side inputs

SIDE = ("features=tables", *QUICK)


@pytest.fixture
def told(
    checkerboard: Checkerboard,
    tables: Callable[..., Path],
    train_config: Configured,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Event], list[list[object]]]:
    """One more event of history -> what the search's network is told, and then the final one."""

    def train_with(event: Event) -> list[list[object]]:
        networks = []

        def watched(student: learner.Learner, *_rest: object, **_options: object) -> None:
            student.curve.append({"epoch": 1, "loss": 0.5, "ndcg@3": 0.5})
            sides = (student.network.users.side, student.network.items.side)
            networks.append([side.inputs.tolist() for side in sides])

        monkeypatch.setattr(learner, "fit", watched)
        folder = tables([*checkerboard.events, event], " ".join(event))
        train.train(train_config(folder, *SIDE), checkerboard.split, 3, recorder)
        return networks

    return train_with


def test_the_search_knows_nothing_of_what_comes_after_its_past(
    told: Callable[[Event], list[list[object]]],
) -> None:
    cart = ("u00", "p01", "cart")
    view = ("u00", "p01", "view")
    search, final = told(("2020-01-26", *cart))
    other_search, other_final = told(("2020-01-26", *view))

    assert search == other_search
    assert final != other_final
    early, whole = told(("2020-01-10", *cart))
    assert early != search
    assert whole == final


def test_the_kinds_tell_products_apart_that_nobody_has_touched_much(
    checkerboard: Checkerboard,
    checkerboard_tables: Path,
    train_config: Configured,
    recorder: Recorder,
) -> None:
    config = train_config(checkerboard_tables, "features=tables", *LEARNING)

    bundle = train.train(config, checkerboard.split, 3, recorder).bundle

    assert bundle.network.items.side is not None
    even, odd = bundle.network.items.side.tables[0][1:]
    own = bundle.network.users(torch.arange(len(checkerboard.users)))
    with torch.no_grad():
        scores = [bundle.network._towers(own, kind) for kind in (even, odd)]
    is_even = torch.tensor([int(user[1:]) % 2 == 0 for user in checkerboard.users])
    assert torch.equal(scores[0] > scores[1], is_even)


# What it writes


def test_the_bundle_knows_every_user_and_item_and_what_was_bought(
    tables: Callable[..., Path], train_config: Configured, recorder: Recorder
) -> None:
    folder = tables(
        [
            ("2020-01-02", "bob", "p01", "purchase"),
            ("2020-01-03", "bob", "p01", "purchase"),
            ("2020-01-03", "ann", "p01", "purchase"),
            ("2020-01-04", "ann", "p00", "view"),
            ("2020-01-05", "cem", "p02", "remove_from_cart"),
        ]
    )
    split = SplitSettings(cutoff=date(2020, 1, 6), validation_days=1, horizon_days=1)
    config = train_config(folder, *QUICK)

    train.train(config, split, 3, recorder)
    bundle = Bundle.load(config.out)

    assert list(bundle.users.ids) == ["ann", "bob", "cem"]
    assert bundle.items.to_numpy().tolist() == [
        ["p00", "kind 0", None],
        ["p01", "kind 1", None],
        ["p02", "kind 0", None],
    ]
    assert bundle.popularity.tolist() == [0, 3, 0]
    assert bundle.purchases.to_numpy().tolist() == [
        [0, 1, date(2020, 1, 3)],
        [1, 1, date(2020, 1, 2)],
    ]
    assert bundle.provenance.model_dump() == {
        "data_digest": content.digest(folder / "enriched"),
        "config_digest": configs.digest(config),
        "parent_digest": None,
        "watermark": date(2020, 1, 5),
        "chain": (),
    }
