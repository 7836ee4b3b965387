"""A shop's events as ingest leaves them, and the feature tables that are made of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from progrec import content, settings
from progrec.features import build, enrich
from progrec.features.build import Inputs
from progrec.features.relation import Relation
from progrec.features.tables import Tables

PARAMS = Path(__file__).parents[2] / "params.yaml"

Event = dict[str, Any]
Row = dict[str, Any]

# In the order in which the stages make them.
TABLES = (
    "purchases",
    "enriched",
    "sessions",
    "user_profiles",
    "user_item_matrix",
    "user_features",
    "item_features",
)

# Those whose stage is given the events and the catalogue.
READ_EVENTS = ("purchases", "user_features", "item_features")
READ_CATALOGUE = ("user_features", "item_features")

# The columns and types that ingest writes.
EVENT = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.timestamp("us")),
        ("event_type", pa.string()),
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("user_session", pa.string()),
        ("price", pa.float64()),
        ("category_id", pa.string()),
        ("category_code", pa.string()),
        ("brand", pa.string()),
        ("source", pa.string()),
    ]
)
CATALOGUE = pa.schema(
    [
        (name, pa.string())
        for name in ("product_id", "category_id", "category_code", "brand", "title")
    ]
)


def event(
    time: str | datetime,
    kind: str,
    user: str = "u",
    item: str | None = "p",
    price: float | None = None,
    **more: str,
) -> Event:
    return {
        "event_time": datetime.fromisoformat(time) if isinstance(time, str) else time,
        "event_type": kind,
        "user_id": user,
        "product_id": item,
        "price": price,
        "source": "stream",
        **more,
    }


class Log:
    """Events before and after a cutoff, a catalogue, and the tables that are made of them.

    Attributes:
        history: the tables of history.
        delta: the tables of the deltas.
        config: the settings, those of params.yaml at first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalogue = folder / "events/catalogue.parquet"
        self.history, self.delta = (Tables(folder / f"features/{p}") for p in ("history", "delta"))
        self.config = settings.load(PARAMS)
        self.write()
        self.list_products()

    def write(self, *events: Event, cutoff: str | None = None) -> None:
        """Writes events as ingest does: a folder a day, each by time and arrival.

        Args:
            events: in the order in which they arrive; they replace those that are there.
            cutoff: the first day that is not history; none if all are.
        """
        if cutoff:
            split = self.config.split.model_copy(update={"cutoff": date.fromisoformat(cutoff)})
            self.config = self.config.model_copy(update={"split": split})
        for part in ("history", "delta"):
            shutil.rmtree(self._events(part), ignore_errors=True)
            self._events(part).mkdir(parents=True)
        days: dict[str, list[Event]] = {}
        for each in sorted(events, key=lambda each: each["event_time"]):
            days.setdefault(str(each["event_time"].date()), []).append(each)
        for day, rows in days.items():
            part = "delta" if cutoff and day >= cutoff else "history"
            folder = self._events(part) / f"date={day}"
            folder.mkdir()
            pq.write_table(pa.Table.from_pylist(rows, EVENT), folder / "events.parquet")

    def list_products(self, *products: dict[str, str]) -> None:
        pq.write_table(pa.Table.from_pylist(list(products), CATALOGUE), self.catalogue)

    def set(self, **groups: dict[str, Any]) -> None:
        """Changes settings: group -> key -> value."""
        changed = {
            name: getattr(self.config, name).model_copy(update=values)
            for name, values in groups.items()
        }
        self.config = self.config.model_copy(update=changed)

    def make(self, *names: str) -> None:
        """Makes tables of history; all of them if none is named."""
        for name in names or TABLES:
            if name == "enriched":
                self.enrich()
            else:
                build.build(name, self._inputs("history", name))

    def enrich(self, chunk_events: int | None = None) -> int:
        chunk_events = chunk_events or self.config.enrich.chunk_events
        return enrich.enrich(self._events("history"), self.history.folder, chunk_events)

    def make_days(self, *names: str) -> dict[str, list[str]]:
        """Makes tables of the deltas; all of them if none is named.

        Returns:
            Table -> the days that were made.
        """
        return {name: self._make_days(name) for name in names or TABLES}

    def make_targets(self) -> list[tuple[str, str]]:
        build.build("targets", self._inputs("delta", "targets"))
        return [(row["user_id"], row["item_id"]) for row in read(self.delta.whole("targets"))]

    def rows(self, name: str) -> list[Row]:
        """The rows of a table of history."""
        if name == "enriched":
            return [row for file in self.history.files(name) for row in read(file)]
        return read(self.history.whole(name))

    def values(self, name: str, *columns: str) -> list[Any]:
        """The rows of a table of history as tuples; values alone where one column is asked."""
        return values(self.rows(name), *columns)

    def day(self, name: str, day: str) -> list[Row]:
        """The rows of a day of the deltas."""
        return read(self.delta.day(name, date.fromisoformat(day)))

    def current(self, name: str) -> list[Row]:
        """History and the deltas, of each key the latest row; by key, or in the files' order."""
        files = [*self.history.files(name), *self.delta.files(name)]
        rows = [row for file in files for row in read(file)]
        key = Relation.named(name).contract.checks.key
        if not key:
            return rows
        latest = {tuple(row[column] for column in key): row for row in rows}
        return [latest[key] for key in sorted(latest)]

    def digests(self, folder: Path | None = None) -> dict[str, str]:
        """Every file of the tables, or of a folder of them, by its bytes."""
        folder = folder or self.folder / "features"
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): content.digest(path) for path in sorted(files)}

    def _make_days(self, name: str) -> list[str]:
        if name != "enriched":
            made = build.build_days(name, self._inputs("delta", name), self.history)
            assert made == {day: len(read(self.delta.day(name, day))) for day in made}
            return [str(day) for day in made]
        before = self._stamps(name)
        chunk_events = self.config.enrich.chunk_events
        events, folder = self._events("delta"), self.delta.folder
        count = enrich.enrich_days(events, folder, self.history.folder, chunk_events)
        after = self._stamps(name)
        made = [day for day in after if after[day] != before.get(day)]
        assert count == sum(len(self.day(name, day)) for day in made)
        return made

    def _stamps(self, name: str) -> dict[str, int]:
        """Day -> its file's inode, which is another one when the file has been replaced."""
        files = {str(day): self.delta.day(name, day) for day in self.delta.days(name)}
        return {day: file.stat().st_ino for day, file in files.items() if file.exists()}

    def _inputs(self, part: str, name: str) -> Inputs:
        """As the stages of dvc.yaml give them."""
        own = self.history if part == "history" else self.delta
        events = self._events(part) if name in READ_EVENTS else None
        catalogue = self.catalogue if name in READ_CATALOGUE else None
        return Inputs(own, events, catalogue, self.config)

    def _events(self, part: str) -> Path:
        return self.folder / "events" / part


