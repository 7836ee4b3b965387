from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from progrec import content
from progrec.errors import InputError
from progrec.learning.bundle import BundleError
from progrec.registry import shipped
from progrec.registry.champion import WrongDigestError
from progrec.registry.publish import Publication
from progrec.settings import RegistrySettings

BundleAt = Callable[[str], Path]
Published = Callable[[Path], Publication]


@pytest.fixture
def folder(
    registry: RegistrySettings, published: Published, bundle_at: BundleAt, tmp_path: Path
) -> Path:
    """A champion that was shipped."""
    published(bundle_at("cold"))
    shipped.ship(registry, tmp_path / "champion")
    return tmp_path / "champion"


def test_the_champion_arrives_as_it_was_published(folder: Path, bundle_at: BundleAt) -> None:
    found = shipped.load(folder)

    assert found is not None
    assert found[0] == 1
    assert found[1].digest == content.digest(bundle_at("cold"))


def test_a_later_champion_takes_the_place_of_the_one_before(
    folder: Path, registry: RegistrySettings, published: Published, bundle_at: BundleAt
) -> None:
    published(bundle_at("updated"))
    shipped.ship(registry, folder)

    found = shipped.load(folder)

    assert found is not None
    assert found[0] == 2


def test_what_does_not_exist_cannot_be_shipped(registry: RegistrySettings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no champion yet"):
        shipped.ship(registry, tmp_path / "champion")

    assert shipped.load(tmp_path / "champion") is None


def test_a_file_that_changed_on_the_way_is_noticed(folder: Path) -> None:
    provenance = folder / "bundle/provenance.json"
    provenance.write_text(provenance.read_text() + "\n")

    with pytest.raises(WrongDigestError):
        shipped.load(folder)


UNREADABLE = {"empty": "", "list": "[]", "bare": "{}", "word": '{"version": "x", "digest": "y"}'}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_version_that_cannot_be_read_is_an_error_that_says_so(folder: Path, content: str) -> None:
    (folder / "version.json").write_text(content)

    with pytest.raises(BundleError, match=r"version\.json"):
        shipped.load(folder)
