from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from progrec.learning import touches as touching
from progrec.learning.dataset import ALL_COUNTS
from progrec.learning.touches import COLUMNS, COUNTED, Touches
from progrec.learning.vocabulary import Vocabulary

FIRST = date(2020, 1, 1)
USERS = Vocabulary(np.array(["ann", "bob", "cem", "dan"], dtype=object))
ITEMS = Vocabulary(np.array(["a", "b", "c"], dtype=object))
ZEROS = dict.fromkeys(COUNTED, 0)

Done = tuple[int, str, str, str]
"""Days after the first, user, item and the column that counts it."""


def touches(done: Sequence[Done]) -> Touches:
    rows = [
        {"date": FIRST + timedelta(days=day), "user_id": user, "item_id": item, **ZEROS, column: 1}
        for day, user, item, column in done
    ]
    return Touches.read(
        pd.DataFrame(rows, columns=["date", "user_id", "item_id", *COUNTED]), USERS, ITEMS
    )


def listed(table: pd.DataFrame) -> list[list[object]]:
    return [list(row) for row in table.itertuples(index=False)]


def naive(done: Sequence[Done]) -> list[list[object]]:
    """The table, pair by pair."""
    found = []
    for user, item in sorted({(user, item) for _, user, item, _ in done}):
        own = [event for event in done if event[1:3] == (user, item)]
        counts = [sum(event[3] == column for event in own) for column in COUNTED]
        last = pd.Timestamp(FIRST) + pd.Timedelta(days=max(event[0] for event in own))
        rows = USERS.rows([user])[0], ITEMS.rows([item])[0]
        found.append([*rows, *counts, last])
    return found


DONE: list[Done] = [
    (0, "ann", "a", "num_views"),
    (10, "ann", "a", "num_carts"),
    (5, "ann", "a", "num_views"),
    (0, "bob", "c", "num_removes"),
    (23, "bob", "b", "num_purchases"),
]


def test_a_table_has_a_row_a_pair_in_their_order() -> None:
    table = touches(DONE).table()

    assert list(table) == COLUMNS
    assert listed(table) == [
        [0, 0, 2, 0, 1, 0, 0, pd.Timestamp("2020-01-11")],
        [1, 1, 0, 0, 0, 1, 0, pd.Timestamp("2020-01-24")],
        [1, 2, 0, 0, 0, 0, 1, pd.Timestamp("2020-01-01")],
    ]


def test_those_of_users_come_by_their_place_among_those_asked_for() -> None:
    rows = touches(DONE).those_of(np.array([1, 3, 0, 1]))

    assert sorted(zip(rows["place"], rows["user"], rows["item"], strict=True)) == [
        (0, 1, 1),
        (0, 1, 2),
        (2, 0, 0),
        (3, 1, 1),
        (3, 1, 2),
    ]


def test_a_day_leaves_the_rows_of_others_where_they_are() -> None:
    before = touches(DONE)

    after = before.after(touches([(30, "bob", "a", "num_views"), (30, "dan", "a", "num_views")]))

    assert after.first is before.first
    assert after.changed.rows["user"].tolist() == [1, 1, 1, 3]
    assert len(before.changed.rows) == 0


ANY = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(list(USERS.ids)),
        st.sampled_from(list(ITEMS.ids)),
        st.sampled_from(COUNTED),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(ANY, ANY, ANY)
def test_part_after_part_is_the_naive_whole(
    first: list[Done], second: list[Done], third: list[Done]
) -> None:
    together = touches(first).after(touches(second)).after(touches(third))

    expected = naive([*first, *second, *third])
    assert listed(together.table()) == expected
    found = together.those_of(np.arange(len(USERS)))
    assert sorted(listed(found[COLUMNS])) == expected
    assert (found["place"] == found["user"]).all()
    likes = together.likes_of(np.arange(len(USERS)), len(ITEMS)).toarray()
    expected_likes = np.zeros((len(USERS), len(ITEMS)))
    for _, user, item, column in (*first, *second, *third):
        if column != "num_removes":
            expected_likes[USERS.rows([user]), ITEMS.rows([item])] = 1
    assert (likes == expected_likes).all()
    several = np.array([2, 0, 2])
    likers = together.likers_of(several, len(USERS)).toarray()
    assert (likers == expected_likes.T[several]).all()


@settings(deadline=None, max_examples=40)
@given(ANY, ANY, ANY, st.sampled_from([*USERS.ids, "zoe"]))
def test_what_one_has_done_since_is_added_to_what_they_did(
    first: list[Done], second: list[Done], since: list[Done], user: str
) -> None:
    before = touches(first).after(touches(second))
    types = {column: kind for kind, column in ALL_COUNTS.items()}
    new = [
        touching.Done(item, types[column], 2, FIRST + timedelta(days=day))
        for day, _, item, column in since
    ]
    unknown = [touching.Done("no such item", "view", 1, FIRST)]
    (row,) = USERS.rows([user])

    found = before.of_one(row, [*new, *unknown], ITEMS)

    twice = [(day, user, item, column) for day, _, item, column in since for _ in range(2)]
    whole = [event for event in (*first, *second, *twice) if event[1] == user]
    expected = [each[1:] for each in naive(whole)]
    columns = [found[name].tolist() for name in COLUMNS[1:]]
    days = [pd.Timestamp(last) for last in columns[-1]]
    assert [list(each) for each in zip(*columns[:-1], days, strict=True)] == expected
    assert found["place"].tolist() == [0] * len(expected)
