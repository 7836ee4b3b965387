from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from learning.shop import day_of
from progrec.learning import daily, neighbours
from progrec.learning.bundle import Bundle
from progrec.learning.config import NeighboursConfig, UpdateConfig
from progrec.learning.evidence import INPUTS, OF_ITEM, OF_PAIR, Evidence
from progrec.learning.vocabulary import Vocabulary

FIRST = date(2020, 1, 1)
COLUMNS = {
    "view": "num_views",
    "click": "num_clicks",
    "cart": "num_carts",
    "remove": "num_removes",
    "purchase": "num_purchases",
}
HALF = 0.5**0.5

Done = tuple[int, str, str, str]
"""Days after the first, user, item and event type."""


def table(done: Sequence[Done]) -> pd.DataFrame:
    """The interaction table."""
    keys = sorted({event[:3] for event in done})
    frame = pd.DataFrame(
        {
            "date": pd.Series([FIRST + timedelta(days=day) for day, *_ in keys], dtype=object),
            "user_id": pd.Series([user for _, user, _ in keys], dtype=object),
            "item_id": pd.Series([item for *_, item in keys], dtype=object),
        }
    )
    for event_type, column in COLUMNS.items():
        frame[column] = np.array([list(done).count((*key, event_type)) for key in keys], np.int64)
    return frame


def ids(*names: str) -> Vocabulary:
    return Vocabulary(np.array(names, dtype=object))


def evidence(done: Sequence[Done], day: int, users: Vocabulary, items: Vocabulary) -> Evidence:
    return Evidence.of(table(done), users, items, FIRST + timedelta(days=day))


def named(known: Evidence, user: int) -> dict[str, list[float]]:
    """A user's inputs, item by item."""
    (found,) = known.inputs(np.array([user]))
    return dict(zip(INPUTS, found.T.tolist(), strict=True))


DONE: list[Done] = [
    (0, "ann", "a", "view"),
    (0, "ann", "a", "view"),
    (0, "ann", "a", "view"),
    (10, "ann", "a", "cart"),
    (0, "ann", "b", "remove"),
    (30, "ann", "c", "purchase"),
    (30, "bob", "a", "click"),
    (23, "bob", "b", "purchase"),
    (23, "bob", "b", "purchase"),
]


@pytest.fixture
def known() -> Evidence:
    """Ann and Bob, 30 days after the first; a speaks for b by 2, c for b by -1 and for a by 4."""
    weights = csr_array(np.array([[0, 2, 0], [0, 0, 0], [4, -1, 0]], np.float32))
    whole = evidence(DONE, 30, ids("ann", "bob"), ids("a", "b", "c"))
    return replace(whole, neighbours=weights)


def test_who_buys_the_same_thousandfold_counts_once_a_day() -> None:
    crowd = [(0, "bot", "a", "purchase")] * 1000 + [(1, "bot", "a", "purchase")] * 1000

    whole = evidence(crowd, 1, ids("bot"), ids("a"))

    one, week, month = 2, 0.5 ** (1 / 7) + 1, 0.5 ** (1 / 30) + 1
    np.testing.assert_allclose(whole.demand, [[one, week, month, week, month]])


