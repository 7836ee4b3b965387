"""One raw file: what its columns mean, and its rows as text."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from progrec.errors import InputError
from progrec.warehouse import named, quoted

SUFFIXES = (".csv", ".csv.gz", ".parquet")

LONGEST_LINE = 2_000_000  # bytes

# A line is a row: what a broken line holds can then be shown, and nothing after it is swallowed.
# Reading whole lines and splitting them is also faster than a full CSV parser. The delimiter is a
# character that Unicode promises never to use. The one line that is skipped is the header.
_LINES = (
    "auto_detect = false, header = false, skip = 1, delim = '\U0010ffff', quote = '', "
    f"escape = '', hive_partitioning = false, max_line_size = {LONGEST_LINE}, "
    "columns = {content: 'varchar'}"
)
_QUOTED_FIELDS = """regexp_extract_all(content || ',', '("(?:[^"]|"")*"|[^",]*),', 1)"""
# Whether a field may have to be unquoted or trimmed: that costs more than all the rest, few lines
# need it, and a search for each sign is cheaper than a pattern for all.
_IS_PLAIN = """not (
    contains(content, '"')
    or contains(content, ', ') or contains(content, ' ,') or contains(content, e'\t')
    or starts_with(content, ' ') or ends_with(content, ' ')
)"""


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

    @property
    def first_line(self) -> int:
        """The line of the first row: the header of a CSV file is its line 1."""
        return 1 if self.is_parquet else 2


def find(folder: Path) -> list[Path]:
    """The raw files of a folder, by name; none if there is no such folder.

    Raises:
        InputError: a file there is of a kind that cannot be read.
    """
    files = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    for path in files:
        if not path.is_file() or not path.name.endswith(SUFFIXES):
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
    meanings = {alias.strip().lower(): name for alias, name in aliases.items()}
    columns: dict[str, str] = {}
    for name in header:
        plain = name.strip().lower()
        canonical = meanings.get(plain, plain)
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


def rows(source: Source, columns: Iterable[str]) -> str:
    """SQL of a file's rows, in their order.

    Its columns: `content` (the row as it stands there), `problem` (why it has no fields, else
    NULL), and the given canonical columns as trimmed text, NULL where they are empty or absent. A
    blank line is a row of NULLs.

    No row is numbered, for that would leave all the work to one thread. In the table that the rows
    are put into they keep their order: their lines follow from `first_line` and `rowid`.
    """
    return _parquet_rows(source, columns) if source.is_parquet else _csv_rows(source, columns)


def damage(path: Path) -> str | None:
    """What makes a CSV file unreadable and what to do, found by reading it once more.

    Returns:
        None if it reads well, or is Parquet: the reader's own error must do then.
    """
    if path.suffix == ".parquet":
        return None
    number, first = 0, ""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                line.decode()
                first = first or _end(line)
                if _end(line) not in (first, ""):
                    return (
                        f"line {number} has {_end(line)} where the lines before have {first}; "
                        "make all ends of lines alike, such as: tr -d '\\r'"
                    )
                if len(line) > LONGEST_LINE:
                    return f"line {number} is longer than {LONGEST_LINE:,} bytes; take it out"
    except UnicodeDecodeError:
        return f"line {number} is not UTF-8; convert the file, such as with iconv"
    except (OSError, EOFError, zlib.error) as error:
        return f"line {number + 1} cannot be read ({error}); export the file again"
    return None


def _end(line: bytes) -> str:
    """What ends a line, or stands in it as if it did."""
    if line.count(b"\r") != line.endswith(b"\r\n"):
        return "CR"
    if line.endswith(b"\r\n"):
        return "CR LF"
    return "LF" if line.endswith(b"\n") else ""


def _csv_rows(source: Source, columns: Iterable[str]) -> str:
    width = len(source.header)
    fields = ", ".join(_csv_field(source, column) for column in columns)
    return f"""
        with split as (
            select
                content,
                contains(content, '"') as is_quoted,
                {_IS_PLAIN} as is_plain,
                case when is_quoted then {_QUOTED_FIELDS} else string_split(content, ',') end
                    as fields
            from read_csv({quoted(source.path)}, {_LINES})
        )
        select
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
    value = f"""case when {field}[1] = '"' then {unquoted} else {field} end"""
    text = f"case when is_plain then {field} else {_trimmed(value)} end"
    return f"nullif({text}, '') as {column}"


def _parquet_rows(source: Source, columns: Iterable[str]) -> str:
    schema = pq.read_schema(source.path)
    fields = ", ".join(_parquet_field(schema, source, column) for column in columns)
    whole = ", ".join(f"{named(name)} := {named(name)}" for name in source.header)
    return f"""
        select
            cast(to_json(struct_pack({whole})) as varchar) as content,
            cast(null as varchar) as problem,
            {fields}
        from read_parquet({quoted(source.path)}, hive_partitioning = false)
    """


def _parquet_field(schema: pa.Schema, source: Source, column: str) -> str:
    if column not in source.columns:
        return f"cast(null as varchar) as {column}"
    name = named(source.columns[column])
    value = f"cast({name} as varchar)"
    if column != "price" and pa.types.is_floating(schema.field(source.columns[column]).type):
        # An id column with gaps is a float in pandas: 17850.0 is the id 17850, NaN the gap.
        value = f"""
            case
                when isnan({name}) then null
                when {name} = floor({name}) and abs({name}) < 1e18
                    then cast(cast({name} as bigint) as varchar)
                else {value}
            end
        """
    return f"nullif({_trimmed(value)}, '') as {column}"


def _trimmed(text: str) -> str:
    return rf"trim({text}, e' \t\r\n')"


def _csv_header(path: Path) -> tuple[str, ...]:
    try:
        with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="") as file:
            line = file.readline(LONGEST_LINE).rstrip("\r\n")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: {damage(path) or error}") from None
    return tuple(next(csv.reader([line], skipinitialspace=True), ()))


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _parquet_header(path: Path) -> tuple[str, ...]:
    try:
        return tuple(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: is damaged ({error}); export it again") from None


def _require(
    path: Path, header: tuple[str, ...], found: Mapping[str, str], required: tuple[str, ...]
) -> None:
    missing = [name for name in required if name not in found]
    if not missing:
        return
    if not found:
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


@contextmanager
def readable(file: Source) -> Iterator[None]:
    """Turns what goes wrong while a file is read into an InputError that names it."""
    try:
        yield
    except duckdb.Error as error:
        reason = damage(file.path) or f"cannot be read ({str(error).splitlines()[0]})"
        raise InputError(f"{file.path}: {reason}") from None
