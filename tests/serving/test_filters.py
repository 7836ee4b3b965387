from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.errors import InputError
from progrec.serving import follower
from progrec.serving.assortment import Assortment, CatalogueFile
from progrec.serving.candidates import candidates
from progrec.serving.failures import Refused
from progrec.serving.filters import Filters
from scored import bundle_of
from serving.shop import Shop
from serving.visits import Chosen
from serving.web import event, figure, post, products

ROWS = [
    # product_id, category, brand, price, in_stock
    ("tv", "electronics.video", "sony", 500.0, True),
    ("radio", "electronics.audio.radio", "sony", 50.0, False),
    ("ears", "electronics.audio", "bose", 200.0, True),
    ("toy", "electronics2", "sony", 5.0, True),
    ("all", "electronics", None, None, True),
    ("odd", None, None, 0.0, False),
]
COLUMNS = ["product_id", "category", "brand", "price", "in_stock"]


def frame(rows: list[tuple[Any, ...]] = ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def write(path: Path, table: pd.DataFrame) -> Path:
    """Puts a file in the place of another, as a shop should."""
    aside = path.with_name("aside")
    if path.suffix == ".csv":
        table.to_csv(aside, index=False)
    else:
        table.to_parquet(aside, index=False)
    aside.replace(path)
    return path


@pytest.fixture(params=["csv", "parquet"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write(tmp_path / f"catalogue.{request.param}", frame())


def passing(assortment: Assortment, **filters: Any) -> list[str]:
    allowed = Filters(**filters).allowed(assortment)
    names = [*assortment.row, "unheard of"]
    return names if allowed is None else [name for name in names if allowed(name)]


# What passes


CASES = [
    ({}, ["tv", "radio", "ears", "toy", "all", "odd", "unheard of"]),
    ({"exclude": ["tv", "unheard of", "nowhere"]}, ["radio", "ears", "toy", "all", "odd"]),
    ({"category": "electronics"}, ["tv", "radio", "ears", "all"]),
    ({"category": "electronics.audio"}, ["radio", "ears"]),
    ({"category": "electronics.aud"}, []),
    ({"category": "Electronics"}, []),
    ({"brand": "sony"}, ["tv", "radio", "toy"]),
    ({"brand": "son"}, []),
    ({"min_price": 50}, ["tv", "radio", "ears"]),
    ({"max_price": 50}, ["radio", "toy", "odd"]),
    ({"min_price": 0, "max_price": 0}, ["odd"]),
    ({"in_stock": True}, ["tv", "ears", "toy", "all"]),
    ({"in_stock": False, "exclude": ["unheard of"]}, ["tv", "radio", "ears", "toy", "all", "odd"]),
    ({"category": "electronics", "brand": "sony", "in_stock": True, "exclude": ["toy"]}, ["tv"]),
]


@pytest.mark.parametrize(("filters", "names"), CASES)
def test_what_passes(file: Path, filters: dict[str, Any], names: list[str]):
    assert passing(Assortment.read(file), **filters) == names


def test_a_bundle_knows_category_and_brand(shop: Shop):
    assortment = Assortment.of(shop)
    assert passing(assortment, category="cup", brand="odd") == ["c0", "c2"]


@pytest.mark.parametrize("field", ["min_price", "max_price", "in_stock"])
def test_a_bundle_knows_no_price_and_no_stock(shop: Shop, field: str):
    with pytest.raises(Refused) as refused:
        passing(Assortment.of(shop), **{field: True if field == "in_stock" else 1})
    assert refused.value.status == 400
    assert refused.value.problems[0].field == field
    assert "serving.catalogue" in str(refused.value)


@pytest.mark.parametrize(("filters", "names"), CASES)
def test_a_bundle_is_asked_at_once_what_its_products_are_asked_one_by_one(
    file: Path, filters: dict[str, Any], names: list[str]
):
    allowed = Filters(**filters).allowed(Assortment.read(file))
    # A bundle that has them in another order, lacks some and has others.
    bundle = bundle_of({"ann": dict.fromkeys(["odd", "unheard of", "toy", "ears", "tv"], 0.0)})
    if allowed is None:
        assert filters == {}
    else:
        expected = [item in names for item in bundle.item_ids]
        assert allowed.among(bundle).tolist() == expected
        assert allowed.among(bundle).tolist() == expected  # its rows are known now


def test_the_products_of_one_bundle_are_not_taken_for_those_of_the_next(file: Path):
    allowed = Filters(in_stock=True).allowed(Assortment.read(file))
    for items in (["odd", "tv"], ["tv", "odd"], ["toy"]):
        bundle = bundle_of({"ann": dict.fromkeys(items, 0.0)})
        assert allowed.among(bundle).tolist() == [item != "odd" for item in items]


@given(st.sets(st.sampled_from(Shop.item_ids.tolist())), st.integers(1, 9))
def test_candidates_are_the_best_of_those_that_pass(passed: set[str], n: int):
    shop = Shop()
    every = candidates(shop, "ann", n=8, exclude=["b0"], touched=())
    found = candidates(
        shop, "ann", n=n, exclude=["b0"], touched=(), allowed=Chosen(passed.__contains__)
    )
    assert found == [each for each in every if each.product_id in passed][:n]


# The catalogue's file


BAD: list[tuple[str, pd.DataFrame]] = [
    ("brand", frame().drop(columns="brand")),
    ("price", frame([*ROWS, ("x", "c", "b", -1.0, True)])),
    ("price", frame([*ROWS, ("x", "c", "b", float("inf"), True)])),
    ("product_id", frame([*ROWS, ("tv", "c", "b", 1.0, True)])),
    ("product_id", frame([*ROWS, (None, "c", "b", 1.0, True)])),
    ("in_stock", frame([*ROWS, ("x", "c", "b", 1.0, None)])),
    ("price", frame().assign(price="dear")),
]


@pytest.mark.parametrize(("column", "table"), BAD)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_that_cannot_be_used(tmp_path: Path, column: str, table: pd.DataFrame, form: str):
    path = write(tmp_path / f"catalogue.{form}", table)
    with pytest.raises(InputError, match=f"{path.name}.*{column}"):
        Assortment.read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"\xff\xfe\x00", b"a,b\n1\n"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes, form: str):
    path = tmp_path / f"catalogue.{form}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=path.name):
        Assortment.read(path)


def test_ids_that_are_numbers_are_texts(tmp_path: Path):
    numbers = frame([(7, "c", "b", 1.0, True), (17850, 5, 6, 1, False)])
    for form in ("csv", "parquet"):
        table = numbers if form == "csv" else numbers.astype({"category": str, "brand": str})
        read = Assortment.read(write(tmp_path / f"catalogue.{form}", table))
        assert list(read.row) == ["7", "17850"]


def test_a_replaced_file_is_read_and_a_bad_one_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture
):
    catalogue = CatalogueFile(file)
    first = catalogue.assortment
    catalogue.look()
    assert catalogue.assortment is first

    write(file, frame(ROWS[:2]))
    catalogue.look()
    second = catalogue.assortment
    assert list(second.row) == ["tv", "radio"]

    before = figure("progrec_refusals_total", what="catalogue", reason="unusable")
    write(file, frame().drop(columns="price"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            catalogue.look()
    assert catalogue.assortment is second
    assert len(caplog.records) == 1
    assert "the one before serves on" in caplog.text
    assert figure("progrec_refusals_total", what="catalogue", reason="unusable") == before + 1

    file.unlink()
    catalogue.look()
    assert catalogue.assortment is second


# In requests


@pytest.fixture
def stocked(
    app: Starlette, project: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """The service with a catalogue in which the cups but c2 are out of stock."""
    rows = [
        (item, category, None, 10.0 * row, item[0] != "c" or item == "c2")
        for row, (item, category) in enumerate(zip(shop.item_ids, shop.category, strict=True))
    ]
    write(project / "catalogue.csv", frame(rows))
    path = project / "params.yaml"
    text = path.read_text().replace("catalogue: null", "catalogue: catalogue.csv")
    path.write_text(text.replace("poll_seconds: 5", "poll_seconds: 0.01"))
    champion = follower.Champion(shop, "data", version=1)
    monkeypatch.setattr(follower, "load_champion", lambda *_: champion)
    return TestClient(app)


def test_only_what_passes_is_shown(stocked: TestClient):
    with stocked as client:
        ask = {"user_id": "ann", "k": 8}
        assert products(post(client, "/recommend", {**ask, "in_stock": True})) == [
            *["c2", "b3", "b2", "b1", "b0", "x"]
        ]
        cups = post(client, "/recommend", {**ask, "category": "cup", "max_price": 50})
        assert products(cups) == ["c0", "c1"]


def test_what_waits_in_the_queue_stays_there_when_it_does_not_pass(stocked: TestClient):
    with stocked as client:
        carts = [event(event_type="cart", product_id=item) for item in ("c0", "b2")]
        post(client, "/events", {"events": carts})
        ask = {"user_id": "new", "k": 1}
        assert products(post(client, "/recommend", {**ask, "in_stock": True})) == ["b2"]
        assert products(post(client, "/recommend", ask)) == ["c0"]


def test_the_catalogue_is_replaced_while_the_service_serves(stocked: TestClient, project: Path):
    ask = {"user_id": "ann", "k": 1, "category": "new", "peek": True}
    with stocked as client:
        assert products(post(client, "/recommend", ask)) == []
        write(project / "catalogue.csv", frame([("b0", "new.born", None, 1.0, True)]))
        while not products(post(client, "/recommend", ask)):
            os.sched_yield()
        assert products(post(client, "/recommend", ask)) == ["b0"]


def test_without_a_catalogue_a_price_cannot_be_asked_for(client: TestClient):
    answer = client.post("/recommend", json={"user_id": "ann", "max_price": 5})
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["field"] == "max_price"
    cups = post(client, "/recommend", {"user_id": "ann", "category": "cup", "brand": "even"})
    assert products(cups) == ["c1"]
