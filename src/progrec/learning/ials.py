"""Implicit alternating least squares: the embeddings that a GMF tower starts from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec import progress
from progrec.learning.config import IALSConfig

ROWS_AT_ONCE = 512
FLOATS_AT_ONCE = 2**25  # of the gathered embeddings of a block of rows


def fit(
    likes: csr_array, factors: int, config: IALSConfig, seed: int, *, quiet: bool = False
) -> tuple[Tensor, Tensor]:
    """Embeddings whose products are near 1 for what is liked and near 0 for all else.

    Minimises sum_liked (1 - u.v)^2 + w sum_all (u.v)^2 + sum_u r_u |u|^2 + sum_v r_v |v|^2, where
    the regularisation of a row grows with its likes: r_u = r (likes of u + w n_items), and for
    items likewise (Hu, Koren & Volinsky 2008; in the form and with the regularisation of Rendle et
    al. 2022, "Revisiting the performance of iALS on item recommendation benchmarks").

    Args:
        likes: (n_users, n_items) 0/1.
        factors: width f of the embeddings.
        config: how they are fitted.
        seed: of the items' start; the users have none, for they are solved first.
        quiet: whether to show no progress bar: the caller has one.

    Returns:
        (n_users, f) and (n_items, f); the rows without likes are 0.
    """
    passes: Iterable[tuple[Tensor, Tensor]] = iterations(likes, factors, config, seed)
    if not quiet:
        passes = progress.steps(passes, "fitting embeddings", total=config.iterations)
    return deque(passes, maxlen=1).pop()


def iterations(
    likes: csr_array, factors: int, config: IALSConfig, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The embeddings after each iteration: the n-th are those that `fit` ends with after n.

    Args:
        likes: (n_users, n_items) 0/1.
        factors: width f of the embeddings.
        config: how they are fitted.
        seed: of the items' start.

    Yields:
        (n_users, f) and (n_items, f): the same two tensors each time, which the next iteration
        overwrites.
    """
    generator = torch.Generator().manual_seed(seed)
    n_users, n_items = likes.shape
    users = torch.zeros(n_users, factors)
    items = torch.randn(n_items, factors, generator=generator) * config.deviation / factors**0.5
    liked_by = csr_array(likes.T)
    solve(users, items, gram(items), likes, config)
    for _ in range(config.iterations):
        solve(items, users, gram(users), liked_by, config)
        solve(users, items, gram(items), likes, config)
        yield users, items


def gram(rows: Tensor) -> Tensor:
    """(n, f) -> (f, f) sum_all v v'."""
    return rows.T @ rows


def solve(
    rows: Tensor, others: Tensor, every: Tensor, likes: csr_array, config: IALSConfig
) -> None:
    """Puts each row where the objective is least while the other side stands still.

    That is the solution of its normal equations, one system of f equations a row:
    (sum_liked v v' + w sum_all v v' + r_u) u = sum_liked v. A row without likes becomes 0.

    Args:
        rows: (n, f), replaced.
        others: (m, f).
        every: (f, f) sum_all v v': `gram` of the others, or what comes close to it.
        likes: (n, m) 0/1.
        config: the weights of the objective.
    """
    n_others, width = others.shape
    w = config.unobserved_weight
    counts = torch.from_numpy(np.diff(likes.indptr).astype(np.int64))
    starts = torch.from_numpy(likes.indptr[:-1].astype(np.int64))
    liked = torch.from_numpy(likes.indices.astype(np.int64))
    for block in _blocks(counts, width):
        n = counts[block]
        place = torch.arange(int(n.max()))
        there = place < n[:, None]
        gathered = others[liked[torch.where(there, starts[block][:, None] + place, 0)]]
        gathered[~there] = 0
        system = torch.baddbmm(every.expand(len(n), -1, -1), gathered.mT, gathered, beta=w)
        ridge = config.regularization * (n + w * n_others)
        system.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        factor = torch.linalg.cholesky(system)
        rows[block] = torch.cholesky_solve(gathered.sum(dim=1)[..., None], factor)[..., 0]


def _blocks(counts: Tensor, width: int) -> Iterator[Tensor]:
    """All rows, in blocks of about equal counts, for each is padded to the highest of its block.

    A block fits into memory unless it is a single row.
    """
    order = torch.argsort(counts, stable=True)
    start = 0
    while start < len(order):
        n = min(ROWS_AT_ONCE, len(order) - start)
        while n > 1 and n * int(counts[order[start + n - 1]]) * width > FLOATS_AT_ONCE:
            n //= 2
        yield order[start : start + n]
        start += n
