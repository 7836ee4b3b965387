"""The evaluate stage: the cold model and its baselines on what users bought after the cutoff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from scipy.sparse import csr_array

from progrec import atomic, progress, settings, stage
from progrec.learning import (
    baselines,
    calibration,
    dataset,
    evaluation,
    intervals,
    metrics,
    record,
    summary,
)
from progrec.learning.baselines import Past
from progrec.learning.bundle import Bundle
from progrec.learning.dataset import COUNTS
from progrec.learning.evaluation import MODEL, Measurement, Scorer, Task
from progrec.learning.history import History
from progrec.learning.metrics import Floats, Mask, long_tail
from progrec.learning.vocabulary import Rows
from progrec.settings import Settings
from progrec.tracking import Tracking

HISTORIES = {"0": (0, 0), "1-4": (1, 4), "5-19": (5, 19), "20+": (20, np.inf)}
"""Groups of users: the shortest and the longest history."""

SEED = 0
ASKED, BINS = 2000, 15  # users of the reliability diagram, and its bins

Figure = dict[str, float]
"""`mean`, and where it has them `low`, `high` and `p`."""


class Evaluation(NamedTuple):
    """What the model and its baselines make of a task.

    Attributes:
        figures: what `reports/metrics.json` holds: `users` (how many have a target); under each
            scorer's name its metrics, each with `mean` and, if it is a mean over users, the bounds
            `low` and `high` of its 95 % interval, the same `by_history` and, of new products as
            the only targets, under `new_products`, each group that has users; `difference`, the
            paired differences between the model and the baseline of the highest NDCG, with
            interval and p-value. Without users, 0 `users`.
        curve: one row a scorer and list length: model, k, ndcg, recall, hr, coverage.
        shown: one row an item and one column a scorer: how many users' lists it is in.
    """

    figures: dict[str, Any]
    curve: pd.DataFrame
    shown: pd.DataFrame


@dataclass(frozen=True)
class Model:
    """A bundle as evaluation knows it."""

    bundle: Bundle

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) purchase probabilities."""
        return self.bundle.probabilities(users)


def fit_baselines(history: History, config: Settings) -> dict[str, tuple[dict[str, Any], Scorer]]:
    """The baselines, each with the settings that the end of history chooses.

    Args:
        history: what they learn.
        config: where history ends, what is measured and the weights of the queue.

    Returns:
        Name -> settings and scorer.
    """
    start = _window_start(config)
    before = history.before(start)
    task = Task.of(before.bought, before.bought_later(history))
    past, earlier = (
        Past.of(
            known.interactions,
            known.users,
            known.items,
            dict.fromkeys(COUNTS, 1.0),
            config.queue.weights,
            day,
        )
        for known, day in ((history, config.split.cutoff), (before, start))
    )
    return baselines.fit_all(past, (earlier, task), config.evaluate.k, SEED)


def _window_start(config: Settings) -> date:
    """The first day of history's end, which validates."""
    return config.split.cutoff - timedelta(config.split.validation_days)


def task_of(bundle: Bundle, targets: pd.DataFrame) -> Task:
    """The task of a bundle's users; users and items that it does not know do not count.

    Args:
        bundle: what each user had bought.
        targets: user_id and item_id of what was bought after the bundle's watermark.
    """
    return Task.of(bundle.bought, _bought_next(bundle, targets))


def _bought_next(bundle: Bundle, targets: pd.DataFrame) -> csr_array:
    users, items = bundle.users.rows(targets["user_id"]), bundle.vocabulary.rows(targets["item_id"])
    return dataset.matrix(users, items, (len(bundle.users), len(bundle.items)))


def foretold(
    bundle: Bundle, targets: pd.DataFrame, k: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """Whether a bundle's probabilities came true for anybody it knows, who bought or not.

    Args:
        bundle: what foretells.
        targets: user_id and item_id of what was bought in the days that it foretells.
        k: how many products of each user count as shown.

    Returns:
        `users`, how many were asked about; `ece_shown` and `ece_all`, the expected calibration
        errors of their first k products and of all that was new to them; and the reliability
        diagram of the shown ones: see `calibration.reliability`.
    """
    n = len(bundle.users)
    users = np.sort(np.random.default_rng(SEED).choice(n, min(n, ASKED), replace=False))
    came_true = _bought_next(bundle, targets)
    shown, every = [], []
    for start in range(0, len(users), evaluation.BATCH):
        rows = users[start : start + evaluation.BATCH]
        chances, outcomes = bundle.probabilities(rows), came_true[rows].toarray() > 0
        new = bundle.bought[rows].toarray() == 0
        best = metrics.top(np.where(new, chances, -np.inf).astype(np.float32), k)
        places = (np.nonzero(best >= 0)[0], best[best >= 0])
        shown.append((chances[places], outcomes[places]))
        every.append((chances[new], outcomes[new]))
    diagram, of_all = _diagram(shown), _diagram(every)
    errors = {
        "users": len(users),
        "ece_shown": calibration.expected_calibration_error(diagram),
        "ece_all": calibration.expected_calibration_error(of_all),
    }
    return errors, diagram


def _diagram(
    found: Iterable[tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]],
) -> pd.DataFrame:
    chances, outcomes = zip(*found, strict=True)
    return calibration.reliability(np.concatenate(chances), np.concatenate(outcomes), BINS)


