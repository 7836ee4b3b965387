"""One raw file: what its columns mean, and its rows as text."""

from __future__ import annotations

import csv
import difflib
import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from progrec.errors import InputError
from progrec.warehouse import named, quoted

SUFFIXES = (".csv", ".csv.gz", ".parquet")

# A line is a row: what a broken line holds can then be shown, and nothing after it is swallowed.
# Reading whole lines and splitting them is also faster than a full CSV parser.
_LINES = r"auto_detect = false, header = false, delim = '\x01', quote = '', escape = ''"
_QUOTED_FIELDS = """regexp_extract_all(content || ',', '("(?:[^"]|"")*"|[^",]*),', 1)"""


@dataclass(frozen=True)
class Source:
    """A raw file whose header has been understood.

    Attributes:
        path: the file: CSV, gzipped CSV or Parquet.
        header: its columns, as they are called there, in order.
        columns: canonical name -> the name in this file.
        ignored: columns of the file that nothing is known about.
    """

    path: Path
    header: tuple[str, ...]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]

    @property
    def is_parquet(self) -> bool:
        """Whether the file is Parquet; else it is CSV."""
        return self.path.suffix == ".parquet"


def find(folder: Path) -> list[Path]:
    """The raw files of a folder, by name; none if there is no such folder.

    Raises:
        InputError: a file there is of a kind that cannot be read.
    """
    files = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    for path in files:
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"{path}: cannot be read; use {', '.join(SUFFIXES)} or move it away")
    return files


def understand(
    path: Path, known: Iterable[str], required: Iterable[str], aliases: Mapping[str, str]
) -> Source:
    """Reads a file's header.

    Args:
        path: the file.
        known: the canonical columns that are of use.
        required: those that must be there.
        aliases: other names of canonical columns.

    Raises:
        InputError: the file is empty, damaged, has no header, lacks a required column, or has two
            columns of one meaning.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; export it again or remove it")
    header = _parquet_header(path) if path.suffix == ".parquet" else _csv_header(path)
    known = tuple(known)
    columns: dict[str, str] = {}
    for name in header:
        canonical = aliases.get(name.strip().lower(), name.strip().lower())
        if canonical in columns:
            raise InputError(
                f"{path}: columns {columns[canonical]!r} and {name!r} both mean {canonical}; "
                "remove one, or its alias in params.yaml (ingest.column_aliases)"
            )
        if canonical in known:
            columns[canonical] = name
    _require(path, header, columns, tuple(required))
    return Source(
        path, header, columns, tuple(name for name in header if name not in columns.values())
    )


def rows(connection: duckdb.DuckDBPyConnection, source: Source, columns: Iterable[str]) -> str:
    """SQL of a file's rows.

    Its columns: `line` (in the file, counted from 1; in Parquet the row), `content` (the row as it
    stands there), `problem` (why it has no fields, else NULL), and the given canonical columns as
    trimmed text, NULL where they are empty or absent.
    """
    if source.is_parquet:
        return _parquet_rows(connection, source, columns)
    return _csv_rows(source, columns)


def _csv_rows(source: Source, columns: Iterable[str]) -> str:
    width = len(source.header)
    fields = ", ".join(_csv_field(source, column) for column in columns)
    return f"""
        with lines as (
            select row_number() over () as line, content
            from read_csv({quoted(source.path)}, {_LINES}, columns = {{content: 'VARCHAR'}})
        ),
        split as (
            select
                line,
                content,
                contains(content, '"') as is_quoted,
                case when is_quoted then {_QUOTED_FIELDS} else string_split(content, ',') end
                    as fields
            from lines
            where line > 1 and content is not null
        )
        select
            line,
            content,
            case
                when is_quoted and length(array_to_string(fields, ',')) <> length(content)
                    then 'its quotes do not match'
                when len(fields) <> {width}
                    then 'it has ' || len(fields) || ' fields, the header {width}'
            end as problem,
            {fields}
        from split
    """


def _csv_field(source: Source, column: str) -> str:
    if column not in source.columns:
        return f"cast(null as varchar) as {column}"
    field = f"fields[{source.header.index(source.columns[column]) + 1}]"
    unquoted = f"""replace({field}[2:-2], '""', '"')"""
    value = f"""case when is_quoted and {field}[1] = '"' then {unquoted} else {field} end"""
    return rf"nullif(trim({value}, e' \t\r'), '') as {column}"


def _parquet_rows(
    connection: duckdb.DuckDBPyConnection, source: Source, columns: Iterable[str]
) -> str:
    fields = ", ".join(_parquet_field(connection, source, column) for column in columns)
    return f"""
        select
            file_row_number + 1 as line,
            cast(to_json(rows) as varchar) as content,
            cast(null as varchar) as problem,
            {fields}
        from read_parquet({quoted(source.path)}, file_row_number = true) as rows
    """


def _parquet_field(connection: duckdb.DuckDBPyConnection, source: Source, column: str) -> str:
    if column not in source.columns:
        return f"cast(null as varchar) as {column}"
    name = named(source.columns[column])
    if _is_fractional(connection, source, source.columns[column]):
        # An id column with gaps is a float in pandas: 17850.0 is the id 17850.
        is_whole = f"{name} = floor({name}) and abs({name}) < 1e18"
        name = f"case when {is_whole} then cast(cast({name} as bigint) as varchar) else {name} end"
    return f"nullif(trim(cast({name} as varchar)), '') as {column}"


def _is_fractional(connection: duckdb.DuckDBPyConnection, source: Source, name: str) -> bool:
    types = connection.execute(
        f"select name, column_type from (describe select * from {quoted(source.path)}) "
        "as described(name, column_type)"
    ).fetchall()
    return {row[0]: row[1] for row in types}[name] in {"DOUBLE", "FLOAT"}


def _csv_header(path: Path) -> tuple[str, ...]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return tuple(next(csv.reader(file), ()))
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as error:
        raise InputError(f"{path}: is damaged ({error}); export it again") from None


def _parquet_header(path: Path) -> tuple[str, ...]:
    try:
        return tuple(duckdb.connect().execute("from read_parquet(?)", [str(path)]).df().columns)
    except duckdb.Error as error:
        raise InputError(f"{path}: is damaged ({error}); export it again") from None


def _require(
    path: Path, header: tuple[str, ...], found: Mapping[str, str], required: tuple[str, ...]
) -> None:
    missing = [name for name in required if name not in found]
    if not missing:
        return
    if len(missing) == len(required):
        raise InputError(
            f"{path}: has no header; its first line is {','.join(header)!r}, "
            f"where columns such as {','.join(required)} are expected"
        )
    raise InputError(
        f"{path}: has no column {', '.join(missing)} (it has {', '.join(header)})"
        f"{_hint(missing[0], header)}"
    )


def _hint(name: str, header: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, header, n=1)
    if not near:
        return "; if it goes by another name, add that to ingest.column_aliases in params.yaml"
    return f"; if {near[0]} is meant, add '{near[0]}: {name}' to ingest.column_aliases"