def test_hand_worked_inputs_of_two_users(known: Evidence) -> None:
    ann, bob = named(known, 0), named(known, 1)

    # Of ann's, a was last touched 20 days ago, b 30 days ago and c today; the half-life is 20 days.
    log = np.log
    expected = {
        "neighbours": [4, 2 - 1, 0],
        "recent_neighbours": [4, 2 * 0.5 ** (20 / 30) - 1, 0],
        "viewed": [log(4) / 2, 0, 0],
        "clicked": [0, 0, 0],
        "carted": [log(2) / 2, 0, 0],
        "removed": [0, log(2) * 0.5**1.5, 0],
        "touched": [1 / 2, 0.5**1.5, 1],
        "purchases": [0, log(2), log(2)],
        "purchases_7": [0, log(1 + 1 / 2), log(2)],
        "purchases_30": [0, log(1 + 0.5 ** (7 / 30)), log(2)],
        "interest_7": [log(1 + 0.5 ** (30 / 7) + 0.5 ** (20 / 7) + 1), log(1.5), log(2)],
        "interest_30": [
            log(1 + 0.5 + 0.5 ** (20 / 30) + 1),
            log(1 + 0.5 ** (7 / 30)),
            log(2),
        ],
        "experience": [log(3)] * 3,
    }
    assert list(expected) == list(INPUTS)
    for name, values in expected.items():
        assert ann[name] == pytest.approx(values, rel=1e-5), name
    assert bob["neighbours"] == [0, 2, 0]
    assert bob["recent_neighbours"] == [0, 2, 0]
    assert bob["clicked"] == pytest.approx([log(2), 0, 0])
    assert bob["touched"] == pytest.approx([1, 0.5 ** (7 / 20), 0])
    assert bob["experience"] == pytest.approx([log(3)] * 3)
    shared = [name for name in INPUTS if name.startswith(("purchases", "interest"))]
    assert all(bob[name] == ann[name] for name in shared)


def test_what_was_only_removed_is_touched_and_not_liked(known: Evidence) -> None:
    assert known.likes().toarray().tolist() == [[1, 0, 1], [1, 1, 0]]
    assert known.likes().nnz == 4


def test_who_removes_what_they_like_likes_it_still() -> None:
    done = [(0, "ann", "a", "cart"), (1, "ann", "a", "remove")]

    whole = evidence(done, 1, ids("ann"), ids("a"))

    assert whole.likes().toarray().tolist() == [[1]]
    assert named(whole, 0)["removed"] == pytest.approx([np.log(2)])


def test_demand_fades_with_days_on_which_nothing_is_done(known: Evidence) -> None:
    later = known.after(table([]), ids("ann", "bob"), ids("a", "b", "c"), date(2020, 2, 7))

    np.testing.assert_allclose(
        later.demand, known.demand * [1, 0.5, 0.5 ** (7 / 30), 0.5, 0.5 ** (7 / 30)], rtol=1e-6
    )
    assert later.demand[:, 0].tolist() == [0, 1, 1]
    assert later.day == date(2020, 2, 7)
    pd.testing.assert_frame_equal(later.touches.table(), known.touches.table())


def test_the_evidence_before_stays_as_it_is(known: Evidence) -> None:
    before = known.inputs(np.array([0, 1])), known.touches.table().copy(), known.demand.copy()

    known.after(table([(40, "cem", "d", "view")]), ids("ann", "bob", "cem"), ids(*"abcd"), FIRST)

    assert torch.equal(known.inputs(np.array([0, 1])), before[0])
    pd.testing.assert_frame_equal(known.touches.table(), before[1])
    assert (known.demand == before[2]).all()


def test_new_items_have_no_neighbours_and_old_ones_keep_theirs(known: Evidence) -> None:
    new = table([(31, "cem", "d", "purchase"), (31, "cem", "c", "view")])

    grown = known.after(new, ids("ann", "bob", "cem"), ids(*"abcd"), FIRST + timedelta(days=31))

    assert grown.shape == (3, 4)
    assert grown.scores(np.array([2])).tolist() == [[4, -1, 0, 0]]
    assert grown.neighbours.toarray()[:3, :3].tolist() == known.neighbours.toarray().tolist()


def test_neighbours_are_those_of_its_own_likes(known: Evidence) -> None:
    config = NeighboursConfig(regularizations=(3.0, 1.0), max_items=2, kept=1)

    found = known.with_neighbours(config).neighbours

    expected = neighbours.fit(known.likes(), 3.0, n_items=2, n_neighbours=1)
    assert found.toarray().tolist() == expected.toarray().tolist()
    assert found.nnz == 2


