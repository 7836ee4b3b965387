"""A relation: one SQL file, and beside it the contract that its rows keep."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import duckdb
from pydantic import Field

from progrec import settings
from progrec.errors import InputError
from progrec.settings import Group
from progrec.warehouse import quoted

EXAMPLES = 5


class CheckError(InputError):
    """Rows do not keep a relation's contract; the message names the check and shows rows."""


class Reads(Group):
    """What a relation reads, by table.

    In history all of them are whole tables, and none is earlier. On a day of the deltas:

    Attributes:
        day: tables of which it reads the day's rows.
        earlier: table -> columns: its rows as they stood before the day, as `earlier_<table>`,
            if the day has rows with the same values in those columns.
        so_far: table -> columns: the same by the end of the day, under the table's own name.
        touched: the table whose rows of the day say which rows are meant.
        settings: groups of settings, each a relation of one row.
        catalogue: whether it reads the catalogue.
    """

    day: tuple[str, ...] = ()
    earlier: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    so_far: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    touched: str = "enriched"
    settings: tuple[str, ...] = ()
    catalogue: bool = False

    @property
    def state(self) -> tuple[str, ...]:
        """The tables that are read as they stood at a moment."""
        return (*self.earlier, *self.so_far)


class Checks(Group):
    """What holds of a relation.

    Attributes:
        key: columns that tell its rows apart; none if rows may be equal.
        nullable: columns that may be NULL.
        rows: check -> SQL condition that holds in each row.
        totals: check -> SQL query of two numbers that are equal.
    """

    key: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()
    rows: dict[str, str] = Field(default_factory=dict)
    totals: dict[str, str] = Field(default_factory=dict)


class Contract(Group):
    """A relation's columns (name -> type), what it reads and what holds of it."""

    columns: dict[str, str]
    reads: Reads = Reads()
    checks: Checks = Checks()


@dataclass(frozen=True)
class Relation:
    """SQL and contract of one table.

    Attributes:
        name: the table's name.
        query: the SQL, in order of the key.
        contract: the contract.
        text: both files, whole.
    """

    name: str
    query: str
    contract: Contract
    text: str

    @classmethod
    @cache
    def named(cls, name: str) -> Relation:
        """The relation of `sql/<name>.sql` and `sql/<name>.toml`."""
        folder = resources.files("progrec.features") / "sql"
        query = (folder / f"{name}.sql").read_text(encoding="utf-8")
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        contract = settings.validate(Contract, tomllib.loads(text), f"{name}.toml")
        return cls(name, query, contract, query + text)

    @property
    def none(self) -> str:
        """SQL of no rows."""
        columns = self.contract.columns.items()
        return f"select {', '.join(f'cast(null as {kind}) as {c}' for c, kind in columns)} limit 0"

    def create(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes the table out of what it reads, which is there under its name, and checks it.

        Raises:
            CheckError: it does not keep its contract.
        """
        connection.execute(f"create or replace table {self.name} as {self.query}")
        self.check(connection)

    def check(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Checks the table of this name.

        Raises:
            CheckError: it does not keep its contract.
        """
        self._check_columns(connection)
        self._check_rows(connection)
        self._check_key(connection)
        self._check_totals(connection)

    def _check_columns(self, connection: duckdb.DuckDBPyConnection) -> None:
        described = connection.execute(f"describe {self.name}").fetchall()
        columns = [(column, kind.lower()) for column, kind, *_ in described]
        if columns != list(self.contract.columns.items()):
            raise CheckError(f"{self.name}: its columns are {columns}, not as its contract says")

    def _check_rows(self, connection: duckdb.DuckDBPyConnection) -> None:
        """All conditions in one pass; only a failure looks for its rows."""
        checks = self.contract.checks
        conditions = {
            f"{column} is there": f"{column} is not null"
            for column in self.contract.columns
            if column not in checks.nullable
        } | checks.rows
        bad = ", ".join(
            f"count(case when ({condition}) is not true then 1 end)"
            for condition in conditions.values()
        )
        counts = connection.execute(f"select {bad} from {self.name}").fetchall()[0]
        for (check, condition), count in zip(conditions.items(), counts, strict=True):
            if count:
                rows = f"select * from {self.name} where ({condition}) is not true"
                self._fail(connection, check, f"{count:,} rows", rows)

    def _check_key(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The key tells rows apart, seen by its hashes: two of them seldom meet by chance."""
        if not self.contract.checks.key:
            return
        key = ", ".join(self.contract.checks.key)
        twice = connection.execute(
            f"select count(*) - count(distinct hash({key})) from {self.name}"
        ).fetchall()[0][0]
        rows = f"select {key}, count(*) as rows from {self.name} group by {key} having count(*) > 1"
        if twice and connection.execute(f"{rows} limit 1").fetchall():
            self._fail(connection, f"{key} is unique", f"{twice:,} rows too many", rows)

    def _check_totals(self, connection: duckdb.DuckDBPyConnection) -> None:
        for check, query in self.contract.checks.totals.items():
            ours, theirs = connection.execute(query).fetchall()[0]
            if (ours or 0) != (theirs or 0):
                self._fail(connection, check, f"{ours} and {theirs}", f"from {self.name}")

    def _fail(
        self, connection: duckdb.DuckDBPyConnection, check: str, what: str, rows: str
    ) -> None:
        result = connection.execute(f"from ({rows}) limit {EXAMPLES}")
        columns = [column for column, *_ in result.description]
        examples = "\n".join(
            "  " + ", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True))
            for row in result.fetchall()
        )
        raise CheckError(f"{self.name}: check {quoted(check)} failed: {what}\n{examples}")
