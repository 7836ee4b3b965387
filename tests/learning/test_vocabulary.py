from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrec.learning.vocabulary import Vocabulary

ids = st.lists(st.text(max_size=3), max_size=8)


def test_ids_stand_once_and_in_order_of_their_text() -> None:
    assert list(Vocabulary.of(["b", "10", "9", "b"]).ids) == ["10", "9", "b"]


def test_an_unknown_id_has_the_row_minus_one() -> None:
    assert list(Vocabulary.of(["a", "b"]).rows(["b", "z", "a", "b"])) == [1, -1, 0, 1]


def test_an_empty_vocabulary_knows_nothing() -> None:
    nothing = Vocabulary.of([])

    assert len(nothing) == 0
    assert list(nothing.rows(["a"])) == [-1]
    assert list(nothing.rows([])) == []


def test_rows_are_64_bit_whatever_is_asked() -> None:
    assert Vocabulary.of(["a"]).rows([]).dtype == np.int64


def test_growth_puts_new_ids_after_the_old_however_they_sort() -> None:
    grown = Vocabulary.of(["m", "n"]).grown(["z", "n", "a", "z"])

    assert list(grown.ids) == ["m", "n", "a", "z"]


@given(ids, ids)
def test_growth_keeps_every_row_and_knows_every_id(old: list[str], new: list[str]) -> None:
    before = Vocabulary.of(old)

    after = before.grown(new)

    assert list(after.rows(before.ids)) == list(range(len(before)))
    assert set(after.ids) == {*old, *new}
    assert len(after) == len({*old, *new})


@given(ids, ids)
def test_rows_agree_with_a_plain_search(known: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.of(known)
    plain = sorted(set(known))

    assert list(vocabulary.rows(asked)) == [
        plain.index(key) if key in plain else -1 for key in asked
    ]


@given(ids, ids, ids)
def test_the_row_of_one_id_is_that_of_several(
    old: list[str], new: list[str], asked: list[str]
) -> None:
    vocabulary = Vocabulary.of(old).grown(new)

    for name in (*old, *new, *asked):
        assert vocabulary.row(name) == vocabulary.rows([name])[0]


def test_an_id_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(np.array(["a", "b", "a"], dtype=object))


@given(st.lists(ids, max_size=4), ids)
def test_growth_after_growth_is_one_growth_of_all(parts: list[list[str]], asked: list[str]) -> None:
    stepwise = Vocabulary.of([])
    order: list[str] = []
    for part in parts:
        stepwise = stepwise.grown(part)
        order += sorted(set(part).difference(order))

    assert list(stepwise.ids) == order
    plain = [order.index(key) if key in order else -1 for key in asked]
    assert list(stepwise.rows(asked)) == plain
