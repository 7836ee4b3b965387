"""Which products a request lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from progrec.serving import failures
from progrec.serving.assortment import Assortment
from progrec.serving.fields import Id, Price
from progrec.serving.rules import Allowed

T = TypeVar("T", bound=np.generic)

Mask = npt.NDArray[np.bool_]

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

    def allowed(self, assortment: Assortment) -> Allowed | None:
        """Whether a product passes; None when each does.

        Args:
            assortment: what is known of the products.

        Raises:
            Refused: a filter needs what is known of no product.
        """
        masks = list(self._masks(assortment))
        if not masks and not self.exclude:
            return None
        excluded = frozenset(self.exclude)
        if not masks:
            return lambda product_id: product_id not in excluded
        return _passing(assortment, np.logical_and.reduce(masks), excluded)

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


def _passing(
    assortment: Assortment, passes: Mask, excluded: frozenset[str]
) -> Callable[[str], bool]:
    row, flags = assortment.row, passes.tobytes()  # bytes answer sooner than an array

    def allowed(product_id: str) -> bool:
        place = row.get(product_id)
        return place is not None and flags[place] == 1 and product_id not in excluded

    return allowed
