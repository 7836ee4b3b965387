from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from learning.paper_files import N_ITEMS, N_USERS, NEGATIVE, TEST, TRAIN, write
from progrec.errors import InputError
from progrec.learning import leave_one_out
from progrec.learning.leave_one_out import Figures, LeaveOneOut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data")


def edit(file: Path, line: int, old: str, new: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    file.write_text("".join(lines))


# The measure


def lists(held_out: list[int], negatives: list[list[int]]) -> LeaveOneOut:
    n = len(held_out)
    return LeaveOneOut(
        csr_array((n, 99)), np.arange(n), np.array(held_out), np.array(negatives, np.int64)
    )


def test_ranks_count_those_above_and_half_of_the_equals() -> None:
    data = lists([9, 9, 9], [[1, 2, 3]] * 3)
    scores = np.array([[5, 1, 2, 3], [5, 6, 7, 5], [5, 5, 5, 5]], float)

    assert data.ranks(scores).tolist() == [0, 2.5, 1.5]


def test_a_negative_that_is_the_held_out_item_is_half_before_it() -> None:
    assert lists([9], [[1, 9]]).ranks(np.array([[5.0, 6, 5]])).tolist() == [1.5]


def test_figures_by_hand() -> None:
    figures = Figures.of(np.array([0, 2, 9.5, 10, 50]))

    assert figures.hit_rate == 3 / 5
    assert figures.ndcg == pytest.approx((1 + 1 / 2 + 1 / np.log2(11.5)) / 5)


def test_items_held_out_are_of_train_and_their_negatives_are_not() -> None:
    likes = csr_array((np.random.default_rng(0).random((50, 200)) < 0.05).astype(np.float32))
    likes = csr_array(
        np.vstack([likes.toarray(), np.eye(1, 200), np.zeros((1, 200))]).astype(np.float32)
    )

    found = leave_one_out.held_out_of(likes, 3)

    dense, rest = likes.toarray(), found.train.toarray()
    assert found.users.tolist() == np.flatnonzero(dense.sum(axis=1) >= 2).tolist()
    assert (dense[found.users, found.held_out] == 1).all()
    assert dense[found.users[:, None], found.negatives].sum() == 0
    assert found.negatives.shape == (len(found.users), 99)
    dense[found.users, found.held_out] = 0
    np.testing.assert_array_equal(rest, dense)
    other = leave_one_out.held_out_of(likes, 4)
    assert (found.held_out != other.held_out).any()


# The files


def test_files_are_read_gzipped_or_not(folder: Path) -> None:
    plain = leave_one_out.read(folder)
    for name in (TRAIN, TEST, NEGATIVE):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    zipped = leave_one_out.read(folder)

    assert plain.train.shape == (N_USERS, N_ITEMS)
    for data in (plain, zipped):
        assert data.train.nnz == 15 * N_USERS
        assert data.candidates.shape == (N_USERS, 100)
        np.testing.assert_array_equal(data.users, np.arange(N_USERS))
    np.testing.assert_array_equal(plain.candidates, zipped.candidates)
    assert (plain.train != zipped.train).nnz == 0


def test_ids_need_not_be_dense(folder: Path) -> None:
    dense = leave_one_out.read(folder)
    for name in (TRAIN, TEST, NEGATIVE):
        text = (folder / name).read_text()
        if name == NEGATIVE:
            far = text.replace("(59,", "(987654321987,")
        else:
            far = text.replace("\n59\t", "\n987654321987\t")
        (folder / name).write_text(far)

    sparse = leave_one_out.read(folder)

    assert sparse.train.shape == dense.train.shape
    np.testing.assert_array_equal(sparse.users, dense.users)


@pytest.mark.parametrize(
    ("name", "line", "old", "new", "message"),
    [
        (TRAIN, 3, "\t5\t", "\t", f"{TRAIN}, line 3: 3 fields where 4 are expected"),
        (TRAIN, 2, "0\t", "x\t", f"{TRAIN}, line 2: user is 'x', not a whole number"),
        (TEST, 4, "3\t", "3\t-", f"{TEST}, line 4: item is '-"),
        (TEST, 4, "3\t", "2\t", f"{TEST}, line 4: user 2 has a line already"),
        (NEGATIVE, 5, "\t", "\t \t", f"{NEGATIVE}, line 5: 101 fields where 100 are expected"),
        (NEGATIVE, 5, "\t", "\t²", f"{NEGATIVE}, line 5: negative 1 is '²"),
        (NEGATIVE, 5, "\t", "\t1234567890123456789", f"{NEGATIVE}, line 5: negative 1 is"),
        (NEGATIVE, 6, "(5,", "(6,", f"{NEGATIVE}, line 6: pair is '(6,"),
    ],
)
def test_a_bad_line_is_named(
    folder: Path, name: str, line: int, old: str, new: str, message: str
) -> None:
    edit(folder / name, line, old, new)

    with pytest.raises(InputError) as caught:
        leave_one_out.read(folder)

    assert str(caught.value).startswith(str(folder / message))


def test_an_item_of_train_cannot_be_held_out(folder: Path) -> None:
    user, item = (folder / TEST).read_text().split("\t")[:2]
    with (folder / TRAIN).open("a") as file:
        file.write(f"{user}\t{item}\t5\t0\n")

    with pytest.raises(InputError, match=f"line 1: item {item} is also in the training file"):
        leave_one_out.read(folder)


@pytest.mark.parametrize(("drop", "message"), [(TEST, "line 60: pair"), (NEGATIVE, "line 60: mi")])
def test_both_test_files_have_the_same_lines(folder: Path, drop: str, message: str) -> None:
    lines = (folder / drop).read_text().splitlines(keepends=True)
    (folder / drop).write_text("".join(lines[:-1]))

    with pytest.raises(InputError, match=message):
        leave_one_out.read(folder)


def test_files_must_be_there_once_and_whole(folder: Path) -> None:
    file = folder / TRAIN
    text = file.read_bytes()
    zipped = folder / f"{TRAIN}.gz"

    zipped.write_bytes(gzip.compress(text))
    with pytest.raises(InputError, match=r"keep one \*.train.rating file"):
        leave_one_out.read(folder)
    file.unlink()
    zipped.write_bytes(gzip.compress(text)[:-20])
    with pytest.raises(InputError, match=r"cannot be read after line \d+ .* fetch it again"):
        leave_one_out.read(folder)
    zipped.unlink()
    with pytest.raises(InputError, match=r"holds no \*.train.rating.gz; put"):
        leave_one_out.read(folder)
    for damaged in (b"", b"\xff\xfe"):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="fetch it again"):
            leave_one_out.read(folder)


# The model
