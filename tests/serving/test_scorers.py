from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from progrec.serving import scorers as module
from progrec.serving.scorers import Scorers


@pytest.fixture
def scorers() -> Iterator[Scorers]:
    scorers = Scorers()
    yield scorers
    scorers.close()


def test_few_products_are_scored_in_the_loop_one_shopper_a_turn(scorers: Scorers):
    done: list[str] = []

    async def others() -> None:
        for _ in range(20):
            done.append("others")
            await asyncio.sleep(0)

    async def shopper(name: str) -> threading.Thread:
        def work() -> threading.Thread:
            done.append(name)
            return threading.current_thread()

        return await scorers.score(module.PRODUCTS, work)

    async def together() -> list[threading.Thread]:
        *threads, _ = await asyncio.gather(shopper("ann"), shopper("bob"), shopper("cho"), others())
        return threads

    assert asyncio.run(together()) == [threading.current_thread()] * 3
    names = [name for name in done if name != "others"]
    assert names == ["ann", "bob", "cho"]
    # Between any two of them the others had their turn.
    assert all("others" in pair for pair in pairwise(done))


def test_many_products_do_not_stop_the_loop(scorers: Scorers):
    async def scored() -> threading.Thread:
        goes_on = threading.Event()

        def work() -> threading.Thread:
            assert goes_on.wait(10)
            return threading.current_thread()

        waiting = asyncio.ensure_future(scorers.score(module.PRODUCTS + 1, work))
        await asyncio.sleep(0)
        goes_on.set()
        return await waiting

    assert asyncio.run(scored()) is not threading.current_thread()


def test_who_cannot_be_scored_keeps_nobody_from_it(scorers: Scorers):
    def bad() -> None:
        raise ValueError("no scores")

    async def both() -> list[object]:
        works = [scorers.score(1, bad), scorers.score(1, lambda: "scores")]
        return await asyncio.gather(*works, return_exceptions=True)

    error, scores = asyncio.run(both())
    assert (str(error), scores) == ("no scores", "scores")
