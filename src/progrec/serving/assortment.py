"""What filters know of the products: by the shop's catalogue, or else by the bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from progrec.errors import InputError
from progrec.serving.candidates import ScoredCatalogue
from progrec.serving.logs import FACTS
from progrec.serving.metrics import metrics

COLUMNS = pa.schema(
    [
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("in_stock", pa.bool_()),
    ]
)

Rows = npt.NDArray[np.intp]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Names:
    """A column of n names of which many are the same.

    Attributes:
        code: each row's place in `name`, shape (n,); -1 where it has none.
        name: each name once.
    """

    code: npt.NDArray[np.intp]
    name: list[str]

    @classmethod
    def of(cls, column: npt.NDArray[np.object_]) -> Names:
        """Of names and None."""
        code, name = pd.factorize(column)
        return cls(code, [str(each) for each in name])

    def where(self, is_meant: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
        """Which rows have a name that is meant, shape (n,)."""
        # One more, which the code -1 finds.
        meant = np.array([*map(is_meant, self.name), False])
        return np.asarray(meant[self.code])

    def of_row(self, row: int) -> str | None:
        """A row's name."""
        return None if self.code[row] < 0 else self.name[self.code[row]]


@dataclass(frozen=True)
class Assortment:
    """n products.

    Attributes:
        row: each product's row.
        category: dotted, from the widest to the narrowest.
        brand: beside it.
        price: NaN where it is unknown, shape (n,); None: nobody says.
        in_stock: shape (n,); None: nobody says.
    """

    row: Mapping[str, int]
    category: Names
    brand: Names
    price: npt.NDArray[np.float64] | None = None
    in_stock: npt.NDArray[np.bool_] | None = None
    _rows: WeakKeyDictionary[ScoredCatalogue, Rows] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, catalogue: ScoredCatalogue) -> Assortment:
        """What a bundle knows."""
        return cls(catalogue.item_row, Names.of(catalogue.category), Names.of(catalogue.brand))

    @classmethod
    def read(cls, path: Path) -> Assortment:
        """What the shop's catalogue says, a Parquet or CSV file with the columns of `COLUMNS`.

        A product may have no category, brand or price.

        Raises:
            InputError: it cannot be read, or a column is missing or holds something else.
        """
        try:
            table = _table(path).select(COLUMNS.names).cast(COLUMNS)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise InputError(
                f"{path}: cannot be used as catalogue ({str(error).splitlines()[0]}); its columns "
                f"are {', '.join(f'{column.name} ({column.type})' for column in COLUMNS)}"
            ) from None
        ids = table["product_id"].to_pandas()
        price = table["price"].to_numpy()
        for column, bad in (
            ("product_id", ids.isna() | (ids == "") | ids.duplicated()),
            ("price", ~np.isnan(price) & ~(np.isfinite(price) & (price >= 0))),
            ("in_stock", table["in_stock"].is_null().to_numpy()),
        ):
            if bad.any():
                raise InputError(
                    f"{path}: product {int(np.argmax(bad)) + 1} has no usable {column}; each needs "
                    "an id of its own, a price that is not negative, if any, and in_stock"
                )
        return cls(
            {product_id: row for row, product_id in enumerate(ids)},
            Names.of(table["category"].to_pandas().to_numpy(object)),
            Names.of(table["brand"].to_pandas().to_numpy(object)),
            price,
            table["in_stock"].to_numpy(),
        )

    def rows_of(self, catalogue: ScoredCatalogue) -> Rows:
        """The row here of each of a bundle's m products, shape (m,); -1 where there is none.

        It is worked out once for each bundle.
        """
        if catalogue not in self._rows:
            rows = (self.row.get(product_id, -1) for product_id in catalogue.item_ids)
            self._rows[catalogue] = np.fromiter(rows, np.intp, len(catalogue.item_ids))
        return self._rows[catalogue]

    def of_row(self, row: int) -> tuple[str | None, str | None, float | None]:
        """A product's category, brand and price; None where it is unknown."""
        price = None if self.price is None or np.isnan(self.price[row]) else float(self.price[row])
        return self.category.of_row(row), self.brand.of_row(row), price


def _table(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path, partitioning=None)
    types = csv.ConvertOptions(
        column_types=COLUMNS, null_values=[""], strings_can_be_null=True, include_columns=None
    )
    return csv.read_csv(path, convert_options=types)


class CatalogueFile:
    """The shop's catalogue as it stands in its file, which may be replaced at any moment."""

    def __init__(self, path: Path | None) -> None:
        """Reads it, if the settings name one."""
        self.assortment: Assortment | None = None
        self._path = path
        self._seen: object = None  # no file's signature
        self.look()

    def look(self) -> None:
        """Reads the file again if it is another; one that cannot be used changes nothing."""
        if self._path is None:
            return
        present = _signature(self._path)
        if present == self._seen:
            return
        self._seen = present
        try:
            self.assortment = Assortment.read(self._path)
        except InputError as error:
            metrics().refused("catalogue", "unusable")
            kept = "the one before serves on" if self.assortment else "there is none yet"
            logger.warning("refused the catalogue; %s: %s", kept, error)
        else:
            products = len(self.assortment.row)
            logger.info("filtering by the catalogue", extra={FACTS: {"products": products}})


def _signature(path: Path) -> object:
    """What tells one state of a file from another, its absence too."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_mtime_ns, state.st_size
