"""Whether two makers of one table agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

RTOL, ATOL = 1e-12, 1e-9
SHOWN = 5


class DifferentError(Exception):
    """Two tables differ; the message names table, column and the first such rows."""


def check_folders(ours: Path, theirs: Path) -> None:
    """Compares the tables of a folder with the same ones of another maker.

    Args:
        ours: holds each table as a file, or as a folder with one a day.
        theirs: holds nothing but the same tables, a file each.

    Raises:
        DifferentError: a table differs, or is not there.
    """
    for file in sorted(theirs.iterdir()):
        check(file.stem, _read(ours, file.stem), pd.read_parquet(file))


def check(table: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Compares two tables, row by row in the order in which they stand.

    Numbers that are no integers may differ by rounding. A value is text, a time, an integer or
    another number on both sides; its width does not matter.

    Args:
        table: what to call it in the error.
        ours: one.
        theirs: the other, as it should be.

    Raises:
        DifferentError: their columns, rows or values differ.
    """
    if list(ours.columns) != list(theirs.columns):
        raise DifferentError(
            f"{table}: columns {', '.join(ours.columns)}, not {', '.join(theirs.columns)}"
        )
    rows = "" if len(ours) == len(theirs) else f"; rows: {len(ours)}, not {len(theirs)}"
    common = min(len(ours), len(theirs))
    for column in ours.columns:
        if _kind(ours[column]) != _kind(theirs[column]):
            found, wanted = _kind(ours[column]), _kind(theirs[column])
            raise DifferentError(f"{table}.{column}: is {found}, not {wanted}")
        wrong = np.flatnonzero(_differs(ours[column][:common], theirs[column][:common]))
        if len(wrong):
            first = wrong[:SHOWN]
            raise DifferentError(
                f"{table}.{column}: {len(wrong)} of {common} rows differ{rows}\n"
                f"first, ours:\n{ours.iloc[first].to_string()}\n"
                f"theirs:\n{theirs.iloc[first].to_string()}"
            )
    if rows:
        longer = max(ours, theirs, key=len)
        raise DifferentError(
            f"{table}.{ours.columns[0]}: alike as far as both go{rows}\n"
            f"first that only one has:\n"
            f"{longer[common : common + SHOWN].to_string()}"
        )


def _read(folder: Path, table: str) -> pd.DataFrame:
    file = folder / f"{table}.parquet"
    if file.exists():
        return pd.read_parquet(file)
    days = sorted((folder / table).glob(f"date=*/{table}.parquet"))
    if not days:
        raise DifferentError(f"{table}: {folder} does not hold it")
    # A file alone, for its folder's name to make no column.
    return pd.concat([pd.read_parquet(day, partitioning=None) for day in days], ignore_index=True)


def _kind(values: pd.Series[Any]) -> str:
    if types.is_integer_dtype(values):
        return "an integer"
    if types.is_float_dtype(values):
        return "a number"
    if types.is_datetime64_any_dtype(values):
        return "a time"
    return "text" if types.is_string_dtype(values) else str(values.dtype)


def _differs(ours: pd.Series[Any], theirs: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if types.is_float_dtype(ours):
        return ~np.isclose(ours, theirs, rtol=RTOL, atol=ATOL, equal_nan=True)
    same = (ours == theirs) | (ours.isna() & theirs.isna())
    return ~same.to_numpy(dtype=np.bool_)
