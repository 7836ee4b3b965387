"""Content addresses: the hash that DVC gives a file or a folder."""

from __future__ import annotations

import hashlib
import json
from operator import itemgetter
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
    listing = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    listing.sort(key=itemgetter("relpath"))
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
