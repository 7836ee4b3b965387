from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrec.errors import InputError
from progrec.learning import dataset
from progrec.learning.vocabulary import Vocabulary

WEIGHTS = {"view": 0.1, "cart": 0.5, "purchase": 1.0}
USERS = Vocabulary.of(["ann", "bob", "cem"])
ITEMS = Vocabulary.of(["p00", "p01", "p02"])

Interactions = Callable[[list[tuple[str, str, str, str]]], pd.DataFrame]


def as_dictionary(pairs: dataset.Pairs) -> dict[tuple[int, int], float]:
    rows = zip(pairs.users, pairs.items, pairs.weights, strict=True)
    return {(int(user), int(item)): round(float(weight), 6) for user, item, weight in rows}


def test_a_pair_weighs_as_much_as_the_heaviest_thing_on_any_day(interactions: Interactions) -> None:
    table = interactions(
        [
            ("2020-01-01", "ann", "p00", "view"),
            ("2020-01-01", "ann", "p00", "cart"),
            ("2020-01-02", "ann", "p00", "view"),
            ("2020-01-01", "ann", "p02", "view"),
            ("2020-01-02", "ann", "p02", "view"),
            ("2020-01-01", "cem", "p01", "purchase"),
        ]
    )

    pairs = dataset.pairs(table, USERS, ITEMS, WEIGHTS)

    assert as_dictionary(pairs) == {(0, 0): 0.5, (0, 2): 0.1, (2, 1): 1.0}
    assert len(pairs) == 3


def test_an_event_without_a_weight_or_with_zero_makes_no_pair(interactions: Interactions) -> None:
    table = interactions(
        [
            ("2020-01-01", "ann", "p00", "remove_from_cart"),
            ("2020-01-01", "bob", "p00", "click"),
            ("2020-01-01", "cem", "p00", "view"),
        ]
    )

    assert len(dataset.pairs(table, USERS, ITEMS, {"view": 0.0, "cart": 1.0})) == 0


@pytest.mark.parametrize("half_life_days", [None, 30.0])
def test_no_interactions_make_no_pairs(
    interactions: Interactions, half_life_days: float | None
) -> None:
    assert len(dataset.pairs(interactions([]), USERS, ITEMS, WEIGHTS, half_life_days)) == 0


def test_a_pair_weighs_what_is_left_of_the_heaviest_thing_on_any_day(
    interactions: Interactions,
) -> None:
    table = interactions(
        [
            # Half-lives of ten days before the last day: 3, 1 and 0; 1 and 0; 0.
            ("2020-01-01", "ann", "p00", "purchase"),
            ("2020-01-21", "ann", "p00", "cart"),
            ("2020-01-31", "ann", "p00", "view"),
            ("2020-01-21", "ann", "p02", "purchase"),
            ("2020-01-31", "ann", "p02", "cart"),
            ("2020-01-16", "bob", "p01", "cart"),
            ("2020-01-31", "cem", "p01", "purchase"),
            ("2020-02-20", "cem", "p02", "remove_from_cart"),
        ]
    )

    pairs = dataset.pairs(table, USERS, ITEMS, WEIGHTS, half_life_days=10)

    assert as_dictionary(pairs) == {
        (0, 0): 0.25,  # of 1/8, 0.5/2 and 0.1
        (0, 2): 0.5,
        (1, 1): round(0.5 * 0.5**1.5, 6),
        (2, 1): 1.0,
    }
    assert pairs.weights.dtype == np.float32


def test_however_long_ago_it_was_a_pair_is_known(interactions: Interactions) -> None:
    table = interactions(
        [("2010-01-01", "ann", "p00", "view"), ("2020-01-01", "bob", "p00", "purchase")]
    )

    pairs = dataset.pairs(table, USERS, ITEMS, WEIGHTS, half_life_days=1)

    assert list(pairs.users) == [0, 1]
    assert 0 < pairs.weights[0] < 1e-30
    assert pairs.weights[1] == 1


def test_within_a_day_nothing_fades(interactions: Interactions) -> None:
    table = interactions([("2020-01-01", user, "p01", "view") for user in USERS.ids])

    one, other = (dataset.pairs(table, USERS, ITEMS, WEIGHTS, days) for days in (None, 0.1))

    assert np.array_equal(one.weights, other.weights)


