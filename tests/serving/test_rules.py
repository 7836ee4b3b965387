from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrec.errors import InputError
from progrec.serving import rules
from progrec.serving.rules import Allowed, Entry, Pool
from progrec.settings import QueueSettings

POOL = (Entry("p", 0, 1.0), Entry("q", 2, -1.0))

pools = st.lists(
    st.builds(
        Entry,
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1),
        st.integers(0, 3),
        st.floats(-5, 5),
    ),
    unique_by=lambda entry: entry.product_id,
).map(tuple)


def settings(min_pool: int = 6, refill_to: int = 50) -> QueueSettings:
    return QueueSettings(
        weights={}, refund=(), min_pool=min_pool, refill_to=refill_to, max_pool=100
    )


def take(pool: Pool, k: int, allowed: Allowed | None = None) -> tuple[Pool, Pool]:
    """The entries that are shown, as they stand in the pool then; and that pool."""
    due = rules.due(pool, k, allowed)
    after = rules.show(pool, due)
    return after[len(after) - len(due) :], after


def test_an_event_adds_its_weight_where_the_product_stands():
    assert rules.after_event(POOL, "p", 3.0) == (Entry("p", 0, 4.0), Entry("q", 2, -1.0))


def test_an_event_with_a_new_product_adds_it_at_the_end():
    assert rules.after_event(POOL, "r", 3.0) == (*POOL, Entry("r", 0, 3.0))


def test_taking_from_the_cart_lowers_a_product_but_adds_none():
    assert rules.after_event(POOL, "p", -1.0) == (Entry("p", 0, 0.0), Entry("q", 2, -1.0))
    assert rules.after_event(POOL, "r", -1.0) == POOL


def test_a_worked_example():
    pool: Pool = ()
    for product, weight in [("a", 1.0), ("b", 3.0), ("c", 1.0), ("b", -1.0)]:
        pool = rules.after_event(pool, product, weight)
    assert pool == (Entry("a", 0, 1.0), Entry("b", 0, 2.0), Entry("c", 0, 1.0))

    shown, pool = take(pool, 2)
    assert shown == (Entry("b", 1, 2.0), Entry("a", 1, 1.0))
    assert pool == (Entry("c", 0, 1.0), Entry("b", 1, 2.0), Entry("a", 1, 1.0))

    shown, pool = take(pool, 2)
    assert shown == (Entry("c", 1, 1.0), Entry("b", 2, 2.0))
    assert pool == (Entry("a", 1, 1.0), Entry("c", 1, 1.0), Entry("b", 2, 2.0))


def test_equals_are_taken_in_the_order_of_the_pool():
    pool = rules.refill((), ["z", "y", "x"])
    assert [entry.product_id for entry in take(pool, 2)[0]] == ["z", "y"]


def test_a_pool_smaller_than_the_list_is_shown_whole():
    shown, pool = take(POOL, 10)
    assert shown == pool == (Entry("p", 1, 1.0), Entry("q", 3, -1.0))


@given(pools, st.integers(0, 10))
def test_taking_moves_and_counts_and_loses_nothing(pool: Pool, k: int):
    shown, after = take(pool, k)
    assert len(shown) == min(k, len(pool))
    assert after[len(after) - len(shown) :] == shown
    assert {entry.product_id: entry.score for entry in after} == {
        entry.product_id: entry.score for entry in pool
    }
    counters = sum(entry.counter for entry in pool)
    assert sum(entry.counter for entry in after) == counters + len(shown)
    waiting = after[: len(after) - len(shown)]
    assert all(
        (one.counter - 1, -one.score) <= (other.counter, -other.score)
        for one in shown
        for other in waiting
    )


@pytest.mark.parametrize(
    ("size", "k", "expected"),
    [(0, 1, 50), (5, 1, 45), (6, 1, 0), (6, 6, 0), (6, 7, 44), (60, 70, 10), (50, 50, 0)],
)
def test_a_pool_is_refilled_when_it_is_smaller_than_asked_for_or_allowed(size, k, expected):
    pool = rules.refill((), map(str, range(size)))
    assert rules.shortfall(pool, k, settings()) == expected


def test_whoever_has_seen_it_all_gets_new_ones():
    shown = take(rules.refill((), map(str, range(50))), 45)[1]
    assert rules.shortfall(shown, 5, settings()) == 0
    assert rules.shortfall(shown, 6, settings()) == 45


def test_of_a_filtered_list_only_what_it_lacks_is_looked_for():
    pool = (*take(rules.refill((), "abc"), 1)[1], Entry("d", 0, 1.0))
    assert rules.shortfall(pool, 3, settings(), {*"abx"}.__contains__) == 2
    assert rules.shortfall(pool, 3, settings(), {*"bcd"}.__contains__) == 0


