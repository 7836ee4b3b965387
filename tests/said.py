"""What a stage says, for tests that know all of it but how long it took."""

from __future__ import annotations

import re


def untimed(output: str) -> str:
    """Output whose lines each end in their seconds, less these."""
    lines = output.splitlines()
    timed = [re.fullmatch(r"(.+) \(\d+\.\d s\)", line) for line in lines]
    assert None not in timed, output
    return "".join(f"{line[1]}\n" for line in timed if line)
