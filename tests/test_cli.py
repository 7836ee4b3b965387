"""The command line's own promises: every command has an example, and help fits a terminal."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from commands import Command, commands, parsed
from progrec.cli import app

COMMANDS = commands(typer.main.get_command(app), "progrec")
WIDTH = 80


def names(command: Command) -> str:
    return command.name


def help_of(command: Command) -> str:
    words = shlex.split(command.name)[1:]
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(WIDTH)})
    assert result.exit_code == 0
    return result.output


def example(command: Command) -> str:
    """The example of a command's help, as somebody would copy it."""
    _, _, text = help_of(command).partition("Example: ")
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join(lines).replace("\\\n", "")


def test_there_are_commands() -> None:
    assert {"progrec doctor", "progrec queue audit"} <= {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_a_commands_example_is_one_of_that_command_and_parses(command: Command) -> None:
    text = example(command)

    assert "\n" not in text, "it wraps, so it cannot be copied"
    assert shlex.split(text)[: len(shlex.split(command.name))] == shlex.split(command.name)
    assert parsed(shlex.split(text)) == command.name


@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_every_option_and_argument_of_a_command_is_explained(command: Command) -> None:
    unexplained = [each.name for each in command.parameters if not each.help]

    assert unexplained == []


@pytest.mark.parametrize("command", COMMANDS, ids=names)
def test_help_fits_a_terminal_and_cuts_no_word(command: Command) -> None:
    text = help_of(command)

    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text


def test_the_overview_says_each_command_in_one_line() -> None:
    overview = CliRunner().invoke(app, ["--help"], env={"COLUMNS": str(WIDTH)}).output

    lines = re.findall(r"^│ .* │$", overview.partition("Commands")[2], re.MULTILINE)
    assert len(lines) == len(app.registered_commands) + len(app.registered_groups)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str) -> None:
    script = CliRunner().invoke(
        app, [], prog_name="progrec", env={"_PROGREC_COMPLETE": f"source_{shell}"}
    )

    assert script.exit_code == 0
    assert "_PROGREC_COMPLETE" in script.output


def test_completion_knows_the_commands() -> None:
    asked = {"COMP_WORDS": "progrec queue re", "COMP_CWORD": "2"}
    answer = CliRunner().invoke(
        app, [], prog_name="progrec", env={"_PROGREC_COMPLETE": "complete_bash", **asked}
    )

    assert answer.output.split() == ["rebuild"]
