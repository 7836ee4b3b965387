"""A bundle's largest table on disk as processes map it into memory, and so share it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.lib.format import open_memmap

from progrec import atomic

ROWS = ("user", "item")
"""Columns of rows of users and items, of which there are fewer than 2**31."""


def table(
    folder: Path, digest: str, columns: Sequence[str], read: Callable[[], pd.DataFrame]
) -> pd.DataFrame:
    """A table of which a process has in memory only what it has looked at.

    Its whole numbers are as narrow as the column allows.

    It is made when it is not there, or is damaged; those of other digests are then removed.
    Processes that have mapped them keep them until they let go.

    Args:
        folder: where tables are kept, each in a folder of its own with a file a column.
        digest: of the bundle that the table belongs to.
        columns: their names, in order.
        read: reads the table: numbers and times.
    """
    files = {name: folder / digest / f"{name}.npy" for name in columns}
    try:
        return _mapped(files)
    except (OSError, EOFError, ValueError):
        _keep(read(), folder / digest)
    # The allocator would keep what the reading took: several times the table.
    pa.default_memory_pool().release_unused()
    for other in folder.iterdir():
        if other.name != digest and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)
    return _mapped(files)


def _keep(rows: pd.DataFrame, folder: Path) -> None:
    with atomic.replacing(folder) as new:
        new.mkdir()
        for name, column in rows.items():
            np.save(new / f"{name}.npy", _narrow(column).to_numpy(), allow_pickle=False)


def _narrow(column: pd.Series) -> pd.Series:
    """Whole numbers in as few bytes as they fit in."""
    if column.name in ROWS:
        return column.astype(np.int32)  # any row can be looked for, also one that is not in it
    return pd.to_numeric(column, downcast="integer") if column.dtype == np.int64 else column


def _mapped(files: dict[str, Path]) -> pd.DataFrame:
    arrays = {name: np.asarray(open_memmap(file, mode="r")) for name, file in files.items()}
    return pd.DataFrame(arrays, copy=False)