@contextmanager
def a_log(*events: Event, cutoff: str | None = None) -> Iterator[Log]:
    """A log of its own for each of hypothesis' examples."""
    with TemporaryDirectory(prefix="progrec-log-") as folder:
        log = Log(Path(folder))
        log.write(*events, cutoff=cutoff)
        yield log


def read(file: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(file, partitioning=None).to_pylist()
    return rows


def values(rows: Iterable[Row], *columns: str) -> list[Any]:
    if len(columns) == 1:
        return [row[columns[0]] for row in rows]
    return [tuple(row[column] for column in columns) for row in rows]


def types(file: Path) -> dict[str, str]:
    """Column -> type, as a reader finds them in a file."""
    return {field.name: str(field.type) for field in pq.ParquetFile(file).schema_arrow}


# Random histories

KINDS = ("view", "click", "cart", "remove_from_cart", "purchase")
PRICES = st.sampled_from([None, None, 0.0, 0.1, 0.2, 9.99, 12.345678, -3.5, 100_000.01])
WORDS = st.sampled_from([None, None, "a", "b", "c.d"])


def moments(days: int) -> st.SearchStrategy[datetime]:
    """Few moments of few days, so that many events are at one and many more about a gap apart."""
    day = st.integers(1, days).map(lambda n: datetime(2020, 1, n))
    clock = st.sampled_from(
        [
            timedelta(),
            timedelta(microseconds=1),
            timedelta(hours=12),
            timedelta(hours=12, microseconds=1),
            timedelta(hours=12, minutes=29, seconds=59, microseconds=999_999),
            timedelta(hours=12, minutes=30),
            timedelta(hours=12, minutes=30, microseconds=1),
            timedelta(hours=23, minutes=45),
            timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999),
        ]
    )
    return st.builds(lambda day, clock: day + clock, day, clock)


def logs(days: int = 3, fewest: int = 1, most: int = 30) -> st.SearchStrategy[list[Event]]:
    """Events in the order of their arrival; the first day is never empty."""
    first = event("2020-01-01T12:00", "purchase", "dee", "lid", 0.1, brand="b")
    return st.lists(
        st.builds(
            event,
            moments(days),
            st.sampled_from([*KINDS, "purchase", "purchase"]),
            st.sampled_from(["ann", "bob", "cid", "dee"]),
            st.sampled_from(["cup", "pan", "lid"]),
            PRICES,
            source=st.sampled_from(["stream", "batch"]),
            category_id=WORDS,
            category_code=WORDS,
            brand=WORDS,
        ),
        min_size=fewest,
        max_size=most,
    ).map(lambda events: [*events, first])
