"""What a user can put right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file, and where there is one the row and the field, and says what to do.
    """


@contextmanager
def reported() -> Iterator[None]:
    """Ends the process with an input error's message, status 1 and no stack trace."""
    try:
        yield
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
