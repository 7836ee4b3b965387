from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.shop import Checkerboard, Event, bought, day_of, days_after
from progrec.learning import daily
from progrec.learning.bundle import Bundle
from progrec.learning.config import UpdateConfig
from progrec.learning.embeddings import Side
from progrec.learning.ncf import NCF
from progrec.learning.touches import Touches

HISTORY = Checkerboard()
DAY = "2020-02-01"
Config = Callable[..., UpdateConfig]
Learn = Callable[..., Bundle]


# What there is after a day


def test_an_item_that_the_days_features_lack_has_no_category(
    bundle: Bundle, day_config: Config
) -> None:
    day = day_of(bought("ann p08", "ann p09"))
    day = replace(day, item_features=day.item_features[:1])

    grown, _ = daily.learn(bundle, day, bundle.network, day_config())

    assert grown.category.tolist() == ["kind 0", "kind 1", "kind 0", None, "kind 0", None]


def test_who_buys_on_two_days_counts_twice_in_popularity_but_once_as_bought(
    bundle: Bundle, learn: Learn
) -> None:
    once = learn(bundle, bought("zoe p01"))
    twice = learn(once, bought("zoe p01", day="2020-02-03"))

    assert once.popularity.tolist() == [2, 2, 0, 0]
    assert twice.popularity.tolist() == [2, 3, 0, 0]
    assert twice.purchases.to_numpy().tolist()[3:] == [[3, 1, date(2020, 2, 1)]]


def test_a_bundle_that_nothing_was_ever_bought_from_is_updated_like_any(
    bundle: Bundle, learn: Learn, tmp_path: Path
) -> None:
    nothing = bundle.evidence.touches.table()[:0]
    evidence = replace(bundle.evidence, touches=Touches.of(nothing))
    replace(bundle, purchases=bundle.purchases[:0], evidence=evidence).save(tmp_path / "model")

    grown = learn(Bundle.load(tmp_path / "model"), bought("ann p00", "bob p09"))

    assert grown.purchases.to_numpy().tolist() == [
        [0, 0, date(2020, 2, 1)],
        [1, 4, date(2020, 2, 1)],
    ]
    grown.save(tmp_path / "grown")
    assert Bundle.load(tmp_path / "grown").bought.nnz == 2


@pytest.mark.parametrize("events", [days_after(1), [(DAY, "u00", "p00", "view")]])
def test_the_bundle_before_stays_as_it_is(
    cold: Bundle, events: list[Event], day_config: Config
) -> None:
    # Another cold model, towards which the layers are pulled.
    other = cold.network.grown(len(cold.users), len(cold.items))
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1)
    before = {name: value.clone() for name, value in cold.network.state_dict().items()}
    tables = cold.items.copy(), cold.purchases.copy(), cold.evidence.touches.table()

    daily.learn(cold, day_of(events), other, day_config())

    for name, value in cold.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    for table, old in zip(
        (cold.items, cold.purchases, cold.evidence.touches.table()), tables, strict=True
    ):
        pd.testing.assert_frame_equal(table, old)


ANY_DAYS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["u00", "u01", "u02", "new", "other"]),
            st.sampled_from(["p00", "p01", "p02", "p20"]),
            st.sampled_from(["purchase", "view", "remove_from_cart"]),
        ),
        min_size=1,
        max_size=8,
    ),
    min_size=1,
    max_size=3,
)


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ANY_DAYS)
def test_the_purchases_are_all_first_ones(
    cold: Bundle, learn: Learn, days: list[list[tuple[str, str, str]]]
) -> None:
    bundle = cold
    events = [*HISTORY.events]
    for number, done in enumerate(days, 1):
        today = [(f"2020-02-{number:02}", *what) for what in done]
        bundle = learn(bundle, today, "update.epochs=1")
        events += today

    first: dict[tuple[str, str], str] = {}
    for day, user, item, kind in sorted(events):
        if kind == "purchase":
            first.setdefault((user, item), day)
    users, items = bundle.users.ids, bundle.item_ids
    found = [
        ((users[row.user], items[row.item]), row.date.isoformat())
        for row in bundle.purchases.itertuples()
    ]
    assert len(found) == len(first)
    assert dict(found) == first


@pytest.mark.parametrize("new_kind", [False, True])
def test_new_rows_start_from_the_mean_and_items_from_that_of_their_kind(
    bundle: Bundle, learn: Learn, new_kind: bool
) -> None:
    # Nothing is learned of a removal.
    item = "p09" if not new_kind else "p05"
    day = [(DAY, "zoe", item, "remove_from_cart")]
    if new_kind:
        bundle = replace(bundle, items=bundle.items.assign(category="another"))

    after = learn(bundle, day, "update.pull=0")

    old = bundle.network.items.weight
    expected = old.mean(dim=0) if new_kind else old[1]  # p01 alone is of kind 1
    torch.testing.assert_close(after.network.items.weight[4], expected)
    torch.testing.assert_close(
        after.network.users.weight[3], bundle.network.users.weight.mean(dim=0)
    )


# With side inputs

