"""Bundles whose every score is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import torch

from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import ModelConfig
from progrec.learning.evidence import INPUTS, Evidence
from progrec.learning.ncf import NCF
from progrec.learning.touches import COUNTED
from progrec.learning.vocabulary import Vocabulary

Purchase = tuple[str, str, str]
"""User, item and day."""


def bundle_of(
    scores: Mapping[str, Mapping[str, float]],
    purchases: Iterable[Purchase] = (),
    *,
    watermark: str = "2020-01-31",
    name: str = "",
) -> Bundle:
    """A bundle that gives each user's items these logits; another name gives another digest."""
    table = pd.DataFrame(scores).T
    network = _network(table.to_numpy(np.float32), ())
    users, items = (
        Vocabulary(table.index.to_numpy(object)),
        Vocabulary(table.columns.to_numpy(object)),
    )
    bought = list(purchases)
    return Bundle(
        network,
        users,
        pd.DataFrame(
            {
                "item_id": items.ids,
                "category": pd.Series([None] * len(items), dtype=object),
                "brand": pd.Series([None] * len(items), dtype=object),
            }
        ),
        pd.DataFrame(
            {
                "user": users.rows(user for user, _, _ in bought),
                "item": items.rows(item for _, item, _ in bought),
                "date": [date.fromisoformat(day) for _, _, day in bought],
            }
        ),
        Provenance(
            data_digest=name,
            config_digest="1" * 64,
            parent_digest=None,
            watermark=date.fromisoformat(watermark),
        ),
        Evidence.of(_interactions(bought), users, items, date.fromisoformat(watermark)),
    )


def with_fusion(bundle: Bundle, evidence: Evidence, **weights: float) -> Bundle:
    """The bundle with a fusion that adds up some inputs; `towers` is what it gave without."""
    logits = bundle.network.users.weight.detach().numpy()
    network = _network(logits, (1,))
    assert network.fusion is not None
    with torch.no_grad():
        network.fusion.weights.bias.zero_()
        for name, weight in weights.items():
            network.fusion.weights.bias[("towers", *INPUTS).index(name)] = weight
    return replace(bundle, network=network, evidence=evidence)


def _interactions(bought: Sequence[Purchase]) -> pd.DataFrame:
    frame = pd.DataFrame(bought, columns=["user_id", "item_id", "date"])
    frame["date"] = [date.fromisoformat(day) for day in frame["date"]]
    return frame.assign(**{**dict.fromkeys(COUNTED, 0), "num_purchases": 1})


def _network(logits: np.ndarray, fusion: tuple[int, ...]) -> NCF:
    n_users, n_items = logits.shape
    config = ModelConfig(towers=("gmf",), factors=n_items, layers=(), fusion=fusion)
    torch.manual_seed(0)
    network = NCF(n_users, n_items, config).eval()
    with torch.no_grad():
        network.users.weight.copy_(torch.tensor(logits))
        network.items.weight.copy_(torch.eye(n_items))
        network.output.weight.fill_(1)
        network.output.bias.zero_()
    return network
