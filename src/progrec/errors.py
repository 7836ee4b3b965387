"""What a user can put right."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file, and where there is one the row and the field, and says what to do.
    """
