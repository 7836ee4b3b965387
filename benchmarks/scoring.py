"""A user's scores of the whole catalogue beside the network's plain pass over all pairs."""

from __future__ import annotations

import statistics
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from progrec.learning.bundle import Bundle
from progrec.learning.ncf import NCF

USERS = 30
TOP = 100


def speedup(path: Path) -> float:
    """How many times longer the plain pass takes than finding a user's best items, on one core.

    The one goes from the user's row to the probabilities of all items, the other to the best; one
    user after the other.

    Raises:
        RuntimeError: the best items are not those of the plain pass in double precision.
    """
    torch.set_num_threads(1)
    bundle = Bundle.load(path)
    exact = deepcopy(bundle.network).double()
    served(bundle, 0)  # what is made once
    ratios = []
    for row in range(min(USERS, len(bundle.users))):
        begin = time.perf_counter()
        plain(bundle, bundle.network, row)
        middle = time.perf_counter()
        found = served(bundle, row)
        ratios.append((middle - begin) / (time.perf_counter() - middle))
        if found != best(plain(bundle, exact, row)):
            raise RuntimeError(f"the best of user {row} are not those of the plain pass")
    return statistics.median(ratios)


@torch.inference_mode()
def plain(bundle: Bundle, network: NCF, row: int) -> npt.NDArray[np.floating]:
    """(n_items,) probabilities by the network's own pass over a user's pairs with all items."""
    n_items = len(bundle.items)
    logits = network(torch.full((n_items,), row), torch.arange(n_items))
    if network.fusion is None:
        return np.asarray(torch.sigmoid(logits).numpy())
    (known,) = bundle.evidence.inputs(np.array([row]))
    inputs = torch.cat([logits[:, None], known], dim=1)
    return np.asarray(network.fusion.probabilities(inputs).numpy())


def best(probabilities: npt.NDArray[np.floating]) -> list[int]:
    """The rows of the highest, equal ones by row."""
    rows: list[int] = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    return rows


def served(bundle: Bundle, row: int) -> list[int]:
    """The same as the service finds them for a shopper."""
    ranking = bundle.ranking_after(str(bundle.users.ids[row]), [])
    assert ranking is not None, "the bundle knows the user"
    rows, _ = ranking.best(TOP, np.ones(len(bundle.items), dtype=bool))
    found: list[int] = rows.tolist()
    return found
