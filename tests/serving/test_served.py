"""The service as `bentoml serve` runs it, with two workers, through sockets."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from progrec import settings
from progrec.serving import rules
from progrec.serving.store import Store
from serving.web import event, post, products, total

CLIENTS, ROUNDS = 64, 6


def test_bentoml_serves_it(live: httpx.Client):
    bought = event(user_id="ann", event_type="purchase", product_id="c0")
    assert post(live, "/events", {"events": [bought, event()]})["accepted"] == 2
    assert products(post(live, "/recommend", {"user_id": "ann", "k": 2})) == ["c1", "c2"]
    queue = live.post("/queue", content=b'{"user_id": "new"}')
    assert queue.json()["pool"] == [["x", 0, 1.0]]


def test_its_log_is_json_without_traces(live: httpx.Client, live_folder: Path):
    headers = {"X-Request-Id": "bad-one"}
    assert live.post("/recommend", json={"user_id": 1.5}, headers=headers).status_code == 400
    assert live.post("/recommend", content=b"{", headers=headers).status_code == 400
    text = (live_folder / "log").read_text()
    assert "Traceback" not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    refused = [line for line in lines if line.get("request_id") == "bad-one"]
    assert [(line["status"], line["path"], line["reason"]) for line in refused] == [
        (400, "/recommend", "invalid")
    ] * 2
    assert any(line.get("digest") == "digest-of-the-shop" for line in lines)


def test_its_metrics_add_up_over_the_workers(live: httpx.Client):
    names = [
        ("progrec_recommendations_total", {"source": "popular"}),
        ("progrec_events_total", {"outcome": "accepted"}),
        ("progrec_events_total", {"outcome": "duplicate"}),
        ("progrec_events_total", {"outcome": "rejected"}),
        ("progrec_queue_seconds_count", {"operation": "recommend"}),
        ("progrec_refusals_total", {"what": "request", "reason": "invalid"}),
    ]
    before = [total(live, name, **labels) for name, labels in names]
    for user in range(10):
        shopper = f"measured {user}"
        kept = event(user_id=shopper)
        post(live, "/recommend", {"user_id": shopper, "k": 2})
        post(live, "/recommend", {"user_id": shopper, "k": 2, "peek": True})
        post(live, "/events", {"events": [kept, kept, event(price=-1)]})
        live.post("/recommend", json={"user_id": shopper, "k": 0})
    after = [total(live, name, **labels) for name, labels in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [20, 10, 10, 10, 20, 10]


def test_many_clients_lose_no_write_and_see_no_purchase(live_url: str, live_folder: Path):
    config = settings.load(live_folder / "params.yaml")
    catalogue = ["b0", "b1", "b2", "b3", "c0", "c1", "c2", "x"]

    def shop(number: int) -> tuple[str, dict[str, float], set[str]]:
        """A shopper on a connection of their own: what they carted and bought."""
        luck, user = random.Random(number), f"shopper {number}"
        carted: dict[str, float] = {}
        bought: set[str] = set()
        with httpx.Client(base_url=live_url, timeout=60) as client:
            for turn in range(ROUNDS):
                cart, buy = luck.sample(catalogue, 2)
                own = {"user_id": user, "event_time": f"2020-02-01T12:00:{turn:02}Z"}
                events = [
                    event(**own, event_type="cart", product_id=cart),
                    event(**own, event_type="purchase" if turn % 2 else "view", product_id=buy),
                ]
                assert post(client, "/events", {"events": events})["accepted"] == 2
                if turn % 2:
                    bought.add(buy)
                carted[cart] = carted.get(cart, 0) + 1
                shown = products(post(client, "/recommend", {"user_id": user, "k": 3}))
                assert bought.isdisjoint(shown)
                assert len(shown) == min(3, len(catalogue) - len(bought))
        return user, carted, bought

    with ThreadPoolExecutor(CLIENTS) as pool:
        histories = list(pool.map(shop, range(CLIENTS)))
    store = Store(live_folder / config.serving.database, config.queue)
    for user, carted, bought in histories:
        done = {(each.product_id, each.event_type): each.times for each in store.done(user, None)}
        assert sum(done.values()) == 2 * ROUNDS
        assert {product: done[product, "cart"] for product in carted} == carted
        waiting: rules.Pool = store.queue(user)
        assert store.purchased(user) == bought
        assert bought.isdisjoint(entry.product_id for entry in waiting)
        assert sum(entry.counter for entry in waiting) <= 3 * ROUNDS
    store.close()
