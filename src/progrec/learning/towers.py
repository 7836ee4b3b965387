"""Towers that have learned a history, and the search for how they learn it best."""

from __future__ import annotations

from pytorch_lightning.loggers import Logger

from progrec.learning import dataset, evaluation, ials, learner, side
from progrec.learning.batches import Batches
from progrec.learning.config import IALSConfig, Recipe, TrainConfig
from progrec.learning.dataset import Pairs
from progrec.learning.evaluation import Task
from progrec.learning.history import History
from progrec.learning.learner import Curve, Learner, NetworkScorer
from progrec.learning.ncf import NCF
from progrec.runs import Run


def train(
    history: History, config: TrainConfig, recipe: Recipe, logger: Logger | None = None
) -> tuple[NCF, Curve]:
    """A network whose towers have learned a history, and the curve of their epochs."""
    student = Learner(_start(history, config, recipe.start), config)
    if recipe.epochs:
        batches = _batches(history, config)
        learner.fit(student, batches, config.trainer, recipe.epochs, logger=logger)
    return student.network.eval(), student.curve


def search(
    past: History, task: Task, config: TrainConfig, k: int, run: Run
) -> tuple[Recipe, Curve]:
    """Finds the recipe by which towers that have learned the past do a task best.

    Args:
        past: what to learn.
        task: what to measure them by; without users nothing can be found.
        config: what to try.
        k: length of the lists that are measured.
        run: gets the figures of each epoch.

    Returns:
        The recipe, and the curve that decided on its epochs. It starts with epoch 0 if towers can
        do without any, and is empty if nothing was found.
    """
    starts = _starts(config)
    if len(task) == 0 or len(pairs(past, config)) == 0:
        epochs = config.trainer.max_epochs if starts[0] is None else 0
        return Recipe(start=starts[0], epochs=epochs), []
    networks = {start: _start(past, config, start) for start in starts}
    figures = {
        start: evaluation.evaluate(NetworkScorer(network.eval()), task, k)
        for start, network in networks.items()
    }
    best = max(starts, key=lambda start: figures[start][f"ndcg@{k}"])
    # The figure that a sweep compares is the first of a run: MLflow shows it first.
    run.log_metrics({f"validation/ndcg@{k}": figures[best][f"ndcg@{k}"]}, step=0)
    untrained: Curve = [] if best is None else [{"epoch": 0} | figures[best]]
    if untrained:
        run.log_metrics(learner.logged(figures[best]), step=0)
    student = Learner(networks[best].train(), config, task, k)
    learner.fit(
        student,
        _batches(past, config),
        config.trainer,
        config.trainer.max_epochs,
        callbacks=[learner.early_stopping(f"ndcg@{k}", config.trainer.patience)],
        logger=run.logger(),
    )
    curve = untrained + student.curve
    return Recipe(start=best, epochs=learner.best_epoch(curve, f"ndcg@{k}")), curve


def pairs(history: History, config: TrainConfig) -> Pairs:
    """What the towers learn of a history."""
    return dataset.pairs(
        history.interactions,
        history.users,
        history.items,
        config.loss.event_weights,
        config.loss.half_life_days,
    )


def _starts(config: TrainConfig) -> tuple[IALSConfig | None, ...]:
    return config.pretraining if "gmf" in config.model.towers and config.pretraining else (None,)


def _start(history: History, config: TrainConfig, start: IALSConfig | None) -> NCF:
    """The network before its first epoch."""
    network = _network(history, config)
    if start is not None:
        liked = pairs(history, config)
        likes = dataset.matrix(liked.users, liked.items, (len(history.users), len(history.items)))
        network.start_from(*ials.fit(likes, config.model.factors, start, config.seed))
    return network


def _network(history: History, config: TrainConfig) -> NCF:
    features = config.model.features
    codes = side.codes(history.item_features, features.attributes)
    network = NCF(len(history.users), len(history.items), config.model, codes)
    if network.users.side is not None:
        totals = side.user_totals(history.interactions).reindex(history.users.ids)
        network.users.side.fit(side.numbers(totals, features.users))
    if network.items.side is not None:
        totals = side.item_totals(history.interactions).reindex(history.items.ids)
        network.items.side.fit(side.numbers(totals, features.items))
    return network


def _batches(history: History, config: TrainConfig) -> Batches:
    return Batches(
        pairs(history, config),
        len(history.items),
        batch_size=config.optimizer.batch_size,
        sampler=config.sampler,
        seed=config.seed,
    )
