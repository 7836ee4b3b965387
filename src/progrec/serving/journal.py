"""The journal: all that has changed the queues, in the order in which it did."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Literal, NamedTuple

import msgspec

from progrec.serving import rules
from progrec.serving.rules import Allowed, Pool

Kind = Literal["scored", "added", "shown", "bought", "joined", "imported", "left"]


class Change(NamedTuple):
    """One change of one queue. What `what` and `amount` are depends on its kind.

    - `scored`: an event's product and weight.
    - `added`: the products of a refill, as a JSON list.
    - `shown`: how many; of those, as a JSON list, that were allowed and due, or of all (None).
    - `bought`: the product, which leaves the queue. The triggers write it, whoever buys.
    - `joined`: the text of a queue, which is added to this one; `imported`: likewise.
    - `left`: nothing; the queue is empty from then on.
    """

    kind: Kind
    what: str | None = None
    amount: float | None = None
    room: int | None = None
    """To how many entries the pool was cut then; None if it was not."""


def shown(k: int, products: Sequence[str] | None, room: int | None) -> Change:
    """What `/recommend` does; the smallest change, because it is the most frequent."""
    what = None if products is None else msgspec.json.encode(products).decode()
    return Change("shown", what, k, room)


def added(products: Sequence[str]) -> Change:
    """What a refill does."""
    return Change("added", msgspec.json.encode(products).decode())


def applied(pool: Pool, change: Change) -> Pool:
    """The pool after a change."""
    kind, what, amount, room = change
    text = what or ""
    spared = 0
    match kind:
        case "scored":
            pool, spared = rules.after_event(pool, text, amount or 0.0), 1
        case "added":
            pool = rules.refill(pool, msgspec.json.decode(text))
        case "shown":
            allowed: Allowed | None = (
                None if what is None else set(msgspec.json.decode(what)).__contains__
            )
            entries = rules.due(pool, int(amount or 0), allowed)
            pool, spared = rules.show(pool, entries), len(entries)
        case "bought":
            pool = rules.without(pool, [text])
        case "joined" | "imported":
            pool = rules.joined(pool, rules.loads(text))
        case "left":
            pool = ()
    return pool if room is None else rules.evict(pool, room, spared)


def write(connection: sqlite3.Connection, user_id: str, change: Change) -> None:
    """Puts a change at the journal's end."""
    connection.execute(
        "INSERT INTO journal (user_id, kind, what, amount, room) VALUES (?, ?, ?, ?, ?)",
        (user_id, *change),
    )


def fitted(pool: Pool, change: Change, most: int) -> tuple[Pool, Change]:
    """The pool after a change, cut to `most` if it grew beyond; and the change with that."""
    after = applied(pool, change)
    if len(after) <= max(most, len(pool)):
        return after, change
    change = change._replace(room=most)
    return applied(pool, change), change


def replayed(changes: Iterable[Change]) -> Pool:
    """The pool that changes have made of an empty one."""
    return reduce(applied, changes, ())


class Index:
    """Where in the journal each user's changes are, for whoever reads all of it.

    The journal has no such index by itself: every visit and event would have to write to it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Makes it within a transaction, of what the journal holds then.

        Args:
            connection: the store's, which has at most one of them at a time.
        """
        self._connection = connection
        self._end = 0
        connection.execute(
            "CREATE TEMP TABLE journal_of_user"
            " (user_id TEXT, seq INTEGER, PRIMARY KEY (user_id, seq)) WITHOUT ROWID"
        )
        self.extend()

    def extend(self) -> None:
        """Adds what has come to the journal since."""
        self._connection.execute(
            "INSERT INTO journal_of_user SELECT user_id, seq FROM journal WHERE seq > ?"
            " ORDER BY user_id, seq",
            (self._end,),
        )
        ((self._end,),) = self._connection.execute("SELECT coalesce(max(seq), 0) FROM journal")

    def users_after(self, last: str, n: int, rows: int = 1) -> list[str]:
        """The next `n` users after one, in order, who have at least so many rows."""
        found = self._connection.execute(
            "SELECT user_id FROM journal_of_user WHERE user_id > ?"
            " GROUP BY user_id HAVING count(*) >= ? ORDER BY user_id LIMIT ?",
            (last, rows, n),
        )
        return [user_id for (user_id,) in found]

    def places(self, user_id: str) -> list[int]:
        """The numbers of a user's rows, in order."""
        found = self._connection.execute(
            "SELECT seq FROM journal_of_user WHERE user_id = ? ORDER BY seq", (user_id,)
        )
        return [seq for (seq,) in found]

    def changes(self, user_id: str) -> list[Change]:
        """What has changed a user's queue, in order."""
        rows = self._connection.execute(
            "SELECT kind, what, amount, room FROM journal_of_user JOIN journal USING (seq)"
            " WHERE journal_of_user.user_id = ? ORDER BY seq",
            (user_id,),
        )
        return [Change(*row) for row in rows]

    def close(self) -> None:
        """Takes it away; outside of any transaction."""
        self._connection.execute("DROP TABLE journal_of_user")
