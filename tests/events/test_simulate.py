from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import simulate as simulator
from progrec.events.schema import REES46
from progrec.events.simulate import simulate

SMALL = {"users": 1000, "products": 300, "events": 60_000, "days": 150, "seed": 0}
TINY = {"users": 40, "products": 20, "events": 1000, "days": 40, "seed": 0}
KINDS = ["view", "cart", "remove_from_cart", "purchase"]


def files(out: Path, start: date = date(2019, 10, 1)) -> list[Path]:
    """The log's files in the order of their months."""
    months = (start.replace(day=1) + timedelta(31 * n) for n in range(12))
    paths = (out / "events" / f"{month.strftime('%Y-%b')}.csv" for month in months)
    return [path for path in paths if path.exists()]


def digest(out: Path) -> str:
    return hashlib.md5(b"".join(path.read_bytes() for path in files(out))).hexdigest()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "data"
    simulate(out, **SMALL)
    return out


@pytest.fixture(scope="module")
def rows(small: Path) -> list[list[str]]:
    lines = [line for path in files(small) for line in path.read_text().splitlines()[1:]]
    return [line.split(",") for line in lines]


def well_formed(rows: list[list[str]]) -> Iterator[list[str]]:
    for row in rows:
        fields = dict(zip(REES46, row, strict=False))
        if (
            len(row) == len(REES46)
            and fields["event_type"] in KINDS
            and re.fullmatch(r"20\d\d-[01]\d-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d UTC", row[0])
            and fields["user_id"]
            and re.fullmatch(r"-?\d+\.\d\d", fields["price"])
        ):
            yield row


@pytest.fixture(scope="module")
def events(rows: list[list[str]]) -> pd.DataFrame:
    """The well-formed events, once each."""
    table = pd.DataFrame(well_formed(rows), columns=list(REES46)).drop_duplicates()
    table["time"] = pd.to_datetime(table["event_time"].str.removesuffix(" UTC"))
    table["day"] = (table["time"] - pd.Timestamp("2019-10-01")).dt.days
    return table


def test_the_bytes_are_the_same_on_every_machine(small: Path) -> None:
    assert digest(small) == "472574fb7ff7b8acc3bcdfe0da2a6864"


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    simulate(tmp_path / "first", **TINY)
    simulate(tmp_path / "again", **TINY)
    simulate(tmp_path / "other", **TINY | {"seed": 1})
    assert digest(tmp_path / "first") == digest(tmp_path / "again")
    assert digest(tmp_path / "first") != digest(tmp_path / "other")


def test_a_file_a_month_with_the_header_of_rees46(small: Path) -> None:
    names = ["2019-Oct.csv", "2019-Nov.csv", "2019-Dec.csv", "2020-Jan.csv", "2020-Feb.csv"]
    assert [path.name for path in files(small)] == names
    assert sorted(names) == sorted(path.name for path in (small / "events").iterdir())
    for path in files(small):
        content = path.read_bytes()
        assert content.startswith(",".join(REES46).encode() + b"\n")
        assert content.endswith(b"\n")
        assert b"\r" not in content


def test_a_log_may_start_on_any_day(tmp_path: Path) -> None:
    simulate(tmp_path / "data", **TINY, start=date(2023, 12, 31))
    logs = files(tmp_path / "data", date(2023, 12, 31))
    assert [path.name for path in logs] == ["2023-Dec.csv", "2024-Jan.csv", "2024-Feb.csv"]
    assert logs[0].read_text().splitlines()[1].startswith("2023-12-31 ")


def test_rows_have_the_form_of_rees46(events: pd.DataFrame) -> None:
    assert events["product_id"].str.fullmatch(r"\d{7}").all()
    assert events["category_id"].str.fullmatch(r"\d{19}").all()
    assert events["user_id"].str.fullmatch(r"\d{9}").all()
    assert events["user_session"].str.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").all()
    assert (events["category_code"] == "").mean() > 0.8
    assert 0.2 < (events["brand"] == "").mean() < 0.5
    assert 0 < (events["price"].astype(float) <= 0).mean() < 0.01


def test_rows_are_ordered_by_time_and_stand_in_their_month(
    small: Path, events: pd.DataFrame
) -> None:
    assert events["time"].is_monotonic_increasing
    months = ("2019-10", "2019-11", "2019-12", "2020-01", "2020-02")
    for path, month in zip(files(small), months, strict=True):
        lines = path.read_text().splitlines()[1:]
        strays = [line for line in lines if not line.startswith((month, "2019-13-45"))]
        assert not strays


def test_a_session_is_one_shoppers_on_one_day(events: pd.DataFrame) -> None:
    sessions = events.groupby("user_session")
    assert (sessions["user_id"].nunique() == 1).all()
    assert (sessions["day"].nunique() == 1).all()


def test_counts_and_proportions_are_as_asked_for(
    rows: list[list[str]], events: pd.DataFrame
) -> None:
    assert len(rows) == SMALL["events"]
    share = events["event_type"].value_counts(normalize=True)
    assert share[KINDS].tolist() == pytest.approx([0.47, 0.28, 0.19, 0.06], abs=0.005)
    assert events["user_id"].nunique() >= 0.99 * SMALL["users"]
    assert events["product_id"].nunique() >= 0.95 * SMALL["products"]


