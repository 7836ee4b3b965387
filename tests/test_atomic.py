from __future__ import annotations

import json
from pathlib import Path

import pytest

from progrec import atomic


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "figures.txt"
    path.write_text("old")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tables"
    path.mkdir()
    (path / "a.txt").write_text("old a")
    (path / "b.txt").write_text("old b")
    return path


def fail_midway(path: Path, error: type[BaseException] = OSError) -> None:
    with atomic.replacing(path) as new:
        new.mkdir()
        (new / "half.txt").write_text("half")
        raise error("the disk is full")


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_appears_with_the_folders_above_it(tmp_path: Path) -> None:
    with atomic.replacing(tmp_path / "deep/er/figures.txt") as new:
        new.write_text("new")

    assert (tmp_path / "deep/er/figures.txt").read_text() == "new"
    assert names(tmp_path) == ["deep", "deep/er", "deep/er/figures.txt"]


def test_a_file_is_replaced(file: Path) -> None:
    with atomic.replacing(file) as new:
        new.write_text("new")
        assert file.read_text() == "old"

    assert file.read_text() == "new"
    assert names(file.parent) == ["figures.txt"]


def test_a_folder_is_replaced_whole(folder: Path) -> None:
    with atomic.replacing(folder) as new:
        new.mkdir()
        (new / "c.txt").write_text("new c")
        assert names(folder) == ["a.txt", "b.txt"]

    assert names(folder.parent) == ["tables", "tables/c.txt"]


def test_a_folder_takes_the_place_of_a_file(file: Path) -> None:
    with atomic.replacing(file) as new:
        new.mkdir()

    assert file.is_dir()
    assert names(file.parent) == ["figures.txt"]


def test_a_file_takes_the_place_of_a_folder(folder: Path) -> None:
    with atomic.replacing(folder) as new:
        new.write_text("new")

    assert folder.read_text() == "new"
    assert names(folder.parent) == ["tables"]


def test_a_body_that_fails_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"):
        fail_midway(tmp_path / "tables")

    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_body_that_fails_leaves_the_file_as_it_was(
    file: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error, match="the disk is full"):
        fail_midway(file, error)

    assert file.read_text() == "old"
    assert names(file.parent) == ["figures.txt"]


def test_a_body_that_fails_leaves_the_folder_as_it_was(folder: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"):
        fail_midway(folder)

    assert (folder / "a.txt").read_text() == "old a"
    assert names(folder.parent) == ["tables", "tables/a.txt", "tables/b.txt"]


@pytest.mark.parametrize("thing", ["file", "folder"])
def test_a_body_that_makes_nothing_takes_nothing_away(
    thing: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(thing)
    before = names(path.parent)

    with pytest.raises(FileNotFoundError), atomic.replacing(path):
        pass

    assert names(path.parent) == before


def test_the_old_folder_comes_back_when_the_new_cannot_be_moved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def refuse_new(source: Path, target: Path) -> Path:
        if source.name == "new":
            raise OSError("no")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refuse_new)
    with pytest.raises(OSError, match="no"), atomic.replacing(folder) as new:
        new.mkdir()

    assert names(folder.parent) == ["tables", "tables/a.txt", "tables/b.txt"]


def test_json_is_indented_and_ends_with_a_line_break(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "report.json", {"rows": 1, "name": None})

    assert (tmp_path / "report.json").read_text() == '{\n  "rows": 1,\n  "name": null\n}\n'


def test_json_without_a_number_for_it_is_refused(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "report.json", {"loss": 0.5})

    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "report.json", {"loss": float("nan")})

    assert json.loads((tmp_path / "report.json").read_text()) == {"loss": 0.5}
    assert names(tmp_path) == ["report.json"]
