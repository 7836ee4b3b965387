from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import pytorch_lightning as pl
import torch

from progrec.errors import InputError
from progrec.learning import evaluation, learner
from progrec.learning.batches import Batch, Batches
from progrec.learning.config import (
    LearningConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SamplerConfig,
    TrainerConfig,
)
from progrec.learning.dataset import Pairs, matrix
from progrec.learning.evaluation import Task
from progrec.learning.learner import Learner
from progrec.learning.losses import LOSSES, LossName
from progrec.learning.ncf import NCF

if TYPE_CHECKING:
    from conftest import Recorder

N_USERS, N_ITEMS = 6, 9
TRAINER = TrainerConfig(accelerator="cpu", threads=1, max_epochs=3, patience=1)
RATES = OptimizerConfig(table_rate=0.05, layer_rate=0.01, batch_size=4)
CONFIG = LearningConfig(
    seed=0,
    loss=LossConfig(name="bce", event_weights={"purchase": 1}),
    sampler=SamplerConfig(negatives=2),
    optimizer=RATES,
    trainer=TRAINER,
)
USERS, ITEMS = np.array([0, 1, 2, 3, 4, 5]), np.array([0, 2, 4, 6, 8, 1])


def network(*towers: str) -> NCF:
    torch.manual_seed(1)
    layers = (4, 3) if "mlp" in towers else ()
    return NCF(N_USERS, N_ITEMS, ModelConfig(towers=towers, factors=4, layers=layers))


def student(validation: Task | None = None) -> Learner:
    return Learner(network("gmf", "mlp"), CONFIG, validation, k=3)


def batches() -> Batches:
    pairs = Pairs(USERS, ITEMS, np.ones(6, np.float32))
    return Batches(pairs, N_ITEMS, batch_size=4, sampler=CONFIG.sampler, seed=0)


@pytest.fixture
def task() -> Task:
    """Each user buys the item after the one that they have."""
    shape = (N_USERS, N_ITEMS)
    return Task.of(matrix(USERS, ITEMS, shape), matrix(USERS[:5], ITEMS[1:], shape))


class _OneBatch(Batches):
    """An epoch of one batch that is written down: users 1 and 4, items 0, 2, 5, 6 and 7."""

    def __init__(self) -> None:
        super().__init__(
            Pairs(USERS, ITEMS, np.ones(6, np.float32)),
            N_ITEMS,
            batch_size=6,
            sampler=CONFIG.sampler,
            seed=0,
        )

    def __iter__(self):
        yield Batch(
            torch.tensor([1, 4]),
            torch.tensor([0, 2]),
            torch.tensor([[5, 6], [7, 5]]),
            torch.tensor([1.0, 0.5]),
            torch.tensor([[-1.0, -2.0], [-3.0, -1.0]]),
        )


def with_side() -> NCF:
    """A network that is told of users and items, too."""
    torch.manual_seed(1)
    features = {"users": ("views",), "items": ("views",), "attributes": ("category",)}
    config = ModelConfig(towers=("gmf",), factors=4, layers=(), features=features)
    return NCF(N_USERS, N_ITEMS, config, torch.arange(N_ITEMS)[:, None] % 3)


def test_side_inputs_have_their_optimizers_and_are_learned() -> None:
    subject = Learner(with_side(), CONFIG)
    before = {name: weight.clone() for name, weight in subject.network.named_parameters()}
    sparse, dense = subject.configure_optimizers()

    learner.fit(subject, batches(), TRAINER, 2)

    owned = [len(optimizer.param_groups[0]["params"]) for optimizer in (sparse, dense)]
    assert owned == [3, 6]
    assert sum(owned) == len(before)
    changed = {
        name
        for name, weight in subject.network.named_parameters()
        if not torch.equal(weight, before[name])
    }
    # Of numbers that are all the mean, and never missing, there is nothing to learn.
    assert set(before) - changed == {"users.side.weight", "items.side.weight"}


@pytest.mark.parametrize("towers", [("gmf",), ("mlp",), ("gmf", "mlp")])
def test_every_parameter_belongs_to_exactly_one_optimizer(towers: tuple[str, ...]) -> None:
    subject = Learner(network(*towers), CONFIG)

    owned = [
        id(weight)
        for optimizer in subject.configure_optimizers()
        for group in optimizer.param_groups
        for weight in group["params"]
    ]

    assert sorted(owned) == sorted(id(weight) for weight in subject.parameters())


def test_the_tables_rate_is_the_tables_and_the_layers_rate_the_layers() -> None:
    tables, layers = student().configure_optimizers()

    assert isinstance(tables, torch.optim.SparseAdam)
    assert [group["lr"] for group in tables.param_groups] == [RATES.table_rate]
    assert [group["lr"] for group in layers.param_groups] == [RATES.layer_rate]


def test_a_step_moves_the_rows_of_its_batch_and_no_other() -> None:
    subject = student()
    before = {name: weight.clone() for name, weight in subject.network.state_dict().items()}

    learner.fit(subject, _OneBatch(), TRAINER, 2)

    after = subject.network.state_dict()
    moved = {
        name: [row for row in range(len(weight)) if not torch.equal(weight[row], before[name][row])]
        for name, weight in after.items()
    }
    assert moved["users.weight"] == [1, 4]
    assert moved["items.weight"] == [0, 2, 5, 6, 7]
    assert moved["output.weight"] == [0]
    assert moved["user_half.weight"] != []


