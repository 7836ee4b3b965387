from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.serving import follower
from progrec.serving.messages import Model
from serving.shop import Shop
from serving.web import event, post, products

# Recommendations


def test_a_known_user(client: TestClient):
    assert post(client, "/recommend", {"user_id": "ann", "k": 2}) == {
        "user_id": "ann",
        "session_id": None,
        "strategy": "model",
        "model": {
            "version": 1,
            "digest": "digest-of-the-shop",
            "data_digest": "hash-of-the-data",
            "watermark": "2020-01-31",
            "age_seconds": pytest.approx(since(datetime(2020, 2, 1, tzinfo=UTC)), abs=60),
        },
        "items": [
            {"product_id": item, "score": pytest.approx(0.9), "source": "model", "counter": 1}
            for item in ["c0", "c1"]
        ],
    }


def since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def test_a_model_that_has_learned_today_has_no_age():
    assert Model.age(datetime.now(UTC).date()) == 0


def test_looking_changes_nothing(client: TestClient):
    request = {"user_id": "ann", "k": 3}
    looked = [post(client, "/recommend", {**request, "peek": True}) for _ in range(2)]
    assert post(client, "/queue", {"user_id": "ann"})["pool"] == []
    shown = post(client, "/recommend", request)
    assert [products(each) for each in looked] == [products(shown)] * 2


def test_an_unknown_user(client: TestClient):
    answer = post(client, "/recommend", {"user_id": "new", "k": 1})
    assert answer["strategy"] == "popular"
    assert answer["items"] == [
        {"product_id": "b0", "score": pytest.approx(0.2), "source": "popular", "counter": 1}
    ]


def test_a_stranger_who_has_looked_at_a_known_product(client: TestClient):
    post(client, "/events", {"events": [event(event_type="remove_from_cart", product_id="c1")]})
    answer = post(client, "/recommend", {"user_id": "new", "k": 2})
    assert answer["strategy"] == "similar"
    assert [item["product_id"] for item in answer["items"]] == ["c1", "c2"]


def test_a_user_known_by_events_only(client: TestClient):
    post(client, "/events", {"events": [event(event_type="remove_from_cart", product_id="c2")]})
    answer = post(client, "/recommend", {"user_id": "new", "k": 3})
    assert answer["strategy"] == "category_popular"
    assert [item["product_id"] for item in answer["items"]] == ["c0", "c1", "c2"]


def test_twenty_products_unless_told_otherwise(client: TestClient):
    assert len(post(client, "/recommend", {"user_id": "ann"})["items"]) == 8  # the shop has no more
    post(client, "/events", {"events": [event(product_id=str(i)) for i in range(30)]})
    assert len(post(client, "/recommend", {"user_id": "new"})["items"]) == 20


def test_the_next_answer_knows_of_a_purchase(client: TestClient):
    shown = post(client, "/recommend", {"user_id": "ann", "k": 8})["items"]
    assert len(shown) == 8
    for bought, item in enumerate(shown, start=1):
        kept = post(
            client,
            "/events",
            {
                "events": [
                    event(user_id="ann", event_type="purchase", product_id=item["product_id"])
                ]
            },
        )
        assert kept == {"accepted": 1, "duplicates": 0, "rejected": []}
        left = post(client, "/recommend", {"user_id": "ann", "k": 8})["items"]
        assert {one["product_id"] for one in left} == {one["product_id"] for one in shown[bought:]}


# Anonymous sessions


def test_a_session_works_like_a_user(client: TestClient):
    post(client, "/events", {"events": [event(user_id=..., session_id="s", product_id="b2")]})
    answer = post(client, "/recommend", {"session_id": "s", "k": 2})
    assert (answer["user_id"], answer["session_id"]) == (None, "s")
    assert products(answer)[0] == "b2"
    queue = post(client, "/queue", {"session_id": "s"})
    assert queue["pool"][-2:] == [["b2", 1, 1.0], [products(answer)[1], 1, 0.0]]


def test_a_session_is_never_the_user_of_the_same_id(client: TestClient):
    post(client, "/events", {"events": [event(user_id=..., session_id="ann")]})
    assert post(client, "/queue", {"user_id": "ann"})["pool"] == []
    assert post(client, "/recommend", {"session_id": "ann", "k": 1})["strategy"] == "queue"


def test_a_session_is_merged_with_its_user(client: TestClient):
    post(client, "/events", {"events": [event(user_id=..., session_id=5, product_id="b2")]})
    for _ in range(2):
        merged = post(client, "/merge", {"session_id": 5, "user_id": "ann"})
        assert merged == {"session_id": "5", "user_id": "ann"}
        for shopper in ({"user_id": "ann"}, {"session_id": 5}):
            assert post(client, "/queue", shopper)["pool"] == [["b2", 0, 1.0]]

    other = client.post("/merge", json={"session_id": 5, "user_id": "bob"})
    assert other.status_code == 400
    assert other.json()["detail"][0]["field"] == "session_id"


# Events and queues


def test_many_events_are_taken_in_order(client: TestClient):
    views = [event(product_id=f"{n % 3}", event_id=f"view {n}") for n in range(60)]
    events = [*views[:30], event(product_id="0", event_type="purchase"), *views[30:]]
    assert post(client, "/events", {"events": events})["accepted"] == 61
    # Ten views of each before the purchase, and ten after it.
    assert post(client, "/queue", {"user_id": "new"})["pool"] == [["1", 0, 20.0], ["2", 0, 20.0]]
    again = {"accepted": 0, "duplicates": 61, "rejected": []}
    assert post(client, "/events", {"events": events}) == again


