from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.shop import days_after, delta_of
from progrec import content
from progrec.errors import InputError
from progrec.learning import daily
from progrec.learning.bundle import Bundle
from progrec.learning.chain import Chain
from progrec.learning.config import UpdateConfig

if TYPE_CHECKING:
    from conftest import Recorder

N_DAYS = 5
DATES = [date(2020, 2, day) for day in range(1, N_DAYS + 1)]
Updated = Callable[..., Bundle]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The deltas' tables after each of five days."""
    folder = tmp_path_factory.mktemp("days")
    events = days_after(N_DAYS)
    return [
        delta_of(folder / str(n), [event for event in events if event[0] <= f"2020-02-{n:02}"])
        for n in range(1, N_DAYS + 1)
    ]


@pytest.fixture
def model(cold: Bundle, tmp_path: Path) -> Bundle:
    """The cold model, where it lies."""
    cold.save(tmp_path / "model")
    return Bundle.load(tmp_path / "model")


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The days that are learned, as they are."""
    seen: list[date] = []
    learn = daily.learn

    def watched(bundle: Bundle, day: daily.Day, *rest: object):
        seen.append(day.date)
        return learn(bundle, day, *rest)

    monkeypatch.setattr(daily, "learn", watched)
    return seen


@pytest.fixture
def copied(days: list[Path], tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of all days' tables that a test may edit."""

    def copy() -> Path:
        return Path(shutil.copytree(days[-1], tmp_path / "edited"))

    return copy


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file's bytes, and when it was written."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("stops", [(3, 5), (1, 2, 3, 4, 5), (0, 2, 5), (4, 4, 5)])
def test_days_at_once_or_one_after_another_end_in_the_same_bytes(
    model: Bundle,
    days: list[Path],
    updated_by: Updated,
    learned: list[date],
    tmp_path: Path,
    stops: tuple[int, ...],
) -> None:
    report = tmp_path / "prequential.csv"
    whole = updated_by(days[-1], f"out={tmp_path / 'whole'}")
    at_once = report.read_bytes()
    learned.clear()

    empty = tmp_path / "empty"
    (empty / "enriched").mkdir(parents=True)
    for stop in stops:
        parts = updated_by(days[stop - 1] if stop else empty)

    assert learned == DATES
    assert parts.digest == whole.digest
    assert report.read_bytes() == at_once
    assert len(at_once.splitlines()) == 1 + N_DAYS


def test_a_run_again_learns_nothing_and_changes_no_byte(
    model: Bundle,
    days: list[Path],
    updated_by: Updated,
    learned: list[date],
    recorder: Recorder,
    tmp_path: Path,
) -> None:
    updated_by(days[-1])
    before, report = files_of(tmp_path / "updated"), (tmp_path / "prequential.csv").read_bytes()
    figures = list(recorder.figures)
    learned.clear()
    recorder.figures.clear()

    updated_by(days[-1])

    assert learned == []
    assert files_of(tmp_path / "updated") == before
    assert (tmp_path / "prequential.csv").read_bytes() == report
    assert recorder.figures == figures
    assert [step for step, _ in figures] == [1, 2, 3, 4, 5]


def test_what_the_links_name(
    model: Bundle, days: list[Path], updated_by: Updated, tmp_path: Path
) -> None:
    digests = [updated_by(folder).digest for folder in days]
    provenance = Bundle.load(tmp_path / "updated").provenance

    links = provenance.chain
    assert [link.date for link in links] == DATES
    assert [link.parent_digest for link in links] == [model.digest, *digests[:-1]]
    assert provenance.parent_digest == digests[-2]
    assert len({link.delta_digest for link in links}) == N_DAYS
    assert {link.config_digest for link in links} == {provenance.config_digest}
    assert provenance.watermark == DATES[-1]
    assert len({model.digest, *digests}) == N_DAYS + 1


def test_the_digest_of_the_data_is_that_of_all_days_events(
    model: Bundle, days: list[Path], updated_by: Updated
) -> None:
    for folder in days:
        digest = updated_by(folder).provenance.data_digest
        assert digest == content.digest(folder / "enriched")


@pytest.mark.parametrize("table", ["enriched", "user_features", "item_features"])
def test_a_day_that_was_edited_is_learned_again_with_all_days(
    model: Bundle,
    days: list[Path],
    copied: Callable[[], Path],
    updated_by: Updated,
    learned: list[date],
    tmp_path: Path,
    table: str,
) -> None:
    updated_by(days[-1])
    edited = copied()
    file = edited / table / "date=2020-02-04" / f"{table}.parquet"
    rows = pd.read_parquet(file)
    pd.concat([rows, rows[:1]] if table == "enriched" else [rows[::-1]]).to_parquet(
        file, index=False
    )
    learned.clear()

    again = updated_by(edited)

    assert learned == DATES
    fresh = updated_by(edited, f"out={tmp_path / 'fresh'}")
    assert again.digest == fresh.digest


def test_a_day_that_is_gone_or_came_in_between_starts_the_chain_again(
    model: Bundle,
    days: list[Path],
    copied: Callable[[], Path],
    updated_by: Updated,
    learned: list[date],
    tmp_path: Path,
) -> None:
    edited = copied()
    for table in edited.iterdir():
        shutil.rmtree(table / "date=2020-02-02")
    rest = [day for day in DATES if day.day != 2]

    whole = updated_by(days[-1]).digest
    learned.clear()
    without = updated_by(edited).digest
    assert learned == rest
    assert updated_by(edited, f"out={tmp_path / 'fresh'}").digest == without
    learned.clear()
    assert updated_by(days[-1]).digest == whole
    assert learned == DATES


