"""What `dvc repro` prints where there is no terminal, as in a log."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

DVCS = re.compile(
    r"|Running stage '.+':|> .+|'data\.dvc' didn't change, skipping|Use `dvc push` .+"
    r"|To track the changes with git, run:|\tgit add .+"
    r"|(Generating|Updating) lock file 'dvc\.lock'"
    r"|To enable auto staging, run:|\tdvc config .+"
)
LINE = re.compile(r"[a-z]+( of (history|delta))?: .+ \(\d+\.\d s\)")


def test_each_command_says_what_it_did_in_one_line_and_nothing_else(first_run: str) -> None:
    lines = first_run.splitlines()
    commands = [line for line in lines if line.startswith("> ")]
    ours = [line for line in lines if not DVCS.fullmatch(line)]

    assert len(commands) == 19
    assert len(ours) == len(commands), first_run
    assert [line for line in ours if not LINE.fullmatch(line)] == []
    for place, line in enumerate(lines):
        if line.startswith("> "):
            assert LINE.fullmatch(lines[place + 1])


def test_no_library_warns(first_run: str) -> None:
    assert "warn" not in first_run.lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("k: 20 ", "k: twenty ", "error: params.yaml cannot be used:\n  evaluate.k: "),
        ("gap_minutes", "gap_minuts", "gap_minuts: unknown key; did you mean gap_minutes?"),
        ('"2019-10-29"', "2019-10-29", "value of type 'date' in 'params.yaml:split.cutoff'"),
        ('"2019-10-29"', '"2019-13-29"', "split.cutoff: Input should be a valid date"),
        ('"2019-10-29"', '"2010-10-29"', "error: no event lies before split.cutoff = 2010-10-29"),
        ("trainer=smoke", "model.factrs=3", "model.factrs: unknown key; did you mean factors?"),
        ("trainer=smoke", "model.factors=many", "model.factors: Input should be a valid integer"),
        ("trainer=smoke", "trainer=smok", "Could not find 'trainer/smok'"),
        ("trainer=smoke", "trainer smoke", "Error parsing override 'trainer'"),
    ],
)
def test_a_mistake_in_params_is_named_without_a_stack_trace(
    own: Project, right: str, wrong: str, told: str
) -> None:
    own.edit("params.yaml", right, wrong)

    assert_told(own.fail("dvc repro"), told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", "error: data/events/x.csv: is empty; export it again or remove it"),
        (
            "event_time,event_type,product_id\n2019-10-02,view,3\n",
            "error: data/events/x.csv: has no column user_id",
        ),
        (
            "event_time,event_type,product_id,user_id\n" + "2019-10-02 25:00:00,view,3,4\n" * 2000,
            "error: 2005 of 14000 rows are bad, more than ingest.max_bad_fraction = 0.01 allows",
        ),
    ],
)
def test_a_mistake_in_the_data_is_named_without_a_stack_trace(
    own: Project, log: str, told: str
) -> None:
    (own.folder / "data/events/x.csv").write_text(log)

    assert_told(own.fail("dvc repro"), told)


@pytest.mark.slow
def test_data_that_is_gone_is_named_without_a_stack_trace(own: Project) -> None:
    shutil.rmtree(own.folder / "data")

    assert_told(own.fail("dvc repro"), "missing data 'source': data")


def assert_told(said: str, told: str) -> None:
    assert told in said
    assert "Traceback" not in said
    assert said.rstrip().splitlines()[-1].startswith(("ERROR: ", "Having any troubles?"))
