"""Whether a command line, as a document or a help text has it, is one that exists."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer
from dvc.cli.parser import get_main_parser
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from progrec.cli import app
from progrec.errors import InputError
from progrec.learning import config as configs

ROOT = Path(__file__).parents[1]
STAGES = {
    "progrec.learning.train": ("train", configs.train_config),
    "progrec.learning.update": ("update", configs.update_config),
}


class WrongCommandError(AssertionError):
    """A command line that does not exist so."""


class Command(NamedTuple):
    """A command of Typer that does something, under its full name."""

    name: str
    parameters: list[Any]


def commands(command: Any, name: str) -> list[Command]:
    """A command itself or, of a group, those in it."""
    if not hasattr(command, "commands"):
        return [Command(name, command.params)]
    inner = [commands(each, f"{name} {key}") for key, each in command.commands.items()]
    return [command for group in inner for command in group]


def parsed(words: Sequence[str], *, whole: bool = True) -> str:
    """Parses a command line as its program would, and runs nothing.

    Args:
        words: of `progrec`, `make`, `dvc` or `python -m`.
        whole: whether the words are all; else what `progrec` needs beside them may be missing.

    Returns:
        What was named: the command without its options.

    Raises:
        WrongCommandError: there is no such command, option or setting.
    """
    match words:
        case ["progrec", *rest]:
            return _typer(typer.main.get_command(app), "progrec", rest, whole)
        case ["make", *targets]:
            return _make(targets)
        case ["dvc", *rest]:
            return _dvc(rest)
        case ["python", "-m", module, *rest]:
            return _module(module, rest)
    raise WrongCommandError(f"{' '.join(words)}: nothing is known of this program")


def _typer(command: Any, name: str, words: list[str], whole: bool = True) -> str:
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        word, *words = words
        if word not in command.commands:
            raise WrongCommandError(f"{name} has no command {word}")
        name, command = f"{name} {word}", command.commands[word]
    try:
        command.make_context(name, list(words), resilient_parsing=not whole)
    except typer.Exit:  # --help
        pass
    except Exception as error:  # Typer's own kinds of it are not public
        raise WrongCommandError(f"{name}: {error}") from error
    return name


def _make(targets: list[str]) -> str:
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in targets if "=" not in word]
    unknown = [word for word in named if word not in known]
    if unknown:
        raise WrongCommandError(f"make has no target {', '.join(unknown)}")
    return " ".join(["make", *named])


def _dvc(words: list[str]) -> str:
    try:
        get_main_parser().parse_args(words)
    except Exception as error:  # DVC's own kinds of it
        raise WrongCommandError(f"dvc {' '.join(words)}: {error}") from error
    return f"dvc {words[0]}"


def _module(name: str, words: list[str]) -> str:
    if name in STAGES:
        _hydra(*STAGES[name], words)
        return name
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise WrongCommandError(f"there is no module {name}") from error
    single = typer.Typer(add_completion=False)
    single.command()(module.main)
    return _typer(typer.main.get_command(single), name, words)


def _hydra(name: str, validate: Callable[[DictConfig], object], words: list[str]) -> None:
    """Composes and validates the configuration of each job that a stage's command would run."""
    overrides = OverridesParser.create().parse_overrides([word for word in words if word != "-m"])
    (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for job in jobs:
            try:
                validate(compose(name, job))
            except (HydraException, InputError) as error:
                raise WrongCommandError(f"{name} {' '.join(job)}: {error}") from error
