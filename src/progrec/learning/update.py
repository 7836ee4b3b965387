"""The update stage: the cold model learns the deltas, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from omegaconf import DictConfig

from progrec import content, progress, settings, stage
from progrec.errors import InputError
from progrec.figures import days as pictured
from progrec.learning import config as configs
from progrec.learning import daily, dataset, prequential, pyfunc, summary
from progrec.learning import job as jobs
from progrec.learning.bundle import Bundle, Link, Provenance
from progrec.learning.chain import Chain, Delta
from progrec.learning.config import UpdateConfig
from progrec.learning.job import Job
from progrec.learning.prequential import Figures
from progrec.runs import Run
from progrec.tracking import UPDATE, Tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def update(config: UpdateConfig, k: int, run: Run) -> Bundle:
    """Learns the days of the deltas that have not been learned yet.

    Before a day is learned, the bundle is measured on it, beside the cold model and popularity. The
    bundle of each day is saved, so that a run that is broken off is gone on with.

    Args:
        config: the resolved configuration.
        k: length of the lists that are measured.
        run: gets each day's figures and their picture, those of days that were learned before
            included.

    Returns:
        The bundle after the last day: the cold model itself if there is none.

    Raises:
        InputError: the parent is no bundle, or a table of the deltas is not there.
    """
    if not config.data.is_dir():
        raise InputError(f"{config.data} does not exist; run the pipeline: `dvc repro`")
    chain = Chain.of(Bundle.load(config.parent), config, k)
    bundle, missing = chain.resumed(config.out)
    for link in bundle.provenance.chain:
        _log(link, chain, run)
    for delta in progress.steps(missing, "learning the deltas"):
        bundle = _linked(bundle, delta, chain, config, k).save(config.out)
        _log(bundle.provenance.chain[-1], chain, run)
    if not bundle.provenance.chain:
        bundle = bundle.save(config.out)
    days = [(link.date, link.users, link.figures) for link in bundle.provenance.chain]
    prequential.write(days, config.report)
    summary.write(summary.of_days(days, k), config.report.with_suffix(".json"))
    measured = [day for day in days if day[2]]
    if measured:
        run.log_figures({"days": _picture(measured, f"ndcg@{k}")})
    return bundle


def _picture(days: Sequence[tuple[date, int, Figures]], metric: str) -> Figure:
    dates, users, figures = zip(*days, strict=True)
    models = {name: [each[name][metric] for each in figures] for name in figures[0]}
    return pictured.prequential(dates, users, models, metric)


def _linked(bundle: Bundle, delta: Delta, chain: Chain, config: UpdateConfig, k: int) -> Bundle:
    """The bundle after one more day, unsaved."""
    pl.seed_everything(config.seed, verbose=False)
    day = delta.read()
    task = daily.task_of(bundle, day)
    figures = prequential.measure(prequential.contenders(bundle, chain.cold), task, k)
    learned, losses = daily.learn(bundle, day, chain.cold.network, config)
    link = Link(
        date=delta.date,
        parent_digest=bundle.digest,
        delta_digest=delta.digest,
        config_digest=chain.config_digest,
        users=len(task),
        figures=figures,
        losses=losses,
    )
    provenance = Provenance(
        data_digest=delta.data_digest,
        config_digest=chain.config_digest,
        parent_digest=bundle.digest,
        watermark=delta.date,
        chain=(*bundle.provenance.chain, link),
    )
    return replace(learned, provenance=provenance)


def _log(link: Link, chain: Chain, run: Run) -> None:
    """Logs a day's figures; the step is the number of the day since the cold model's last."""
    figures = {
        f"{model}/{metric}": value
        for model, metrics in link.figures.items()
        for metric, value in metrics.items()
    }
    step = (link.date - chain.cold.watermark).days
    run.log_metrics(figures | link.losses | {"users": float(link.users)}, step=step)


def _run(composed: DictConfig) -> None:
    """Updates the bundle as conf/update.yaml says."""
    with stage.running("update") as done:
        config = configs.update_config(composed)
        job = Job.current("update")
        config = job.placed(config)
        general = settings.load()
        tracking = Tracking(general.registry)
        # Whether there is a parent, the update itself says.
        parent = content.digest(config.parent) if config.parent.is_dir() else ""
        with job.run(tracking, UPDATE, config, tracking.find_run(parent)) as run:
            run.tag("parent_digest", parent)
            bundle = update(config, general.evaluate.k, run)
            run.rename(f"{job.name}, up to {bundle.watermark}")
            if bundle.digest != parent:
                # Else it is its parent still, whose maker is another run.
                data = config.data / dataset.EVENTS
                run.log_dataset("deltas", data, bundle.provenance.data_digest)
                pyfunc.log(run, bundle, config.out)
        done(
            f"{len(bundle.users):,} users, {len(bundle.items):,} items, learned up to "
            f"{bundle.provenance.watermark}; bundle {bundle.digest}"
        )


if __name__ == "__main__":
    jobs.composed("update", _run)
