"""What the gate decided of a version, as the version's tags keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from progrec.tracking import Tracking, Version

GATE = "gate"
REASONS = "gate_reasons"
FIGURES = "gate_figures"
CHAMPION = "gate_champion"
LEARNED = "learned_up_to"
PROMOTED, REJECTED, NOBODY = "promoted", "rejected", "none"


@dataclass(frozen=True)
class Decision:
    """Whether a version may be the champion, and why.

    Attributes:
        promoted: whether it may.
        reasons: sentences; why it was rejected, or what could not be looked at.
        figures: what was measured, as plain data.
        champion: number of the version that was the champion then, if there was one.
        learned_up_to: the last day that the version has learned.
    """

    promoted: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]
    champion: int | None
    learned_up_to: date

    @property
    def word(self) -> str:
        """`promoted` or `rejected`."""
        return PROMOTED if self.promoted else REJECTED

    @classmethod
    def of(cls, version: Version) -> Decision | None:
        """The decision that a version's tags hold; None while there is none."""
        tags = version.tags
        if GATE not in tags:
            return None
        return cls(
            tags[GATE] == PROMOTED,
            tuple(tags[REASONS].splitlines()),
            json.loads(tags[FIGURES]),
            None if tags[CHAMPION] == NOBODY else int(tags[CHAMPION]),
            date.fromisoformat(tags[LEARNED]),
        )

    def keep(self, tracking: Tracking, version: Version) -> None:
        """Writes the tags, last the one without which there is no decision."""
        tracking.tag(version, LEARNED, self.learned_up_to.isoformat())
        tracking.tag(version, FIGURES, json.dumps(self.figures, allow_nan=False))
        tracking.tag(version, REASONS, "\n".join(self.reasons))
        tracking.tag(version, CHAMPION, NOBODY if self.champion is None else str(self.champion))
        tracking.tag(version, GATE, self.word)
