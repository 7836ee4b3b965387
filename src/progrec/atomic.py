"""Outputs that are there whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Writes a file or a folder aside and puts it in `path`'s place when the body succeeds.

    Yields:
        A path that does not exist yet, on the same disk; the body makes a file or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        new = aside / "new"
        yield new
        if path.exists():
            path.replace(aside / "old")
        new.replace(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON with a final line break."""
    with replacing(path) as new:
        new.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
