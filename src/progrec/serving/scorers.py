"""Where shoppers are scored: work of milliseconds, which others shall not have to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

PRODUCTS = 100_000
"""Of so many products at most, whoever waits is scored in the event loop: ten milliseconds."""

THREADS = 2
"""Shoppers scored beside the loop at once: each takes a core, and some memory of its own."""


class Scorers:
    """An event loop's turns for scoring, and some threads for what would stop it for too long.

    A thread that scores takes a hundred short steps, and waits before each until a busy loop lets
    go of the interpreter: that takes longer than in the loop, and half as much CPU again.
    """

    def __init__(self) -> None:
        """Starts no thread yet."""
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "scorer")

    async def score(self, products: int, work: Callable[[], T]) -> T:
        """Does what somebody waits for: few products in the event loop, one shopper a turn.

        Args:
            products: how many the work scores.
            work: scores one shopper.

        Raises:
            Exception: what the work raises.
        """
        if products > PRODUCTS:
            return await self.aside(work)
        async with self._turn:
            await asyncio.sleep(0)  # what has come in since the shopper before
            return work()

    async def aside(self, work: Callable[[], T]) -> T:
        """Does in a thread what can wait, or what takes long.

        Raises:
            Exception: what the work raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Returns when all threads have ended."""
        self._threads.shutdown()
