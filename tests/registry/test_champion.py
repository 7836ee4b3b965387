from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from progrec import content
from progrec.errors import InputError
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import champion
from progrec.registry.champion import WrongDigestError
from progrec.registry.publish import Publication
from progrec.settings import RegistrySettings
from progrec.tracking import Tracking, Version

BundleAt = Callable[[str], Path]
Published = Callable[[Path], Publication]


def test_before_anything_is_published_there_is_none(registry: RegistrySettings) -> None:
    assert champion.load(registry) is None


def test_a_registered_model_without_a_champion_has_none(
    registry: RegistrySettings, tracking: Tracking
) -> None:
    tracking.client.create_registered_model(registry.model)

    assert champion.load(registry) is None


def test_the_champion_is_the_bundle_that_was_published(
    registry: RegistrySettings, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    published(path)

    loaded = champion.load(registry)

    assert loaded is not None
    assert loaded.digest == content.digest(path)
    np.testing.assert_array_equal(loaded.scores(["ann"]), Bundle.load(path).scores(["ann"]))


def test_the_champion_is_the_one_that_was_published_last(
    registry: RegistrySettings, published: Published, bundle_at: BundleAt
) -> None:
    for name in ("cold", "updated"):
        published(bundle_at(name))

    loaded = champion.load(registry)

    assert loaded is not None
    assert loaded.digest == content.digest(bundle_at("updated"))


def test_the_champion_outlives_the_folder_that_it_came_from(
    registry: RegistrySettings, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    version = published(path).version
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
    published: Published,
    bundle_at: BundleAt,
) -> None:
    version = published(bundle_at("cold")).version
    lose(tracking.bundle(version))

    with pytest.raises(BundleError):
        champion.load(registry)


def test_a_champion_whose_files_are_others_than_were_registered_is_refused(
    registry: RegistrySettings, tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    version = published(bundle_at("cold")).version
    folder = tracking.bundle(version)
    shutil.copytree(bundle_at("forged"), folder, dirs_exist_ok=True)

    with pytest.raises(WrongDigestError, match=re.escape(version.digest)):
        champion.load(registry)


# Who is champion


@pytest.fixture
def three(tracking: Tracking, published: Published, bundle_at: BundleAt) -> list[Version]:
    """Versions, each of which became the champion after the one before it."""
    return [published(bundle_at(name)).version for name in ("cold", "monday", "tuesday")]


def test_rolling_back_leads_from_champion_to_champion_before(
    tracking: Tracking, three: list[Version]
) -> None:
    first, second, third = three

    assert champion.rollback(tracking) == (second, third)
    assert tracking.champion() == second
    assert champion.rollback(tracking) == (first, second)
    assert tracking.champion() == first


def test_before_the_first_champion_there_was_none(
    registry: RegistrySettings, tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(registry.model)} has no champion yet; `dvc"):
        champion.rollback(tracking)
    version = published(bundle_at("cold")).version

    with pytest.raises(InputError, match="version 1 is the champion and none was before it"):
        champion.rollback(tracking)

    assert tracking.champion() == version


def test_a_rollback_takes_a_promotion_by_hand_back(
    tracking: Tracking, three: list[Version]
) -> None:
    first, second, third = three
    champion.promote(tracking, first)

    # First, third, second, first are the champions before; then there is none.
    back = [champion.rollback(tracking)[0] for _ in range(3)]

    assert back == [third, second, first]
    with pytest.raises(InputError, match="none was before it"):
        champion.rollback(tracking)


def test_promoting_the_champion_changes_nothing(tracking: Tracking, three: list[Version]) -> None:
    *_, second, third = three

    champion.promote(tracking, third)

    assert tracking.champion() == third
    assert champion.rollback(tracking) == (second, third)


def test_after_a_rollback_the_next_champion_follows_the_one_before(
    tracking: Tracking, three: list[Version], published: Published, bundle_at: BundleAt
) -> None:
    first, second, _ = three
    champion.rollback(tracking)

    fourth = published(bundle_at("wednesday")).version

    assert champion.rollback(tracking) == (second, fourth)
    assert champion.rollback(tracking) == (first, second)


def test_a_champion_before_that_was_deleted_is_an_error_that_names_the_others(
    tracking: Tracking, three: list[Version]
) -> None:
    tracking.client.delete_model_version(tracking.registry.model, "2")

    with pytest.raises(InputError, match=r"has no version 2; its versions: 1, 3$"):
        champion.rollback(tracking)

    assert tracking.champion() == three[2]
