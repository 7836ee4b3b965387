"""All checks, one after the other, and what they have found as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from rich.table import Table
from rich.text import Text

from progrec import settings
from progrec.doctor import database, installation, pipeline, registry, service
from progrec.doctor.finding import Finding, State
from progrec.errors import InputError
from progrec.settings import Settings

STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}

Findings = dict[str, list[Finding]]
"""Area -> what was found there."""


def examine(url: str) -> Findings:
    """Looks at the project in the folder of the process, and changes nothing.

    Args:
        url: where its service should run.
    """
    with ThreadPoolExecutor() as aside:
        # DVC takes as long as all else.
        changed = aside.submit(pipeline.status).result
        config, parameters = _settings()
        found = {
            "installation": _list("installation", installation.findings()),
            "settings": [parameters],
        }
        if config is not None:
            found |= _state(config, url)
        split = config.split if config else None
        return found | {"pipeline": _list("pipeline", pipeline.findings(changed, split))}


def _settings() -> tuple[Settings | None, Finding]:
    name = "params.yaml"
    try:
        return settings.load(), Finding("ok", name, "every key is known and usable")
    except InputError as error:
        return None, Finding("problem", name, str(error), "correct it; docs/configuration.md")


def _state(config: Settings, url: str) -> Findings:
    """What lies where the settings say."""
    champion = partial(registry.served, config.registry)
    return {
        "registry": _list("registry", registry.findings(config.registry)),
        "database": _list("database", database.findings(config.serving.database)),
        "service": _list("service", service.findings(url, champion)),
    }


def _list(area: str, findings: Iterable[Finding]) -> list[Finding]:
    """An area's findings; that a check itself fails is one of them."""
    return list(_until_it_fails(area, iter(findings)))


def _until_it_fails(area: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except Exception as error:  # a patient may be ill in ways that no check foresees
        found = f"the check failed: {type(error).__name__}: {error}"
        yield Finding("problem", area, found, "please report this, with what `--json` prints")


def counts(found: Findings) -> Counter[State]:
    """How many findings there are of each state."""
    return Counter(finding.state for area in found.values() for finding in area)


def plain(found: Findings) -> dict[str, object]:
    """As `--json` prints it: how many problems and warnings, and each finding of each area."""
    counted = counts(found)
    areas = {area: [asdict(finding) for finding in findings] for area, findings in found.items()}
    return {"problems": counted["problem"], "warnings": counted["warning"], **areas}


def table(found: Findings) -> Table:
    """One row a finding, what to do below it."""
    shown = Table.grid(padding=(0, 2))
    for _ in range(4):
        shown.add_column(overflow="fold")
    for area, findings in found.items():
        for row, finding in enumerate(findings):
            text = Text(finding.found)
            if finding.advice:
                text.append(f"\n→ {finding.advice}", STYLES[finding.state])
            state = Text(finding.state, STYLES[finding.state])
            shown.add_row("" if row else area, state, finding.check, text)
    counted = counts(found)
    problems, warnings = counted["problem"], counted["warning"]
    shown.add_row()
    summary = f"problems: {problems}, warnings: {warnings}"
    shown.add_row("", "", "", summary if problems or warnings else "all is in order")
    return shown
