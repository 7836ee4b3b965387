"""The twin on a log that is worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks import pandas_features

WEIGHTS = {"purchase": 1.0, "click": 0.2, "view": 0.1, "cart": 0.0, "remove_from_cart": 0.0}
GAP_MINUTES = 30

EVENTS = ["event_time", "user_id", "event_type", "product_id", "price", "category_id"]
EVENTS += ["category_code", "brand"]
LOG = [
    # ada: her second event comes after 30 minutes to the second, her fifth after one more.
    ("10:00:00", "ada", "view", "a", 5.0, "1", "old", "x"),
    ("10:30:00", "ada", "cart", "a", 5.0, "1", "new", "z"),
    ("10:30:00", "ada", "purchase", "a", 10.0, "1", None, "y"),
    ("10:30:00", "ada", "view", "b", 5.0, "2", "log", "log"),
    ("11:00:01", "ada", "purchase", "b", None, "2", None, None),
    ("11:00:01", "ada", "purchase", "a", 20.0, "1", None, None),
    ("11:10:00", "ada", "remove_from_cart", "a", 5.0, "1", None, None),
    # bob buys nothing.
    ("11:20:00", "bob", "click", "a", 5.0, "1", None, None),
    ("11:20:30", "bob", "view", "a", 5.0, "1", None, None),
    # cy buys what has no price.
    ("12:00:00", "cy", "purchase", "c", None, "3", None, None),
    ("12:01:00", "cy", "view", "c", 5.0, "4", None, None),
]

CATALOGUE = ["product_id", "category_id", "category_code", "brand", "title"]
PRODUCTS = [("b", "20", None, "shop", "B"), ("unseen", "5", "code", "brand", "title")]

NO = None


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("events")
    days = {"2020-01-01": LOG[:7], "2020-01-02": LOG[7:]}
    for day, rows in days.items():
        log = pd.DataFrame(rows, columns=EVENTS).assign(source="stream")
        log["event_time"] = pd.to_datetime("2020-01-01 " + log["event_time"]).astype(
            "datetime64[us]"
        )
        for column in ("category_id", "category_code", "brand"):
            log[column] = log[column].astype("str")
        path = folder / f"history/date={day}/events.parquet"
        path.parent.mkdir(parents=True)
        log.to_parquet(path, index=False)
    catalogue = folder / "catalogue.parquet"
    pd.DataFrame(PRODUCTS, columns=CATALOGUE).to_parquet(catalogue, index=False)
    return pandas_features.compute(folder / "history", catalogue, WEIGHTS, GAP_MINUTES)


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    """Values as plain Python has them: None where there is none, a time as its clock."""
    plain = table[list(columns) or list(table.columns)]
    return [tuple(_plain(value) for value in row) for row in plain.itertuples(index=False)]


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.time().isoformat()
    return None if pd.isna(value) else value


def test_purchases_keep_their_order_and_unknown_amounts(tables: dict[str, pd.DataFrame]) -> None:
    assert list(tables["purchases"].columns) == [
        "user_id",
        "item_id",
        "purchase_amount",
        "purchase_date",
    ]
    assert rows(tables["purchases"]) == [
        ("ada", "a", 10.0, "10:30:00"),
        ("ada", "b", NO, "11:00:01"),
        ("ada", "a", 20.0, "11:00:01"),
        ("cy", "c", NO, "12:00:00"),
    ]


def test_an_event_knows_the_purchases_strictly_before_it(tables: dict[str, pd.DataFrame]) -> None:
    enriched = tables["enriched"]
    assert rows(enriched, "user_id", "event_type", "avg_purchase_amount", "past_purchases") == [
        ("ada", "view", NO, 0),
        ("ada", "cart", NO, 0),
        ("ada", "purchase", NO, 0),
        ("ada", "view", NO, 0),  # at the moment of the purchase
        ("ada", "purchase", 10.0, 1),
        ("ada", "purchase", 10.0, 1),  # at the moment of another
        ("ada", "remove_from_cart", 15.0, 3),  # one of the three has no price
        ("bob", "click", NO, 0),
        ("bob", "view", NO, 0),
        ("cy", "purchase", NO, 0),
        ("cy", "view", NO, 1),
    ]
    assert list(enriched["event_time"]) == sorted(enriched["event_time"])
    assert set(enriched["source"]) == {"stream"}


def test_only_a_longer_pause_opens_a_session(tables: dict[str, pd.DataFrame]) -> None:
    sessions = tables["sessions"]
    counts = ("num_clicks", "num_views", "num_carts", "num_removes", "num_purchases")
    assert rows(sessions, "user_id", "session_id", *counts) == [
        ("ada", 0, 0, 2, 1, 0, 1),
        ("ada", 1, 0, 0, 0, 1, 2),
        ("bob", 0, 1, 1, 0, 0, 0),
        ("cy", 0, 0, 1, 0, 0, 1),
    ]
    assert rows(sessions, "session_start", "session_length", "avg_time_gap") == [
        ("10:00:00", 1800.0, 600.0),
        ("11:00:01", 599.0, 299.5),
        ("11:20:00", 30.0, 30.0),
        ("12:00:00", 60.0, 60.0),
    ]
    assert rows(sessions, "last_event", "avg_purchase_amount", "past_purchases") == [
        ("view", NO, 0),
        ("remove_from_cart", 15.0, 3),
        ("view", NO, 0),
        ("view", NO, 1),
    ]


def test_a_session_of_one_event_has_no_length() -> None:
    event = pd.DataFrame(
        {
            "user_id": ["ada"],
            "event_time": pd.to_datetime(["2020-01-01"]),
            "event_type": ["view"],
            "price": [1.0],
            "avg_purchase_amount": [7.0],
            "past_purchases": [2],
        }
    )
    session = pandas_features.sessions(event, GAP_MINUTES)
    assert rows(session, "session_length", "avg_time_gap") == [(0.0, 0.0)]


def test_profiles_average_the_sessions(tables: dict[str, pd.DataFrame]) -> None:
    assert rows(tables["user_profiles"]) == [
        ("ada", 2, 0.0, 1.0, 1199.5, 449.75, 15.0, 3, 0, 0, 599.0, "remove_from_cart"),
        ("bob", 1, 1.0, 1.0, 30.0, 30.0, NO, 0, 1, 1, 30.0, "view"),
        ("cy", 1, 0.0, 1.0, 60.0, 60.0, NO, 1, 0, 1, 60.0, "view"),
    ]


def test_a_cell_of_the_matrix_weighs_what_happened(tables: dict[str, pd.DataFrame]) -> None:
    assert rows(tables["user_item_matrix"]) == [
        ("ada", "a", 2, 30.0, 0, 1, 1, 1, pytest.approx(2.1)),
        ("ada", "b", 1, 0.0, 0, 1, 0, 0, pytest.approx(1.1)),
        ("bob", "a", 0, 0.0, 1, 1, 0, 0, pytest.approx(0.3)),
        ("cy", "c", 1, 0.0, 0, 1, 0, 0, pytest.approx(1.1)),
    ]


def test_users_are_counted_whether_they_buy_or_not(tables: dict[str, pd.DataFrame]) -> None:
    assert rows(tables["user_features"]) == [
        ("ada", 3, 30.0, 15.0, 2, 0, 1, 1, 2),
        ("bob", 0, 0.0, 0.0, 1, 1, 0, 0, 0),
        ("cy", 1, 0.0, 0.0, 1, 0, 0, 0, 0),
    ]


def test_items_are_what_the_catalogue_or_else_the_log_says(
    tables: dict[str, pd.DataFrame],
) -> None:
    assert rows(tables["item_features"]) == [
        ("a", 2, 30.0, 15.0, 2, 1, 2.0, "new", "z", "new", 2),  # z and y at one moment
        # The log's code goes before the catalogue's id.
        ("b", 1, 0.0, NO, 1, 0, NO, "log", "shop", "log", 0),
        ("c", 1, 0.0, NO, 1, 0, NO, "4", NO, NO, 0),
    ]
