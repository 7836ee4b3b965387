"""The evaluate stage: the cold model and its baselines on what users bought after the cutoff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from progrec import atomic, settings
from progrec.errors import reported
from progrec.learning import dataset, evaluation
from progrec.learning.baselines import Popularity
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import Scorer, Task
from progrec.learning.learner import NetworkScorer
from progrec.tracking import Tracking


def evaluate(bundle: Bundle, targets: pd.DataFrame, k: int) -> tuple[int, pd.DataFrame]:
    """Measures a bundle's network and the baselines on one task.

    Args:
        bundle: the model, and what each user had bought.
        targets: user_id and item_id of what was bought after the bundle's watermark.
        k: the longest list; the catalogue's length if that is shorter.

    Returns:
        The number of users who have a target, and one row a model and list length: model, k, ndcg,
        recall, hr, coverage.
    """
    task = Task.of(
        bundle.bought,
        dataset.matrix(
            bundle.users.rows(targets["user_id"]),
            bundle.vocabulary.rows(targets["item_id"]),
            (len(bundle.users), len(bundle.items)),
        ),
    )
    scorers: dict[str, Scorer] = {
        "ncf": NetworkScorer(bundle.network),
        "popularity": Popularity(bundle.popularity.astype(np.float32)),
    }
    rows = [
        {"model": name, **row}
        for name, scorer in scorers.items()
        for row in evaluation.curve(scorer, task, k)
    ]
    return len(task), pd.DataFrame(rows, columns=["model", *evaluation.COLUMNS])


def main(
    bundle: Annotated[Path, typer.Option()],
    targets: Annotated[Path, typer.Option()],
    metrics: Annotated[Path, typer.Option()],
    curve: Annotated[Path, typer.Option()],
) -> None:
    """Measures a bundle and the baselines on the purchases of the horizon."""
    with reported():
        general = settings.load()
        model = Bundle.load(bundle)
        k = general.evaluate.k
        n_users, table = evaluate(model, dataset.read_table(targets), k)
        figures = {
            row.model: {
                f"{name}@{k}": getattr(row, name) for name in evaluation.COLUMNS if name != "k"
            }
            for row in table[table["k"] == table["k"].max()].itertuples()
        }
        atomic.write_json(metrics, {"users": n_users, **figures})
        with atomic.replacing(curve) as new:
            table.to_csv(new, index=False, lineterminator="\n")
        run = Tracking(general.registry).find_run(model.digest)
        if run is not None:
            for name, values in figures.items():
                run.log_metrics({f"test/{name}/{key}": value for key, value in values.items()})
    typer.echo(f"evaluate: {n_users:,} users bought something new in the horizon")


if __name__ == "__main__":
    typer.run(main)
