"""Whether the service's database keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from progrec.doctor.finding import Finding, enumerated
from progrec.errors import InputError
from progrec.serving import audit

BESIDE = ("-wal", "-shm")
"""How the names of SQLite's own files end."""


def findings(path: Path) -> Iterator[Finding]:
    """The file, its schema and its queues, and who may read it."""
    if not path.exists():
        yield Finding(
            "warning", "file", f"{path} is not there", "`dvc repro` or the service makes it"
        )
        return
    yield queues(path)
    yield permissions(path)


def queues(path: Path) -> Finding:
    """Whether the file is sound and of this version, and no queue holds what was bought."""
    try:
        found = audit.audit(path)
    except InputError as error:
        return Finding("problem", "file", str(error), "docs/queue.md says how to restore a backup")
    if found.violations:
        return Finding(
            "problem",
            "queues",
            enumerated(found.violations),
            "`progrec queue rebuild`, then `progrec queue audit`",
        )
    return Finding("ok", "queues", f"{found.users:,}, with {found.queued:,} products")


def permissions(path: Path) -> Finding:
    """Whether only the owner may read and write what shoppers did."""
    files = [path, *(path.with_name(f"{path.name}{end}") for end in BESIDE)]
    opened = [file.name for file in files if file.exists() and file.stat().st_mode & 0o077]
    if opened:
        return Finding(
            "warning",
            "permissions",
            f"others may use {', '.join(opened)}",
            f"`chmod 600 {' '.join(opened)}`",
        )
    return Finding("ok", "permissions", "the owner's only")
