from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from progrec import content
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import champion, publish
from progrec.settings import RegistrySettings
from progrec.tracking import Tracking

BundleAt = Callable[[str], Path]


def test_before_anything_is_published_there_is_none(registry: RegistrySettings) -> None:
    assert champion.load(registry) is None


def test_a_registered_model_without_a_champion_has_none(
    registry: RegistrySettings, tracking: Tracking
) -> None:
    tracking.client.create_registered_model(registry.model)

    assert champion.load(registry) is None


def test_the_champion_is_the_bundle_that_was_published(
    registry: RegistrySettings, tracking: Tracking, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    publish.publish(path, tracking)

    loaded = champion.load(registry)

    assert loaded is not None
    assert loaded.digest == content.digest(path)
    np.testing.assert_array_equal(loaded.scores(["ann"]), Bundle.load(path).scores(["ann"]))


def test_the_champion_is_the_one_that_was_published_last(
    registry: RegistrySettings, tracking: Tracking, bundle_at: BundleAt
) -> None:
    for name in ("cold", "updated"):
        publish.publish(bundle_at(name), tracking)

    loaded = champion.load(registry)

    assert loaded is not None
    assert loaded.digest == content.digest(bundle_at("updated"))


def test_the_champion_outlives_the_folder_that_it_came_from(
    registry: RegistrySettings, tracking: Tracking, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    version, _ = publish.publish(path, tracking)
    shutil.rmtree(path)

    loaded = champion.load(registry)

    assert loaded is not None
    assert loaded.digest == version.digest


def _remove_a_file(folder: Path) -> None:
    (folder / "users.parquet").unlink()


def _remove_the_model(folder: Path) -> None:
    shutil.rmtree(folder.parents[1])


@pytest.mark.parametrize("lose", [_remove_a_file, shutil.rmtree, _remove_the_model])
def test_a_champion_whose_files_are_lost_is_an_error_that_says_so(
    lose: Callable[[Path], None],
    registry: RegistrySettings,
    tracking: Tracking,
    bundle_at: BundleAt,
) -> None:
    version, _ = publish.publish(bundle_at("cold"), tracking)
    lose(tracking.bundle(version))

    with pytest.raises(BundleError):
        champion.load(registry)
