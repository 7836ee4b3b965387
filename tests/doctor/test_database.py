from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from progrec import settings
from progrec.doctor import database
from progrec.serving.store import Store

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(folder: Path) -> Path:
    """A database in which somebody has bought a cup."""
    path = folder / "recommendation.db"
    with closing(Store(path, settings.load().queue)) as store:
        store.add_purchases([("ann", "cup", NOON)])
    return path


@pytest.fixture
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def states(path: Path) -> dict[str, str]:
    return {finding.check: finding.state for finding in database.findings(path)}


def test_a_database_that_keeps_its_promises_is_in_order(path: Path) -> None:
    assert states(path) == {"queues": "ok", "permissions": "ok"}


def test_one_that_is_not_there_is_a_warning_and_is_not_made(folder: Path) -> None:
    assert states(folder / "recommendation.db") == {"file": "warning"}
    assert not (folder / "recommendation.db").exists()


def test_a_queue_with_what_was_bought_is_a_problem(path: Path, shell: sqlite3.Connection) -> None:
    for (name,) in shell.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        shell.execute(f"DROP TRIGGER {name}")
    shell.execute("INSERT INTO recommendation_queue VALUES ('ann', ?)", ['{"pool":[["cup",0,1]]}'])

    queues, _ = database.findings(path)

    assert queues.state == "problem"
    assert "dropped" in queues.found
    assert "progrec queue rebuild" in queues.advice


@pytest.mark.parametrize("version", [1, 99])
def test_a_schema_of_another_version_is_a_problem(
    path: Path, shell: sqlite3.Connection, version: int
) -> None:
    shell.execute(f"PRAGMA user_version = {version}")

    assert states(path)["file"] == "problem"


def test_a_damaged_file_is_a_problem(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    assert "problem" in states(path).values()


def test_a_file_that_is_no_database_is_a_problem(folder: Path) -> None:
    path = folder / "recommendation.db"
    path.write_text("a letter to a friend, longer than the header of a database" * 9)

    assert states(path)["file"] == "problem"


def test_a_file_that_others_may_read_is_a_warning(path: Path) -> None:
    path.chmod(0o644)

    _, permissions = database.findings(path)

    assert permissions.state == "warning"
    assert permissions.advice == "`chmod 600 recommendation.db`"


def test_looking_changes_nothing(path: Path) -> None:
    before = path.read_bytes()

    list(database.findings(path))

    assert path.read_bytes() == before
