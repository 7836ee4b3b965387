from __future__ import annotations

import pytest
import torch

from progrec.learning import embeddings as tables
from progrec.learning.embeddings import Embeddings, Side, spaced

WIDTH = 3
CODES = torch.tensor([[1, 0], [2, 1], [0, 1], [1, 2]])
NUMBERS = torch.tensor([[1.0, torch.nan], [2.0, 5.0], [3.0, 7.0], [6.0, torch.nan]])


@pytest.fixture
def side() -> Side:
    """Four rows of two numbers and two codes, whose weights make a difference."""
    torch.manual_seed(5)
    side = Side(2, CODES, WIDTH)
    for parameter in side.parameters():
        torch.nn.init.normal_(parameter)
    side.fit(NUMBERS)
    return side


def embeddings(n_rows: int, n_numbers: int, codes: torch.Tensor | None) -> Embeddings:
    torch.manual_seed(6)
    return Embeddings(n_rows, WIDTH, n_numbers, codes)


def test_inputs_are_deviations_from_the_mean_of_what_is_known_then_what_is_missing(
    side: Side,
) -> None:
    root = 3.5**0.5  # of the mean of 4, 1, 0 and 9

    expected = [[-2 / root, 0, 0, 1], [-1 / root, -1, 0, 0], [0, 1, 0, 0], [3 / root, 0, 0, 1]]
    torch.testing.assert_close(side.inputs, torch.tensor(expected))


def test_a_number_that_tells_nothing_apart_is_0() -> None:
    side = Side(2, torch.empty((2, 0), dtype=torch.int64), WIDTH)

    side.fit(torch.tensor([[4.0, torch.nan], [4.0, torch.nan]]))

    assert side.inputs.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_what_is_added_is_the_linear_part_and_an_embedding_of_each_code(side: Side) -> None:
    category, brand = side.tables

    added = side(torch.tensor([[1], [3]]))

    assert added.shape == (2, 1, WIDTH)
    for row, result in ((1, added[0, 0]), (3, added[1, 0])):
        linear = side.weight @ side.inputs[row] + side.bias
        words = category[CODES[row, 0]] + brand[CODES[row, 1]]
        torch.testing.assert_close(result, linear + words)


def test_a_slice_of_rows_is_those_rows(side: Side) -> None:
    torch.testing.assert_close(side(slice(1, 4)), side(torch.tensor([1, 2, 3])))


def test_untrained_numbers_add_nothing() -> None:
    side = Side(2, torch.empty((4, 0), dtype=torch.int64), WIDTH)
    side.fit(NUMBERS)

    assert side(torch.arange(4)).abs().sum() == 0


def test_put_replaces_rows_by_the_trainings_mean_and_no_others(side: Side) -> None:
    before = side.inputs.clone()

    side.put(torch.tensor([3, 0]), torch.tensor([[3.0, 7.0], [torch.nan, 6.0]]))

    assert torch.equal(side.inputs[1:3], before[1:3])
    torch.testing.assert_close(side.inputs[3], before[2])
    torch.testing.assert_close(side.inputs[0], torch.tensor([0.0, 0.0, 1.0, 0.0]))


def test_without_inputs_a_table_is_a_table() -> None:
    table = embeddings(4, 0, None)

    rows = torch.tensor([[2, 0]])
    assert list(table.state_dict()) == ["weight"]
    assert torch.equal(table(rows), table.weight[rows])
    assert torch.equal(table.block(slice(1, 3)), table.weight[1:3])


def test_an_embedding_is_the_row_and_what_its_side_adds() -> None:
    table = embeddings(4, 2, CODES)
    assert table.side is not None

    rows = torch.tensor([3, 1])
    expected = table.weight[rows] + table.side(rows)
    torch.testing.assert_close(table(rows), expected)
    torch.testing.assert_close(table.block(slice(0, 4))[rows], expected)


@pytest.mark.parametrize("codes", [None, CODES])
def test_what_is_put_is_looked_up_again_and_moves_no_other_row(codes: torch.Tensor | None) -> None:
    table = embeddings(4, 0 if codes is None else 2, codes)
    others = torch.tensor([0, 2])
    before = table(others)
    wanted = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    table.put(torch.tensor([3, 1]), wanted)

    torch.testing.assert_close(table(torch.tensor([3, 1])), wanted)
    assert torch.equal(table(others), before)


def test_what_is_known_stays_the_sides_when_an_embedding_is_put() -> None:
    table = embeddings(4, 2, CODES)
    assert table.side is not None
    rows = torch.tensor([1])
    known = table.side(rows)

    table.put(rows, torch.zeros(1, WIDTH))

    torch.testing.assert_close(table.weight[rows], -known)
    assert torch.equal(table.side(rows), known)
    assert table.weight.requires_grad


def test_a_steps_gradients_are_of_its_rows_alone() -> None:
    table = embeddings(4, 2, CODES)

    table(torch.tensor([1, 3])).sum().backward()

    assert all(weight.grad.is_sparse for weight in table.tables)
    assert [weight.grad.coalesce().indices().tolist() for weight in table.tables] == [
        [[1, 3]],
        [[1, 2]],
        [[1, 2]],
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, []), (3, [0, 1, 2]), (4, [0, 2]), (6, [0, 2, 4]), (7, [0, 3, 6]), (9, [0, 3, 6])],
)
def test_a_large_table_is_told_by_rows_evenly_spaced(
    monkeypatch: pytest.MonkeyPatch, rows: int, expected: list[int]
) -> None:
    monkeypatch.setattr(tables, "ENOUGH", 3)

    assert spaced(torch.arange(rows)).tolist() == expected
