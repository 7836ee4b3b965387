"""The current tables as files, under the names that the real-time engine gave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import duckdb

from progrec import atomic, progress, warehouse
from progrec.errors import InputError
from progrec.features.enrich import ENRICHED
from progrec.features.relation import Relation
from progrec.features.tables import Tables

Format = Literal["csv", "parquet"]

NAMES = {
    "purchases": "historical_purchases",
    "enriched": "enriched",
    "sessions": "session_features",
    "user_profiles": "user_profiles",
    "user_item_matrix": "user_item_matrix",
    "user_features": "user_features",
    "item_features": "item_features",
}
"""Our tables: our name -> the engine's."""


def export(features: Path, out: Path, form: Format) -> dict[str, int]:
    """Writes each table as it stands after the last day of the deltas.

    A table with a key has the latest row of each, in order of the key; the others have all their
    rows, in order of time.

    Args:
        features: holds the tables of `history/` and of `delta/`.
        out: the folder that gets the files, all of them or none.
        form: what the files are. In CSV an empty field is NULL, times are such as
            2019-10-01 00:00:04 (UTC), and numbers have all the digits that tell them apart.

    Returns:
        Rows by the name of the file.

    Raises:
        InputError: a table is missing, or `out` is a file or not empty.
    """
    _refuse_taken(out)
    queries = {f"{NAMES[name]}.{form}": _current(name, _files(features, name)) for name in NAMES}
    with warehouse.connect() as connection, atomic.replacing(out) as new:
        return {
            file: _write(connection, query, new / file, form)
            for file, query in progress.steps(queries.items(), "exporting tables", len(queries))
        }


def _refuse_taken(out: Path) -> None:
    if out.is_file():
        raise InputError(f"{out} is a file; name a folder")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; remove it, or name another folder")


def _files(features: Path, name: str) -> list[Path]:
    """A table's files: history's, then the deltas' in order of time."""
    history, delta = Tables(features / "history"), Tables(features / "delta")
    missing = history.folder / name if name == ENRICHED else history.whole(name)
    past = history.files(name) or [missing]
    files = [*past, *(delta.day(name, day) for day in delta.days(name))]
    for path in (*files, delta.folder / name):
        if not path.exists():
            raise InputError(f"{path} does not exist; make the tables with `dvc repro`")
    return files


def _current(name: str, files: Sequence[Path]) -> str:
    """SQL of a table's rows that stand by the end of its files."""
    rows = f"from {warehouse.parquet(files)}"
    key = ", ".join(Relation.named(name).contract.checks.key)
    if not key or len(files) == 1:
        return rows  # as the files have them: in order
    return (
        f"{rows} qualify row_number() over (partition by {key} order by file_index desc) = 1 "
        f"order by {key}"
    )


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path, form: Format) -> int:
    if form == "parquet":
        return warehouse.write_parquet(connection, query, path)
    path.parent.mkdir(exist_ok=True)
    copied = connection.execute(
        f"copy ({query}) to {warehouse.quoted(path)} (format csv, header true)"
    )
    return int(copied.fetchall()[0][0])
