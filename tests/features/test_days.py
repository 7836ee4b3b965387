"""The chain of days: history and its deltas are what one pass over everything would be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.log import TABLES, Event, Log, a_log, event, logs, types
from progrec.errors import InputError

CUTOFF = "2020-01-02"
DAYS = ("2020-01-02", "2020-01-03", "2020-01-04", "2020-01-06")

# Shoppers who come back, a session over two midnights, purchases of one moment.
EVENTS = [
    event("2020-01-01T10:00", "purchase", "ann", "cup", 0.1, brand="old", category_code="a.b"),
    event("2020-01-01T10:00", "purchase", "ann", "pan"),
    event("2020-01-01T23:45", "view", "bob", "cup", 5.0),
    event("2020-01-02T00:10", "cart", "bob", "cup", 5.0),
    event("2020-01-02T12:00", "purchase", "ann", "cup", 0.2, brand="new"),
    event("2020-01-02T12:00", "view", "ann", "cup"),
    event("2020-01-02T23:50", "click", "bob", "pan", category_id="7"),
    event("2020-01-03T00:20", "purchase", "bob", "pan", 19.99),
    event("2020-01-03T08:00", "view", "cid", "lid"),
    event("2020-01-04T09:00", "purchase", "ann", "lid", 3.0, source="batch"),
    event("2020-01-04T09:00", "remove_from_cart", "bob", "cup"),
    event("2020-01-06T00:00", "purchase", "ann", "cup", 0.3),
    event("2020-01-06T11:00", "view", "ann", "pan"),
    event("2020-01-06T12:00", "view", "bob", "lid"),
    event("2020-01-06T12:01", "view", "dee", "cup"),
]


def write(log: Log, *more: Event) -> None:
    log.write(*EVENTS, *more, cutoff=CUTOFF)


def every(days: Iterable[str]) -> dict[str, list[str]]:
    """These days of every table."""
    return {name: list(days) for name in TABLES}


def written(folder: Path) -> Log:
    log = Log(folder)
    write(log)
    log.list_products({"product_id": "lid", "brand": "acme", "category_id": "9"})
    return log


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables of the log above, made in the working directory."""
    folder = tmp_path_factory.mktemp("original")
    with chdir(folder):
        log = written(Path())
        log.make()
        assert log.make_days() == every(DAYS)
    return folder / "features"


