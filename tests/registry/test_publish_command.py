from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from progrec import content, settings
from progrec.registry import publish
from progrec.registry.publish import Publication
from progrec.settings import RegistrySettings, Settings
from progrec.tracking import Tracking
from said import untimed

BundleAt = Callable[[str], Path]
ShopAt = Callable[..., Path]
Published = Callable[[Path], Publication]


@pytest.fixture
def command(
    registry: RegistrySettings,
    features: Path,
    small: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[Path], str]:
    """Runs the stage on a bundle; what it printed, on either stream."""
    in_store = small.model_copy(update={"registry": registry})
    monkeypatch.setattr(settings, "load", lambda: in_store)

    def run(bundle: Path) -> str:
        publish.main(bundle=bundle, features=features, report=tmp_path / "publish.json")
        return "".join(capfd.readouterr())

    return run


def test_the_command_says_what_has_become_of_the_bundle_and_nothing_else(
    command: Callable[[Path], str],
    shop_at: ShopAt,
    registry: RegistrySettings,
    tracking: Tracking,
) -> None:
    good, bad, better = (shop_at(liked, str(liked)) for liked in (1.0, -9.0, 1.1))
    tracking.champion()  # the store's tables are there

    printed = [untimed(command(path)) for path in (good, good, bad, bad, better, good)]

    lines = [line.removeprefix(f"publish: {registry.model} version ") for line in printed]
    assert [line.count("\n") for line in lines] == [1] * 6
    assert lines[:2] == [
        "1 is now the champion\n",
        "1 is the champion already, nothing to do\n",
    ]
    assert lines[2].startswith(
        "2 is rejected, the champion is 1: on the validation window NDCG@3 falls by 100.0 %, from "
    )
    assert lines[3].startswith("2 was rejected before, the champion is 1, nothing to do: on the ")
    assert lines[4:] == [
        "3 is now the champion\n",
        "1 was promoted before, the champion is 3, nothing to do\n",
    ]


def test_the_report_is_the_same_to_the_byte_whenever_the_version_is_published_again(
    command: Callable[[Path], str], shop_at: ShopAt, tmp_path: Path
) -> None:
    paths = [shop_at(liked, str(liked)) for liked in (1.0, -9.0, 1.1)]

    def report(path: Path) -> bytes:
        command(path)
        return (tmp_path / "publish.json").read_bytes()

    first = [report(path) for path in paths]

    assert [report(path) for path in paths] == first
    assert b"-Infinity" not in b"".join(first)


def test_the_report_holds_the_decision_and_its_figures(
    command: Callable[[Path], str],
    shop_at: ShopAt,
    registry: RegistrySettings,
    tracking: Tracking,
    tmp_path: Path,
) -> None:
    for liked in (1.0, -9.0):
        command(shop_at(liked, str(liked)))

    report = json.loads((tmp_path / "publish.json").read_text())
    reasons, figures = report.pop("reasons"), report.pop("figures")
    assert report == {
        "model": registry.model,
        "version": 2,
        "digest": content.digest(tmp_path / "-9.0"),
        "decision": "rejected",
        "champion": 1,
    }
    assert "\n".join(reasons) == tracking.versions()[0].tags["gate_reasons"]
    assert set(figures) == {"k", "challenger", "champion", "frozen", "recent"}
    assert figures["recent"]["challenger"] == {"ndcg": 0.0, "recall": 0.0}


def test_the_command_ends_in_one_line_without_a_bundle(
    command: Callable[[Path], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command(tmp_path / "nowhere")

    assert end.value.code == 1
    error = capfd.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'nowhere'} is not a usable bundle")
    assert error.count("\n") == 1
    assert not (tmp_path / "publish.json").exists()