def test_nobody_and_nothing() -> None:
    whole = evidence([], 3, ids("ann"), ids("a", "b"))

    assert not whole.inputs(np.array([0])).any()
    assert whole.inputs(np.array([], np.int64)).shape == (0, 2, len(INPUTS))


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["ann", "bob", "cem", "dan"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(list(COLUMNS)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(EVENTS, st.integers(-1, 60), st.integers(0, 99))
def test_all_at_once_is_one_part_after_another(done: list[Done], cut: int, seed: int) -> None:
    first = [event for event in done if event[0] <= cut]
    rest = [event for event in done if event[0] > cut]
    users = Vocabulary.of(user for _, user, *_ in first)
    items = Vocabulary.of(item for _, _, item, _ in first)
    more_users = users.grown(user for _, user, *_ in rest)
    more_items = items.grown(item for _, _, item, _ in rest)
    n, m = len(items), len(more_items)
    weights = np.zeros((m, m), np.float32)
    weights[:n, :n] = np.random.default_rng(seed).normal(size=(n, n))

    before = replace(evidence(first, cut, users, items), neighbours=csr_array(weights[:n, :n]))
    parts = before.after(table(rest), more_users, more_items, FIRST + timedelta(days=60))
    whole = replace(evidence(done, 60, more_users, more_items), neighbours=csr_array(weights))

    everyone = np.arange(len(more_users))
    assert parts.touches.table().to_numpy().tolist() == whole.touches.table().to_numpy().tolist()
    assert parts.shape == whole.shape
    assert parts.day == whole.day
    np.testing.assert_allclose(parts.demand, whole.demand, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(parts.inputs(everyone), whole.inputs(everyone))


@settings(deadline=None, max_examples=15)
@given(EVENTS, st.lists(st.integers(0, 3), max_size=5))
def test_a_users_inputs_do_not_depend_on_who_else_is_asked_for(
    done: list[Done], asked: list[int]
) -> None:
    config = NeighboursConfig(regularizations=(1.0,), max_items=3, kept=2)
    whole = evidence(done, 60, ids("ann", "bob", "cem", "dan"), ids("a", "b", "c"))
    whole = whole.with_neighbours(config)

    together = whole.inputs(np.array(asked, np.int64))

    for user, found in zip(asked, together, strict=True):
        assert torch.equal(found, whole.inputs(np.array([user]))[0])


def test_the_update_adds_the_day_to_what_a_bundle_knows(
    bundle_with_fusion: Bundle, update_config: Callable[..., UpdateConfig]
) -> None:
    before = bundle_with_fusion
    day = day_of(
        [("2020-02-01", "zoe", "p09", "cart"), ("2020-02-01", "ann", "p02", "remove_from_cart")]
    )

    grown, _ = daily.learn(
        before, day, before.network, update_config(Path("unused"), Path("unused"))
    )

    known = before.evidence.after(day.interactions, grown.users, grown.vocabulary, day.date)
    everyone = np.arange(4)
    assert torch.equal(grown.evidence.inputs(everyone), known.inputs(everyone))


@settings(deadline=None, max_examples=30)
@given(EVENTS, st.integers(0, 99))
def test_what_is_known_of_one_is_to_the_bit_what_the_inputs_say(
    done: list[Done], seed: int
) -> None:
    items = ids("a", "b", "c")
    whole = evidence(done, 60, ids("ann", "bob", "cem", "dan"), items)
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(3, 3)) * generator.integers(0, 2, size=(3, 3))
    whole = replace(whole, neighbours=csr_array(weights.astype(np.float32)))

    everyone = whole.inputs(np.arange(4)).numpy()
    for user, expected in enumerate(everyone):
        found = whole.known(whole.touches.of_one(user, [], items))
        pairs = expected[:, OF_PAIR.start - 1 : OF_PAIR.stop - 1]
        assert np.array_equal(found.of(np.arange(3)), pairs)
        assert np.array_equal(whole.demand_inputs, expected[:, OF_ITEM.start - 1 : OF_ITEM.stop])
        assert found.experience == expected[0, -1]


def test_nothing_is_known_of_a_stranger(known: Evidence) -> None:
    found = known.known(known.touches.of_one(-1, [], ids("a", "b", "c")))

    assert len(found.items) == 0
    assert found.of(np.array([2, 0])).tolist() == [[0] * 7] * 2
    assert found.experience == 0