@pytest.fixture
def made(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """A copy of them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, "features")
    return written(Path())


def afresh(log: Log) -> dict[str, str]:
    """The deltas' files as a first run makes them, and then as they were."""
    kept = log.delta.folder.with_name("kept")
    log.delta.folder.rename(kept)
    log.make_days()
    files = log.digests(log.delta.folder)
    shutil.rmtree(log.delta.folder)
    kept.rename(log.delta.folder)
    return files


def stamps(log: Log) -> dict[str, tuple[int, int]]:
    """Every file of the deltas, and what changes when it is written again."""
    files = {file: file.stat() for file in log.delta.folder.rglob("*.parquet")}
    return {str(file): (stat.st_ino, stat.st_mtime_ns) for file, stat in files.items()}


def of_days(files: dict[str, tuple[int, int]], *days: str) -> dict[str, tuple[int, int]]:
    return {file: s for file, s in files.items() if Path(file).parent.name[5:] in days}


# One pass


@settings(deadline=None, max_examples=4)
@given(
    logs(days=5, fewest=20, most=50),
    st.sampled_from(["2020-01-02", "2020-01-03", "2020-01-04"]),
    st.sampled_from([30, 1, 30 * 60]),
)
def test_history_and_deltas_are_one_pass(events: list[Event], cutoff: str, gap: int) -> None:
    with a_log(*events) as whole, a_log(*events, cutoff=cutoff) as cut:
        for log in (whole, cut):
            log.set(sessions={"gap_minutes": gap})
            log.list_products({"product_id": "pan", "brand": "acme", "category_id": "9"})
            log.make()
        cut.make_days()
        for name in TABLES:
            assert cut.current(name) == whole.rows(name), name


def test_a_log_worked_above_is_one_pass_too(made: Log) -> None:
    with a_log(*EVENTS) as whole:
        shutil.copy(made.catalogue, whole.catalogue)
        whole.make()
        assert {name: made.current(name) for name in TABLES} == {
            name: whole.rows(name) for name in TABLES
        }


def test_sums_of_large_amounts_are_one_pass_too(log: Log) -> None:
    """A best-seller's revenue in a currency of small units, with cents."""
    events = [
        event(f"2020-01-0{day}T12:00", "purchase", price=price)
        for day, price in enumerate([9_999_999_999.99, 0.01, 123_456_789.37, 0.07, 1e9], start=1)
    ]
    names = ("purchases", "enriched", "user_item_matrix", "user_features", "item_features")
    log.write(*events, cutoff=CUTOFF)
    log.make(*names)
    log.make_days(*names)
    with a_log(*events) as whole:
        whole.make(*names)
        for name in names:
            assert log.current(name) == whole.rows(name), name


# What a run makes


def test_a_second_run_makes_nothing(made: Log) -> None:
    before = stamps(made)
    assert made.make_days() == every([])
    assert stamps(made) == before


def test_two_first_runs_write_the_same_bytes(made: Log) -> None:
    assert made.digests(made.delta.folder) == afresh(made)


def test_a_new_day_is_all_that_is_made(log: Log) -> None:
    *known, new = DAYS
    log.write(*(each for each in EVENTS if str(each["event_time"].date()) < new), cutoff=CUTOFF)
    log.make()
    assert log.make_days() == every(known)
    history, before = log.digests(log.history.folder), stamps(log)

    write(log)
    assert log.make_days() == every([new])

    assert of_days(stamps(log), *known) == before
    assert log.digests(log.history.folder) == history
    assert log.digests(log.delta.folder) == afresh(log)


def test_a_changed_day_is_made_anew_and_so_are_those_that_follow(made: Log) -> None:
    before = stamps(made)
    more = event("2020-01-03T20:00", "purchase", "ann", "pan", 7.0, brand="changed")
    write(made, more)

    assert made.make_days() == every(DAYS[1:])

    assert of_days(stamps(made), DAYS[0]) == of_days(before, DAYS[0])
    assert made.digests(made.delta.folder) == afresh(made)


def test_a_day_between_two_others_is_made_and_so_are_those_that_follow(made: Log) -> None:
    late = event("2020-01-05T20:00", "purchase", "bob", "pan", 7.0)
    write(made, late)

    assert made.make_days() == every(["2020-01-05", "2020-01-06"])

    assert made.digests(made.delta.folder) == afresh(made)


def test_a_removed_day_goes_and_those_that_follow_are_made_anew(made: Log) -> None:
    gone = DAYS[1]
    left = [each for each in EVENTS if str(each["event_time"].date()) != gone]
    made.write(*left, cutoff=CUTOFF)

    assert made.make_days() == every(DAYS[2:])

    assert of_days(stamps(made), gone) == {}
    assert made.digests(made.delta.folder) == afresh(made)


def test_without_a_delta_every_table_is_there_and_empty(made: Log) -> None:
    history = [each for each in EVENTS if str(each["event_time"].date()) < CUTOFF]
    made.write(*history, cutoff=CUTOFF)

    assert made.make_days() == every([])
    assert {path.name: list(path.iterdir()) for path in made.delta.folder.iterdir()} == (every([]))
    assert made.make_targets() == []
    assert types(made.delta.whole("targets")) == {"user_id": "string", "item_id": "string"}


def test_of_history_everything_depends_on_everything(made: Log) -> None:
    write(made, event("2020-01-01", "purchase", "ann", "cup", 1.0))
    made.make()

    # A day's purchases are its own.
    assert made.make_days() == every(DAYS) | {"purchases": []}
    assert made.digests(made.delta.folder) == afresh(made)


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        (lambda log: log.set(sessions={"gap_minutes": 20}), {"sessions", "user_profiles"}),
        (
            lambda log: log.set(
                interactions={"weights": {**log.config.interactions.weights, "view": 9.0}}
            ),
            {"user_item_matrix"},
        ),
        (lambda log: log.list_products({"product_id": "lid", "brand": "b"}), {"item_features"}),
        (lambda log: log.set(enrich={"chunk_events": 2}), set()),
        (lambda log: log.set(split={"horizon_days": 2}), set()),
    ],
    ids=["gap", "weights", "catalogue", "chunk_events", "horizon"],
)
def test_a_setting_concerns_the_tables_that_read_it(
    made: Log, change: Callable[[Log], None], anew: set[str]
) -> None:
    change(made)
    for name in TABLES:
        if name in anew:
            made.make(name)

    assert made.make_days() == {name: list(DAYS) if name in anew else [] for name in TABLES}
    assert made.digests(made.delta.folder) == afresh(made)


# What can go wrong


@pytest.mark.parametrize("name", ["enriched", "user_profiles", "item_features"])
@pytest.mark.parametrize("lost", [(0,), (2, 3), (1, 3), (0, 1, 3)], ids=str)
def test_files_that_a_killed_run_did_not_write_are_made(
    made: Log, name: str, lost: tuple[int, ...]
) -> None:
    """Days are written several at a time: of those after a missing one some may be there."""
    before = made.digests(made.delta.folder)
    for n in lost:
        (made.delta.folder / name / f"date={DAYS[n]}/{name}.parquet").unlink()

    made.make_days(name)

    assert made.digests(made.delta.folder) == before


def test_a_day_that_breaks_the_contract_leaves_its_old_file_and_can_be_mended(made: Log) -> None:
    before = made.digests(made.delta.folder / "sessions")
    write(made, event("2020-01-03T12:00", "refund", "eve"))
    made.make_days("purchases", "enriched")

    with pytest.raises(InputError, match="sessions: check 'a session has an event' failed"):
        made.make_days("sessions")

    assert made.digests(made.delta.folder / "sessions") == before
    write(made, event("2020-01-03T12:00", "view", "eve"))
    made.make_days()
    assert made.digests(made.delta.folder) == afresh(made)
