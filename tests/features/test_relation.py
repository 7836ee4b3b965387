"""Relations and their contracts: what the SQL gives is what the contract says, or nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import ErrorLevel, exp

from features.log import PARAMS, TABLES, Log, event
from progrec import warehouse
from progrec.errors import InputError
from progrec.features import tables
from progrec.features.relation import EXAMPLES, CheckError, Relation

PACKAGE = PARAMS.parent / "src/progrec"
SQL = sorted((PACKAGE / "features/sql").glob("*.sql"))
# The state that enrichment carries is no table.
RELATIONS = [*TABLES, "targets"]
STATE = "spending"

# What relations read beside each other.
CONSTANTS = {
    "catalogue": "select 'pan' as product_id, '9' as category_id, "
    "cast(null as varchar) as category_code, 'acme' as brand",
    "session": "select 30 as gap_minutes",
    "target_window": "select timestamp '2020-01-01' as first_day, "
    "timestamp '2020-02-01' as end_day",
    "weights": "select cast(1 as double) as purchase, cast(0.2 as double) as click, "
    "cast(0.1 as double) as view, cast(0 as double) as cart, cast(0 as double) as remove_from_cart",
    "spending": "select cast(null as varchar) as user_id, cast(null as timestamp) as last_time, "
    "cast(null as bigint) as purchases, cast(null as bigint) as priced, "
    "cast(null as decimal(38, 6)) as spent, cast(null as bigint) as last_purchases, "
    "cast(null as bigint) as last_priced, cast(null as decimal(38, 6)) as last_spent limit 0",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Every relation, made of one small log, and what it reads."""
    log = Log(tmp_path_factory.mktemp("shop"))
    log.write(
        event("2020-01-01T10:00", "view", "ann", "cup", 5.0, brand="b", category_code="a.b"),
        event("2020-01-01T10:01", "cart", "ann", "cup", 5.0),
        event("2020-01-01T10:02", "purchase", "ann", "cup", 5.0),
        event("2020-01-02T10:00", "purchase", "ann", "pan"),
        event("2020-01-03T10:00", "click", "ann", "pan"),
        event("2020-01-03T10:00", "view", "bob", "lid"),
        event("2020-01-03T10:01", "remove_from_cart", "bob", "cup"),
    )
    files = sorted((log.folder / "events/history").glob("*/*.parquet"))
    with warehouse.connect() as connection:
        connection.execute(f"create table events as {tables.rows(files)}")
        for name, rows in CONSTANTS.items():
            connection.execute(f"create table {name} as {rows}")
        for name in RELATIONS:
            relation = Relation.named(name)
            for table in relation.contract.reads.earlier:
                connection.execute(f"create table earlier_{table} as {relation.none}")
            relation.create(connection)
            if name == "enriched":
                connection.execute("alter table enriched add column position bigint")
                connection.execute("update enriched set position = rowid")
        connection.execute("alter table enriched drop column position")
        yield connection


