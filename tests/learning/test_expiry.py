from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from learning.shop import Event, day_of, interactions_of
from progrec.learning import daily, expiry, side
from progrec.learning.bundle import Bundle
from progrec.learning.config import FeaturesConfig, ModelConfig, UpdateConfig
from progrec.learning.evidence import Evidence
from progrec.learning.ncf import NCF
from progrec.learning.touches import Touches

SATURDAY, SUNDAY = date(2020, 2, 1), date(2020, 2, 2)  # after Friday, the last day known
DONE: list[Event] = [
    ("2020-01-05", "ann", "p00", "purchase"),  # long ago, but for ever
    ("2020-01-10", "bob", "p02", "view"),
    ("2020-01-22", "cem", "p03", "view"),
    ("2020-01-30", "cem", "p00", "view"),
]


@pytest.fixture
def seen(bundle: Bundle) -> Bundle:
    """Ann bought p00 once, Bob looked at p02 once, Cem came lately; nobody saw p01 yet."""
    evidence = Evidence.of(
        interactions_of(DONE), bundle.users, bundle.vocabulary, date(2020, 1, 31)
    )
    return replace(bundle, evidence=evidence, purchases=bundle.purchases[:1])


def test_who_was_not_seen_and_never_bought_leaves_and_so_do_items(seen: Bundle) -> None:
    left = expiry.expired(seen, SUNDAY, 11)

    # Eleven days before Sunday is 22 January.
    assert left.users.ids.tolist() == ["ann", "cem"]
    assert left.item_ids.tolist() == ["p00", "p01", "p03"]
    assert left.category.tolist() == ["kind 0", "kind 1", None]
    assert left.purchases.to_numpy().tolist() == [[0, 0, date(2020, 1, 5)]]
    assert left.evidence.touches.table()[["user", "item"]].to_numpy().tolist() == [
        [0, 0],
        [1, 0],
        [1, 2],
    ]
    assert left.evidence.demand.tolist() == seen.evidence.demand[[0, 1, 3]].tolist()


def test_a_day_less_and_one_more_expires(seen: Bundle) -> None:
    assert expiry.expired(seen, SUNDAY, 10).item_ids.tolist() == ["p00", "p01"]


@pytest.mark.parametrize(("today", "days"), [(SATURDAY, 1), (SUNDAY, None), (SUNDAY, 10_000)])
def test_nothing_changes_within_a_week_or_when_nothing_expires(
    seen: Bundle, today: date, days: int | None
) -> None:
    assert expiry.expired(seen, today, days) is seen


def test_who_stays_is_served_as_before(cold: Bundle) -> None:
    rows = cold.evidence.touches.table()
    gone = cold.users.rows(["u03", "u11"])
    rows.loc[rows["user"].isin(gone), "last"] = pd.Timestamp("2019-01-01")
    purchases = cold.purchases[~cold.purchases["user"].isin(gone)]
    evidence = replace(cold.evidence, touches=Touches.of(rows))

    left = expiry.expired(replace(cold, evidence=evidence, purchases=purchases), SUNDAY, 365)

    stays = [user for user in cold.users.ids if user not in ("u03", "u11")]
    assert left.users.ids.tolist() == stays
    np.testing.assert_array_equal(left.scores(stays), cold.scores(stays))


def test_words_keep_their_meaning_when_the_first_item_that_has_them_leaves(
    seen: Bundle, tmp_path: Path
) -> None:
    config = ModelConfig(
        towers=("gmf", "mlp"),
        factors=4,
        layers=(4, 3),
        features=FeaturesConfig(users=(), items=(), attributes=("category",)),
    )
    words = ["kind 0", "kind 2", "kind 1", "kind 1"]  # p02, the first of kind 1, leaves
    items = seen.items.assign(category=words)
    network = NCF(3, 4, config, side.codes(items, ("category",))).eval()
    seen = replace(seen, network=network, items=items)

    left = expiry.expired(seen, SUNDAY, 11)

    expected = seen.scores(["ann", "cem"])[:, [0, 1, 3]]
    np.testing.assert_allclose(left.scores(["ann", "cem"]), expected, rtol=1e-6)
    left.save(tmp_path / "left")
    loaded = Bundle.load(tmp_path / "left")
    np.testing.assert_allclose(loaded.scores(["ann", "cem"]), expected, rtol=1e-6)


def test_who_comes_back_is_new(seen: Bundle, day_config: Callable[..., UpdateConfig]) -> None:
    day = day_of([("2020-02-02", "bob", "p02", "view"), ("2020-02-02", "dan", "p00", "view")])

    learned, _ = daily.learn(seen, day, seen.network, day_config("update.expire_days=11"))

    assert learned.users.ids.tolist() == ["ann", "cem", "bob", "dan"]
    assert learned.item_ids.tolist() == ["p00", "p01", "p03", "p02"]