events = st.lists(
    st.tuples(
        st.sampled_from(["2020-01-01", "2020-01-02"]),
        st.sampled_from(["ann", "bob", "cem"]),
        st.sampled_from(["p00", "p01", "p02"]),
        st.sampled_from(["view", "click", "cart", "remove_from_cart", "purchase"]),
    ),
    max_size=12,
)


@given(events=events)
def test_pairs_agree_with_a_loop_over_the_events(
    events: list[tuple[str, str, str, str]],
) -> None:
    expected: dict[tuple[int, int], float] = {}
    for _, user, item, event_type in events:
        key = (list(USERS.ids).index(user), list(ITEMS.ids).index(item))
        if WEIGHTS.get(event_type, 0) > 0:
            expected[key] = max(expected.get(key, 0), WEIGHTS[event_type])

    pairs = dataset.pairs(_interactions(events), USERS, ITEMS, WEIGHTS)

    assert as_dictionary(pairs) == expected
    assert list(zip(pairs.users, pairs.items, strict=True)) == sorted(expected)


def _interactions(events: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """One row an event: a table that is less tidy than the features stage's."""
    frame = pd.DataFrame(events, columns=["date", "user_id", "item_id", "type"])
    for event_type, column in dataset.COUNTS.items():
        frame[column] = (frame["type"] == event_type).astype(int)
    return frame


def test_a_matrix_leaves_out_unknown_sides_and_counts_a_pair_once() -> None:
    users, items = np.array([0, 0, -1, 1, 1]), np.array([2, 2, 0, -1, 0])

    assert dataset.matrix(users, items, (2, 3)).toarray().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_matrix_of_nothing_is_empty() -> None:
    nothing = np.array([], np.int64)

    assert dataset.matrix(nothing, nothing, (2, 3)).nnz == 0


def test_bought_is_purchases_only(interactions: Interactions) -> None:
    table = interactions(
        [
            ("2020-01-01", "ann", "p01", "purchase"),
            ("2020-01-02", "ann", "p01", "purchase"),
            ("2020-01-01", "bob", "p01", "cart"),
            ("2020-01-01", "dan", "p01", "purchase"),
        ]
    )

    assert dataset.bought(table, USERS, ITEMS).toarray().tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_purchases_keep_the_first_day(interactions: Interactions) -> None:
    table = interactions(
        [
            ("2020-01-03", "ann", "p01", "purchase"),
            ("2020-01-02", "ann", "p01", "purchase"),
            ("2020-01-01", "ann", "p01", "view"),
            ("2020-01-04", "bob", "p00", "purchase"),
        ]
    )

    assert dataset.purchases(table, USERS, ITEMS).to_numpy().tolist() == [
        [0, 1, date(2020, 1, 2)],
        [1, 0, date(2020, 1, 4)],
    ]


def test_the_days_are_read_in_their_order(tables: Callable[..., Path]) -> None:
    folder = tables(
        [
            ("2020-01-10", "ann", "p00", "view"),
            ("2019-12-31", "bob", "p01", "purchase"),
            ("2020-01-02", "cem", "p01", "view"),
        ]
    )

    table = dataset.read_interactions(folder / "enriched")

    days = [date(2019, 12, 31), date(2020, 1, 2), date(2020, 1, 10)]
    assert dataset.read_days(folder / "enriched") == days
    assert list(table["date"]) == days
    assert list(table["user_id"]) == ["bob", "cem", "ann"]
    assert list(dataset.read_day(folder / "enriched", days[0])["user_id"]) == ["bob"]


def test_the_table_says_what_each_user_did_with_each_item_on_each_day(
    tables: Callable[..., Path], interactions: Interactions
) -> None:
    events = [
        ("2020-01-01", "bob", "p02", "view"),
        ("2020-01-01", "bob", "p02", "purchase"),
        ("2020-01-01", "bob", "p02", "purchase"),
        ("2020-01-01", "bob", "p02", "view"),
        ("2020-01-01", "ann", "p03", "click"),
        ("2020-01-01", "ann", "p02", "cart"),
        ("2020-01-02", "bob", "p02", "remove_from_cart"),
    ]

    table = dataset.read_interactions(tables(events) / "enriched")

    pd.testing.assert_frame_equal(table, interactions(events), check_dtype=False)
    assert table.iloc[2].to_list() == [date(2020, 1, 1), "bob", "p02", 2, 0, 0, 0, 2, 5.0]


def test_a_day_of_the_table_is_its_rows(tables: Callable[..., Path]) -> None:
    folder = tables([(f"2020-01-0{day}", "ann", "p00", "view") for day in (1, 2)]) / "enriched"
    whole = dataset.read_interactions(folder)

    day = dataset.read_day(folder, date(2020, 1, 2))

    pd.testing.assert_frame_equal(day, whole[1:].reset_index(drop=True))


def test_a_purchase_without_a_price_spends_nothing(tables: Callable[..., Path]) -> None:
    folder = tables([("2020-01-01", "ann", "p00", "purchase")] * 2) / "enriched"
    file = folder / "date=2020-01-01/enriched.parquet"
    pd.read_parquet(file).assign(price=[None, 0.1]).to_parquet(file, index=False)

    assert dataset.read_interactions(folder)["total_spent"].tolist() == [0.1]


def test_what_was_spent_is_an_exact_sum_in_any_order(tables: Callable[..., Path]) -> None:
    folder = tables([("2020-01-01", "ann", "p00", "purchase")] * 3) / "enriched"
    file = folder / "date=2020-01-01/enriched.parquet"
    events = pd.read_parquet(file)

    for prices in ([1e9, 0.1, 0.2], [0.1, 0.2, 1e9]):
        events.assign(price=prices).to_parquet(file, index=False)
        assert dataset.read_interactions(folder)["total_spent"].tolist() == [1e9 + 0.3]


def test_a_damaged_day_is_an_error_that_names_it(tables: Callable[..., Path]) -> None:
    folder = tables([("2020-01-01", "ann", "p00", "view")]) / "enriched"
    (folder / "date=2020-01-01/enriched.parquet").write_bytes(b"PAR1 and then nothing")

    with pytest.raises(InputError, match=r"enriched cannot be read: .*date=2020-01-01"):
        dataset.read_interactions(folder)


def test_no_folder_has_no_days(tmp_path: Path) -> None:
    assert dataset.read_days(tmp_path / "nowhere") == []


def test_no_days_are_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no events; run the pipeline: `dvc repro`"):
        dataset.read_interactions(tmp_path)


def test_a_missing_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"targets\.parquet does not exist; run the pipeline"):
        dataset.read_table(tmp_path / "targets.parquet")


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "targets.parquet"
    path.write_bytes(b"PAR1 and then nothing")

    with pytest.raises(InputError, match=r"targets\.parquet cannot be read"):
        dataset.read_table(path)