# Nothing in it has a weight, so that nothing but the rows is made of it.
UNTAUGHT = [
    (DAY, "zoe", "p06", "remove_from_cart"),
    (DAY, "zoe", "p07", "remove_from_cart"),
    (DAY, "ann", "p00", "remove_from_cart"),
]


def sides(bundle: Bundle) -> tuple[Side, Side]:
    users, items = bundle.network.users.side, bundle.network.items.side
    assert users is not None
    assert items is not None
    return users, items


def test_the_first_embedding_of_who_and_what_is_new_is_what_is_known_of_them(
    bundle_with_side: Bundle, learn: Learn
) -> None:
    bundle = learn(bundle_with_side, UNTAUGHT)

    users, items = sides(bundle)
    zoe, p06 = torch.tensor([3]), torch.tensor([4])
    nothing_done = -users.mean / users.deviation
    torch.testing.assert_close(users.inputs[3], torch.cat([nothing_done, torch.zeros(2)]))
    torch.testing.assert_close(
        bundle.network.users(zoe)[0], users.weight @ users.inputs[3] + users.bias
    )
    kind_0, no_brand = items.tables[0][1], items.tables[1][0]
    never_seen_and_never_sold = torch.stack(
        [-items.mean[0] / items.deviation[0], *torch.tensor([0.0, 0.0, 1.0])]
    )
    torch.testing.assert_close(items.inputs[4], never_seen_and_never_sold)
    torch.testing.assert_close(
        bundle.network.items(p06)[0],
        items.weight @ items.inputs[4] + items.bias + kind_0 + no_brand,
    )


def test_new_items_of_different_kinds_differ_from_the_start_and_of_the_same_do_not(
    bundle_with_side: Bundle, learn: Learn
) -> None:
    bundle = learn(bundle_with_side, [*UNTAUGHT, (DAY, "zoe", "p08", "remove_from_cart")])

    p06, p07, p08 = bundle.network.items(torch.tensor([4, 5, 6]))
    assert not torch.equal(p06, p07)
    assert torch.equal(p06, p08)


def test_a_kind_that_is_new_has_an_embedding_from_then_on(
    bundle_with_side: Bundle, day_config: Config, tmp_path: Path
) -> None:
    day = day_of(bought("ann p05"))
    day = replace(day, item_features=day.item_features.assign(category="new", brand="new"))

    grown, _ = daily.learn(bundle_with_side, day, bundle_with_side.network, day_config())

    _, items = sides(grown)
    assert [len(table) for table in items.tables] == [4, 2]
    assert not torch.equal(items.tables[0][3], items.tables[0][0])
    scores = grown.save(tmp_path / "grown").scores(["ann"])
    assert (Bundle.load(tmp_path / "grown").scores(["ann"]) == scores).all()


def test_what_was_known_is_told_of_the_day_after_it_was_learned(
    bundle_with_side: Bundle, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_learning = []
    steps = daily._steps

    def watched(network: NCF, *rest: object) -> float:
        while_learning.extend(part.side.inputs.clone() for part in (network.users, network.items))
        return steps(network, *rest)

    monkeypatch.setattr(daily, "_steps", watched)

    bundle = learn(bundle_with_side, [*UNTAUGHT, *bought("ann p00")])

    for during, after, before in zip(
        while_learning, sides(bundle), sides(bundle_with_side), strict=True
    ):
        n_old = len(before.inputs)
        # ann and p00 have the first rows; the other old ones were not touched.
        assert torch.equal(during[:n_old], before.inputs)
        assert torch.equal(after.inputs[1:], during[1:])
        assert not torch.equal(after.inputs[0], during[0])


# Who and what is rare


def test_the_rare_get_no_row_until_they_have_done_enough(
    cold: Bundle, learn: Learn, day_config: Config
) -> None:
    early = [("2020-02-01", "zoe", "p00", "view"), ("2020-02-01", "u00", "p77", "cart")]
    late = [("2020-02-02", "zoe", "p01", "view"), ("2020-02-02", "u01", "p77", "view")]
    config = ["update.min_events=2"]

    before = learn(cold, early, *config)
    after, _ = daily.learn(before, day_of(late, early), cold.network, day_config(*config))

    assert before.users.rows(["zoe", "u00"]).tolist() == [-1, 0]
    assert "p77" not in before.item_row
    assert after.users.rows(["zoe"]).tolist() == [24]
    assert "p77" in after.item_row


def test_a_purchase_is_enough_for_a_row(cold: Bundle, learn: Learn) -> None:
    events = [*bought("zoe p77"), (DAY, "yan", "p77", "view"), (DAY, "zoe", "p78", "view")]

    after = learn(cold, events, "update.min_events=3")

    assert after.users.rows(["zoe", "yan"]).tolist() == [24, -1]
    assert "p77" in after.item_row
    assert "p78" not in after.item_row
    assert [24, after.item_row["p77"]] in after.purchases[["user", "item"]].to_numpy().tolist()


def test_a_day_of_the_rare_only_changes_no_row(cold: Bundle, learn: Learn) -> None:
    after = learn(cold, [(DAY, "zoe", "p77", "view")], "update.min_events=2", "update.pull=0")

    assert len(after.users) == 24
    assert torch.equal(after.network.users.weight, cold.network.users.weight)
    assert after.watermark == cold.watermark
