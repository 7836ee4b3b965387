"""`progrec queue audit` finds what is wrong, also where nothing guards the queues."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from progrec import cli
from progrec.errors import InputError
from progrec.serving.audit import audit
from progrec.serving.store import Event, Store
from raw_shop import PARAMS
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`progrec queue` in the folder of the store."""
    shutil.copy(PARAMS, tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli.app, ["queue", *words])


@pytest.fixture
def filled(store: Store) -> Store:
    record(store, [Event(NOON, "view", user, item) for user in "uv" for item in "pq"])
    record(store, [Event(NOON, "purchase", "u", "bought")])
    store.add_purchases([("v", "synced", NOON)])
    return store


@pytest.fixture
def unguarded(filled: Store, shell: sqlite3.Connection) -> sqlite3.Connection:
    for (name,) in shell.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        shell.execute(f"DROP TRIGGER {name}")
    return shell


def wrong_queues(store: Store) -> list[str]:
    return [line for line in audit(store.path).violations if line.startswith("user ")]


def test_nothing_is_wrong(filled: Store):
    assert audit(filled.path) == (2, 4, [])


def test_the_command_prints_json_and_ends_with_status_1_on_violations(
    run: Run, filled: Store, shell: sqlite3.Connection
):
    good = run("audit")
    assert (good.exit_code, json.loads(good.stdout)) == (
        0,
        {"users": 2, "queued": 4, "violations": 0},
    )

    shell.execute("DROP TRIGGER queue_inserted")
    shell.execute("""INSERT INTO recommendation_queue VALUES ('w', '{"pool":[["p",0,1,2]]}')""")
    bad = run("audit")
    assert (bad.exit_code, json.loads(bad.stdout)) == (
        1,
        {"users": 3, "queued": 4, "violations": 2},
    )
    assert bad.stderr.splitlines()[0] == "the rule queue_inserted: it was dropped"
    assert bad.stderr.splitlines()[1].startswith("user w: not a queue")


PLANTED = {
    "purchased": ("u", '{"pool":[["bought",0,1.0]]}'),
    "synced": ("v", '{"pool":[["p",0,1.0],["synced",0,1.0]]}'),
    "spelled with escapes": ("u", '{"pool":[["\\u0062ought",0,1.0]]}'),
    "twice": ("u", '{"pool":[["p",0,1.0],["p",0,1.0]]}'),
    "an integer": ("u", '{"pool":[[17850,0,1.0]]}'),
    "a negative counter": ("u", '{"pool":[["p",-1,1.0]]}'),
    "two keys": ("u", '{"pool":[],"pool":[["bought",0,1.0]]}'),
    "not JSON": ("u", "bought"),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_without_the_triggers_is_found(
    filled: Store, unguarded: sqlite3.Connection, plant: str
):
    user, queue = PLANTED[plant]
    unguarded.execute(
        "UPDATE recommendation_queue SET product_queue = ? WHERE user_id = ?", (queue, user)
    )
    (found,) = wrong_queues(filled)
    assert found.startswith(f"user {user}: ")


def test_a_purchase_that_only_its_event_knows_is_found(
    filled: Store, unguarded: sqlite3.Connection
):
    unguarded.execute("DELETE FROM purchases")
    assert wrong_queues(filled) == []
    unguarded.execute(
        """UPDATE recommendation_queue SET product_queue = '{"pool":[["bought",0,1.0]]}'"""
    )
    assert wrong_queues(filled) == ["user u: bought is queued and has been purchased"]


def test_a_changed_rule_is_found(filled: Store, shell: sqlite3.Connection):
    shell.execute("DROP TRIGGER purchase_deleted")
    shell.execute("CREATE TRIGGER purchase_deleted BEFORE DELETE ON purchases BEGIN SELECT 1; END")
    assert audit(filled.path).violations == ["the rule purchase_deleted: it was changed"]


def test_it_waits_for_nobody_and_nobody_for_it(filled: Store, shell: sqlite3.Connection):
    shell.execute("BEGIN IMMEDIATE")
    shell.execute("DELETE FROM recommendation_queue")
    assert audit(filled.path) == (2, 4, [])
    shell.execute("COMMIT")
    assert audit(filled.path) == (0, 0, [])


def test_a_damaged_index_is_found(filled: Store, shell: sqlite3.Connection):
    shell.executescript(
        "PRAGMA writable_schema = ON;"
        " UPDATE sqlite_schema SET sql = 'CREATE INDEX events_of_user ON events (product_id)'"
        " WHERE name = 'events_of_user'; PRAGMA writable_schema = RESET;"
    )
    assert any("events_of_user" in line for line in audit(filled.path).violations)


def test_a_place_without_a_store_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nothing\.db cannot be used: it cannot be opened"):
        audit(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_the_rebuild_command_says_how_many_differed(
    run: Run, filled: Store, shell: sqlite3.Connection
):
    shell.execute("DELETE FROM recommendation_queue WHERE user_id = 'v'")
    assert run("rebuild").stdout == "2 queues recomputed; 1 of them differed\n"
    assert run("rebuild").stdout == "2 queues recomputed; 0 of them differed\n"


def test_the_backup_command_makes_the_file(run: Run, filled: Store, tmp_path: Path):
    assert run("backup", "copy.db").stdout.startswith("copy.db: ")
    assert audit(tmp_path / "copy.db") == (2, 4, [])
