"""The feature stages that are SQL alone: relations over tables that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from progrec import atomic, progress, settings, stage, warehouse
from progrec.errors import InputError
from progrec.features import chain, tables
from progrec.features.relation import Relation
from progrec.features.tables import Tables
from progrec.settings import Settings


@dataclass(frozen=True)
class Inputs:
    """What relations are made of.

    Attributes:
        own: the tables of this side of the cutoff, to which the new ones are added.
        events: the events of this side, where a relation reads them.
        catalogue: the catalogue, where a relation reads it.
        config: the settings.
    """

    own: Tables
    events: Path | None
    catalogue: Path | None
    config: Settings

    def files(self, name: str) -> list[Path]:
        """A table's files on this side.

        Raises:
            InputError: it is not there; one of no days is.
        """
        folder = self._events if name == "events" else self.own.folder / name
        files = sorted(folder.glob("*/*.parquet")) if name == "events" else self.own.files(name)
        if not files and not folder.is_dir():
            raise InputError(f"{folder} does not exist; run the pipeline: `dvc repro`")
        return files

    def catalogue_of(self, relation: Relation) -> list[Path]:
        """The catalogue's file, for a relation that reads it.

        Raises:
            InputError: it reads the catalogue, and no file was named.
        """
        if not relation.contract.reads.catalogue:
            return []
        if self.catalogue is None:
            raise InputError(f"{relation.name} reads the catalogue: name its file with --catalogue")
        return [self.catalogue]

    def days(self, name: str) -> list[date]:
        """The days of the deltas that a table has, in order."""
        if name == "events":
            return tables.days(self._events)
        return self.own.days(name)

    def day(self, name: str, day: date) -> Path:
        """A table's file of one day of the deltas."""
        if name == "events":
            return self._events / f"date={day}" / "events.parquet"
        return self.own.day(name, day)

    @property
    def _events(self) -> Path:
        if self.events is None:
            raise InputError("events are read: name their folder with --events")
        return self.events


def build(name: str, inputs: Inputs) -> int:
    """Makes one relation of whole tables.

    Returns:
        Its rows.

    Raises:
        CheckError: it does not keep its contract.
        InputError: a table that it reads is not there.
    """
    relation = Relation.named(name)
    reads = relation.contract.reads
    catalogue = inputs.catalogue_of(relation)
    with warehouse.connect() as connection:
        _bind_settings(connection, _settings_rows(relation, inputs.config), catalogue)
        for table in (*reads.day, *reads.so_far):
            _bind(connection, table, _rows(table, inputs.files(table)))
        for table in reads.earlier:
            _bind(connection, f"earlier_{table}", Relation.named(table).none)
        relation.create(connection)
        with atomic.replacing(inputs.own.whole(name)) as new:
            return warehouse.write_parquet(connection, f"from {name}", new)


def build_days(name: str, inputs: Inputs, history: Tables) -> dict[date, int]:
    """Makes one relation for each day of the deltas that is new or changed, or follows such a day.

    A day's rows are those that the day touches, as they stand at its end. What went before is read
    from the table itself, history's and the earlier days'.

    Args:
        name: the relation.
        inputs: the tables of the deltas.
        history: the tables of history.

    Returns:
        Rows of the days that were made.

    Raises:
        CheckError: a day does not keep the relation's contract.
        InputError: a table that it reads is not there.
    """
    relation = Relation.named(name)
    reads = relation.contract.reads
    setting_rows = _settings_rows(relation, inputs.config)
    catalogue = inputs.catalogue_of(relation)
    tables_of_day = (reads.touched, *reads.day, *reads.so_far)
    days = inputs.days(reads.touched)
    links = chain.links(
        [chain.code("build", "relation", "tables"), relation.text, *setting_rows.values()],
        [*(file for table in reads.state for file in history.files(table)), *catalogue],
        {day: [inputs.day(table, day) for table in tables_of_day] for day in days},
    )
    stale = chain.stale(inputs.own, name, links)
    if not stale:
        return {}
    made = {}
    with warehouse.connect() as connection:
        _bind_settings(connection, setting_rows, catalogue)
        _load_state(connection, relation, inputs, history, stale)
        for day in progress.steps(stale, f"{name}, day by day"):
            _bind_day(connection, relation, inputs, day)
            relation.create(connection)
            with atomic.replacing(inputs.own.day(name, day)) as new:
                made[day] = warehouse.write_parquet(connection, f"from {name}", new, links[day])
            if name in reads.earlier:
                _update_state(connection, name, name)
    return made