@pytest.fixture
def broken(shop: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same, to be broken: whatever a test does to it is undone."""
    shop.execute("begin")
    yield shop
    shop.execute("rollback")


def failure(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    with pytest.raises(CheckError) as caught:
        Relation.named(name).check(connection)
    return str(caught.value)


# Contracts


def test_every_relation_has_a_contract_and_is_one_that_a_stage_makes() -> None:
    assert {file.stem for file in SQL} == {*RELATIONS, STATE}
    assert {file.stem for file in SQL[0].parent.glob("*.toml")} == set(RELATIONS)


def test_the_files_of_relations_are_part_of_the_package() -> None:
    project = tomllib.loads((PARAMS.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["progrec"]
    files = [file for file in SQL[0].parent.iterdir() if file.is_file()]
    assert [
        file.name
        for file in files
        if not any(fnmatch(str(file.relative_to(PACKAGE)), pattern) for pattern in patterns)
    ] == []


@pytest.mark.parametrize("name", RELATIONS)
def test_the_columns_of_the_contract_are_those_of_the_sql_in_their_order(
    shop: duckdb.DuckDBPyConnection, name: str
) -> None:
    described = shop.execute(f"describe {name}").fetchall()
    columns = [(column, kind.lower()) for column, kind, *_ in described]
    assert columns == list(Relation.named(name).contract.columns.items())


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_without_rows_has_its_columns(
    shop: duckdb.DuckDBPyConnection, name: str
) -> None:
    none = shop.execute(f"describe {Relation.named(name).none}").fetchall()
    assert [row[:2] for row in none] == [
        row[:2] for row in shop.execute(f"describe {name}").fetchall()
    ]


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_keeps_its_contract(shop: duckdb.DuckDBPyConnection, name: str) -> None:
    Relation.named(name).check(shop)


def test_a_failed_check_is_an_input_error() -> None:
    assert issubclass(CheckError, InputError)


# Each check, on a table made to break it


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize(
    "change",
    [
        "alter table {name} add column another integer",
        "alter table {name} drop column {column}",
        "alter table {name} rename column {column} to another",
        "alter table {name} alter column {column} type blob using cast({column} as blob)",
    ],
    ids=["another", "one less", "another name", "another type"],
)
def test_other_columns_fail(broken: duckdb.DuckDBPyConnection, name: str, change: str) -> None:
    # The sets of history's keys are of text: that is one that a blob can be made of.
    column = next(c for c, kind in Relation.named(name).contract.columns.items() if "char" in kind)
    broken.execute(change.format(name=name, column=column))
    assert failure(broken, name).startswith(f"{name}: its columns are ")


NEVER_NULL = [
    (name, column)
    for name in RELATIONS
    for column in Relation.named(name).contract.columns
    if column not in Relation.named(name).contract.checks.nullable
]


@pytest.mark.parametrize(("name", "column"), NEVER_NULL)
def test_a_null_fails(broken: duckdb.DuckDBPyConnection, name: str, column: str) -> None:
    broken.execute(f"update {name} set {column} = null where rowid = 0")
    message = failure(broken, name)
    assert message.startswith(f"{name}: check '{column} is there' failed: 1 rows\n  ")
    assert f"{column}=None" in message


def test_every_nullable_column_is_one_of_the_relation() -> None:
    for name in RELATIONS:
        contract = Relation.named(name).contract
        assert {*contract.checks.nullable, *contract.checks.key} <= set(contract.columns), name


@pytest.mark.parametrize("name", [n for n in RELATIONS if Relation.named(n).contract.checks.key])
def test_a_key_that_is_there_twice_fails(broken: duckdb.DuckDBPyConnection, name: str) -> None:
    key = ", ".join(Relation.named(name).contract.checks.key)
    values = broken.execute(f"select {key} from {name} limit 1").fetchall()[0]
    broken.execute(f"insert into {name} from {name} limit 1")

    message = failure(broken, name)

    assert message.startswith(f"{name}: check '{key} is unique' failed: 1 rows too many\n  ")
    shown = zip(key.split(", "), values, strict=True)
    assert ", ".join(f"{column}={value}" for column, value in shown) + ", rows=2" in message


# relation, check -> what breaks it in one row
ROWS = {
    ("enriched", "purchases are not negative"): ["past_purchases = -1, avg_purchase_amount = null"],
    ("enriched", "an average is of purchases"): ["past_purchases = 0, avg_purchase_amount = 1"],
    ("sessions", "session ids count from 0"): ["session_id = -1"],
    ("sessions", "a session has an event"): [
        "num_clicks = 0, num_views = 0, num_carts = 0, num_removes = 0, num_purchases = 0"
    ],
    ("sessions", "lengths are not negative"): ["session_length = -1", "session_length = -1e-6"],
    ("sessions", "a gap is not longer than its session"): [
        "avg_time_gap = session_length + 1e-6",
        "avg_time_gap = -1e-6",
    ],
    ("user_profiles", "a user has a session"): ["total_sessions = 0"],
    ("user_profiles", "means are not negative"): [
        "avg_clicks_per_session = -0.1",
        "avg_views_per_session = -0.1",
        "avg_session_length = -0.1",
        "avg_time_gap = -0.1",
    ],
    ("user_item_matrix", "counts are not negative"): [
        f"{column} = -1"
        for column in ("purchase_count", "num_clicks", "num_views", "num_carts", "num_removes")
    ],
    ("user_item_matrix", "money is spent on purchases"): ["total_spent = 1, purchase_count = 0"],
    ("user_features", "counts are not negative"): [
        f"{column} = -1" for column in ("views", "clicks", "carts", "removes")
    ],
    ("user_features", "purchases may lack an amount"): [
        "priced_purchases = total_purchases + 1",
        "priced_purchases = -1",
    ],
    ("user_features", "money is spent on purchases"): ["total_spent = 1, priced_purchases = 0"],
    ("item_features", "counts are not negative"): ["views = -1", "carts = -1"],
    ("item_features", "sales may lack an amount"): [
        "priced_sales = total_sales + 1",
        "priced_sales = -1",
    ],
    ("item_features", "a rate is not negative"): ["cart_to_purchase_rate = -0.1"],
}
# relation, check -> the same for a total
TOTALS = {
    ("purchases", "every purchase has its row"): "delete from purchases where rowid = 0",
    ("enriched", "every event has its row"): "delete from enriched where rowid = 0",
    ("sessions", "every event is in one session"): "update sessions set num_views = num_views + 1",
    ("user_profiles", "every session counts"): "update user_profiles set total_sessions = 9",
    ("user_item_matrix", "every event counts once"): "update user_item_matrix set num_views = 9",
    ("user_features", "every purchase counts"): "update user_features set total_purchases = 9",
    ("user_features", "every user is there"): "delete from user_features where user_id = 'bob'",
    ("item_features", "every purchase counts"): "update item_features set total_sales = 9",
    ("item_features", "every item is there"): "delete from item_features where item_id = 'lid'",
}


def test_every_check_is_broken_by_a_test() -> None:
    checks = {name: Relation.named(name).contract.checks for name in RELATIONS}
    assert {(name, check) for name in RELATIONS for check in checks[name].rows} == set(ROWS)
    assert {(name, check) for name in RELATIONS for check in checks[name].totals} == set(TOTALS)


@pytest.mark.parametrize(
    ("name", "check", "change"),
    [(*which, change) for which, changes in ROWS.items() for change in changes],
)
def test_a_row_that_breaks_a_condition_fails(
    broken: duckdb.DuckDBPyConnection, name: str, check: str, change: str
) -> None:
    broken.execute(f"update {name} set {change} where rowid = 0")
    message = failure(broken, name)
    assert message.startswith(f"{name}: check '{check}' failed: 1 rows\n  ")
    columns = [part.split("=")[0] for part in message.splitlines()[1].strip().split(", ")]
    assert columns == list(Relation.named(name).contract.columns)


@pytest.mark.parametrize(("name", "check"), TOTALS)
def test_a_total_that_does_not_agree_fails(
    broken: duckdb.DuckDBPyConnection, name: str, check: str
) -> None:
    broken.execute(TOTALS[name, check])
    assert failure(broken, name).startswith(f"{name}: check '{check}' failed: ")


def test_a_message_shows_few_rows_however_many_fail(broken: duckdb.DuckDBPyConnection) -> None:
    broken.execute("insert into enriched select enriched.* from enriched, range(9)")
    broken.execute("update enriched set past_purchases = -1, avg_purchase_amount = null")
    first, *examples = failure(broken, "enriched").splitlines()
    assert first == "enriched: check 'purchases are not negative' failed: 70 rows"
    assert len(examples) == EXAMPLES


def test_a_failed_check_leaves_the_old_table_as_it_was(log: Log) -> None:
    log.write(event("2020-01-01T10:00", "view"))
    log.make("enriched", "sessions")
    before = log.digests()
    log.write(event("2020-01-01T10:00", "refund"))
    log.make("enriched")

    with pytest.raises(InputError, match="a session has an event") as caught:
        log.make("sessions")

    assert "user_id=u, session_id=0, num_clicks=0" in str(caught.value)
    whole = "history/sessions.parquet"
    assert log.digests()[whole] == before[whole]
    assert sorted(path.name for path in log.history.folder.iterdir()) == [
        "enriched",
        "sessions.parquet",
    ]


# Another engine


@pytest.mark.parametrize("file", SQL, ids=lambda file: file.stem)
def test_a_relation_is_spark_sql_too(file: Path) -> None:
    strict = {"unsupported_level": ErrorLevel.RAISE}
    (query,) = sqlglot.transpile(file.read_text(), read="duckdb", write="spark", **strict)

    tree = sqlglot.parse_one(query, read="spark", error_level=ErrorLevel.RAISE)

    # A function that sqlglot does not know is passed on as it stands.
    assert [call.sql() for call in tree.find_all(exp.Anonymous)] == []
