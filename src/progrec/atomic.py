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

    A file takes a file's place in one step. With a folder there is a moment between the old and
    the new; whatever fails in it, the old comes back.

    Yields:
        A path that does not exist yet, on the same disk; the body makes a file or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    new, old = aside / "new", aside / "old"
    try:
        yield new
        if path.exists() and (path.is_dir() or new.is_dir()):
            path.replace(old)
        new.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        shutil.rmtree(aside, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON with a final line break."""
    with replacing(path) as new:
        new.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
