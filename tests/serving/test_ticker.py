from __future__ import annotations

import logging
import threading

import pytest

from progrec.serving.ticker import Ticker


def test_what_fails_once_is_done_again_and_stops_nothing_else(caplog: pytest.LogCaptureFixture):
    def fail() -> None:
        failed.release()
        raise MemoryError("too large")

    failed, looked = threading.Semaphore(0), threading.Semaphore(0)
    with caplog.at_level(logging.ERROR):
        ticker = Ticker(0.001, fail, looked.release)
        for done in (failed, looked) * 2:
            assert done.acquire(timeout=10)
        ticker.close()
    assert "too large" in caplog.text


def test_a_closed_ticker_does_nothing_more():
    looked = threading.Semaphore(0)
    ticker = Ticker(0.001, looked.release)
    assert looked.acquire(timeout=10)
    ticker.close()
    while looked.acquire(blocking=False):
        pass
    assert not looked.acquire(timeout=0.01)
