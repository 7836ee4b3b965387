"""Which products a request lets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from progrec.learning.catalogue import Mask
from progrec.serving import failures
from progrec.serving.assortment import Assortment
from progrec.serving.candidates import ScoredCatalogue
from progrec.serving.fields import Id, Price

T = TypeVar("T", bound=np.generic)

NO_CATALOGUE = "needs a catalogue with prices and stock; serving.catalogue in params.yaml names it"


class Filters(BaseModel):
    """What is to be shown; a product of which nothing is known passes no filter but `exclude`."""

    exclude: Annotated[
        list[Id], Field(description="Products not to show.", examples=[["5605438"]])
    ] = []
    category: Annotated[
        Id | None,
        Field(
            description="Only this category and those below it: `electronics` is also "
            "`electronics.audio`, not `electronics2`.",
            examples=["electronics.audio"],
        ),
    ] = None
    brand: Annotated[Id | None, Field(description="Only this brand.", examples=["sony"])] = None
    min_price: Annotated[Price | None, Field(description="Only what costs so much.")] = None
    max_price: Annotated[Price | None, Field(description="Only what costs no more.")] = None
    in_stock: Annotated[bool, Field(strict=True, description="Only what is in stock.")] = False

    @model_validator(mode="after")
    def _has_a_price_range(self) -> Filters:
        if None not in (bounds := (self.min_price, self.max_price)) and bounds[0] > bounds[1]:  # type: ignore[operator]
            raise PydanticCustomError("range", "more than max_price", {"field": "min_price"})
        return self

    def allowed(self, assortment: Assortment) -> Passing | None:
        """Which products pass; None when each does.

        Args:
            assortment: what is known of the products.

        Raises:
            Refused: a filter needs what is known of no product.
        """
        masks = list(self._masks(assortment))
        if not masks and not self.exclude:
            return None
        passes = np.logical_and.reduce(masks) if masks else None
        return Passing(assortment, passes, frozenset(self.exclude))

    def _masks(self, assortment: Assortment) -> list[Mask]:
        """What each filter makes of the assortment's products."""
        masks = []
        if self.category is not None:
            below = f"{self.category}."
            masks.append(
                assortment.category.where(
                    lambda name: name == self.category or name.startswith(below)
                )
            )
        if self.brand is not None:
            masks.append(assortment.brand.where(lambda name: name == self.brand))
        # Comparisons with an unknown price, NaN, are false.
        if self.min_price is not None:
            masks.append(_known("min_price", assortment.price) >= self.min_price)
        if self.max_price is not None:
            masks.append(_known("max_price", assortment.price) <= self.max_price)
        if self.in_stock:
            masks.append(_known("in_stock", assortment.in_stock))
        return masks


def _known(field: str, column: npt.NDArray[T] | None) -> npt.NDArray[T]:
    if column is None:
        raise failures.invalid(field, NO_CATALOGUE)
    return column


@dataclass(frozen=True)
class Passing:
    """The products that pass: a `Selection`.

    Attributes:
        assortment: n products.
        passes: which of them the filters let through, shape (n,); None: these and all others.
        excluded: products that do not pass in any case.
    """

    assortment: Assortment
    passes: Mask | None
    excluded: frozenset[str]

    def __call__(self, product_id: str) -> bool:
        """Whether a product passes."""
        if product_id in self.excluded:
            return False
        if self.passes is None:
            return True
        row = self.assortment.row.get(product_id)
        return row is not None and bool(self.passes[row])

    def among(self, catalogue: ScoredCatalogue) -> Mask:
        """Which of a bundle's products pass, shape (n,)."""
        if self.passes is None:
            free = np.ones(len(catalogue.item_ids), dtype=bool)
        else:
            # One more, which the row -1 finds.
            free = np.append(self.passes, False)[self.assortment.rows_of(catalogue)]
        row = catalogue.item_row
        free[[row[item] for item in self.excluded if item in row]] = False
        return free
