from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from typer.testing import CliRunner

from learning.paper_files import N_ITEMS, TRAIN, write
from progrec import cli
from progrec.errors import InputError
from progrec.learning import ials, leave_one_out, ncf_benchmark, neighbours
from progrec.learning.config import IALSConfig
from progrec.learning.ncf_benchmark import Settings

SMALL = Settings(
    factors=4,
    embeddings=IALSConfig(regularization=0.05, unobserved_weight=0.3, iterations=4, deviation=0.1),
    fewest=2,
    regularizations=(5, 50),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data")


def test_iterations_pass_what_fit_ends_with() -> None:
    likes = csr_array((np.random.default_rng(0).random((20, 12)) < 0.3).astype(np.float32))
    config = SMALL.embeddings

    for n, found in enumerate(ials.iterations(likes, 3, config, 7), 1):
        shorter = config.model_copy(update={"iterations": n})
        fitted = ials.fit(likes, 3, shorter, 7, quiet=True)
        assert all(torch.equal(a, b) for a, b in zip(found, fitted, strict=True))
    assert n == config.iterations


def test_two_kinds_of_users_are_told_apart_and_the_seeds_decide(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(100, 1.5)
    monkeypatch.setattr(ncf_benchmark, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    first, second = (ncf_benchmark.benchmark(folder, SMALL) for _ in range(2))

    assert first.keys() == {"hr@10", "ndcg@10", "seconds", "factors", "epochs"}
    assert first["factors"] == 4
    assert 2 <= first["epochs"] <= 4
    assert first["seconds"] == 1.5
    # Chance is 0.1; who knows the kinds, and no more, gets twice that.
    assert 0.14 < first["hr@10"] < 0.4
    assert first["hr@10"] / 4 < first["ndcg@10"] < first["hr@10"]
    assert first == second


def test_the_test_files_have_no_say_in_the_choices(folder: Path, tmp_path: Path) -> None:
    data = [leave_one_out.read(each) for each in (folder, write(tmp_path / "other", seed=5))]
    validations = [leave_one_out.held_out_of(each.train, 0) for each in data]
    choices = [ncf_benchmark.choose(validation, SMALL) for validation in validations]

    assert (data[0].negatives != data[1].negatives).any()
    assert choices[0] == choices[1]
    # Nor in the scores: a user's are the same whoever else is tested, and with what.
    scores = ncf_benchmark.scores(data[0], validations[0], choices[0], SMALL)
    fewer = replace(
        data[0],
        users=data[0].users[:9],
        held_out=data[0].held_out[:9],
        negatives=data[0].negatives[:9, :50],
    )
    np.testing.assert_allclose(
        ncf_benchmark.scores(fewer, validations[0], choices[0], SMALL), scores[:9, :51], rtol=1e-5
    )


def test_the_tower_decides_alone_where_the_others_only_distract(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = leave_one_out.held_out_of(leave_one_out.read(folder).train, 0)
    # Each item speaks for those of the other kind.
    against = np.equal.outer(*[np.arange(N_ITEMS) < N_ITEMS // 2] * 2) - 1.0
    monkeypatch.setattr(neighbours, "ease", lambda likes, regularization: against[:240, :240] * -9)

    assert ncf_benchmark.choose(validation, SMALL).share == 0


def test_users_of_one_item_leave_nothing_to_choose_by(folder: Path) -> None:
    lines = (folder / TRAIN).read_text().splitlines(keepends=True)
    (folder / TRAIN).write_text("".join(lines[::15]))

    with pytest.raises(InputError, match="take a larger data set"):
        ncf_benchmark.benchmark(folder, SMALL)


# The command


def test_the_command_prints_one_json_object(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncf_benchmark, "Settings", lambda: SMALL)

    result = CliRunner().invoke(cli.app, ["benchmark", "ncf", "--data", str(folder)])

    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert list(figures) == ["hr@10", "ndcg@10", "seconds", "factors", "epochs"]


def test_the_command_refuses_an_empty_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["benchmark", "ncf", "--data", str(tmp_path)])

    assert isinstance(result.exception, InputError)
    assert result.stdout == ""
