from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from progrec import content
from progrec.errors import InputError
from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import champion, publish
from progrec.registry.decision import Decision
from progrec.registry.publish import Publication
from progrec.runs import Run
from progrec.settings import Settings
from progrec.tracking import UPDATE, Tracking, Version

BundleAt = Callable[[str], Path]
ShopAt = Callable[..., Path]
Published = Callable[[Path], Publication]


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
    experiment = tracking.client.get_experiment_by_name(UPDATE)
    if experiment is None:
        return []
    where = f"tags.bundle_digest = '{digest}'"
    runs = tracking.client.search_runs([experiment.experiment_id], where)
    return [run.info.run_name for run in runs]


def test_a_bundle_is_registered_under_its_digest_and_becomes_champion(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    log(tracking, path)

    version, _, is_new = published(path)

    assert (version, is_new) == (Version(1, content.digest(path)), True)
    assert versions(tracking) == [(1, content.digest(path))]
    assert tracking.champion() == version
    logged = tracking.logged_model(version.digest)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [
        {"name": tracking.registry.model, "version": 1}
    ]


def test_the_same_bundle_registers_once(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    log(tracking, path)
    first = published(path).version

    again, _, is_new = published(path)

    assert (again, is_new) == (first, False)
    assert versions(tracking) == [(1, content.digest(path))]


def test_a_bundle_that_is_made_again_registers_once(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    for _ in range(2):
        log(tracking, path)
        published(path)

    assert versions(tracking) == [(1, content.digest(path))]
    assert restored(tracking, content.digest(path)) == []


def test_another_bundle_is_the_next_version_and_the_champion(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    old, new = bundle_at("cold"), bundle_at("updated")
    published(old)

    version, _, is_new = published(new)

    assert (version, is_new) == (Version(2, content.digest(new)), True)
    assert versions(tracking) == [(1, content.digest(old)), (2, content.digest(new))]
    assert tracking.champion() == version


def test_a_version_that_was_champion_before_is_not_promoted_again(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    old, new = bundle_at("cold"), bundle_at("updated")
    first, second = (published(path).version for path in (old, new))

    version, decision, is_new = published(old)

    assert (version, decision.promoted, is_new) == (first, True, False)
    assert len(versions(tracking)) == 2
    assert tracking.champion() == second


def test_a_bundle_that_no_run_has_logged_is_logged_again(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("from the cache")

    version = published(path).version
    published(path)

    assert version.digest == content.digest(path)
    assert restored(tracking, version.digest) == ["restored, up to 2020-01-31"]


def test_an_upload_that_broke_off_is_no_logged_bundle(
    tracking: Tracking,
    published: Published,
    bundle_at: BundleAt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = bundle_at("cold")
    with monkeypatch.context() as patch:
        for copy in ("copytree", "copy2", "copyfile"):
            patch.setattr(f"shutil.{copy}", _disk_full)
        with pytest.raises(OSError, match="disk full"):
            log(tracking, path)
    assert tracking.logged_model(content.digest(path)) is None

    version = published(path).version

    assert content.digest(tracking.bundle(version)) == content.digest(path)


def _disk_full(*_args: object, **_kwargs: object) -> None:
    raise OSError("disk full")


def test_a_damaged_bundle_is_not_published(
    tracking: Tracking, published: Published, bundle_at: BundleAt
) -> None:
    path = bundle_at("cold")
    (path / "items.parquet").unlink()

    with pytest.raises(BundleError, match=r"items\.parquet"):
        published(path)

    assert tracking.champion() is None


# The gate


def test_a_first_version_has_no_champion_to_be_measured_by(
    published: Published, shop_at: ShopAt
) -> None:
    decision = published(shop_at(1.0)).decision

    assert (decision.promoted, decision.reasons, decision.champion) == (True, (), None)
    assert set(decision.figures) == {"k", "challenger"}
    assert decision.learned_up_to == date(2020, 2, 20)


def test_a_rejected_version_stays_challenger_until_a_better_one_comes(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    good, bad, better = (shop_at(liked, str(liked)) for liked in (1.0, -9.0, 1.1))
    first = published(good).version

    second, decision, is_new = published(bad)

    assert (decision.promoted, is_new) == (False, True)
    assert decision.reasons[0].startswith("on the validation window NDCG@3 falls by")
    assert tracking.aliases() == {"champion": 1, "challenger": 2}
    assert tracking.champion() == first

    third, decision, _ = published(better)

    assert decision.promoted
    assert decision.champion == 1
    assert tracking.aliases() == {"champion": third.number}
    # What was rejected is neither decided again nor challenger again.
    assert published(bad) == (second, Decision.of(tracking.versions()[1]), False)
    assert tracking.aliases() == {"champion": third.number}


def test_the_decision_stands_on_the_version(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    for liked in (1.0, -9.0, 1.1):
        decision = published(shop_at(liked, str(liked))).decision

    third, second, first = (version.tags for version in tracking.versions())
    assert [tags["gate"] for tags in (first, second, third)] == ["promoted", "rejected", "promoted"]
    assert second["gate_reasons"].startswith("on the validation window NDCG@3 falls by 100.0 %, ")
    assert second["gate_reasons"].count("\non the recent days NDCG@3 falls") == 1
    assert [tags["gate_champion"] for tags in (first, second, third)] == ["none", "1", "1"]
    assert [tags.get("champion_before") for tags in (first, second, third)] == [None, None, "1"]
    assert json.loads(third["gate_figures"]) == decision.figures
    assert decision.figures["frozen"]["challenger"] == {"ndcg": 1.0, "recall": 1.0}
    assert third["learned_up_to"] == "2020-02-20"


def test_weights_that_are_not_finite_are_rejected_with_the_reason(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    version, decision, _ = published(shop_at(math.nan))

    assert not decision.promoted
    assert decision.reasons == ("weights are not finite numbers: users.weight",)
    assert tracking.champion() is None
    assert tracking.aliases() == {"challenger": version.number}


def test_what_was_rolled_back_is_not_promoted_again(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    old, new = shop_at(1.0, "old"), shop_at(1.1, "new")
    first, second = (published(path).version for path in (old, new))
    champion.rollback(tracking)

    assert published(new)[::2] == (second, False)
    assert published(old)[::2] == (first, False)
    assert tracking.aliases() == {"champion": 1}


def test_a_champion_whose_files_are_lost_is_no_champion_to_be_measured_by(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    shutil.rmtree(tracking.bundle(published(shop_at(1.0)).version))

    version, decision, _ = published(shop_at(-9.0, "worse"))

    assert decision.promoted
    assert decision.reasons == ("the files of version 1, the champion, are lost or damaged",)
    assert decision.champion == 1
    assert tracking.champion() == version


def test_a_champion_that_gives_no_answers_is_no_champion_to_be_measured_by(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    champion.promote(tracking, published(shop_at(math.nan)).version)

    version, decision, _ = published(shop_at(1.0, "sound"))

    assert decision.reasons == ("version 1, the champion, gives nothing to compare with",)
    assert tracking.champion() == version


def test_a_champion_of_before_the_gate_is_decided_on_when_it_is_published_again(
    tracking: Tracking, published: Published, shop_at: ShopAt
) -> None:
    path = shop_at(1.0)
    log(tracking, path)
    version = tracking.register(content.digest(path))
    tracking.set_alias("champion", version)

    decision = published(path).decision

    assert (decision.promoted, decision.champion) == (True, 1)
    assert tracking.aliases() == {"champion": 1}
    assert "champion_before" not in tracking.versions()[0].tags


def test_without_tables_nothing_is_decided_and_the_next_call_decides(
    tracking: Tracking, published: Published, shop_at: ShopAt, small: Settings, tmp_path: Path
) -> None:
    first = published(shop_at(1.0, "old")).version
    new = shop_at(1.1, "new")

    with pytest.raises(InputError, match="nowhere holds no events"):
        publish.publish(new, tmp_path / "nowhere", tracking, small)

    assert tracking.champion() == first
    assert published(new).decision.promoted


# Killed at any step


class Killed(BaseException):
    """What ends a process that is killed."""


STEPS = ("register", "describe", "set_alias", "delete_alias", "tag", "untag")
"""What changes what is registered."""


@contextmanager
def killed_before(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Ends the body before the step of that number; the steps that were begun."""
    begun: list[str] = []

    def dying(name: str) -> Callable[..., object]:
        real = getattr(Tracking, name)

        def change(self: Tracking, *args: object) -> object:
            begun.append(name)
            if len(begun) == step:
                raise Killed
            return real(self, *args)

        return change

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(Tracking, name, dying(name))
        yield begun


@pytest.mark.parametrize(("liked", "n_steps"), [(1.1, 11), (-9, 8)], ids=["good", "bad"])
def test_killed_before_any_step_the_next_run_ends_as_an_undisturbed_one(
    tracking: Tracking,
    features: Path,
    small: Settings,
    shop_at: ShopAt,
    monkeypatch: pytest.MonkeyPatch,
    liked: float,
    n_steps: int,
) -> None:
    old, new = shop_at(1.0, "old"), shop_at(liked, "new")
    log(tracking, old)
    registry = tracking.registry

    def ends(step: int) -> tuple[object, ...]:
        """What the registry holds, and the decision, when a run was killed and the next was not."""
        tracking.registry = registry.model_copy(update={"model": f"{registry.model} {step}"})
        first = tracking.register(content.digest(old))
        champion.promote(tracking, first)
        if step:
            with killed_before(step, monkeypatch), pytest.raises(Killed):
                publish.publish(new, features, tracking, small)
            assert tracking.champion() in tracking.versions()
        with killed_before(0, monkeypatch) as done:
            decision = publish.publish(new, features, tracking, small).decision
        assert step or len(done) == n_steps
        return decision, tracking.aliases(), [(each, each.tags) for each in tracking.versions()]

    undisturbed, *others = (ends(step) for step in range(n_steps + 1))

    assert all(other == undisturbed for other in others)


def test_what_was_rolled_back_after_a_promotion_broke_off_is_not_promoted_again(
    tracking: Tracking,
    published: Published,
    shop_at: ShopAt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = shop_at(1.0, "old"), shop_at(1.1, "new")
    published(old)
    with killed_before(11, monkeypatch), pytest.raises(Killed):
        published(new)
    assert tracking.aliases() == {"champion": 2, "challenger": 2}

    champion.rollback(tracking)

    assert not published(new).is_new
    assert tracking.aliases() == {"champion": 1}
