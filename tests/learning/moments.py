"""Moments small enough to know what a fusion has to learn of them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array

from progrec.learning import evaluation
from progrec.learning.config import FusionConfig, ModelConfig, NeighboursConfig
from progrec.learning.dataset import matrix
from progrec.learning.evidence import INPUTS, Evidence
from progrec.learning.fusion import Examples, Moment, MomentScorer
from progrec.learning.ncf import NCF, Fusion
from progrec.learning.touches import COUNTED
from progrec.learning.vocabulary import Vocabulary

N_USERS, N_ITEMS = 90, 12
CARTED = 1 + INPUTS.index("carted")
CONFIG = FusionConfig(
    moments=2,
    max_users=1000,
    candidates=8,
    batch_size=16,
    max_epochs=8,
    patience=3,
    rate=0.05,
    weight_decay=0.0,
    neighbours=NeighboursConfig(regularizations=(1.0,), max_items=N_ITEMS, kept=3),
)


def network() -> NCF:
    torch.manual_seed(4)
    return NCF(N_USERS, N_ITEMS, ModelConfig(towers=("gmf",), factors=4, layers=(), fusion=(4,)))


def moment(seed: int, *, rule: str = "carted") -> Moment:
    """Users who have bought one item, viewed one and carted one, on one day.

    Next each buys the item that they carted, or another as the rule says; every third buys nothing.
    """
    items = np.argsort(np.random.default_rng(seed).random((N_USERS, N_ITEMS)), axis=1)
    done = {name: np.zeros(3 * N_USERS, np.int64) for name in COUNTED}
    for place, name in enumerate(("num_purchases", "num_views", "num_carts")):
        done[name][place * N_USERS : (place + 1) * N_USERS] = 1
    everyone = np.arange(N_USERS)
    names = np.array([f"u{user:02}" for user in everyone], dtype=object)
    catalogue = np.array([f"p{item:02}" for item in range(N_ITEMS)], dtype=object)
    table = pd.DataFrame(
        {
            "date": [date(2020, 1, 1)] * (3 * N_USERS),
            "user_id": np.tile(names, 3),
            "item_id": catalogue[items[:, :3].T.ravel()],
            **done,
        }
    )
    evidence = Evidence.of(table, Vocabulary(names), Vocabulary(catalogue), date(2020, 1, 2))
    buyers = everyone[everyone % 3 > 0]
    carted = {"carted": buyers >= 0, "half carted": buyers % 3 == 1, "else": buyers < 0}[rule]
    shape = (N_USERS, N_ITEMS)
    return Moment(
        network(),
        evidence,
        matrix(everyone, items[:, 0], shape),
        matrix(buyers, items[buyers, np.where(carted, 2, 3)], shape),
    )


def bought(*pairs: tuple[int, int]) -> csr_array:
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    return matrix(users, items, (N_USERS, N_ITEMS))


def start() -> Fusion:
    torch.manual_seed(5)
    return Fusion((4,))


def hit(trained: Fusion, told: Moment) -> float:
    return evaluation.evaluate(MomentScorer(trained, told), told.task, 1)["ndcg@1"]


def probabilities(trained: Fusion, told: Moment) -> np.ndarray:
    with torch.no_grad():
        return trained.probabilities(told.inputs(np.arange(N_USERS))).numpy()


def examples(told: Moment, *, seed: int = 0, **changes: int) -> Examples:
    config = CONFIG.model_copy(update=changes)
    return Examples.of(told.inputs, told.task, config, np.random.default_rng(seed))
