"""Items that speak for other items: item-to-item weights, learned or counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from progrec.learning.vocabulary import Rows

Weights = npt.NDArray[np.float32]


def ease(likes: csr_array, regularization: float) -> Weights:
    """Weights with which the likes of other items foretell an item's, by ridge regression.

    The closed form of EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data").

    Args:
        likes: (n_users, n) 0/1; the time grows with n^3, the memory with n^2.
        regularization: of the squared weights.

    Returns:
        (n, n): row j, column i says how much j speaks for i; 0 on the diagonal.
    """
    gram = (likes.T @ likes).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    inverse = np.linalg.inv(gram)
    weights: Weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights


def cosine(likes: csr_array, n_neighbours: int) -> csr_array:
    """Weights with which an item's likes are foretold by those of its nearest neighbours.

    Args:
        likes: (n_users, n) 0/1; the memory grows with n^2.
        n_neighbours: how many neighbours speak for an item (Sarwar et al. 2001).

    Returns:
        (n, n), sparse: row j, column i is the cosine of the two columns of likes if j is among the
        nearest of i, else 0; 0 on the diagonal.
    """
    norms = np.sqrt(np.maximum(likes.sum(axis=0), 1))
    normal = csr_array(likes / norms)
    similar: Weights = (normal.T @ normal).toarray().astype(np.float32)
    return csr_array(strongest(similar, n_neighbours).T)


def strongest(weights: Weights, n: int) -> csr_array:
    """(m, m) weights -> of each row the n of largest size, sparse; never the diagonal."""
    sizes = np.abs(weights)
    np.fill_diagonal(sizes, -1)
    n = min(n, len(weights) - 1)
    kept = np.sort(np.argpartition(-sizes, n - 1, axis=1)[:, :n], axis=1)
    values = np.take_along_axis(weights, kept, axis=1)
    starts = np.arange(len(weights) + 1) * n
    sparse = csr_array((values.ravel(), kept.ravel(), starts), shape=weights.shape)
    sparse.eliminate_zeros()
    return sparse


def most_liked(likes: csr_array, n: int) -> Rows:
    """The n items with the most likes, in the order of their rows; ties by row."""
    counts = np.asarray(likes.sum(axis=0))
    return np.sort(np.argsort(-counts, kind="stable")[:n])


def fit(likes: csr_array, regularization: float, *, n_items: int, n_neighbours: int) -> csr_array:
    """EASE among the most liked items, of each item the strongest weights.

    Args:
        likes: (n_users, n) 0/1.
        regularization: of the squared weights.
        n_items: how many items take part: more would not fit into memory.
        n_neighbours: weights an item.

    Returns:
        (n, n), sparse: row j, column i says how much j speaks for i.
    """
    chosen = most_liked(likes, n_items)
    among = strongest(ease(csr_array(likes[:, chosen]), regularization), n_neighbours).tocoo()
    rows, columns = chosen[among.row], chosen[among.col]
    return csr_array((among.data, (rows, columns)), shape=(likes.shape[1],) * 2)