@pytest.mark.parametrize("name", ["bce", "bpr", "softmax"])
def test_the_loss_is_the_one_that_is_named(name: LossName) -> None:
    loss = CONFIG.loss.model_copy(update={"name": name})
    subject = Learner(network("gmf"), CONFIG.model_copy(update={"loss": loss}))
    (batch,) = _OneBatch()
    with torch.no_grad():
        liked = subject.network(batch.users, batch.liked)
        others = subject.network(batch.users[:, None], batch.others)

    learner.fit(subject, _OneBatch(), TRAINER, 1)

    expected = LOSSES[name](liked, others, batch.weights, batch.log_rates)
    assert subject.curve == [{"epoch": 1, "loss": expected.item()}]


def test_only_the_hardest_negatives_are_learned_from() -> None:
    sampler = SamplerConfig(negatives=1, hardest_of=2)
    subject = Learner(network("gmf", "mlp"), CONFIG.model_copy(update={"sampler": sampler}))
    before = subject.network.items.weight.clone()
    (batch,) = _OneBatch()
    with torch.no_grad():
        logits = subject.network(batch.users[:, None], batch.others)
    hardest = {
        max(zip(row, items, strict=True))[1]
        for row, items in zip(logits.tolist(), batch.others.tolist(), strict=True)
    }

    learner.fit(subject, _OneBatch(), TRAINER, 1)

    moved = (subject.network.items.weight != before).any(dim=1).nonzero().flatten().tolist()
    assert set(moved) == {0, 2} | hardest


def test_the_tables_gradients_are_sparse() -> None:
    subject = network("gmf", "mlp")

    subject(torch.tensor([1, 4]), torch.tensor([0, 2])).sum().backward()

    assert subject.users.weight.grad.is_sparse
    assert subject.items.weight.grad.is_sparse


def test_the_loss_falls() -> None:
    subject = student()

    learner.fit(subject, batches(), TRAINER, 30)

    losses = [row["loss"] for row in subject.curve]
    assert losses[-1] < losses[0] / 2


def test_the_curve_has_a_row_an_epoch_and_nothing_of_a_validation_that_is_not_there() -> None:
    subject = student()

    learner.fit(subject, batches(), TRAINER, 2)

    assert [list(row) for row in subject.curve] == [["epoch", "loss"]] * 2
    assert [row["epoch"] for row in subject.curve] == [1, 2]


def test_the_curve_measures_the_network_as_it_is_after_the_epoch(task: Task) -> None:
    subject = student(task)

    learner.fit(subject, batches(), TRAINER, 2)

    scorer = learner.NetworkScorer(subject.network)
    figures = evaluation.evaluate(scorer, task, 3)
    assert {name: subject.curve[-1][name] for name in figures} == figures


def test_the_network_is_left_ready_to_answer(task: Task) -> None:
    subject = student(task)

    learner.fit(subject, batches(), TRAINER, 1)

    assert not subject.network.training


def test_a_logger_gets_the_figures_by_epoch(task: Task, recorder: Recorder) -> None:
    subject = student(task)

    learner.fit(subject, batches(), TRAINER, 2, logger=recorder.logger())

    names = ["loss", "ndcg@3", "recall@3", "hr@10", "mrr", "coverage@3"]
    assert [step for step, _ in recorder.epochs] == [1, 2]
    for (_, logged), row in zip(recorder.epochs, subject.curve, strict=True):
        assert logged == pytest.approx(
            {f"towers/{name.replace('@', '_at_')}": row[name] for name in names}
        )


class _Scripted(learner.NetworkScorer):
    """Ranks as it is told: the user's next item comes first in the good epochs only."""

    good: list[bool] = []  # noqa: RUF012

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        is_good = self.good.pop(0)
        scores = np.zeros((len(users), N_ITEMS), np.float32)
        scores[np.arange(len(users)), [2, 4, 6, 8, 1]] = 1 if is_good else -1
        return scores


@pytest.mark.parametrize(
    ("patience", "good", "epochs"),
    [
        pytest.param(1, [False, True, True, True], 3, id="no better than before is no progress"),
        pytest.param(2, [False, True, False, True, True], 4, id="patience waits"),
        pytest.param(9, [True, False, False], 3, id="the maximum is the end"),
    ],
)
def test_training_stops_when_the_ranking_rises_no_more(
    patience: int,
    good: list[bool],
    epochs: int,
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learner, "NetworkScorer", _Scripted)
    monkeypatch.setattr(_Scripted, "good", list(good))
    subject = student(task)

    learner.fit(
        subject,
        batches(),
        TRAINER,
        len(good),
        callbacks=[learner.early_stopping("ndcg@3", patience)],
    )

    assert len(subject.curve) == epochs
    assert learner.best_epoch(subject.curve, "ndcg@3") == good.index(True) + 1


def test_the_best_epoch_is_the_first_of_equals() -> None:
    curve = [{"epoch": n + 1, "ndcg@3": value} for n, value in enumerate([0.1, 0.4, 0.3, 0.4])]

    assert learner.best_epoch(curve, "ndcg@3") == 2


def test_a_training_that_diverges_ends_with_what_to_do() -> None:
    rates = RATES.model_copy(update={"table_rate": 1e30, "layer_rate": 1e30})
    subject = Learner(network("gmf"), CONFIG.model_copy(update={"optimizer": rates}))

    with pytest.raises(InputError, match="diverged in epoch 1: lower optimizer"):
        learner.fit(subject, batches(), TRAINER, 3)


def test_lightning_has_nothing_to_say(capsys: pytest.CaptureFixture[str], task: Task) -> None:
    with warnings.catch_warnings(record=True) as caught:
        learner.fit(student(task), batches(), TRAINER, 1)

    assert [str(warning.message) for warning in caught] == []
    assert capsys.readouterr() == ("", "")


def test_a_warning_of_other_matters_is_still_heard() -> None:
    learner._quieten_lightning()

    with pytest.warns(UserWarning, match="something else"):
        pl.utilities.rank_zero_warn("something else")
