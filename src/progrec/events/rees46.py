"""REES46's shop logs, as published on Kaggle: they are the raw form already."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from progrec.errors import InputError
from progrec.events import export, raw, schema

CATALOGUE = ("product_id", "category_id", "category_code", "brand")
"""What a catalogue says of a product."""


def import_files(
    files: Sequence[Path], out: Path, *, catalogue: Path | None = None, add: bool = False
) -> dict[str, int]:
    """Puts logs, and the catalogue if there is one, into the folder of raw data.

    The logs, with nine columns or the six of a cut, are copied byte for byte. Whether their rows
    can be used is decided when they are ingested, where the others are set aside.

    Args:
        files: the logs, CSV or gzipped CSV.
        out: the folder of raw data.
        catalogue: CSV, gzipped CSV or Parquet; a product may stand in it more than once, and the
            last value that is not missing holds, in each column.
        add: whether `out` may already hold other files.

    Returns:
        What was read and written: label -> count.

    Raises:
        InputError: a file is missing, empty, damaged or lacks a column, two files have one name,
            or `out` is not free. Nothing is written then.
    """
    _check(files, catalogue)
    with raw.staged(out, add=add) as staging:
        summary = _copy(files, staging / raw.EVENTS)
        if catalogue:
            summary |= _merge(catalogue, staging / raw.PRODUCTS)
    return summary


def _check(files: Sequence[Path], catalogue: Path | None) -> None:
    names: dict[str, Path] = {}
    for file in files:
        export.check(file, schema.REQUIRED, export.CSV)
        name = export.stem(file)
        if name in names:
            raise InputError(
                f"{file}: has the name of {names[name]}; leave one out, or rename it if it holds "
                "other events"
            )
        names[name] = file
    if catalogue:
        export.check(catalogue, CATALOGUE)


def _copy(files: Sequence[Path], folder: Path) -> dict[str, int]:
    rows = sum(export.count(file) for file in files)
    folder.mkdir()
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return {"files copied": len(files), "rows read": rows, "events written": rows}


def _merge(catalogue: Path, folder: Path) -> dict[str, int]:
    rows = export.read(catalogue, CATALOGUE)
    named = rows[rows["product_id"] != ""]
    products = _products(named)
    raw.write(products, folder / f"{export.stem(catalogue)}.csv", schema.CATALOGUE)
    return {
        "catalogue rows read": len(rows),
        "dropped: no product": len(rows) - len(named),
        "dropped: merged into another row of the product": len(named) - len(products),
        "products in the catalogue": len(products),
    }


def _products(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a product, in the ids' order: the last value that is not missing."""
    rows = rows.assign(
        product_id=export.ids(rows["product_id"]), category_id=export.ids(rows["category_id"])
    )
    return rows.mask(rows == "").groupby("product_id").last().fillna("").reset_index()