def test_a_folder_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "model.factors=8" / "table.parquet"
    path.parent.mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(path, index=False)

    assert list(dataset.read_table(path)) == ["a"]


def test_the_days_before_a_day_are_historys_and_the_deltas(
    tables: Callable[..., Path], deltas: Callable[..., Path], tmp_path: Path
) -> None:
    old = [("2020-01-30", "ann", "p00", "view"), ("2020-01-31", "bob", "p01", "purchase")]
    new = [(f"2020-02-{day:02}", "cem", "p02", "view") for day in (1, 2, 3)]
    tables(old, "features/history")
    deltas(new, "features/delta")

    for day, expected in (
        (date(2020, 1, 31), old[:1]),
        (date(2020, 2, 3), [*old, *new[:2]]),
        (date(2021, 1, 1), [*old, *new]),
    ):
        found = dataset.read_before(tmp_path / "features", day)
        assert [(str(row.date), row.user_id, row.item_id) for row in found.itertuples()] == [
            event[:3] for event in expected
        ]


def test_days_that_were_taken_back_are_not_there_to_be_read(
    tables: Callable[..., Path], tmp_path: Path
) -> None:
    tables([("2020-01-30", "ann", "p00", "view")], "features/history")

    assert len(dataset.read_before(tmp_path / "features", date(2020, 3, 1))) == 1
    with pytest.raises(InputError, match="features holds no events before 2020-01-30; run the"):
        dataset.read_before(tmp_path / "features", date(2020, 1, 30))
