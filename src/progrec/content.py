"""Content addresses: the hash that DVC gives a file or a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def digest(path: Path) -> str:
    """MD5 of a file, or of the list of a folder's files and their MD5s, as DVC computes them.

    A thing then goes by one name everywhere: in dvc.lock, in MLflow, in a bundle's provenance and
    in the service's answers. It tells versions apart; it is no seal against forgery.

    Returns:
        32 hexadecimal digits; `.dir` follows them for a folder, as in dvc.lock.

    Raises:
        FileNotFoundError: there is nothing of that path.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    if path.is_file():
        return _md5(path)
    files = (file for file in path.rglob("*") if file.is_file())
    return folder_digest({file.relative_to(path).as_posix(): _md5(file) for file in files})


def folder_digest(files: Mapping[str, str]) -> str:
    """The digest of a folder of which each file's path and MD5 are known."""
    listing = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
