from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from learning.shop import FILES
from progrec.learning.bundle import Bundle, BundleError


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


def test_words_that_do_not_fit_the_weights_are_an_error(
    bundle_with_side: Bundle, tmp_path: Path
) -> None:
    bundle_with_side.save(tmp_path / "model")
    change("items.parquet", lambda t: t.assign(category="kind 0"))(tmp_path / "model")

    with pytest.raises(BundleError, match=r"size mismatch for items\.side\.words"):
        Bundle.load(tmp_path / "model")


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere is not a usable bundle"):
        Bundle.load(tmp_path / "nowhere")


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