def evaluate(
    scorers: Mapping[str, Scorer],
    task: Task,
    k: int,
    *,
    histories: npt.NDArray[np.int64],
    new: Mask,
    purchases: Floats,
) -> Evaluation:
    """Measures the model and its baselines on one task.

    Args:
        scorers: `MODEL` and at least one baseline, by name.
        task: whom to recommend to, and what would have been right.
        k: the longest list; the catalogue's length if that is shorter.
        histories: (n_users,) how many items each user had to do with before the cutoff.
        new: (n_items,) which items are new.
        purchases: (n_items,) how often each item was bought, which says what the long tail is.

    Raises:
        ValueError: a score is NaN.
    """
    columns = ["model", *evaluation.COLUMNS]
    if len(task) == 0:
        return Evaluation({"users": 0}, pd.DataFrame(columns=columns), pd.DataFrame())
    tail, lengths = long_tail(purchases), histories[task.users]
    figures: dict[str, Any] = {"users": len(task)}
    shown: dict[str, npt.NDArray[np.int64]] = {}
    users: dict[str, dict[str, Floats]] = {}
    rows: list[dict[str, object]] = []
    for name, scorer in progress.steps(scorers.items(), "measuring models", len(scorers)):
        measured = evaluation.measure(scorer, task, k)
        users[name] = measured.by_user()
        figures[name] = dict(_figures(measured, lengths, new, tail))
        rows += [{"model": name, **row} for row in measured.curve()]
        shown[name] = measured.shown
    figures["difference"] = _difference(users, k)
    return Evaluation(figures, pd.DataFrame(rows, columns=columns), pd.DataFrame(shown))


def _figures(
    measured: Measurement, lengths: npt.NDArray[np.int64], new: Mask, tail: Mask
) -> Iterator[tuple[str, object]]:
    users = measured.by_user()

    def of(group: Mask) -> dict[str, Figure]:
        means = _means({name: values[group] for name, values in users.items()})
        of_lists = measured.of_lists(group, tail)
        return means | {name: {"mean": value} for name, value in of_lists.items()}

    yield from of(np.ones(len(lengths), bool)).items()
    groups = {
        name: (lengths >= shortest) & (lengths <= longest)
        for name, (shortest, longest) in HISTORIES.items()
    }
    yield (
        "by_history",
        {
            name: {"users": int(group.sum()), **of(group)}
            for name, group in groups.items()
            if group.any()
        },
    )
    among = measured.among(new)
    n_users = len(among["mrr"])
    if n_users > 0:
        yield "new_products", {"users": n_users, **_means(among)}


def _means(users: Mapping[str, Floats]) -> dict[str, Figure]:
    found = intervals.interval(np.column_stack(list(users.values())), SEED)
    return _named(users, found._asdict())


def _difference(users: Mapping[str, Mapping[str, Floats]], k: int) -> dict[str, object]:
    baselines = [name for name in users if name != MODEL]
    best = max(baselines, key=lambda name: float(users[name][f"ndcg@{k}"].mean()))
    ours, theirs = (np.column_stack(list(users[name].values())) for name in (MODEL, best))
    found = intervals.difference(ours, theirs, SEED)
    return {"model": MODEL, "baseline": best, **_named(users[MODEL], found._asdict())}


def _named(names: Iterable[str], columns: Mapping[str, Floats]) -> dict[str, Figure]:
    """The m figures by name, out of columns of m."""
    return {
        name: {part: float(values[place]) for part, values in columns.items()}
        for place, name in enumerate(names)
    }


def main(
    bundle: Annotated[Path, typer.Option()],
    history: Annotated[Path, typer.Option()],
    targets: Annotated[Path, typer.Option()],
    reports: Annotated[Path, typer.Option()],
    shown: Annotated[Path, typer.Option()],
) -> None:
    """Measures a bundle and the baselines on the purchases of the horizon."""
    with stage.running("evaluate") as done:
        general = settings.load()
        model, known = Bundle.load(bundle), History.read(history)
        bought = dataset.read_table(targets)
        fitted = fit_baselines(known, general)
        found = evaluate(
            {MODEL: Model(model), **{name: scorer for name, (_, scorer) in fitted.items()}},
            task_of(model, bought),
            general.evaluate.k,
            histories=known.lengths,
            new=known.first_seen_since(_window_start(general)),
            purchases=model.popularity,
        )
        errors, diagram = foretold(model, bought, general.evaluate.k)
        atomic.write_json(reports / "metrics.json", found.figures)
        atomic.write_json(reports / "calibration.json", errors)
        summary.write(summary.of_test(found.figures, general.evaluate.k), reports / "test.json")
        _write_csv(summary.by_model(found.figures, general.evaluate.k), reports / "models.csv")
        _write_csv(found.curve, reports / "ranking.csv")
        _write_csv(diagram, reports / "reliability.csv")
        _write_shown(found.shown, model, shown)
        record.keep(
            Tracking(general.registry),
            model,
            {name: chosen for name, (chosen, _) in fitted.items()},
            found.figures,
            record.pictures(found.figures, found.shown, model.popularity, errors, diagram),
            data=history / dataset.EVENTS,
        )
        done(f"{found.figures['users']:,} users bought something new in the horizon")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic.replacing(path) as new:
        table.to_csv(new, index=False, lineterminator="\n")


def _write_shown(shown: pd.DataFrame, bundle: Bundle, path: Path) -> None:
    bought = pd.DataFrame({"item_id": bundle.item_ids, "purchases": bundle.popularity})
    with atomic.replacing(path) as new:
        bought.join(shown).to_parquet(new, index=False)


if __name__ == "__main__":
    typer.run(main)