def _settings_rows(relation: Relation, config: Settings) -> dict[str, str]:
    """SQL of the settings that a relation reads."""
    weights = ", ".join(
        f"cast({weight} as double) as {event_type}"
        for event_type, weight in sorted(config.interactions.weights.items())
    )
    end = config.split.cutoff + timedelta(config.split.horizon_days)
    known = {
        "session": f"select cast({config.sessions.gap_minutes} as bigint) as gap_minutes",
        "target_window": (
            f"select timestamp '{config.split.cutoff}' as first_day, timestamp '{end}' as end_day"
        ),
        "weights": f"select {weights}",
    }
    return {name: known[name] for name in relation.contract.reads.settings}


def _bind_settings(
    connection: duckdb.DuckDBPyConnection, setting_rows: dict[str, str], catalogue: list[Path]
) -> None:
    for view, rows in setting_rows.items():
        _bind(connection, view, rows)
    if catalogue:
        _bind(connection, "catalogue", f"from {warehouse.parquet(catalogue)}")


def _load_state(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    inputs: Inputs,
    history: Tables,
    stale: Sequence[date],
) -> None:
    """Reads into memory what was there before the days, as far as any of them touches it."""
    reads = relation.contract.reads
    touched = warehouse.parquet([inputs.day(reads.touched, day) for day in stale])
    for table, columns in (reads.earlier | reads.so_far).items():
        days = [inputs.day(table, day) for day in inputs.days(table) if day < stale[0]]
        key, by = ", ".join(Relation.named(table).contract.checks.key), ", ".join(columns)
        last = f"qualify row_number() over (partition by {key} order by file_index desc) = 1"
        connection.execute(
            f"create table state_{table} as "
            f"select * from {warehouse.parquet([*history.files(table), *days])} "
            f"where ({by}) in (select {by} from {touched}) {last if days else ''}"
        )


def _update_state(connection: duckdb.DuckDBPyConnection, table: str, rows: str) -> None:
    """Puts a day's rows in the place of those with the same key."""
    key = ", ".join(Relation.named(table).contract.checks.key)
    connection.execute(f"delete from state_{table} where ({key}) in (select {key} from {rows})")
    connection.execute(f"insert into state_{table} from {rows}")


def _bind_day(
    connection: duckdb.DuckDBPyConnection, relation: Relation, inputs: Inputs, day: date
) -> None:
    """The relations of one day: its own rows, and what was there before as far as it touches it."""
    reads = relation.contract.reads
    for table in reads.day:
        _bind(connection, table, tables.rows([inputs.day(table, day)]))
    _bind(connection, "touched", f"from {warehouse.parquet([inputs.day(reads.touched, day)])}")
    for table, columns in reads.earlier.items():
        _bind_state(connection, f"earlier_{table}", table, columns)
    for table, columns in reads.so_far.items():
        _update_state(connection, table, warehouse.parquet([inputs.day(table, day)]))
        _bind_state(connection, table, table, columns)


def _bind_state(
    connection: duckdb.DuckDBPyConnection, name: str, table: str, columns: Sequence[str]
) -> None:
    """The rows of a table that stand now, as far as the day touches them.

    It is made once, for the relation and its checks read it several times.
    """
    by = ", ".join(columns)
    connection.execute(
        f"create or replace table {name} as "
        f"from state_{table} where ({by}) in (select {by} from touched)"
    )


def _rows(table: str, files: Sequence[Path]) -> str:
    if files:
        return tables.rows(files)
    return f"select *, cast(null as bigint) as position from ({Relation.named(table).none})"


def _bind(connection: duckdb.DuckDBPyConnection, view: str, rows: str) -> None:
    connection.execute(f"create or replace view {view} as {rows}")


def main(
    names: Annotated[list[str], typer.Argument()],
    out: Annotated[Path, typer.Option()],
    history: Annotated[Path | None, typer.Option()] = None,
    events: Annotated[Path | None, typer.Option()] = None,
    catalogue: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Makes relations: of whole tables, or with --history of each day of the deltas."""
    with stage.running(f"features of {out.name}") as done:
        inputs = Inputs(Tables(out), events, catalogue, settings.load())
        for name in names:
            if history is None:
                done(f"{build(name, inputs):,} rows of {name}")
            else:
                made = build_days(name, inputs, Tables(history))
                done(f"{sum(made.values()):,} rows of {name} in {len(made)} new days")


if __name__ == "__main__":
    typer.run(main)