@given(pools, st.integers(0, 10), st.sets(st.integers(0, 9)))
def test_what_is_not_allowed_stays_where_it_is(pool: Pool, k: int, places: set[int]):
    allowed = {entry.product_id for place, entry in enumerate(pool) if place in places}
    shown, after = take(pool, k, allowed.__contains__)
    assert {entry.product_id for entry in shown} <= allowed
    assert len(shown) == min(k, len(allowed))
    waiting = [entry for entry in pool if entry.product_id not in allowed]
    assert [entry for entry in after if entry.product_id not in allowed] == waiting


def test_the_worst_leaves_first():
    pool = (
        Entry("shown long ago", 1, 0.0),
        Entry("shown often", 2, 9.0),
        Entry("disliked", 1, -1.0),
        Entry("likely", 0, 0.0),
        Entry("unlikely", 0, 0.0),
        Entry("just shown", 1, 0.0),
    )
    left = [pool]
    while left[-1]:
        left.append(rules.evict(left[-1], len(left[-1]) - 1))
    gone = [{*before} - {*after} for before, after in pairwise(left)]
    assert [one.product_id for (one,) in gone] == [
        *("shown often", "disliked", "shown long ago", "just shown", "unlikely", "likely")
    ]


def test_what_was_just_shown_outlasts_what_is_better():
    shown, after = take(rules.refill((Entry("p", 3, 1.0),), "ab"), 3)
    assert rules.evict(after, 3, spared=3) == after == shown
    assert rules.evict((Entry("q", 0, 5.0), *after), 3, spared=3) == after


@given(pools, st.integers(0, 8), st.integers(0, 8))
def test_no_more_leave_than_must(pool: Pool, room: int, spared: int):
    spared = min(spared, room, len(pool))
    left = rules.evict(pool, room, spared)
    assert len(left) == min(room, len(pool))
    assert left[len(left) - spared :] == pool[len(pool) - spared :]
    assert list(left) == [entry for entry in pool if entry in left]


def test_two_pools_add_up():
    other = (Entry("r", 1, 1.0), Entry("q", 1, 4.0))
    assert rules.joined(POOL, other) == (*POOL[:1], Entry("q", 3, 3.0), Entry("r", 1, 1.0))
    assert rules.joined((), POOL) == rules.joined(POOL, ()) == POOL


def test_a_refill_below_the_smallest_pool_still_reaches_it():
    assert rules.shortfall((), 1, settings(min_pool=6, refill_to=2)) == 6


def test_a_refill_adds_unseen_products_at_the_end():
    assert rules.refill(POOL, ["r"]) == (*POOL, Entry("r", 0, 0.0))


def test_the_stored_form():
    assert rules.dumps(POOL) == '{"pool":[["p",0,1.0],["q",2,-1.0]]}'
    assert rules.dumps((Entry('é"\\', 0, 0.0),)) == '{"pool":[["é\\"\\\\",0,0.0]]}'
    assert rules.dumps(()) == '{"pool":[]}'


@given(pools)
def test_what_is_stored_is_what_is_read(pool: Pool):
    assert rules.loads(rules.dumps(pool)) == pool


@given(pools)
def test_what_is_stored_passes_as_something_from_elsewhere(pool: Pool):
    assert rules.checked(rules.dumps(pool)) == pool


def test_an_integer_score_is_read_as_a_number():
    assert rules.checked('{"pool": [["p", 0, 1]]}') == (Entry("p", 0, 1.0),)


NOT_QUEUES = [
    "",
    "null",
    "[]",
    "{}",
    '{"pool":{}}',
    '{"pool":null}',
    '{"pool":[],"pool":[["p",0,1.0]]}',
    '{"pool":[],"other":1}',
    '{"queue":[]}',
    '{"pool":["abc"]}',
    '{"pool":[{"a":1,"b":2,"c":3}]}',
    '{"pool":[[["p",0,1.0]]]}',
    '{"pool":[["p",0]]}',
    '{"pool":[["p",0,1.0,1]]}',
    '{"pool":[[1,0,1.0]]}',
    '{"pool":[["",0,1.0]]}',
    '{"pool":[[null,0,1.0]]}',
    '{"pool":[["p",-1,1.0]]}',
    '{"pool":[["p",0.0,1.0]]}',
    '{"pool":[["p",9223372036854775808,1.0]]}',
    '{"pool":[["p",true,1.0]]}',
    '{"pool":[["p","0",1.0]]}',
    '{"pool":[["p",0,null]]}',
    '{"pool":[["p",0,true]]}',
    '{"pool":[["p",0,NaN]]}',
    '{"pool":[["p",0,1e999]]}',
    '{"pool":[["p",0,-Infinity]]}',
    '{"pool":[["p",0,1.0],["p",0,1.0]]}',
    '{"pool":[["a\\tb",0,1.0]]}',
    '{"pool":[["\\ud800",0,1.0]]}',
    '{"pool":[["p",0,1' + "0" * 400 + "]]}",
]


@pytest.mark.parametrize("text", NOT_QUEUES)
def test_what_is_not_a_queue_is_refused(text: str):
    with pytest.raises(InputError, match="not a queue"):
        rules.checked(text)
