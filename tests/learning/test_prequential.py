from __future__ import annotations

import csv
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from learning.shop import day_of, days_after, delta_of
from progrec.learning import daily, evaluation, prequential
from progrec.learning.bundle import Bundle
from progrec.learning.config import UpdateConfig
from progrec.learning.evaluation import Task
from progrec.learning.prequential import Late, Served
from scored import bundle_of

Updated = Callable[..., Bundle]


@pytest.fixture
def grown(bundle: Bundle, update_config: Callable[..., UpdateConfig]) -> Bundle:
    """The bundle after a day on which dan and zoe came and bought p01, and dan the new p09."""
    day = day_of(
        [
            ("2020-02-01", "zoe", "p01", "purchase"),
            ("2020-02-01", "dan", "p01", "purchase"),
            ("2020-02-01", "dan", "p09", "purchase"),
        ]
    )
    config = update_config(Path("unused"), Path("unused"))
    return daily.learn(bundle, day, bundle.network, config)[0]


def test_the_frozen_model_serves_those_it_knows_and_strangers_with_what_is_popular(
    bundle: Bundle, grown: Bundle
) -> None:
    # Rows of the newer: ann, bob, cem, dan, zoe.
    scores = Served(bundle, grown).scores(np.array([3, 1, 4]))

    assert scores.shape == (3, 5)
    assert scores[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, -1])
    assert scores[2].tolist() == scores[0].tolist()
    assert scores[1, :4].tolist() == bundle.scores(["bob"])[0].tolist()
    assert scores[1, 4] == -1


def test_a_model_that_nothing_was_bought_from_knows_nothing_popular(
    bundle: Bundle, grown: Bundle
) -> None:
    bundle.evidence.demand[:] = 0

    assert Served(bundle, grown).scores(np.array([3])).tolist() == [[0, 0, 0, 0, -1]]


def test_only_strangers_and_only_the_known(bundle: Bundle, grown: Bundle) -> None:
    assert Served(bundle, grown).scores(np.array([4, 3])).shape == (2, 5)
    known = Served(bundle, bundle).scores(np.array([0, 1, 2]))
    assert known.tolist() == bundle.scores(["ann", "bob", "cem"]).tolist()


def test_another_model_answers_by_the_rows_of_the_one_that_is_asked() -> None:
    retrained = bundle_of({"bob": {"b": 2, "a": 1}}, [("bob", "a", "2020-01-05")])
    updated = bundle_of({"ann": {"a": 0, "c": 0, "b": 0}, "bob": {"a": 0, "c": 0, "b": 0}})

    stranger, bob = Served(retrained, updated).scores(np.array([0, 1]))

    # Ann gets what sells, and c is not known to it.
    assert stranger.tolist() == [1, -1, 0]
    own = retrained.scores(["bob"])[0]
    assert bob.tolist() == [own[1], -1, own[0]]


def test_popularity_is_what_sold_in_the_last_days(grown: Bundle) -> None:
    scores = Late(grown).scores(np.array([0, 4]))

    # p00 sold 27 and 25 days before, p01 26 days before and twice today, p09 today.
    expected = [0.5 ** (27 / 7) + 0.5 ** (25 / 7), 0.5 ** (26 / 7) + 2, 0, 0, 1]
    for row in scores:
        assert row.tolist() == pytest.approx(expected, rel=1e-5)


def test_hand_worked_figures_of_popularity(grown: Bundle, bundle: Bundle) -> None:
    # By what sold of late: p01, p09, p00, then p02 and p03 alike. Ann has p00 and p01.
    day = day_of(
        [
            ("2020-02-02", "ann", "p09", "purchase"),
            ("2020-02-02", "cem", "p01", "purchase"),
            ("2020-02-02", "cem", "p00", "purchase"),
            ("2020-02-02", "eve", "p02", "purchase"),
        ]
    )
    task = daily.task_of(grown, day)

    figures = prequential.measure(prequential.contenders(grown, bundle), task, 2)

    assert task.users.tolist() == [0, 2]
    # Of ann's, p09 is first; of cem's, p01 is first and p00 third.
    cem = 1 / (1 + 1 / math.log2(3))
    assert set(figures) == {"updated", "frozen", "popularity"}
    assert figures["popularity"] == pytest.approx(
        {"ndcg@2": (1 + cem) / 2, "recall@2": (1 + 1 / 2) / 2, "hr@10": 1}
    )
    for model, scorer in (("updated", Served(grown, grown)), ("frozen", Served(bundle, grown))):
        expected = evaluation.evaluate(scorer, task, 2)
        assert figures[model] == {name: expected[name] for name in ("ndcg@2", "recall@2", "hr@10")}


