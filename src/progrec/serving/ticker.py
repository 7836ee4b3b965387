"""What a service does again and again beside its requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Ticker:
    """Does some things again and again, in a thread of its own."""

    def __init__(self, seconds: float, *looks: Callable[[], None]) -> None:
        """Starts; the first time comes when the seconds are over."""
        self._seconds = seconds
        self._looks = looks
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        self._thread.join()

    def _tick(self) -> None:
        while not self._closed.wait(self._seconds):
            for look in self._looks:
                try:
                    look()
                except Exception:
                    logger.exception("looking failed; the next look comes all the same")
