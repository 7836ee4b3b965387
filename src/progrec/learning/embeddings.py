"""The rows of users or items, and what is known of them, as a network looks them up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

INITIAL_DEVIATION = 0.01  # as in NCF's implementation by its authors
ENOUGH = 65_536
"""Rows whose average stands for that of any table: what a day costs shall not grow with it."""


def spaced(table: Tensor) -> Tensor:
    """At most `ENOUGH` of a table's rows, evenly spaced."""
    return table[:: max(1, -(-len(table) // ENOUGH))]


class Side(nn.Module):
    """What is known of each row -> what it adds to the row's embedding.

    The numbers, standardised, and whether each is missing pass a linear layer; each code has an
    embedding. Both are looked up row by row, so that a step costs what its rows cost.

    Attributes:
        inputs: (n_rows, 2 f) the f numbers in deviations from the mean, as which a missing one
            counts; then 1 for each that is missing, else 0.
        mean: (f,) of the rows of the training.
        deviation: (f,) of the rows of the training.
        codes: (n_rows, a).
    """

    inputs: Tensor
    mean: Tensor
    deviation: Tensor
    codes: Tensor

    def __init__(self, n_numbers: int, codes: Tensor, width: int) -> None:
        """Takes (n_rows, a) codes; the numbers are all the mean until `fit` gives them."""
        super().__init__()
        self.register_buffer("inputs", torch.zeros(len(codes), 2 * n_numbers))
        self.register_buffer("mean", torch.zeros(n_numbers))
        self.register_buffer("deviation", torch.ones(n_numbers))
        # Not saved: the bundle's table of items has the words that they stand for.
        self.register_buffer("codes", codes, persistent=False)
        self.weight = nn.Parameter(torch.zeros(width, 2 * n_numbers))
        self.bias = nn.Parameter(torch.zeros(width))
        self.words = nn.ModuleList(
            nn.Embedding(int(column.max()) + 1, width, sparse=True) for column in codes.T
        )
        for table in self.tables:
            nn.init.normal_(table, std=INITIAL_DEVIATION)

    @property
    def tables(self) -> list[Tensor]:
        """The embeddings of the codes."""
        return list(self.words.parameters())

    def forward(self, rows: Tensor | slice) -> Tensor:
        """(...) rows -> (..., width)."""
        added = functional.linear(self.inputs[rows], self.weight, self.bias)
        for place, table in enumerate(self.words):
            added = added + table(self.codes[rows, place])
        return added

    def words_of(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The words of some rows, numbered afresh: from 1 in the order of first appearance.

        Args:
            rows: (n,).

        Returns:
            (n, a) new codes, and of each attribute the old code of each new one; 0 stays.
        """
        columns, words = [], []
        for column in self.codes[rows].T:
            numbers, found = pd.factorize(np.where(column > 0, column, np.nan))
            columns.append(torch.from_numpy(numbers + 1))
            words.append(torch.tensor([0, *found], dtype=torch.int64))
        codes = torch.stack(columns, dim=1) if columns else self.codes[rows]
        return codes, words

    def fit(self, numbers: Tensor) -> None:
        """Takes the (n_rows, f) numbers of all rows, by which later ones are standardised, too."""
        mean = numbers.nanmean(dim=0).nan_to_num()
        deviation = ((numbers - mean) ** 2).nanmean(dim=0).sqrt()
        self.mean.copy_(mean)
        # A number that is the same everywhere, or nowhere, has none to be divided by.
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1))
        self.put(slice(None), numbers)

    def put(self, rows: Tensor | slice, numbers: Tensor) -> None:
        """Replaces the numbers of some rows with (n, f) others."""
        standard = ((numbers - self.mean) / self.deviation).nan_to_num()
        self.inputs[rows] = torch.cat([standard, numbers.isnan()], dim=1)


class Embeddings(nn.Embedding):
    """A table of rows; what is known of a row is added to it."""

    def __init__(self, n_rows: int, width: int, n_numbers: int, codes: Tensor | None) -> None:
        """Takes how many numbers are known of each row, and (n_rows, a) codes, if there are any."""
        super().__init__(n_rows, width, sparse=True)
        if codes is None:
            codes = torch.empty((n_rows, 0), dtype=torch.int64, device="cpu")
        has_side = n_numbers + codes.shape[1] > 0
        self.side = Side(n_numbers, codes, width) if has_side else None

    @property
    def tables(self) -> list[Tensor]:
        """What is looked up row by row and has sparse gradients."""
        return [self.weight, *(self.side.tables if self.side is not None else [])]

    def forward(self, rows: Tensor) -> Tensor:
        """(...) rows -> (..., width)."""
        return self._with_side(super().forward(rows), rows)

    @torch.no_grad()
    def put(self, rows: Tensor, embeddings: Tensor) -> None:
        """Gives (b,) rows such weights that with what is known of them they are (b, width)."""
        known = 0 if self.side is None else self.side(rows)
        self.weight[rows] = embeddings - known

    def block(self, rows: slice) -> Tensor:
        """A slice of n rows -> (n, width); not for training, where its gradients were dense."""
        return self._with_side(self.weight[rows], rows)

    def _with_side(self, embedding: Tensor, rows: Tensor | slice) -> Tensor:
        return embedding if self.side is None else embedding + self.side(rows)
