"""Queues in the original layout."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from progrec import cli
from progrec.errors import InputError
from progrec.serving import legacy
from progrec.serving.audit import audit
from progrec.serving.legacy import import_file
from progrec.serving.rebuild import rebuild
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from raw_shop import PARAMS
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)


def original(path: Path, *rows: tuple[object, object]) -> Path:
    """A database as the original made it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE recommendation_queue (user_id INTEGER, product_queue TEXT)"
        )
        connection.executemany("INSERT INTO recommendation_queue VALUES (?, ?)", rows)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return original(
        tmp_path / "original.db",
        (17850, '{"pool": [[84029, 2, 1.5], ["85123A", 0, 3]]}'),
        (13047, '{"pool": [[1, 0, 0.0], [2, 1, 1.0], [3, 0, 0.0]]}'),
        (12583, '{"pool": []}'),
    )


def test_ids_become_text(store: Store, file: Path):
    assert import_file(store, file) == (3, 5, 0, 0, [])
    assert store.queue("17850") == (Entry("84029", 2, 1.5), Entry("85123A", 0, 3.0))


def test_purchased_products_are_left_out_and_counted(store: Store, file: Path):
    store.add_purchases([("13047", "2", NOON), ("13047", "9", NOON)])
    assert import_file(store, file) == (3, 4, 1, 0, [])
    assert store.queue("13047") == (Entry("1", 0, 0.0), Entry("3", 0, 0.0))
    assert audit(store.path).violations == []


def test_each_queue_is_imported_once(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(legacy, "BATCH_USERS", 1)
    import_file(store, file)
    record(store, [Event(NOON, "purchase", "13047", "2"), Event(NOON, "view", "17850", "84029")])
    before = [store.queue(user) for user in ["17850", "13047", "12583"]]
    assert import_file(store, file) == (0, 0, 0, 3, [])
    assert [store.queue(user) for user in ["17850", "13047", "12583"]] == before
    assert rebuild(store) == (3, 0)


def test_what_the_shopper_has_done_here_adds_up(store: Store, file: Path):
    record(store, [Event(NOON, "view", "17850", item) for item in ["85123A", "new"]])
    import_file(store, file)
    assert store.queue("17850") == (
        Entry("85123A", 0, 4.0), Entry("new", 0, 1.0), Entry("84029", 2, 1.5)
    )  # fmt: skip


BAD = {
    "no JSON": "p",
    "no pool": "{}",
    "two pools": '{"pool": [], "pool": []}',
    "no list": '{"pool": {"a": 1}}',
    "an entry that is none": '{"pool": ["abc"]}',
    "an empty entry": '{"pool": [[]]}',
    "two parts": '{"pool": [[1, 0]]}',
    "a true product": '{"pool": [[true, 0, 1]]}',
    "a broken product": '{"pool": [[1.5, 0, 1]]}',
    "no product": '{"pool": [["", 0, 1]]}',
    "a control character": '{"pool": [["a\\nb", 0, 1]]}',
    "a negative counter": '{"pool": [[1, -1, 1]]}',
    "a product twice": '{"pool": [[1, 0, 1], ["1", 0, 1]]}',
    "no number": '{"pool": [[1, 0, NaN]]}',
    "nothing": None,
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_by_its_user_and_leaves_the_others(
    store: Store, tmp_path: Path, kind: str
):
    good = '{"pool": [[1, 0, 1]]}'
    file = original(tmp_path / "bad.db", (1, good), (2, BAD[kind]), (3, good))
    done = import_file(store, file)
    assert done[:4] == (2, 2, 0, 0)
    (line,) = done.bad
    assert line.startswith("user 2: not a queue")
    assert store.queue("2") == ()


def test_a_user_has_one_row_and_an_id(store: Store, tmp_path: Path):
    good = '{"pool": [[1, 0, 1]]}'
    file = original(tmp_path / "bad.db", (1, good), (1, good), (None, good))
    assert import_file(store, file).bad == [
        "user 1: a user has a queue and an id, once",
        "user None: a user has a queue and an id, once",
    ]
    assert store.queue("1") == (Entry("1", 0, 1.0),)


def test_a_large_pool_is_cut(store: Store, tmp_path: Path):
    entries = ", ".join(f"[{n}, 0, {n}]" for n in range(30))
    import_file(store, original(tmp_path / "large.db", (1, f'{{"pool": [{entries}]}}')))
    assert [entry.score for entry in store.queue("1")] == [float(n) for n in range(10, 30)]
    assert rebuild(store) == (1, 0)


def test_a_file_without_queues_is_named(store: Store, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE runs (id)")
    (tmp_path / "notes.txt").write_text("no database " * 100)
    for name, message in [
        ("other.db", "has no table recommendation_queue"),
        ("notes.txt", "is not a SQLite database"),
        ("missing.db", "cannot be opened"),
    ]:
        with pytest.raises(InputError, match=rf"{name}.*{message}"):
            import_file(store, tmp_path / name)
    assert not (tmp_path / "missing.db").exists()


def test_the_command_counts_and_names_what_is_bad(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(PARAMS, tmp_path)
    monkeypatch.chdir(tmp_path)
    store.add_purchases([("1", "7", NOON)])
    original(tmp_path / "old.db", (1, '{"pool": [[7, 0, 1], [8, 0, 1]]}'), (2, "x"))
    result = CliRunner().invoke(cli.app, ["queue", "import", "old.db"])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "1 queues with 1 products are new",
        "1 products were left out, because they have been purchased",
        "0 queues were imported before, 1 cannot be used",
    ]
    assert result.stderr == "user 2: not a queue: x\n"
