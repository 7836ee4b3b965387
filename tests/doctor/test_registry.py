from __future__ import annotations

from pathlib import Path

import pytest

from progrec.doctor import registry
from progrec.doctor.finding import Finding
from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle
from progrec.settings import RegistrySettings
from progrec.tracking import CHAMPION, Tracking, Version
from scored import bundle_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store; making its tables takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def tracking(
    store: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Tracking:
    """The store, and a registered model's name that no other test uses."""
    monkeypatch.chdir(store)
    uri = f"sqlite:///{store / 'mlflow.db'}"
    return Tracking(RegistrySettings(tracking_uri=uri, model=request.node.name))


@pytest.fixture
def champion(tracking: Tracking, tmp_path: Path) -> Version:
    """A version with its run, its model and its files."""
    bundle = bundle_of({"ann": {"cup": 1, "pot": 2}}, name=tracking.registry.model)
    bundle.save(tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    with tracking.run("update", "a day", params={}, tags={}) as run:
        pyfunc.log(run, bundle, tmp_path / "bundle")
    version = tracking.register(bundle.digest)
    tracking.set_alias(CHAMPION, version)
    return version


def findings(tracking: Tracking) -> dict[str, Finding]:
    return {finding.check: finding for finding in registry.findings(tracking.registry)}


def states(tracking: Tracking) -> dict[str, str]:
    return {check: finding.state for check, finding in findings(tracking).items()}


def test_a_champion_with_all_that_belongs_to_it_is_in_order(
    tracking: Tracking, champion: Version
) -> None:
    found = findings(tracking)

    assert {finding.state for finding in found.values()} == {"ok"}
    assert list(found) == ["store", "champion", "bundle", "run"]
    assert found["bundle"].found == f"{champion.digest[:8]}: 1 users, 2 products"


def test_a_lost_file_is_a_problem(tracking: Tracking, champion: Version) -> None:
    (tracking.bundle(champion) / "model.safetensors").unlink()

    bundle = findings(tracking)["bundle"]

    assert bundle.state == "problem"
    assert "model.safetensors" in bundle.found
    assert "progrec model rollback" in bundle.advice


def test_files_of_another_digest_are_a_problem(tracking: Tracking, champion: Version) -> None:
    provenance = tracking.bundle(champion) / "provenance.json"
    provenance.write_text(provenance.read_text() + "\n")

    bundle = findings(tracking)["bundle"]

    assert bundle.state == "problem"
    assert champion.digest in bundle.found


def test_a_deleted_run_is_a_warning(tracking: Tracking, champion: Version) -> None:
    run = tracking.find_run(champion.digest)
    assert run is not None
    tracking.client.delete_run(run.id)

    assert states(tracking) == {
        "store": "ok",
        "champion": "ok",
        "bundle": "ok",
        "run": "warning",
    }


def test_a_store_without_a_champion_is_a_problem(tracking: Tracking) -> None:
    tracking.client.create_registered_model(tracking.registry.model)

    assert states(tracking) == {"store": "ok", "champion": "problem"}


def test_a_store_that_is_not_there_is_a_problem_and_is_not_made(folder: Path) -> None:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    missing = Tracking(RegistrySettings(tracking_uri=uri, model="progrec"))

    assert states(missing) == {"store": "problem"}
    assert not (folder / "mlflow.db").exists()


def test_a_store_that_is_something_else_is_a_problem(folder: Path) -> None:
    (folder / "mlflow.db").write_text("a letter to a friend, longer than a header of SQLite" * 9)
    uri = f"sqlite:///{folder / 'mlflow.db'}"

    (store,) = findings(Tracking(RegistrySettings(tracking_uri=uri, model="progrec"))).values()

    assert store.state == "problem"
    assert "cannot be asked" in store.found


def test_a_server_that_does_not_answer_is_a_problem(free_port: int) -> None:
    uri = f"http://127.0.0.1:{free_port}"

    (store,) = findings(Tracking(RegistrySettings(tracking_uri=uri, model="progrec"))).values()

    assert store.state == "problem"
    assert "registry.tracking_uri" in store.advice
