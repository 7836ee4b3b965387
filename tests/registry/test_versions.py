"""The versions as `progrec model` shows and changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from progrec import cli, settings
from progrec.errors import InputError
from progrec.registry import versions
from progrec.registry.publish import Publication
from progrec.settings import RegistrySettings, Settings
from progrec.tracking import Tracking

ShopAt = Callable[..., Path]
Published = Callable[[Path], Publication]
Command = Callable[..., Result]


@pytest.fixture
def command(
    registry: RegistrySettings, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs `progrec model` in the test's registry."""
    in_store = small.model_copy(update={"registry": registry})
    monkeypatch.setattr(settings, "load", lambda: in_store)
    return lambda *words: CliRunner().invoke(cli.app, ["model", *words])


@pytest.fixture
def three(published: Published, shop_at: ShopAt) -> list[Publication]:
    """A champion, a rejected challenger, and a better one that is the champion now."""
    return [published(shop_at(liked, str(liked))) for liked in (1.0, -9.0, 1.1)]


def rows(result: Result) -> list[list[str]]:
    """The cells of a table's rows, which begin with a number."""
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    lines = [line.split() for line in result.stdout.splitlines()]
    return [line for line in lines if line and line[0].isdigit()]


def test_the_versions_are_listed_with_what_was_decided(
    command: Command, three: list[Publication], tracking: Tracking
) -> None:
    tracking.set_alias("challenger", three[1].version)
    first, second, third = (each.version.digest[:8] for each in three)

    same, lost = ["1.0000", "+0.0%"] * 2, ["0.0000", "-100.0%"] * 2
    assert rows(command("list")) == [
        ["3", third, "promoted", *same, "2020-02-20", "champion"],
        ["2", second, "rejected", *lost, "2020-02-20", "challenger"],
        ["1", first, "promoted", "-", "-", "2020-02-20"],
    ]


def test_a_version_without_a_decision_is_listed_too(
    command: Command, three: list[Publication], tracking: Tracking
) -> None:
    tracking.untag(three[0].version, "gate")

    assert rows(command("list"))[-1] == ["1", three[0].version.digest[:8], "-", "-", "-", "-"]


def test_an_ndcg_of_nothing_has_no_share_that_it_fell_by(
    command: Command, published: Published, shop_at: ShopAt
) -> None:
    for liked in (-9.0, -9.1):
        published(shop_at(liked, str(liked)))

    assert rows(command("list"))[0][3:5] == ["0.0000", "0.0000"]


def test_an_empty_registry_is_answered_with_how_to_fill_it(command: Command) -> None:
    result = command("list")

    assert isinstance(result.exception, InputError)
    assert str(result.exception).endswith(
        "has no version yet; `dvc repro` trains and publishes one"
    )


def test_rollback_brings_the_champion_before_back(
    command: Command, three: list[Publication], tracking: Tracking
) -> None:
    result = command("rollback")

    assert result.stdout == "version 1 is the champion again, version 3 no longer\n"
    assert tracking.champion() == three[0].version
    assert isinstance(command("rollback").exception, InputError)
    assert tracking.champion() == three[0].version


def test_any_version_can_be_promoted_by_hand(
    command: Command, three: list[Publication], tracking: Tracking
) -> None:
    result = command("promote", "2")

    assert result.stdout == "version 2 is the champion\n"
    assert tracking.aliases() == {"champion": 2}
    assert tracking.champion().tags["gate"] == "rejected"
    command("rollback")
    assert tracking.aliases() == {"champion": 3}


def test_promoting_an_unknown_version_names_those_there_are(
    command: Command, three: list[Publication], tracking: Tracking, registry: RegistrySettings
) -> None:
    result = command("promote", "7")

    assert isinstance(result.exception, InputError)
    assert str(result.exception) == f"{registry.model} has no version 7; its versions: 1, 2, 3"
    assert tracking.champion() == three[2].version


def test_in_an_empty_registry_no_version_is_known(
    tracking: Tracking, registry: RegistrySettings
) -> None:
    with pytest.raises(InputError) as error:
        versions.find(tracking, 1)

    assert str(error.value).endswith(
        "has no version 1; there is none yet: `dvc repro` publishes one"
    )


def test_the_champion_is_named_and_so_is_a_newer_version_that_the_gate_rejected(
    published: Published, shop_at: ShopAt, tracking: Tracking
) -> None:
    first = published(shop_at(1.0, "good")).version
    name = f"version 1 (bundle {first.digest[:8]})"
    good = f"the champion is {name}, learned up to 2020-02-20, promoted by the gate"
    assert versions.standing(tracking) == good

    second = published(shop_at(-9.0, "bad")).version

    champion, newest = versions.standing(tracking).splitlines()
    assert champion == good
    assert newest.startswith(
        f"the newest is version 2 (bundle {second.digest[:8]}), learned up to 2020-02-20, "
        "rejected by the gate: on the validation window"
    )


def test_a_registry_without_a_version_has_no_standing(tracking: Tracking) -> None:
    with pytest.raises(InputError, match="has no version yet; `dvc repro` trains and publishes"):
        versions.standing(tracking)
