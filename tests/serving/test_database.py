"""The file: made, opened, brought up, and everything that can be wrong with it."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from progrec.errors import InputError
from progrec.serving import database
from progrec.serving.audit import audit
from progrec.serving.backup import backup
from progrec.serving.database import Busy
from progrec.serving.rebuild import rebuild
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
EARLIER = Path(__file__).parent / "data"


def event(kind="view", user="u", item="p", **more) -> Event:
    return Event(NOON, kind, user, item, **more)


def modes(path: Path) -> list[int]:
    return [stat.S_IMODE(file.stat().st_mode) for file in sorted(path.parent.glob(f"{path.name}*"))]


# Made and opened


def test_a_store_is_made_for_its_owner_only(store: Store):
    record(store, [event()])
    assert modes(store.path) == [0o600] * 3


def test_a_store_that_was_copied_here_is_its_owners_only(store: Store):
    store.close()
    store.path.chmod(0o644)
    with closing(Store(store.path, store.settings)) as again:
        record(again, [event()])
        assert modes(store.path) == [0o600] * 3


def test_a_store_keeps_what_it_holds(store: Store):
    record(store, [event(), event("purchase", item="q")])
    store.close()
    with closing(Store(store.path, store.settings)) as again:
        assert again.queue("u") == (Entry("p", 0, 1.0),)
        assert again.purchased("u") == {"q"}


def test_what_is_not_a_database_is_refused_and_left_alone(
    tmp_path: Path, queue_settings: QueueSettings
):
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(InputError, match=r"notes\.txt.*not a SQLite database"):
        Store(path, queue_settings)
    assert path.read_text() == "not a database " * 100


def test_somebody_elses_database_is_refused(tmp_path: Path, queue_settings: QueueSettings):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id)")
    with pytest.raises(InputError, match=r"mlflow\.db is not a store"):
        Store(path, queue_settings)


def test_a_newer_versions_store_is_refused(store: Store, shell: sqlite3.Connection):
    shell.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match=r"newer version of progrec \(its schema is 99, not 4"):
        Store(store.path, store.settings)
    with pytest.raises(InputError, match="newer version"):
        audit(store.path)


@pytest.mark.parametrize("place", ["missing/recommendation.db", "."])
def test_a_place_that_cannot_hold_a_file_is_named(
    tmp_path: Path, queue_settings: QueueSettings, place: str
):
    with pytest.raises(InputError, match=str(tmp_path / place)):
        Store(tmp_path / place, queue_settings)


def test_a_transaction_that_fails_changes_nothing(store: Store):
    def fail() -> None:
        with store.transaction() as connection:
            connection.execute("INSERT INTO recommendation_queue VALUES ('u', '{\"pool\":[]}')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.reading() as connection:
        assert connection.execute("SELECT * FROM recommendation_queue").fetchall() == []


def test_a_threads_connection_ends_with_it(store: Store):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    record(store, [event()])
    before = len(list(folder.iterdir()))
    for _ in range(10):
        thread = threading.Thread(target=store.queue, args=("u",))
        thread.start()
        thread.join()
    # One more may wait for the file's last lock to go before SQLite closes it.
    assert len(list(folder.iterdir())) <= before + 1


# Brought up


FILLED = {
    1: "INSERT INTO purchases VALUES ('v', 'x', '2020-01-01')",
    **dict.fromkeys(
        (2, 3),
        """
        INSERT INTO purchases VALUES ('v', 'x', '2020-01-01', NULL);
        INSERT INTO journal (user_id, kind, what)
        SELECT user_id, 'joined', product_queue FROM recommendation_queue
        """,
    ),
}
"""What an earlier version of the store, which holds two queues and an event, also holds."""


def earlier(folder: Path, version: int) -> Path:
    """A store as an earlier version made and filled it."""
    path = folder / "recommendation.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((EARLIER / f"store_{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            """
            INSERT INTO recommendation_queue VALUES
                ('u', '{"pool":[["p",2,3.5],["q",0,-1.0],["b",1,0.0]]}'), ('v', '{"pool":[]}');
            INSERT INTO events (event_id, event_time, event_type, user_id, product_id, received_at)
            VALUES ('e', '2020-02-01', 'purchase', 'u', 'b', '2020-02-01');
            """
        )
        connection.executescript(FILLED[version])
    return path


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    return earlier(tmp_path, 1)


def schema(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        columns = {
            name: connection.execute("SELECT * FROM pragma_table_info(?)", name).fetchall()
            for name in tables.fetchall()
        }
        others = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type <> 'table'")
        return columns | dict(others.fetchall())


@pytest.mark.parametrize("version", FILLED)
def test_an_earlier_store_is_brought_up_whole(
    tmp_path: Path, queue_settings: QueueSettings, version: int
):
    path = earlier(tmp_path, version)
    with closing(Store(path, queue_settings)) as store:
        assert store.queue("u") == (Entry("p", 2, 3.5), Entry("q", 0, -1.0))
        assert store.purchased("u") == {"b"}
        assert store.purchased("v") == {"x"}
        assert rebuild(store) == (2, 0)
        record(store, [event(item="r")])
        assert rebuild(store) == (2, 0)
    with closing(Store(tmp_path / "new.db", queue_settings)) as new:
        assert schema(path) == schema(new.path)
    assert audit(path).violations == []


def test_a_store_that_cannot_be_brought_up_stays_as_it_was(
    version_1: Path, queue_settings: QueueSettings
):
    with pytest.raises(InputError, match="an earlier version of progrec"):
        audit(version_1)
    with closing(sqlite3.connect(version_1)) as connection:
        connection.execute("CREATE TABLE merges (of_somebody_elses)")
        before = list(connection.iterdump())
        with pytest.raises(sqlite3.OperationalError, match="merges already exists"):
            Store(version_1, queue_settings)
        assert list(connection.iterdump()) == before
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_several_bring_a_store_up_once(version_1: Path, queue_settings: QueueSettings):
    failed: list[Exception] = []

    def bring_up() -> None:
        try:
            Store(version_1, queue_settings).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=bring_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with closing(sqlite3.connect(version_1)) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (2,)


# Refused, and nothing lost


@pytest.fixture
def filled(store: Store) -> Store:
    record(store, [event(event_id=f"{n}", user=f"{n}") for n in range(300)])
    return store


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


@pytest.fixture
def impatient(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Another store on the same file, that does not wait."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    with closing(Store(store.path, store.settings)) as impatient:
        yield impatient


def test_a_file_that_stays_locked_is_busy(impatient: Store, shell: sqlite3.Connection):
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match=r"recommendation\.db is busy"):
        record(impatient, [event()])
    assert impatient.queue("u") == ()
    shell.execute("ROLLBACK")
    assert record(impatient, [event()]) == [True]


def test_a_full_disk_takes_nothing_more_and_keeps_what_it_has(filled: Store):
    with filled.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    accepted = [f"{n}" for n in range(300)]

    def fill_up() -> None:
        for batch in range(100):
            new = [f"{batch}-{n}" for n in range(10)]
            record(filled, [event(event_id=name, user=name) for name in new])
            accepted.extend(new)

    with pytest.raises(InputError, match="the disk is full"):
        fill_up()
    assert count(filled.path) == len(accepted)
    assert rebuild(filled).repaired == 0

    with filled.reading() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    assert record(filled, [event(event_id="after")]) == [True]
    assert count(filled.path) == len(accepted) + 1


def test_a_file_that_may_not_be_written_is_refused(filled: Store):
    filled.close()
    with filled.path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")  # a format that this SQLite may read and not write, whoever runs it
    before = filled.path.read_bytes()
    with pytest.raises(InputError, match=r"recommendation\.db.*may not be written"):
        Store(filled.path, filled.settings)
    assert filled.path.read_bytes() == before


def test_a_damaged_file_is_refused_and_a_backup_replaces_it(filled: Store, tmp_path: Path):
    copy = tmp_path / "copy.db"
    backup(filled.path, copy)
    with filled.reading() as connection:
        root = "SELECT rootpage FROM sqlite_schema WHERE name IN ('events', 'recommendation_queue')"
        pages = connection.execute(root).fetchall()
    filled.close()
    with filled.path.open("r+b") as file:
        for (page,) in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
    with closing(Store(filled.path, filled.settings)) as store:
        for attempt in (lambda: record(store, [event()]), lambda: store.queue("5")):
            with pytest.raises(InputError, match=r"is damaged; restore a backup"):
                attempt()

    copy.replace(filled.path)
    with closing(Store(filled.path, filled.settings)) as store:
        assert store.queue("5") == (Entry("p", 0, 1.0),)
    assert count(filled.path) == 300