def test_a_few_rows_are_repeated_and_a_few_malformed(rows: list[list[str]]) -> None:
    copies = sum(row == before for before, row in pairwise(rows))
    assert copies == pytest.approx(SMALL["events"] / 500, rel=0.1)
    assert len(rows) - len(list(well_formed(rows))) == 5


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_type", "wishlist"),
        ("event_time", "2019-13-45 99:00:00 UTC"),
        ("user_id", ""),
        ("price", "nan"),
        ("price", "inf"),
    ],
)
def test_malformed_rows_are_of_several_kinds(
    rows: list[list[str]], column: str, value: str
) -> None:
    assert value in {row[REES46.index(column)] for row in rows if len(row) == len(REES46)}


def test_some_malformed_rows_are_cut_short(tmp_path: Path) -> None:
    simulate(tmp_path / "data", **SMALL | {"events": 120_000, "days": 2})
    lines = files(tmp_path / "data")[0].read_text().splitlines()
    assert sum(line.count(",") == 3 for line in lines) == 1


def test_half_of_the_shoppers_come_once_and_a_few_very_often(events: pd.DataFrame) -> None:
    visits = events.groupby("user_id")["user_session"].nunique()
    assert (visits == 1).mean() == pytest.approx(0.5, abs=0.05)
    assert visits.max() > 5 * visits.mean()


def test_what_is_removed_or_bought_was_put_into_the_cart_before(events: pd.DataFrame) -> None:
    in_cart = events["event_type"].eq("cart")
    carted = in_cart.groupby([events["user_session"], events["product_id"]]).cummax()
    ends = events["event_type"].isin(["remove_from_cart", "purchase"])
    assert carted[ends].mean() > 0.999  # but for a malformed row's


def test_shoppers_return_for_what_they_saw_and_seldom_buy_it_twice(events: pd.DataFrame) -> None:
    pairs = events.groupby(["user_id", "product_id"])
    bought = events[events["event_type"] == "purchase"]
    seen_before = bought["day"] > pairs["day"].transform("min")[bought.index]
    assert seen_before.mean() > 0.3
    assert bought.duplicated(["user_id", "product_id"]).mean() < 0.15


def test_products_and_shoppers_appear_over_time(events: pd.DataFrame) -> None:
    for column, share in (("product_id", 0.1), ("user_id", 0.3)):
        first = events.groupby(column)["day"].min()
        assert (first >= 30).mean() > share
        assert (first >= 120).any()
    arrivals = events.groupby("user_id")["day"].min()
    assert arrivals.nunique() > 140


def test_a_few_products_are_very_popular(events: pd.DataFrame) -> None:
    count = events["product_id"].value_counts()
    assert count.iloc[: len(count) // 10].sum() > 0.25 * count.sum()


def test_tastes_drift_in_the_last_month(events: pd.DataFrame) -> None:
    by_month = pd.crosstab(events["product_id"], events["day"] // 30)
    correlation = by_month.corr()
    assert correlation.loc[3, 2] > 0.85
    assert correlation.loc[4, 3] < correlation.loc[3, 2] - 0.1


def test_many_shoppers_have_other_favourites_in_the_last_month(events: pd.DataFrame) -> None:
    def favourite(first: int, last: int) -> pd.Series:
        part = events[events["day"].between(first, last)]
        return part.groupby("user_id")["category_id"].agg(lambda ids: ids.mode()[0])

    def kept(before: pd.Series, after: pd.Series) -> float:
        both = pd.concat([before, after], axis=1, join="inner")
        return float((both.iloc[:, 0] == both.iloc[:, 1]).mean())

    earlier, later = favourite(60, 89), favourite(90, 119)
    assert kept(earlier, later) > kept(later, favourite(130, 149)) + 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "users is 0; make it at least 1"),
        ({"products": 9}, "products is 9; make it at least 10"),
        ({"days": 1}, "days is 1; make it at least 2"),
        ({"seed": -1}, "seed is -1; make it at least 0"),
        ({"events": 99}, "events is 99; make it at least 100"),
        ({"users": 501}, "events is 1000; make it at least 1002, two for each user"),
    ],
)
def test_an_argument_out_of_its_range_is_named(
    tmp_path: Path, wrong: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        simulate(tmp_path / "data", **TINY | wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "least",
    [
        {"users": 1, "products": 10, "events": 100, "days": 2, "seed": 0},
        {"users": 1, "products": 10, "events": 100, "days": 150, "seed": 0},
        {"users": 500, "products": 10, "events": 1000, "days": 30, "seed": 3},
    ],
)
def test_the_smallest_shops_are_complete(tmp_path: Path, least: dict[str, int]) -> None:
    simulate(tmp_path / "data", **least)
    lines = [line for path in files(tmp_path / "data") for line in path.open()]
    assert len(lines) == least["events"] + len(files(tmp_path / "data"))


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "data"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        simulate(out, **TINY)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "mine.txt"]


def test_a_run_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose, calls = simulator._choose, []

    def fail_later(*args: object) -> object:
        calls.append(args)
        if len(calls) == 20:
            raise OSError("the disk is full")
        return choose(*args)

    monkeypatch.setattr(simulator, "_choose", fail_later)
    with pytest.raises(OSError, match="the disk is full"):
        simulate(tmp_path / "data", **TINY)
    assert not list(tmp_path.iterdir())
