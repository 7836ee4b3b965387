"""A shop's own file, as an importer is given it: checked for its columns, read as text."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from progrec.errors import InputError

CSV = (".csv", ".csv.gz")
TABLES = (*CSV, ".parquet")

_FLOAT = re.compile(r"\d+(\.0+|(\.\d+)?e\+\d{1,2})", re.IGNORECASE)


def check(file: Path, columns: Sequence[str], kinds: tuple[str, ...] = TABLES) -> None:
    """Refuses a file that an importer cannot use.

    Args:
        file: what the user named.
        columns: those that it must have.
        kinds: the endings that its name may have.

    Raises:
        InputError: the file does not exist, is of another kind, is empty or damaged, or lacks a
            column.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; check the path")
    if not file.name.endswith(kinds):
        raise InputError(f"{file}: is not one of {', '.join(kinds)}; unpack it or save it as one")
    if file.stat().st_size == 0:
        raise InputError(f"{file}: is empty; download or export it again")
    found = _header(file)
    missing = [column for column in columns if column not in found]
    if missing:
        raise InputError(
            f"{file}: has no column {', '.join(missing)}; found: {', '.join(found)}; "
            "give the file as it was published, with its header in the first line"
        )


def read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Reads columns of a CSV, gzipped CSV or Parquet file.

    Every value is text without white space around it, a missing one the empty text. A CSV row
    that is too short is filled up with these; what a row has beyond the header is left out.

    Raises:
        InputError: as in `check`.
    """
    check(file, columns)
    with _readable(file):
        table = _parquet(file, columns) if file.suffix == ".parquet" else _csv(file, columns)
    return pd.DataFrame({column: table[column].str.strip() for column in columns})


def count(file: Path) -> int:
    """Counts the rows of a CSV or gzipped CSV file, of which each is a line.

    Raises:
        InputError: the file is damaged.
    """
    with _readable(file), gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        return sum(not line.isspace() for line in lines) - 1


def stem(file: Path) -> str:
    """The file's name without what says how it is stored: 2019-Oct for 2019-Oct.csv.gz."""
    kind = next(kind for kind in TABLES if file.name.endswith(kind))
    return file.name.removesuffix(kind)


def ids(texts: pd.Series[str]) -> pd.Series[str]:
    """Undoes what became of whole-number ids in a float column: 17850 for 17850.0."""
    return texts.map(lambda text: _whole(text) if _FLOAT.fullmatch(text) else text)


def _whole(text: str) -> str:
    if "e" not in text.lower():
        return text.partition(".")[0]
    number = float(text)
    return f"{number:.0f}" if number.is_integer() else text


def times(texts: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Reads ISO times, those without a zone as UTC; NaT for what is none."""
    return pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")


def _header(file: Path) -> list[str]:
    with _readable(file):
        if file.suffix == ".parquet":
            return list(pq.read_schema(file).names)
        return list(pd.read_csv(file, nrows=0).columns)


def _parquet(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    # Arrow's types, because NumPy makes floats of whole numbers as soon as one is missing.
    table = pd.read_parquet(file, columns=list(columns), dtype_backend="pyarrow")
    return table.astype("str").fillna("")


def _csv(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    return pd.read_csv(file, usecols=list(columns), index_col=False, dtype=str, na_filter=False)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise InputError(
            f"{file}: is not UTF-8; convert it, such as: iconv -f ISO-8859-1 -t UTF-8"
        ) from None
    # Every parser's own error is one of these.
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{file}: is damaged ({error}); download or export it again") from None