def test_a_day_without_users_has_no_figures(bundle: Bundle) -> None:
    nobody = day_of([("2020-02-02", "eve", "p02", "purchase")])
    task = daily.task_of(bundle, nobody)

    assert prequential.measure(prequential.contenders(bundle, bundle), task, 20) == {}


def test_each_days_figures_are_those_of_the_bundle_before_it(
    cold: Bundle, updated_by: Updated, tmp_path: Path
) -> None:
    cold.save(tmp_path / "model")
    events = days_after(3)
    whole = updated_by(delta_of(tmp_path / "whole", events), f"out={tmp_path / 'whole.out'}")
    before = Bundle.load(tmp_path / "model")

    for number, link in enumerate(whole.provenance.chain, 1):
        today = [event for event in events if event[0] == f"2020-02-{number:02}"]
        task = daily.task_of(before, day_of(today))
        known = _task_by_hand(before, today)
        assert {user: set(items) for user, items in known.items()} == _named(before, task)
        expected = evaluation.evaluate(_Bundle(before), task, 20)
        frozen = evaluation.evaluate(Served(cold, before), task, 20)
        assert link.users == len(task) > 0
        for model, figures in (("updated", expected), ("frozen", frozen)):
            assert link.figures[model] == pytest.approx(
                {name: figures[name] for name in ("ndcg@20", "recall@20", "hr@10")}
            )
        until = [event for event in events if event[0] <= f"2020-02-{number:02}"]
        before = updated_by(delta_of(tmp_path / f"until{number}", until))


class _Bundle:
    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.bundle.scores(list(self.bundle.users.ids[users]))


def _task_by_hand(before: Bundle, events: list[tuple[str, str, str, str]]) -> dict[str, list[str]]:
    had = {
        (before.users.ids[row.user], before.item_ids[row.item])
        for row in before.purchases.itertuples()
    }
    targets: dict[str, list[str]] = {}
    for _, user, item, kind in events:
        is_known = before.knows(user) and item in before.item_row
        if kind == "purchase" and is_known and (user, item) not in had:
            targets.setdefault(user, []).append(item)
    return targets


def _named(bundle: Bundle, task: Task) -> dict[str, set[str]]:
    return {
        str(bundle.users.ids[row]): set(bundle.item_ids[task.targets[[place]].nonzero()[1]])
        for place, row in enumerate(task.users)
    }


# The file


def test_the_file_has_a_row_a_day_and_a_column_a_model_and_metric(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "curves.csv"
    figures = {"updated": {"ndcg@20": 0.5, "hr@10": 0.1}, "frozen": {"ndcg@20": 0.25, "hr@10": 0}}

    prequential.write([(date(2020, 2, 1), 0, {}), (date(2020, 2, 3), 7, figures)], path)

    assert path.read_text() == (
        "date,users,updated/ndcg@20,updated/hr@10,frozen/ndcg@20,frozen/hr@10\n"
        "2020-02-01,0,,,,\n"
        "2020-02-03,7,0.5,0.1,0.25,0\n"
    )


def test_without_any_day_the_file_is_its_head(tmp_path: Path) -> None:
    prequential.write([], tmp_path / "curves.csv")

    assert (tmp_path / "curves.csv").read_text() == "date,users\n"


def test_the_file_holds_what_the_chain_does(
    cold: Bundle, updated_by: Updated, tmp_path: Path
) -> None:
    cold.save(tmp_path / "model")

    bundle = updated_by(delta_of(tmp_path / "delta", days_after(2)))

    with (tmp_path / "prequential.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, link in zip(rows, bundle.provenance.chain, strict=True):
        assert row.pop("date") == str(link.date)
        assert int(row.pop("users")) == link.users
        assert {name: float(value) for name, value in row.items()} == {
            f"{model}/{metric}": value
            for model, figures in link.figures.items()
            for metric, value in figures.items()
        }
