from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle
from progrec.learning.pyfunc import PurchaseProbability


def pairs(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "product_id"])


def test_the_answer_is_the_networks_probability_of_each_pair(bundle: Bundle) -> None:
    asked = [("cem", "p03"), ("ann", "p00"), ("cem", "p00")]

    answer = PurchaseProbability(bundle).predict(pairs(*asked))

    scores = bundle.scores(["ann", "bob", "cem"])
    assert list(answer) == ["purchase_probability"]
    np.testing.assert_allclose(
        answer["purchase_probability"], [scores[2, 3], scores[0, 0], scores[2, 0]], rtol=1e-6
    )


@pytest.mark.parametrize("unknown", [("zoe", "p00"), ("ann", "p99"), ("zoe", "p99")])
def test_what_is_not_known_has_no_probability(bundle: Bundle, unknown: tuple[str, str]) -> None:
    answer = PurchaseProbability(bundle).predict(pairs(unknown, ("ann", "p00")))

    assert np.isnan(answer["purchase_probability"]).tolist() == [True, False]


def test_nothing_asked_is_nothing_answered(bundle: Bundle) -> None:
    assert len(PurchaseProbability(bundle).predict(pairs())) == 0


def test_mlflow_loads_it_from_the_bundles_folder(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "model")
    asked = pairs(("ann", "p01"), ("bob", "p02"))

    answer = pyfunc._load_pyfunc(str(tmp_path / "model")).predict(asked)

    pd.testing.assert_frame_equal(answer, PurchaseProbability(bundle).predict(asked))


class _Run:
    def log_bundle(self, *what: object) -> None:
        self.what = what


def test_a_logged_bundle_has_an_example_of_its_own_and_the_answer(
    bundle: Bundle, tmp_path: Path
) -> None:
    run = _Run()
    saved = bundle.save(tmp_path / "model")

    pyfunc.log(run, saved, tmp_path / "model")

    path, digest, loader, example, answer = run.what
    assert (path, digest, loader) == (tmp_path / "model", saved.digest, pyfunc.__name__)
    assert example.to_numpy().tolist() == [["ann", "p00"], ["bob", "p01"], ["cem", "p02"]]
    pd.testing.assert_frame_equal(answer, PurchaseProbability(bundle).predict(example))
