from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrec import settings
from progrec.serving import batch, sync
from progrec.serving.candidates import candidates
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from scored import bundle_of
from serving.shop import Shop
from serving.written import merge, record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCORES = {
    "ann": {"cup": 3.0, "pot": 2.0, "tea": 1.0},
    "bob": {"cup": 1.0, "pot": 2.0, "tea": 3.0},
    "session:s": {"cup": 3.0, "pot": 2.0, "tea": 1.0},
}
BOUGHT = [
    ("ann", "pot", "2020-01-05"),
    ("bob", "tea", "2020-01-07"),
    ("session:s", "cup", "2020-01-08"),
]
FIRST = {"ann": ["cup", "tea"], "bob": ["pot", "cup"], "session:s": ["pot", "tea"]}

users = st.sampled_from(["ann", "bob", "new"])
item_sets = st.sets(st.sampled_from([*Shop.item_ids, "unheard of"]))


@given(st.lists(users, unique=True), st.integers(1, 10), st.dictionaries(users, item_sets))
def test_many_users_get_what_each_alone_would_get(
    tmp_path_factory: pytest.TempPathFactory, user_ids: list[str], k: int, exclude: Mapping
):
    path = tmp_path_factory.mktemp("recs") / "recs.parquet"
    shop = Shop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "BATCH_USERS", 2)
        rows = batch.write(path, shop, user_ids, k=k, exclude=exclude)
    expected = [
        (user, rank, candidate.product_id, candidate.score, candidate.source)
        for user in user_ids
        for rank, candidate in enumerate(
            candidates(shop, user, n=k, exclude=exclude.get(user, ()), touched=()), start=1
        )
    ]
    assert list(pd.read_parquet(path).itertuples(index=False, name=None)) == expected
    assert rows == len(expected)


@pytest.mark.parametrize("user_ids", [[], ["ann", "new"]])
def test_the_table_has_the_same_columns_even_when_empty(shop, tmp_path: Path, user_ids):
    batch.write(tmp_path / "recs.parquet", shop, user_ids, k=2, exclude={})
    table = pd.read_parquet(tmp_path / "recs.parquet")
    assert {column: str(kind) for column, kind in table.dtypes.items()} == {
        "user_id": "str",
        "rank": "int64",
        "product_id": "str",
        "score": "float64",
        "source": "str",
    }
    assert len(table) == 2 * len(user_ids)


# What has been bought, and what of it was given back


@pytest.fixture
def shop_store(
    project: Path, queue_settings: QueueSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """The service's database beside a champion, whose purchases it has."""
    champion = bundle_of(SCORES, BOUGHT)
    monkeypatch.setattr(batch.champion, "load", lambda _: champion)
    with closing(Store(settings.load().serving.database, queue_settings)) as store:
        sync.sync(champion, store)
        yield store


def recommended(project: Path, users: str = batch.ALL) -> dict[str, list[str]]:
    batch.recommend(project / "recs.parquet", users=users, k=3, bundle=None)
    table = pd.read_parquet(project / "recs.parquet")
    return {user: list(rows["product_id"]) for user, rows in table.groupby("user_id")}


def test_what_was_bought_before_and_since_is_left_out(project: Path, shop_store: Store):
    assert recommended(project) == FIRST
    record(shop_store, [Event(NOON, "purchase", "ann", "cup")])
    assert recommended(project) == {**FIRST, "ann": ["tea"]}


def test_what_was_given_back_comes_again_until_it_is_bought_again(project: Path, shop_store: Store):
    record(shop_store, [Event(NOON, "return", "ann", "pot"), Event(NOON, "return", "bob", "cup")])
    assert recommended(project) == {**FIRST, "ann": ["cup", "pot", "tea"]}
    record(shop_store, [Event(NOON + DAY, "purchase", "ann", "pot")])
    assert recommended(project)["ann"] == ["cup", "tea"]


def test_what_the_user_gave_back_whom_a_session_turned_out_to_be(project: Path, shop_store: Store):
    merge(shop_store, "s", "bob")
    record(shop_store, [Event(NOON, "return", "bob", "cup")])
    (project / "users.txt").write_text("session:s\n")
    assert recommended(project, "users.txt") == {"session:s": ["cup", "pot"]}


def test_without_a_database_the_champion_says_what_was_bought(project: Path, shop_store: Store):
    record(shop_store, [Event(NOON, "purchase", "ann", "cup")])
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("recommendation.db", "none.db"))
    assert recommended(project) == FIRST


@pytest.mark.parametrize(
    ("bought", "shown"), [(0, True), (1, False)], ids=["on the day", "on the day after"]
)
def test_a_bundle_that_knows_of_a_later_purchase_is_believed(
    store: Store, bought: int, shown: bool
):
    record(store, [Event(NOON, "purchase", "ann", "pot"), Event(NOON, "return", "ann", "pot")])
    day = date(2020, 2, 1) + bought * DAY
    assert batch.barred(store, "ann", {"pot": day, "tea": day}) == (
        {"tea"} if shown else {"pot", "tea"}
    )
