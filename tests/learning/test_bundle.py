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
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array

import progrec
from progrec import content
from progrec.learning.bundle import Bundle, BundleError
from progrec.learning.config import IALSConfig, Recipe
from progrec.learning.evidence import Evidence
from progrec.learning.fold_in import FoldIn
from progrec.learning.touches import COUNTED, Done, Touches

FILES = {
    "config.json",
    "demand.parquet",
    "history.parquet",
    "items.parquet",
    "model.safetensors",
    "neighbours.parquet",
    "provenance.json",
    "purchases.parquet",
    "recipe.json",
    "users.parquet",
}


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    """The folder of a whole bundle."""
    bundle.save(tmp_path / "model")
    return tmp_path / "model"


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


def test_words_that_do_not_fit_the_weights_are_an_error(
    bundle_with_side: Bundle, tmp_path: Path
) -> None:
    bundle_with_side.save(tmp_path / "model")
    change("items.parquet", lambda t: t.assign(category="kind 0"))(tmp_path / "model")

    with pytest.raises(BundleError, match=r"size mismatch for items\.side\.words"):
        Bundle.load(tmp_path / "model")


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


def edit_json(file: str, **changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        values = json.loads((folder / file).read_text()) | changes
        kept = {key: value for key, value in values.items() if value != "(gone)"}
        (folder / file).write_text(json.dumps(kept))

    return damage


def cut(file: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: len(data) // 2])

    return damage


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def overwrite(file: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text(text) and None


def change(file: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        edit(pd.read_parquet(folder / file)).to_parquet(folder / file, index=False)

    return damage


def reshape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["output.weight"] = weights["output.weight"][:, :-1].contiguous()
    save_file(weights, folder / "model.safetensors")


def forget_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["output.bias"]
    save_file(weights, folder / "model.safetensors")


DAMAGES = {
    **{f"{file} is missing": (remove(file), f"bundle: {file}: ") for file in sorted(FILES)},
    **{f"{file} is cut short": (cut(file), rf"bundle: {file}: ") for file in sorted(FILES)},
    "weights of another shape": (reshape, "size mismatch for output.weight"),
    "a weight is missing": (forget_a_layer, "output.bias"),
    "an unknown key in the configuration": (
        edit_json("config.json", factor=8),
        r"config\.json cannot be used:\n  factor: unknown key; did you mean factors\?",
    ),
    "a width that is none": (edit_json("config.json", factors=0), r"factors: .* greater than"),
    "an unknown key in the provenance": (
        edit_json("provenance.json", watermarks="2020-01-01"),
        r"watermarks: unknown key; did you mean watermark\?",
    ),
    "no watermark": (edit_json("provenance.json", watermark="(gone)"), "watermark: missing"),
    "a watermark that is no date": (edit_json("provenance.json", watermark="soon"), "watermark"),
    "a provenance that is no object": (
        overwrite("provenance.json", "null"),
        r"provenance\.json: it is no",
    ),
    "a configuration that is no object": (
        overwrite("config.json", "[1]"),
        r"config\.json: it is no",
    ),
    "fewer items than weights": (change("items.parquet", lambda t: t[:3]), "size mismatch"),
    "fewer users than weights": (
        change("users.parquet", lambda t: t[:2]),
        "size mismatch",
    ),
    "an item twice": (
        change("items.parquet", lambda t: t.replace("p03", "p00")),
        "item_id is not there in each row, or not once",
    ),
    "a user without an id": (
        change("users.parquet", lambda t: t.replace("cem", None)),
        "user_id is not there in each row, or not once",
    ),
    "no categories": (
        change("items.parquet", lambda t: t.drop(columns="category")),
        r"items\.parquet must have the columns item_id, category, brand",
    ),
    "a purchase of an item that is not there": (
        change("purchases.parquet", lambda t: t.assign(item=9)),
        r"purchases\.parquet names a item that has no row in items\.parquet",
    ),
    "a purchase by nobody": (
        change("purchases.parquet", lambda t: t.assign(user=-1)),
        r"purchases\.parquet names a user that has no row in users\.parquet",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_an_error_that_names_folder_and_reason(
    damage: Callable[[Path], None], reason: str, saved: Path
) -> None:
    damage(saved)

    with pytest.raises(BundleError, match=reason) as caught:
        Bundle.load(saved)

    assert str(caught.value).startswith(f"{saved} is not a usable bundle: ")


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere is not a usable bundle"):
        Bundle.load(tmp_path / "nowhere")


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


@pytest.fixture
def fused(bundle_with_fusion: Bundle, tmp_path: Path) -> Path:
    """The folder of a whole bundle with evidence."""
    bundle_with_fusion.save(tmp_path / "fused")
    return tmp_path / "fused"


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


DAMAGED_EVIDENCE = {
    "a history of nobody": (
        change("history.parquet", lambda t: t.assign(user=3)),
        r"history\.parquet: column user names a row that is not there",
    ),
    "a history with an item that is not there": (
        change("history.parquet", lambda t: t.assign(item=-1)),
        r"history\.parquet: column item names a row that is not there",
    ),
    "a history in disorder": (
        change("history.parquet", lambda t: t[::-1]),
        r"history\.parquet is not in the order of its users",
    ),
    "a history without days": (
        change("history.parquet", lambda t: t.drop(columns="last")),
        r"history\.parquet must have the columns user, item, num_views",
    ),
    "too little demand": (
        change("demand.parquet", lambda t: t[:3]),
        r"demand\.parquet has 3 rows, not one for each of 4 items",
    ),
    "a neighbour that is not there": (
        change("neighbours.parquet", lambda t: t.assign(neighbour=4)),
        r"neighbours\.parquet: column neighbour names a row that is not there",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGED_EVIDENCE.values(), ids=DAMAGED_EVIDENCE)
def test_damaged_evidence_is_an_error_that_names_the_file(
    damage: Callable[[Path], None], reason: str, fused: Path
) -> None:
    damage(fused)

    with pytest.raises(BundleError, match=reason) as caught:
        Bundle.load(fused)

    assert str(caught.value).startswith(f"{fused} is not a usable bundle: ")


# Shoppers who have done something since


def test_a_known_shoppers_new_events_count_as_after_the_days_update(
    bundle_with_fusion: Bundle, interactions: Callable[..., pd.DataFrame]
) -> None:
    known = bundle_with_fusion.evidence
    assert known is not None
    today = [Done("p01", "view", 2, known.day), Done("p03", "cart", 1, known.day)]
    events = [
        (str(known.day), "bob", "p01", "view"),
        (str(known.day), "bob", "p01", "view"),
        (str(known.day), "bob", "p03", "cart"),
    ]

    found = bundle_with_fusion.scores_after("bob", today)

    day = interactions(events)
    later = known.after(day, bundle_with_fusion.users, bundle_with_fusion.vocabulary, known.day)
    # What sells is not what one shopper did since.
    expected = replace(bundle_with_fusion, evidence=replace(later, demand=known.demand))
    np.testing.assert_allclose(found, expected.scores(["bob"])[0], rtol=1e-6)
    assert not np.allclose(found, bundle_with_fusion.scores(["bob"])[0])


def test_a_known_shopper_who_has_done_nothing_since_gets_the_models_own_scores(
    bundle: Bundle, bundle_with_fusion: Bundle
) -> None:
    for model in (bundle, bundle_with_fusion):
        np.testing.assert_allclose(
            model.scores_after("ann", []), model.scores(["ann"])[0], rtol=1e-6
        )


def test_a_stranger_is_embedded_by_what_they_like(bundle_with_fusion: Bundle) -> None:
    start = IALSConfig(regularization=0.1, unobserved_weight=0.3, iterations=1, deviation=0.1)
    model = replace(bundle_with_fusion, recipe=Recipe(start=start, epochs=0))
    assert model.evidence is not None
    done = [Done("p02", "view", 1, model.watermark), Done("no such", "cart", 1, model.watermark)]

    found = model.scores_after("zoe", done)

    likes = csr_array(np.array([[0, 0, 1, 0]], np.float32))
    embedding = FoldIn.of_users(model.network, start).embeddings(likes)
    alone = model.evidence.alone(-1, Touches.by_shopper(done, model.vocabulary))
    expected = model.network.probabilities_for(embedding, alone.inputs(np.array([0])))
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-6)


def test_a_stranger_of_whom_nothing_is_known_has_no_scores(bundle: Bundle) -> None:
    assert bundle.scores_after("zoe", []) is None
    assert bundle.scores_after("zoe", [Done("no such", "view", 1, bundle.watermark)]) is None
