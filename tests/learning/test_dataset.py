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


def test_no_interactions_make_no_pairs(interactions: Interactions) -> None:
    assert len(dataset.pairs(interactions([]), USERS, ITEMS, WEIGHTS)) == 0


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

    table = dataset.read_interactions(folder / "interactions")

    days = [date(2019, 12, 31), date(2020, 1, 2), date(2020, 1, 10)]
    assert dataset.read_days(folder / "interactions") == days
    assert list(table["date"]) == days
    assert list(table["user_id"]) == ["bob", "cem", "ann"]
    assert list(dataset.read_day(folder / "interactions", days[0])["user_id"]) == ["bob"]


def test_no_days_are_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no interactions; run the pipeline: `dvc repro`"):
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
