"""UCI Online Retail: the invoices of a British shop, one row an invoice's line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from progrec.events import export, raw, schema

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)

_KEPT = "events written"


def import_file(file: Path, out: Path, *, add: bool = False) -> dict[str, int]:
    """Puts the purchases and the catalogue into the folder of raw data.

    A line of an invoice is one purchase: its session is the invoice, its price that of one unit.
    The purchases are written in the file's order, one file a month. Lines that are no customer's
    purchase are dropped, each counted under the first reason that applies.

    Every stock code is kept, also those that name no product, such as POST or BANK CHARGES: the
    shop's own export has them among its products, and so do the protocols by which figures on
    this data were published. Leaving them out would make ours incomparable.

    Args:
        file: the data set with its own columns: CSV or gzipped CSV.
        out: the folder of raw data.
        add: whether `out` may already hold other files.

    Returns:
        What was read, dropped and written: label -> count.

    Raises:
        InputError: the file is missing, empty, damaged or lacks a column, or `out` is not free.
            Nothing is written then.
    """
    lines = _read(file)
    fates = _fates(lines)
    kept = lines[fates == _KEPT]
    products = _products(kept)
    with raw.staged(out, add=add) as staging:
        _write_months(kept, staging / raw.EVENTS)
        raw.write(products, staging / raw.PRODUCTS / f"{export.stem(file)}.csv", schema.CATALOGUE)
    return _summary(fates, kept, products)


def _read(file: Path) -> pd.DataFrame:
    """The lines as text, and `time`: the invoice's date as a time, or NaT."""
    lines = export.read(file, COLUMNS)
    dates = lines["InvoiceDate"]
    # The data set goes about with ISO dates, and with the month first: 12/1/2010 8:26.
    month_first = pd.to_datetime(dates, format="%m/%d/%Y %H:%M", utc=True, errors="coerce")
    return lines.assign(time=export.times(dates).fillna(month_first))


def _fates(lines: pd.DataFrame) -> pd.Series[str]:
    """What becomes of each line: the first reason to drop it that applies, or that it is kept."""
    quantities = pd.to_numeric(lines["Quantity"], errors="coerce")
    prices = pd.to_numeric(lines["UnitPrice"], errors="coerce")
    reasons = {
        "dropped: cancellation": lines["InvoiceNo"].str.startswith("C"),
        "dropped: quantity not above 0": quantities <= 0,
        "dropped: no customer": lines["CustomerID"] == "",
        "dropped: date, quantity or price cannot be read": (
            lines["time"].isna() | quantities.isna() | prices.isna()
        ),
    }
    fates = np.select(list(reasons.values()), list(reasons), default=_KEPT)
    return pd.Series(pd.Categorical(fates, categories=[*reasons, _KEPT]))


def _write_months(lines: pd.DataFrame, folder: Path) -> None:
    months = lines["time"].dt.tz_localize(None).dt.to_period("M")
    for month, rows in lines.groupby(months):
        raw.write(_events(rows), folder / f"{month:%Y-%b}.csv", schema.REES46)


def _events(lines: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event_time": raw.utc(lines["time"]),
            "event_type": "purchase",
            "product_id": lines["StockCode"],
            "price": lines["UnitPrice"],
            "user_id": export.ids(lines["CustomerID"]),
            "user_session": lines["InvoiceNo"],
        }
    )


def _products(lines: pd.DataFrame) -> pd.DataFrame:
    """One row a stock code, in the codes' order."""
    coded = lines[lines["StockCode"] != ""]
    titles = coded.groupby("StockCode")["Description"].agg(_title)
    return titles.rename("title").rename_axis("product_id").reset_index()


def _title(descriptions: pd.Series[str]) -> str:
    """The most frequent description, of several the first by the alphabet."""
    most_frequent = descriptions[descriptions != ""].mode()
    return min(most_frequent, default="")


def _summary(fates: pd.Series[str], kept: pd.DataFrame, products: pd.DataFrame) -> dict[str, int]:
    is_product = kept["StockCode"].str.match(r"\d{5}")
    return {
        "rows read": len(fates),
        **{str(fate): int(rows) for fate, rows in fates.value_counts(sort=False).items()},
        "kept although not a product's code": int((~is_product).sum()),
        "products in the catalogue": len(products),
    }