def test_events_move_the_queue(client: TestClient):
    kinds = [("x", "view"), ("b1", "cart"), ("c0", "click"), ("b1", "remove_from_cart")]
    events = [event(product_id=item, event_type=kind) for item, kind in kinds]
    assert post(client, "/events", {"events": events})["accepted"] == 4
    assert post(client, "/queue", {"user_id": "new"}) == {
        "user_id": "new",
        "session_id": None,
        "pool": [["x", 0, 1.0], ["b1", 0, 2.0], ["c0", 0, 1.0]],
    }


def test_a_user_without_a_queue(client: TestClient):
    assert post(client, "/queue", {"user_id": "nobody"})["pool"] == []


def test_a_repeat_is_counted_and_has_no_effect(client: TestClient):
    twice = {"events": [event(), event()]}
    assert post(client, "/events", twice) == {"accepted": 1, "duplicates": 1, "rejected": []}
    assert post(client, "/events", twice) == {"accepted": 0, "duplicates": 2, "rejected": []}
    assert post(client, "/queue", {"user_id": "new"})["pool"] == [["x", 0, 1.0]]


@pytest.mark.parametrize("user", [17850, 17850.0, "17850"])
def test_a_number_is_the_same_id_as_its_text(client: TestClient, user: object):
    post(client, "/events", {"events": [event(user_id=user, product_id=user)]})
    assert post(client, "/queue", {"user_id": "17850"})["pool"] == [["17850", 0, 1.0]]
    assert post(client, "/queue", {"user_id": 17850})["user_id"] == "17850"


@pytest.mark.parametrize("user", [" ", "0017", "1.0", "é😀", "'; --", '"\\u0041', "x" * 1000])
def test_ids_are_opaque(client: TestClient, user: str):
    post(client, "/events", {"events": [event(user_id=user, product_id=user)]})
    answer = post(client, "/recommend", {"user_id": user, "k": 1})
    assert answer["user_id"] == answer["items"][0]["product_id"] == user


def test_times_are_those_of_iso_and_of_the_logs(client: TestClient):
    same = ["2020-02-01T12:00:00Z", "2020-02-01 12:00:00 UTC", "2020-02-01T14:00:00+02:00"]
    same += ["2020-02-01 12:00:00"]
    report = post(client, "/events", {"events": [event(event_time=time) for time in same]})
    assert report == {"accepted": 1, "duplicates": 3, "rejected": []}


BAD_EVENTS = [
    ("event", "not an object"),
    ("event", None),
    ("user_id", event(user_id=...)),
    ("user_id", event(user_id=None)),
    ("product_id", event(product_id="")),
    ("product_id", event(product_id=["p"])),
    ("event_type", event(event_type="stare")),
    ("event_time", event(event_time=...)),
    ("event_time", event(event_time="yesterday")),
    ("event_time", event(event_time=1580558400)),
    ("event_time", event(event_time=20200201)),
    ("event_time", event(event_time=None)),
    ("event_time", event(event_time="0001-01-01T00:00:00+14:00")),
    ("event_time", event(event_time="1999-12-31T23:59:59Z")),
    ("event_time", event(event_time="2100-01-01T00:00:00Z")),
    ("price", event(price=-1)),
    ("price", event(price=1e12)),
    ("user_id", event(session_id="s")),
    ("price", event(price="dear")),
    ("event_id", event(event_id="a\nb")),
    ("user_session", event(user_session=True)),
    ("colour", event(colour="red")),
]


@pytest.mark.parametrize(("field", "bad"), BAD_EVENTS)
def test_a_bad_event_is_reported_and_the_others_are_kept(client: TestClient, field, bad):
    report = post(client, "/events", {"events": [event(), bad, event(product_id="b0")]})
    assert (report["accepted"], report["duplicates"]) == (2, 0)
    (rejected,) = report["rejected"]
    assert (rejected["index"], rejected["field"]) == (1, field)
    assert rejected["reason"]
    assert len(post(client, "/queue", {"user_id": "new"})["pool"]) == 2


def test_what_ingest_takes_is_taken_to_its_very_bounds(client: TestClient):
    bounds = [
        event(event_time="2000-01-01T00:00:00Z", price=0),
        event(event_time="2099-12-31T23:59:59Z", price=999_999_999_999),
        event(event_time="2100-01-01T00:30:00+01:00"),
    ]
    assert post(client, "/events", {"events": bounds})["accepted"] == 3


def test_what_is_given_back_may_be_shown_again(
    app: Starlette, project: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("refund: []", "refund: [returned]"))
    champion = follower.Champion(shop, "hash-of-the-data", version=1)
    monkeypatch.setattr(follower, "load_champion", lambda *_: champion)
    asked = {"user_id": "ann", "k": 8}
    with TestClient(app, raise_server_exceptions=False) as client:
        post(client, "/events", {"events": [event(user_id="ann", event_type="purchase")]})
        assert "x" not in products(post(client, "/recommend", asked))
        post(client, "/events", {"events": [event(user_id="ann", event_type="returned")]})
        assert "x" in products(post(client, "/recommend", asked))


def test_a_refund_is_no_event_unless_the_settings_name_it(client: TestClient):
    answer = client.post("/events", json={"events": [event(event_type="returned")]})
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["field"] == "events.0.event_type"


def test_nothing_but_bad_events(client: TestClient):
    answer = client.post("/events", json={"events": [event(event_type="stare"), 5]})
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["detail"]] == [
        "events.0.event_type",
        "events.1.event",
    ]


def test_no_events_are_no_mistake(client: TestClient):
    assert post(client, "/events", {"events": []})["accepted"] == 0
