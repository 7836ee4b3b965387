from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from progrec import content, settings
from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import publish
from progrec.settings import RegistrySettings
from progrec.tracking import Run, Tracking, Version

BundleAt = Callable[[str], Path]


def log(tracking: Tracking, path: Path) -> Run:
    """Logs a bundle as the stage that made it does."""
    with tracking.run("train", "defaults", params={}, tags={}) as run:
        pyfunc.log(run, Bundle.load(path), path)
    return run


def versions(tracking: Tracking) -> list[tuple[int, str]]:
    found = tracking.client.search_model_versions(f"name = '{tracking.registry.model}'")
    return sorted((int(version.version), version.tags["bundle_digest"]) for version in found)


def restored(tracking: Tracking, digest: str) -> list[str]:
    """Names of the publish stage's runs that logged a bundle."""
    experiment = tracking.client.get_experiment_by_name(publish.EXPERIMENT)
    if experiment is None:
        return []
    where = f"tags.bundle_digest = '{digest}'"
    runs = tracking.client.search_runs([experiment.experiment_id], where)
    return [run.info.run_name for run in runs]


def test_a_bundle_is_registered_under_its_digest_and_becomes_champion(
    tracking: Tracking, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    log(tracking, path)

    version, is_new = publish.publish(path, tracking)

    assert (version, is_new) == (Version(1, content.digest(path)), True)
    assert versions(tracking) == [(1, content.digest(path))]
    assert tracking.champion() == version
    logged = tracking.logged_model(version.digest)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [
        {"name": tracking.registry.model, "version": 1}
    ]


def test_the_same_bundle_registers_once(tracking: Tracking, bundle_at: BundleAt) -> None:
    path = bundle_at("cold")
    log(tracking, path)
    first, _ = publish.publish(path, tracking)

    again, is_new = publish.publish(path, tracking)

    assert (again, is_new) == (first, False)
    assert versions(tracking) == [(1, content.digest(path))]


def test_a_bundle_that_is_made_again_registers_once(
    tracking: Tracking, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    for _ in range(2):
        log(tracking, path)
        publish.publish(path, tracking)

    assert versions(tracking) == [(1, content.digest(path))]
    assert restored(tracking, content.digest(path)) == []


def test_another_bundle_is_the_next_version_and_the_champion(
    tracking: Tracking, bundle_at: BundleAt
) -> None:
    old, new = bundle_at("cold"), bundle_at("updated")
    publish.publish(old, tracking)

    version, is_new = publish.publish(new, tracking)

    assert (version, is_new) == (Version(2, content.digest(new)), True)
    assert versions(tracking) == [(1, content.digest(old)), (2, content.digest(new))]
    assert tracking.champion() == version


def test_going_back_promotes_the_version_that_is_there(
    tracking: Tracking, bundle_at: BundleAt
) -> None:
    old, new = bundle_at("cold"), bundle_at("updated")
    first, _ = publish.publish(old, tracking)
    publish.publish(new, tracking)

    version, is_new = publish.publish(old, tracking)

    assert (version, is_new) == (first, True)
    assert len(versions(tracking)) == 2
    assert tracking.champion() == first


def test_a_bundle_that_no_run_has_logged_is_logged_again(
    tracking: Tracking, bundle_at: BundleAt
) -> None:
    path = bundle_at("from the cache")

    version, _ = publish.publish(path, tracking)
    publish.publish(path, tracking)

    assert version.digest == content.digest(path)
    assert restored(tracking, version.digest) == ["restored"]


def test_an_upload_that_broke_off_is_no_logged_bundle(
    tracking: Tracking, bundle_at: BundleAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle_at("cold")
    with monkeypatch.context() as patch:
        for copy in ("copytree", "copy2", "copyfile"):
            patch.setattr(f"shutil.{copy}", _disk_full)
        with pytest.raises(OSError, match="disk full"):
            log(tracking, path)
    assert tracking.logged_model(content.digest(path)) is None

    version, _ = publish.publish(path, tracking)

    assert content.digest(tracking.bundle(version)) == content.digest(path)


def _disk_full(*_args: object, **_kwargs: object) -> None:
    raise OSError("disk full")


def test_a_damaged_bundle_is_not_published(tracking: Tracking, bundle_at: BundleAt) -> None:
    path = bundle_at("cold")
    (path / "items.parquet").unlink()

    with pytest.raises(BundleError, match=r"items\.parquet"):
        publish.publish(path, tracking)

    assert tracking.champion() is None


@pytest.fixture
def command(
    registry: RegistrySettings,
    bundle_at: BundleAt,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[Path], str]:
    """Runs the stage on a bundle; what it printed, on either stream."""
    general = settings.load(Path(__file__).parents[2] / "params.yaml")
    in_store = general.model_copy(update={"registry": registry})
    monkeypatch.setattr(settings, "load", lambda: in_store)

    def run(bundle: Path) -> str:
        publish.main(bundle=bundle, report=tmp_path / "publish.json")
        return "".join(capfd.readouterr())

    return run


def test_the_command_says_what_has_become_of_the_bundle_and_nothing_else(
    command: Callable[[Path], str],
    bundle_at: BundleAt,
    registry: RegistrySettings,
    tracking: Tracking,
    tmp_path: Path,
) -> None:
    path = bundle_at("cold")
    tracking.champion()  # the store's tables are there

    printed = [command(path), command(path)]

    name = registry.model
    assert printed == [
        f"publish: {name} version 1 is now the champion\n",
        f"publish: {name} version 1 is the champion already, nothing to do\n",
    ]
    assert json.loads((tmp_path / "publish.json").read_text()) == {
        "model": name,
        "version": 1,
        "digest": content.digest(path),
    }


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