def test_fewer_days_than_were_learned_start_the_chain_again(
    model: Bundle, days: list[Path], updated_by: Updated, learned: list[date], tmp_path: Path
) -> None:
    updated_by(days[-1])
    learned.clear()

    shorter = updated_by(days[1])

    assert learned == DATES[:2]
    assert shorter.digest == updated_by(days[1], f"out={tmp_path / 'fresh'}").digest


@pytest.mark.parametrize("override", ["seed=1", "update.pull=0.5", "loss=bpr", "update.epochs=1"])
def test_another_configuration_starts_again(
    model: Bundle,
    days: list[Path],
    updated_by: Updated,
    learned: list[date],
    tmp_path: Path,
    override: str,
) -> None:
    default = updated_by(days[1]).digest
    learned.clear()

    other = updated_by(days[1], override)

    assert learned == DATES[:2]
    assert other.digest != default
    assert other.digest == updated_by(days[1], override, f"out={tmp_path / 'fresh'}").digest


def test_other_paths_are_no_other_configuration(
    model: Bundle, days: list[Path], updated_by: Updated, learned: list[date], tmp_path: Path
) -> None:
    updated_by(days[1])
    learned.clear()
    shutil.move(tmp_path / "updated", tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "model", tmp_path / "same")

    updated_by(
        days[2],
        f"out={tmp_path / 'elsewhere'}",
        f"report={tmp_path / 'other.csv'}",
        parent=tmp_path / "same",
    )

    assert learned == DATES[2:3]


def test_another_cold_model_starts_again(
    model: Bundle, days: list[Path], updated_by: Updated, learned: list[date], tmp_path: Path
) -> None:
    updated_by(days[1])
    learned.clear()
    model.network.output.bias.data += 1
    model.save(tmp_path / "model")

    other = updated_by(days[1])

    assert learned == DATES[:2]
    assert other.digest == updated_by(days[1], f"out={tmp_path / 'fresh'}").digest


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "model.safetensors").unlink(),
        lambda out: cut(out / "provenance.json"),
        lambda out: cut(out / "history.parquet"),
        lambda out: [path.unlink() for path in out.iterdir()],
        shutil.rmtree,
    ],
    ids=["no weights", "half a provenance", "half a history", "nothing in it", "not there"],
)
def test_a_damaged_bundle_is_made_anew(
    model: Bundle,
    days: list[Path],
    updated_by: Updated,
    learned: list[date],
    tmp_path: Path,
    damage: Callable[[Path], object],
) -> None:
    whole = updated_by(days[1]).digest
    learned.clear()
    damage(tmp_path / "updated")

    assert updated_by(days[1]).digest == whole
    assert learned == DATES[:2]


def test_a_cold_model_where_the_chain_should_be_is_its_beginning(
    model: Bundle, days: list[Path], updated_by: Updated, learned: list[date], tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "model", tmp_path / "updated")

    updated_by(days[1])

    assert learned == DATES[:2]


def test_a_day_without_a_table_is_an_error_that_names_it(
    model: Bundle,
    copied: Callable[[], Path],
    update_config: Callable[..., UpdateConfig],
    tmp_path: Path,
) -> None:
    edited = copied()
    file = edited / "item_features" / "date=2020-02-03" / "item_features.parquet"
    file.unlink()

    with pytest.raises(InputError, match=f"{file} does not exist; run the pipeline"):
        Chain.of(model, update_config(edited, tmp_path / "model"), 3)


@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 999), st.integers(1, 2))
def test_any_days_may_be_split_anywhere(
    model: Bundle,
    updated_by: Updated,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    stop: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    events = days_after(3, seed)
    first = [event for event in events if event[0] <= f"2020-02-{stop:02}"]
    parts, whole = delta_of(folder / "parts", first), delta_of(folder / "whole", events)

    updated_by(parts, f"out={folder / 'out'}")
    parts_digest = updated_by(whole, f"out={folder / 'out'}").digest

    assert parts_digest == updated_by(whole, f"out={folder / 'fresh'}").digest


def test_windows_are_learned_when_they_are_over(
    model: Bundle, days: list[Path], updated_by: Updated, tmp_path: Path
) -> None:
    half = updated_by(days[2], "update.window_days=2")
    whole = updated_by(days[4], "update.window_days=2")

    links = whole.provenance.chain
    assert [link.date for link in links] == [date(2020, 2, 2), date(2020, 2, 4)]
    assert half.provenance.chain == links[:1]
    assert whole.watermark == date(2020, 2, 4)
    afresh = updated_by(days[3], "update.window_days=2", f"out={tmp_path / 'afresh'}")
    assert afresh.digest == whole.digest


def test_a_window_in_which_nothing_happened_is_no_delta(
    model: Bundle, days: list[Path], updated_by: Updated, copied: Callable[[], Path]
) -> None:
    folder = copied()
    for table in folder.iterdir():
        for day in (3, 4):
            shutil.rmtree(table / f"date=2020-02-0{day}", ignore_errors=True)

    links = updated_by(folder, "update.window_days=2").provenance.chain

    assert [link.date for link in links] == [date(2020, 2, 2)]
