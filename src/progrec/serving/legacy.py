"""Queues in the original layout -> the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from progrec.errors import InputError
from progrec.serving import database, queues, rules, sessions
from progrec.serving.store import Store

BATCH_USERS = 500


class Imported(NamedTuple):
    """What became of a file's queues."""

    users: int
    """Whose queues are new."""
    products: int
    purchased: int
    """Products that were left out, because their users have purchased them."""
    known: int
    """Users whose queues an earlier call has imported."""
    bad: list[str]
    """What is wrong with the others, a line a user."""


class _Row(NamedTuple):
    user_id: str
    pool: rules.Pool


def import_file(store: Store, file: Path) -> Imported:
    """Adds the queues of `recommendation_queue(user_id INTEGER, product_queue TEXT)`.

    Entries are `[productID, counter, score]`; ids, whole numbers there or text, become text. Where
    the user has a queue already, counters and scores add up. Each user's queue is imported once,
    however often this is called or cut short.

    Raises:
        InputError: the file is no database with such a table.
    """
    total = Imported(0, 0, 0, 0, [])
    rows = iter(_rows(file))
    while batch := list(islice(rows, BATCH_USERS)):
        good = [row for row in batch if isinstance(row, _Row)]
        bad = [row for row in batch if isinstance(row, str)]
        with store.transaction() as connection:
            done = [_take(connection, row, store.settings.max_pool) for row in good]
        new = [counts for counts in done if counts is not None]
        total = Imported(
            total.users + len(new),
            total.products + sum(queued for queued, _ in new),
            total.purchased + sum(left_out for _, left_out in new),
            total.known + len(done) - len(new),
            [*total.bad, *bad],
        )
    return total


def _take(connection: sqlite3.Connection, row: _Row, max_pool: int) -> tuple[int, int] | None:
    """How many products were queued and left out; None if the user's were imported before."""
    user_id = sessions.shopper(connection, row.user_id)
    query = "SELECT 1 FROM journal WHERE user_id = ? AND kind = 'imported'"
    if connection.execute(query, (user_id,)).fetchone():
        return None
    added = queues.join(connection, user_id, "imported", row.pool, max_pool)
    return len(added), len(row.pool) - len(added)


def _rows(file: Path) -> Iterator[_Row | str]:
    """The users' pools; of a row that cannot be used, what is wrong with it."""
    seen: set[str] = set()
    with database.remedies(file), closing(database.connect(file, "ro")) as connection:
        try:
            rows = connection.execute("SELECT user_id, product_queue FROM recommendation_queue")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise InputError(
                f"{file} has no table recommendation_queue(user_id, product_queue): {error}"
            ) from None
        for user, text in rows:
            user_id = str(user)
            try:
                if user is None or not user_id or user_id in seen:
                    raise InputError("a user has a queue and an id, once")
                seen.add(user_id)
                yield _Row(user_id, _pool(text))
            except InputError as error:
                yield f"user {user_id}: {error}"


def _pool(text: object) -> rules.Pool:
    try:
        entries = json.loads(str(text), object_pairs_hook=_once)["pool"]
        named = [_named(entry) for entry in entries]
    except (ValueError, TypeError, KeyError):
        raise InputError(f"not a queue: {str(text)[:200]}") from None
    return rules.checked(json.dumps({"pool": named}))


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _named(entry: list[object]) -> list[object]:
    """An entry whose product's id is text."""
    product_id, *rest = entry
    is_number = isinstance(product_id, int) and not isinstance(product_id, bool)
    return [str(product_id) if is_number else product_id, *rest]
