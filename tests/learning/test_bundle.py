from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import progrec
from learning.shop import FILES
from progrec import content
from progrec.learning.bundle import Bundle
from progrec.learning.evidence import Evidence
from progrec.learning.touches import COUNTED


def test_a_bundle_comes_back_as_it_went(bundle: Bundle, saved: Path) -> None:
    loaded = Bundle.load(saved)

    state = bundle.network.state_dict()
    assert all(
        torch.equal(weight, state[name]) for name, weight in loaded.network.state_dict().items()
    )
    assert loaded.network.config == bundle.network.config
    assert not loaded.network.training
    assert list(loaded.users.ids) == list(bundle.users.ids)
    pd.testing.assert_frame_equal(loaded.items, bundle.items, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.purchases, bundle.purchases, check_dtype=False)
    assert loaded.provenance == bundle.provenance
    assert loaded.recipe == bundle.recipe


def test_a_bundle_with_side_inputs_comes_back_as_it_went(
    bundle_with_side: Bundle, tmp_path: Path
) -> None:
    kept = bundle_with_side.save(tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")

    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert loaded.network.config == bundle_with_side.network.config
    everyone = ["ann", "bob", "cem"]
    np.testing.assert_array_equal(loaded.scores(everyone), bundle_with_side.scores(everyone))
    assert loaded.save(tmp_path / "again").digest == kept.digest


def test_without_side_inputs_no_file_speaks_of_them(saved: Path) -> None:
    assert set(json.loads((saved / "config.json").read_text())) == {"towers", "factors", "layers"}
    assert not any("side" in name for name in load_file(saved / "model.safetensors"))


def test_its_digest_is_the_hash_of_its_folder(bundle: Bundle, tmp_path: Path) -> None:
    kept = bundle.save(tmp_path / "model")

    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert kept.digest == content.digest(tmp_path / "model")
    assert Bundle.load(tmp_path / "model").digest == kept.digest
    assert bundle.digest == ""


def test_saving_what_was_loaded_changes_no_byte(saved: Path, tmp_path: Path) -> None:
    loaded = Bundle.load(saved)

    assert loaded.save(tmp_path / "again").digest == loaded.digest


def test_a_bundle_replaces_the_one_that_was_there(
    bundle: Bundle, saved: Path, tmp_path: Path
) -> None:
    (saved / "left over").write_text("from before")

    kept = bundle.save(saved)

    assert {path.name for path in saved.iterdir()} == FILES
    assert kept.digest == bundle.save(tmp_path / "elsewhere").digest


def test_a_folder_called_like_a_partition_changes_nothing(bundle: Bundle, tmp_path: Path) -> None:
    kept = bundle.save(tmp_path / "model.factors=8" / "model")

    loaded = Bundle.load(tmp_path / "model.factors=8" / "model")

    assert list(loaded.items) == ["item_id", "category", "brand"]
    assert loaded.save(tmp_path / "again").digest == kept.digest


def test_what_serving_asks_of_a_bundle(bundle: Bundle) -> None:
    assert bundle.knows("ann")
    assert not bundle.knows("zoe")
    assert list(bundle.item_ids) == ["p00", "p01", "p02", "p03"]
    assert bundle.item_row["p02"] == 2
    assert bundle.popularity.tolist() == [2, 1, 0, 0]
    assert bundle.category.tolist() == ["kind 0", "kind 1", "kind 0", None]
    assert bundle.bought.toarray().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_scores_are_the_networks_probabilities_in_the_order_asked(bundle: Bundle) -> None:
    scores = bundle.scores(["cem", "ann"])

    expected = bundle.network.probabilities(torch.tensor([2, 0])).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, expected)


def test_a_bundle_without_purchases_is_whole(bundle: Bundle, tmp_path: Path) -> None:
    unsold = replace(bundle, purchases=bundle.purchases[:0])
    unsold.save(tmp_path / "model")

    assert Bundle.load(tmp_path / "model").bought.nnz == 0


def test_no_byte_of_a_bundle_is_unpickled(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a bundle was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)

    assert Bundle.load(saved).knows("ann")


@pytest.mark.parametrize(
    "source", sorted(Path(progrec.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_no_module_of_ours_has_anything_to_do_with_pickles(source: Path) -> None:
    tree = ast.parse(source.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}

    assert not imported & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert not called & {"torch.load", "torch.save", "np.load", "pd.read_pickle"}


# With evidence


def test_a_bundle_with_evidence_comes_back_as_it_went(
    bundle_with_fusion: Bundle, tmp_path: Path
) -> None:
    kept = bundle_with_fusion.save(tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")

    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    everyone = ["ann", "bob", "cem"]
    np.testing.assert_array_equal(loaded.scores(everyone), bundle_with_fusion.scores(everyone))
    assert loaded.digest == kept.digest
    assert loaded.save(tmp_path / "again").digest == kept.digest


def test_its_probabilities_are_the_fusions(bundle_with_fusion: Bundle) -> None:
    network, known = bundle_with_fusion.network, bundle_with_fusion.evidence
    assert known is not None

    scores = bundle_with_fusion.scores(["cem", "ann"])

    expected = network.probabilities(torch.tensor([2, 0]), known.inputs(np.array([2, 0])))
    np.testing.assert_array_equal(scores, expected.numpy())
    towers = network.probabilities(torch.tensor([2, 0])).numpy()
    assert np.abs(scores - towers).max() > 0.01


def test_evidence_that_came_back_goes_on_like_the_one_that_went(
    bundle_with_fusion: Bundle, fused: Path, interactions: Callable[..., pd.DataFrame]
) -> None:
    kept, loaded = bundle_with_fusion.evidence, Bundle.load(fused).evidence
    assert kept is not None
    assert loaded is not None
    done = interactions(
        [("2020-02-03", "bob", "p03", "view"), ("2020-02-03", "dan", "p04", "cart")]
    )
    users = bundle_with_fusion.users.grown(["dan"])
    items = bundle_with_fusion.vocabulary.grown(["p04"])

    one, other = (known.after(done, users, items, date(2020, 2, 4)) for known in (kept, loaded))

    pd.testing.assert_frame_equal(one.touches.table(), other.touches.table())
    assert torch.equal(one.inputs(np.arange(4)), other.inputs(np.arange(4)))


def test_evidence_of_nothing_is_whole(bundle_with_fusion: Bundle, tmp_path: Path) -> None:
    users, items = bundle_with_fusion.users, bundle_with_fusion.vocabulary
    done = pd.DataFrame({name: [] for name in ("date", "user_id", "item_id", *COUNTED)})
    empty = Evidence.of(done, users, items, date(2020, 1, 31))

    replace(bundle_with_fusion, evidence=empty).save(tmp_path / "model")

    loaded = Bundle.load(tmp_path / "model").evidence
    assert loaded is not None
    assert torch.equal(loaded.inputs(np.arange(3)), empty.inputs(np.arange(3)))
