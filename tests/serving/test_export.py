from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from progrec.errors import InputError
from progrec.events.ingest import Counts
from progrec.events.schema import COLUMNS
from progrec.serving import export as export_module
from progrec.serving import store as store_module
from progrec.serving.export import export
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from raw_shop import Shop
from serving.accepted import DAY, NOON, accept, event

HOUR = timedelta(hours=1)
LATER = date(2030, 1, 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def held(data: Path) -> dict[str, list[str]]:
    """The ids of each file's events, in their order."""
    files = sorted((data / "events").glob("*"))
    return {file.name: pq.read_table(file)["event_id"].to_pylist() for file in files}


def contents(data: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (data / "events").glob("*")}


# Days


def test_a_day_is_exported_when_it_is_over(store: Store, data: Path):
    for number in range(3):
        time = NOON + number * DAY
        accept(store, time, event(f"late {number}", time), event(f"early {number}", time - HOUR))

    files = export(store, data, before=date(2020, 3, 3))

    assert files == {
        data / "events/service-2020-03-01.parquet": 2,
        data / "events/service-2020-03-02.parquet": 2,
    }
    assert held(data) == {
        "service-2020-03-01.parquet": ["early 0", "late 0"],
        "service-2020-03-02.parquet": ["early 1", "late 1"],
    }
    assert store.waiting(date(2020, 3, 3)) == 2


def test_events_are_exported_whole(store: Store, data: Path):
    here = datetime.fromisoformat("2020-03-01T23:30:00.000001+05:00")
    whole = Event(here, "cart", "ü 007", "1e3", "s", 0.1, "7", "shoes.red", "acme", event_id="e")
    accept(store, NOON + 8 * HOUR, whole, Event(NOON, "view", "u", "p"))

    export(store, data, LATER)

    table = pq.read_table(data / "events/service-2020-03-01.parquet")
    assert table.column_names == [*COLUMNS, "received_at"]
    bare, full = table.to_pylist()
    assert full == {
        "event_id": "e",
        "event_time": here,
        "event_type": "cart",
        "user_id": "ü 007",
        "product_id": "1e3",
        "user_session": "s",
        "price": 0.1,
        "category_id": "7",
        "category_code": "shoes.red",
        "brand": "acme",
        "received_at": NOON + 8 * HOUR,
    }
    assert bare["event_id"] == Event(NOON, "view", "u", "p").identity
    assert [name for name, value in bare.items() if value is None] == [
        *("user_session", "price", "category_id", "category_code", "brand")
    ]


def test_an_event_belongs_to_the_day_on_which_it_had_happened_and_come_in(store: Store, data: Path):
    last = datetime(2020, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    accept(store, last, event("at the last moment", last))
    accept(store, last + timedelta(microseconds=1), event("a moment late", last))
    accept(store, NOON, event("of a clock that is ahead", NOON + 2 * DAY))
    accept(store, NOON + 3 * DAY, event("days late", NOON - 365 * DAY))

    export(store, data, LATER)

    assert held(data) == {
        "service-2020-03-01.parquet": ["at the last moment"],
        "service-2020-03-02.parquet": ["a moment late"],
        "service-2020-03-03.parquet": ["of a clock that is ahead"],
        "service-2020-03-04.parquet": ["days late"],
    }


def test_many_old_times_make_one_file(store: Store, data: Path):
    accept(store, NOON, *(event(f"{n}", NOON - n * DAY) for n in range(50)))

    assert export(store, data, LATER) == {data / "events/service-2020-03-01.parquet": 50}


def test_events_of_one_time_stand_in_the_order_of_their_ids(store: Store, data: Path):
    accept(store, NOON, event("b"), event("a"), event("c", NOON - HOUR))
    export(store, data, LATER)
    assert held(data) == {"service-2020-03-01.parquet": ["c", "a", "b"]}


def test_without_events_nothing_is_made(store: Store, data: Path):
    assert export(store, data, LATER) == {}
    assert not data.exists()


# Once each


def test_a_second_export_finds_nothing_new(store: Store, data: Path):
    accept(store, NOON, event("a"), event("b", NOON - DAY))
    export(store, data, LATER)
    before = contents(data)

    accept(store, NOON + DAY, event("a"))

    assert export(store, data, LATER) == {}
    assert contents(data) == before


def test_what_comes_to_a_day_that_has_a_file_goes_into_a_further_one(store: Store, data: Path):
    accept(store, NOON, event("a"))
    export(store, data, LATER)
    first = data / "events/service-2020-03-01.parquet"
    first.chmod(0o444)  # as DVC leaves a link to its cache
    before = first.stat()

    accept(store, NOON, event("c"), event("b"))
    again = export(store, data, LATER)
    accept(store, NOON, event("d"))
    export(store, data, LATER)

    assert again == {data / "events/service-2020-03-01-2.parquet": 2}
    assert held(data) == {
        "service-2020-03-01.parquet": ["a"],
        "service-2020-03-01-2.parquet": ["b", "c"],
        "service-2020-03-01-3.parquet": ["d"],
    }
    after = first.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_older_data_folder_gets_again_what_it_lacks(store: Store, data: Path):
    for number in range(4):
        accept(store, NOON + number * DAY, event(f"{number}", NOON + number * DAY))
    export(store, data, LATER)
    before = contents(data)

    for name in ("service-2020-03-02.parquet", "service-2020-03-04.parquet"):
        (data / "events" / name).unlink()
    again = export(store, data, LATER)

    assert [file.name for file in again] == [
        "service-2020-03-02.parquet",
        "service-2020-03-04.parquet",
    ]
    assert contents(data) == before


def test_other_raw_files_are_left_alone(store: Store, data: Path):
    (data / "events").mkdir(parents=True)
    (data / "events/2020-Mar.csv").write_text("event_id\na\n")
    accept(store, NOON, event("a"))

    export(store, data, LATER)

    assert set(contents(data)) == {"2020-Mar.csv", "service-2020-03-01.parquet"}


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_an_export_that_is_cut_short_is_completed_by_the_next(
    store: Store, data: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
):
    days = [NOON + number * DAY for number in range(3)]
    for number, time in enumerate(days):
        accept(store, time, *(event(f"{number}-{n}", time) for n in range(3)))
    export(store, data.with_name("undisturbed"), LATER)
    rename, done = Path.replace, []

    def cut(path: Path, target: Path) -> Path:
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(target)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            export(store, data, LATER)
    assert len(contents(data)) == renamed
    export(store, data, LATER)

    assert contents(data) == contents(data.with_name("undisturbed"))
    assert [path.name for path in data.parent.glob(".*")] == []


def test_of_two_exports_at_once_one_gives_way(
    store: Store, data: Path, monkeypatch: pytest.MonkeyPatch
):
    accept(store, NOON, event("a"))
    read = export_module._read_new

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(export_module, "_read_new", read)
        export(store, data, LATER)
        accept(store, NOON, event("b"))
        read(*arguments)

    monkeypatch.setattr(export_module, "_read_new", meanwhile)
    with pytest.raises(InputError, match=r"already there.*service-2020-03-01\.parquet"):
        export(store, data, LATER)

    assert held(data) == {"service-2020-03-01.parquet": ["a"]}


def test_a_damaged_file_is_named(store: Store, data: Path):
    accept(store, NOON, event("a"))
    (data / "events").mkdir(parents=True)
    (data / "events/service-2020-02-29.parquet").write_bytes(b"PAR1 but no more")

    with pytest.raises(InputError, match=r"service-2020-02-29\.parquet: cannot be read.*move it"):
        export(store, data, LATER)

    assert list(contents(data)) == ["service-2020-02-29.parquet"]


# The same bytes


def test_the_order_of_arrival_and_the_size_of_batches_change_no_byte(
    tmp_path: Path, queue_settings: QueueSettings, monkeypatch: pytest.MonkeyPatch
):
    events = [event(f"{n}", NOON - n % 5 * HOUR, price=n / 7) for n in range(40)]
    made = []
    for order, size in ((1, 20_000), (-1, 3)):
        monkeypatch.setattr(store_module, "BATCH_ROWS", size)
        monkeypatch.setattr(export_module, "BATCH_ROWS", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        with closing(Store(folder / "recommendation.db", queue_settings)) as store:
            accept(store, NOON, *events[::order])
            export(store, folder / "data", LATER)
        made.append(contents(folder / "data"))

    assert made[0] == made[1]


def test_writers_do_not_wait_for_an_export(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "BATCH_ROWS", 1)
    accept(store, NOON, event("a"), event("b"))
    batches = store.event_ids(LATER)
    first = next(batches)

    with closing(sqlite3.connect(store.path, timeout=0)) as shell, shell:
        shell.execute(
            "INSERT INTO events SELECT 'c', * FROM (SELECT " + REST + " FROM events) LIMIT 1"
        )

    assert [event_id for ((_, event_id),) in [first, *batches]] == ["a", "b"]
    assert len(list(store.event_ids(LATER))) == 3


REST = ", ".join((*COLUMNS[1:], "received_at"))


# There and back


def test_ingest_reads_what_the_service_has_accepted(store: Store, tmp_path: Path):
    shop = Shop(tmp_path / "shop").log(
        "old,p,2020-01-01,purchase", "old,q,2020-03-01 12:00:00,view"
    )
    moments = [NOON + timedelta(microseconds=n) for n in (0, 1, 999_999)]
    prices = [None, 0.0, 0.1 + 0.2, 1e-320, 123456789.12345678, 999999999999.99]
    on_time = [
        event(f"e{n}", moments[n % 3], "purchase", f"u{n}", f"p{n}", price=price)
        for n, price in enumerate(prices)
    ]
    accept(store, NOON + HOUR, *on_time)
    accept(store, NOON + DAY, event("late", NOON, "cart"))
    export(store, shop.data, LATER)

    assert shop.ingest() == Counts(read=9, kept=9, duplicates=0, quarantined=0)
    columns = "event_id, event_time, price"
    kept = shop.events("delta", columns)
    assert kept[0] == (None, NOON.replace(tzinfo=None), None)
    assert sorted(kept[1:-1]) == [
        (event.event_id, event.event_time.replace(tzinfo=None), event.price) for event in on_time
    ]
    assert kept[-1] == ("late", (NOON + DAY).replace(tzinfo=None), None)
    assert shop.late(["event_id", "event_time"]) == [("late", NOON.replace(tzinfo=None))]
    assert shop.report()["ignored_columns"] == {}


# Whatever happens

TICK = st.tuples(st.just("tick"), st.integers(1, 30))
RECORD = st.tuples(
    st.just("record"), st.lists(st.tuples(st.integers(0, 30), st.integers(-60, 60)), max_size=4)
)
EXPORT, LOSE = (
    st.tuples(st.just("export"), st.just(0)),
    st.tuples(st.just("lose"), st.integers(0, 9)),
)
STEPS = st.lists(st.one_of(TICK, RECORD, RECORD, EXPORT, EXPORT, LOSE), max_size=12)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_the_files_hold_the_accepted_events_of_the_days_that_are_over(
    tmp_path_factory: pytest.TempPathFactory, queue_settings: QueueSettings, steps: list[Any]
):
    folder = tmp_path_factory.mktemp("shop")
    data, now = folder / "data", NOON
    accepted: dict[str, date] = {}
    with closing(Store(folder / "recommendation.db", queue_settings)) as store:
        for step, argument in [*steps, ("export", 0)]:
            before = contents(data)
            if step == "tick":
                now += argument * HOUR
            elif step == "record":
                events = [event(f"{name}", now + hours * HOUR) for name, hours in argument]
                accept(store, now, *events)
                for one in events:
                    accepted.setdefault(one.identity, max(one.event_time, now).date())
            elif step == "lose" and before:
                (data / "events" / sorted(before)[argument % len(before)]).unlink()
            elif step == "export":
                export(store, data, before=now.date())
                exported = [name for names in held(data).values() for name in names]
                over = [name for name, day in accepted.items() if day < now.date()]
                assert sorted(exported) == sorted(over)
                assert contents(data).items() >= before.items()
    shutil.rmtree(folder)
