from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from progrec.learning import mapped
from progrec.learning.bundle import Bundle, BundleError
from progrec.learning.touches import Done

ROWS = pd.DataFrame(
    {
        "user": [0, 0, 2],
        "num_views": [3, 0, 200],
        "last": np.array(["2020-01-01", "2020-02-03", "2020-01-01"], "M8[ms]"),
    }
)


def never() -> pd.DataFrame:
    raise AssertionError("it was read again")


def test_a_table_is_read_once_and_then_mapped(tmp_path: Path) -> None:
    made = mapped.table(tmp_path / "shared", "d1", list(ROWS), lambda: ROWS)
    again = mapped.table(tmp_path / "shared", "d1", list(ROWS), never)

    for found in (made, again):
        pd.testing.assert_frame_equal(found, ROWS, check_dtype=False)
        assert [found[name].dtype for name in ROWS][:2] == [np.int32, np.int16]
        for name in ROWS:
            assert _is_mapped(found[name].to_numpy())


def _is_mapped(array: np.ndarray) -> bool:
    """Whether an array's memory is that of a file."""
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def test_a_newer_table_takes_the_place_of_the_older_which_stays_readable(tmp_path: Path) -> None:
    older = mapped.table(tmp_path, "d1", list(ROWS), lambda: ROWS)

    mapped.table(tmp_path, "d2", list(ROWS), lambda: ROWS[:1])

    assert [path.name for path in tmp_path.iterdir()] == ["d2"]
    pd.testing.assert_frame_equal(older, ROWS, check_dtype=False)


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_a_damaged_table_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    mapped.table(tmp_path, "d1", list(ROWS), lambda: ROWS)
    damage(tmp_path / "d1" / "last.npy")

    found = mapped.table(tmp_path, "d1", list(ROWS), lambda: ROWS)

    pd.testing.assert_frame_equal(found, ROWS, check_dtype=False)


def test_a_mapped_bundle_is_the_bundle(bundle_with_fusion: Bundle, tmp_path: Path) -> None:
    saved = bundle_with_fusion.save(tmp_path / "model")
    done = [Done("p01", "view", 2, saved.watermark)]

    for _ in range(2):
        found = Bundle.load(tmp_path / "model", tmp_path / "shared")

        assert found.digest == saved.digest
        pd.testing.assert_frame_equal(
            found.evidence.touches.table(), saved.evidence.touches.table(), check_dtype=False
        )
        for user_id in ("ann", "zoe"):
            rankings = [each.ranking_after(user_id, done) for each in (found, saved)]
            there, here = [each.best(4, np.ones(4, dtype=bool)) for each in rankings]
            np.testing.assert_array_equal(there, here)
        np.testing.assert_array_equal(found.scores(["bob", "ann"]), saved.scores(["bob", "ann"]))


def test_what_is_no_bundle_leaves_nothing_to_share(
    bundle_with_fusion: Bundle, tmp_path: Path
) -> None:
    bundle_with_fusion.save(tmp_path / "model")
    history = tmp_path / "model" / "history.parquet"
    table = pd.read_parquet(history)
    table.assign(user=table["user"] + 1000).to_parquet(history, index=False)

    with pytest.raises(BundleError, match="user"):
        Bundle.load(tmp_path / "model", tmp_path / "shared")

    assert not (tmp_path / "shared").exists()
