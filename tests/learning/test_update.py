from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from progrec import content
from progrec.errors import InputError
from progrec.learning import daily, update
from progrec.learning import job as jobs
from progrec.learning.bundle import Bundle, BundleError
from progrec.learning.config import UpdateConfig
from said import untimed

if TYPE_CHECKING:
    from conftest import Project, Recorder
    from learning.shop import Event

Updated = Callable[..., Bundle]

# On the first day zoe comes and buys p01 and the new p09; on the second ann buys p09 and p00
# again, dan comes, and p01 leaves bob's cart.
DELTA = [
    ("2020-02-01", "zoe", "p01", "purchase"),
    ("2020-02-01", "zoe", "p09", "purchase"),
    ("2020-02-02", "ann", "p00", "purchase"),
    ("2020-02-02", "ann", "p09", "purchase"),
    ("2020-02-02", "bob", "p01", "remove_from_cart"),
    ("2020-02-02", "dan", "p08", "view"),
]


@pytest.fixture(params=["bundle", "bundle_with_fusion", "bundle_with_side"])
def parent(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    """The bundle to start from, saved."""
    bundle: Bundle = request.getfixturevalue(request.param)
    bundle.save(tmp_path / "model")
    return Bundle.load(tmp_path / "model")


@pytest.fixture
def learned(
    parent: Bundle, deltas: Callable[..., Path], updated_by: Updated, tmp_path: Path
) -> Updated:
    """Deltas and overrides -> the bundle that the parent becomes, each time from the start."""

    def learn(events: list[Event], *overrides: str) -> Bundle:
        number = len(list(tmp_path.glob("delta*")))
        folder = deltas(events, f"delta{number}")
        return updated_by(folder, f"out={tmp_path / f'updated{number}'}", *overrides)

    return learn


def test_new_users_and_items_get_rows_after_the_old_day_by_day(learned: Updated) -> None:
    bundle = learned(DELTA)

    assert list(bundle.users.ids) == ["ann", "bob", "cem", "zoe", "dan"]
    assert list(bundle.item_ids) == ["p00", "p01", "p02", "p03", "p09", "p08"]
    assert bundle.scores(["dan"]).shape == (1, 6)


def test_purchases_and_popularity_are_counted_on(learned: Updated) -> None:
    bundle = learned(DELTA)

    assert bundle.popularity.tolist() == [3, 2, 0, 0, 2, 0]
    assert bundle.purchases.to_numpy().tolist() == [
        [0, 0, date(2020, 1, 5)],  # ann's first purchase of p00 stays the first
        [0, 1, date(2020, 1, 6)],
        [1, 0, date(2020, 1, 7)],
        [3, 1, date(2020, 2, 1)],
        [3, 4, date(2020, 2, 1)],
        [0, 4, date(2020, 2, 2)],
    ]


def test_new_items_have_what_the_deltas_know_of_them(learned: Updated) -> None:
    bundle = learned(DELTA)

    assert bundle.category.tolist() == ["kind 0", "kind 1", "kind 0", None, "kind 1", "kind 0"]


def test_the_watermark_is_the_last_day_and_the_parent_is_named(
    learned: Updated, parent: Bundle, tmp_path: Path
) -> None:
    provenance = learned(DELTA).provenance

    assert provenance.watermark == date(2020, 2, 2)
    assert provenance.chain[0].parent_digest == parent.digest
    assert provenance.parent_digest == provenance.chain[1].parent_digest != parent.digest
    assert provenance.data_digest == content.digest(tmp_path / "delta0/enriched")


def test_the_parent_stays_as_it_is(learned: Updated, parent: Bundle, tmp_path: Path) -> None:
    learned(DELTA)

    assert Bundle.load(tmp_path / "model").digest == parent.digest


def test_another_seed_gives_others(learned: Updated) -> None:
    one, other = learned(DELTA), learned(DELTA, "seed=1")

    name = "users.weight"
    assert not torch.equal(one.network.state_dict()[name], other.network.state_dict()[name])


def test_without_a_delta_the_bundle_is_the_parent(
    learned: Updated, parent: Bundle, recorder: Recorder, tmp_path: Path
) -> None:
    assert learned([]).digest == parent.digest
    assert recorder.figures == []
    assert (tmp_path / "prequential.csv").read_text() == "date,users\n"


def test_the_same_deltas_give_the_same_bytes(learned: Updated) -> None:
    assert learned(DELTA).digest == learned(DELTA).digest


def test_the_days_are_learned_in_their_order(
    learned: Updated, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    learn = daily.learn

    def watched(bundle: Bundle, day: daily.Day, *rest: object):
        seen.extend(day.interactions["date"].unique())
        return learn(bundle, day, *rest)

    monkeypatch.setattr(daily, "learn", watched)
    days = ("2020-02-10", "2020-02-09", "2020-03-01")

    learned([(day, "ann", "p02", "view") for day in days])

    assert seen == [date(2020, 2, 9), date(2020, 2, 10), date(2020, 3, 1)]
    # Days after the cold model's last one, which is the 31st of January.
    assert [step for step, _ in recorder.figures] == [9, 10, 30]


def test_each_days_losses_users_and_figures_are_logged_and_kept_in_its_link(
    learned: Updated, parent: Bundle, recorder: Recorder
) -> None:
    bundle = learned(DELTA)

    # Of those who buy, only ann is known, on the second day, and p09 since the first.
    (_, first), (_, second) = recorder.figures
    assert set(first) == {"users", "loss"}
    losses = {"loss", "fusion"} if parent.network.fusion else {"loss"}
    assert {name for name in second if "/" not in name} == {"users"} | losses
    assert {name.split("/")[0] for name in second if "/" in name} == {
        "updated",
        "frozen",
        "popularity",
    }
    assert (first["users"], second["users"]) == (0, 1)
    assert all(0 < figures["loss"] < 5 for figures in (first, second))
    before, after = bundle.provenance.chain
    assert before.losses == {"loss": first["loss"]}
    assert before.figures == {}
    assert after.users == 1
    # p09 is not the cold model's: it is last.
    assert after.figures["frozen"]["ndcg@20"] == second["frozen/ndcg@20"]
    assert after.figures["updated"]["ndcg@20"] == second["updated/ndcg@20"]
    assert second["updated/ndcg@20"] >= second["frozen/ndcg@20"]


def test_a_later_day_changes_nothing_that_an_earlier_one_taught(
    learned: Updated, recorder: Recorder
) -> None:
    learned(DELTA[:2])
    first = list(recorder.figures)
    recorder.figures.clear()

    learned(DELTA)

    assert recorder.figures[:1] == first


def test_missing_deltas_are_an_error_that_says_what_to_run(
    update_config: Callable[..., UpdateConfig], parent: Bundle, tmp_path: Path, recorder: Recorder
) -> None:
    config = update_config(tmp_path / "nowhere", tmp_path / "model")

    with pytest.raises(InputError, match=r"nowhere does not exist; run the pipeline"):
        update.update(config, 20, recorder)


def test_a_missing_parent_is_an_error_that_names_it(
    update_config: Callable[..., UpdateConfig],
    deltas: Callable[..., Path],
    tmp_path: Path,
    recorder: Recorder,
) -> None:
    config = update_config(deltas(DELTA), tmp_path / "nowhere")

    with pytest.raises(BundleError, match="nowhere is not a usable bundle"):
        update.update(config, 20, recorder)


# The command


def test_the_command_says_what_it_has_made_and_nothing_else(
    updated: subprocess.CompletedProcess[str], project: Project
) -> None:
    digest = content.digest(project.folder / "artifacts/updated")

    assert untimed(updated.stdout) == (
        f"update: 24 users, 12 items, learned up to 2020-02-02; bundle {digest}\n"
    )
    assert updated.stderr == ""


def test_the_run_names_deltas_and_bundle_and_has_each_days_figures(
    updated: subprocess.CompletedProcess[str], project: Project
) -> None:
    digest = content.digest(project.folder / "artifacts/updated")
    (run,) = project.runs("update", f"tags.bundle_digest = '{digest}'")

    (given,) = run.inputs.dataset_inputs
    users = project.client.get_metric_history(run.info.run_id, "users")
    assert given.dataset.name == "deltas"
    assert given.dataset.digest == content.digest(
        project.folder / "artifacts/features/delta/enriched"
    )
    assert run.info.run_name == "daily trainer.threads=1 update.epochs=1, up to 2020-02-02"
    assert run.data.params["update.epochs"] == "1"
    assert not {"data", "parent", "out", "report"} & set(run.data.params)
    # Days after the last one of history.
    assert [metric.step for metric in users] == [1, 2]


def test_a_sweep_of_updates_leaves_the_stages_output_alone(
    updated: subprocess.CompletedProcess[str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = content.digest(project.folder / "artifacts/updated")
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(
        "sys.argv", ["update", "-m", "seed=1,2", "trainer.threads=1", "hydra.sweep.dir=sweep"]
    )

    jobs.composed("update", update._run)

    assert capsys.readouterr().out.count("learned up to 2020-02-02") == 2
    assert content.digest(project.folder / "artifacts/updated") == before
    digests = {content.digest(project.folder / f"sweep/{job}/updated") for job in (0, 1)}
    (parent,) = project.runs("sweep", "tags.sweep = 'update sweep'")
    made = project.runs("sweep", f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {job.data.tags["bundle_digest"] for job in made} == digests
    assert len(digests) == 2


def test_an_update_by_nothing_is_a_run_that_made_nothing(
    trained: subprocess.CompletedProcess[str],
    project: Project,
    deltas: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = deltas([], "empty")
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr("sys.argv", ["update", f"data={empty}", f"out={tmp_path / 'same'}"])

    jobs.composed("update", update._run)

    run = project.runs("update")[0]
    assert run.info.run_name.endswith(f"out={tmp_path / 'same'}, up to 2020-01-31")
    assert run.inputs.dataset_inputs == []
    assert "bundle_digest" not in run.data.tags
    assert content.digest(tmp_path / "same") == content.digest(project.folder / "artifacts/model")
