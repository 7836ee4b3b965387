"""The gate's exam on a week in January, of bundles whose every score is written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from learning.shop import Event, interactions_of
from progrec.learning.bundle import Bundle
from progrec.learning.exam import Exam

FIRST, LAST = date(2020, 1, 8), date(2020, 1, 14)


def exam_of(
    champion: Bundle,
    challenger: Bundle,
    events: Sequence[Event] = (),
    *,
    max_users: int = 99,
    seed: int = 0,
) -> Exam:
    """The exam in a shop where a stranger looked at every product long before the days."""
    items = {*champion.item_ids, *challenger.item_ids}
    looks = [("2019-01-01", "eve", item, "view") for item in items]
    done = interactions_of([*looks, *events])
    return Exam.of(champion, challenger, done, FIRST, LAST, max_users=max_users, seed=seed)
