"""The folder of raw data: data/events, data/purchases and data/products."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from progrec.errors import InputError

EVENTS = "events"
PURCHASES = "purchases"
PRODUCTS = "products"

_BREAK = r"[\r\n]+"


@contextmanager
def staged(out: Path, *, add: bool = False) -> Iterator[Path]:
    """Makes raw data aside and moves it into place when all of it is there.

    Args:
        out: the folder of raw data.
        add: whether `out` may already hold other files.

    Yields:
        An empty folder on the same disk to write `events/`, `purchases/` and `products/` into.

    Raises:
        InputError: `out` is a file, is not empty and nothing is to be added to it, or holds a
            file of the same name. Nothing is written then, nor when the body fails.
    """
    if out.is_file():
        raise InputError(f"{out} is a file; name a folder")
    if not add and out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; remove it, name another folder, or add to it: --add")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield staging
        _move(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write(rows: pd.DataFrame, file: Path, header: Sequence[str]) -> None:
    """Writes rows under a header of the raw form; a column that they lack is empty.

    A line of a raw file is a row: a line break within a value becomes a space.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    table = rows.reindex(columns=list(header), fill_value="")
    broken = [column for column in table if table[column].astype("str").str.contains(_BREAK).any()]
    table = table.replace(dict.fromkeys(broken, _BREAK), " ", regex=True)
    table.to_csv(file, index=False, lineterminator="\n")


def utc(times: pd.Series[pd.Timestamp]) -> pd.Series[str]:
    """Times (UTC) as the raw form has them, such as 2019-10-01 00:00:00 UTC."""
    return times.dt.tz_localize(None).map("{} UTC".format)


def _move(staging: Path, out: Path) -> None:
    files = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    taken = [str(out / file) for file in files if (out / file).exists()]
    if taken:
        raise InputError(f"already there, and not overwritten: {', '.join(taken)}")
    for file in files:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (staging / file).replace(out / file)
