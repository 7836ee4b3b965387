"""What the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]
"""In order; works, but somebody should know; does not work."""


@dataclass(frozen=True)
class Finding:
    """What one look at one thing has shown.

    Attributes:
        state: how bad it is.
        check: the thing that was looked at.
        found: what it is like.
        advice: what to do about it; empty if it is in order.
    """

    state: State
    check: str
    found: str
    advice: str = ""


def enumerated(names: list[str], most: int = 3) -> str:
    """The first few of many: `a, b, c and 5 more`."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
