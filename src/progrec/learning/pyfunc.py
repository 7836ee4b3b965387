"""The bundle as MLflow loads it: the purchase probability of (user, product) pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from progrec.learning.bundle import Bundle
from progrec.runs import Run

N_EXAMPLES = 3


class PurchaseProbability:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of pairs.

        Args:
            pairs: columns user_id and product_id.

        Returns:
            One column, purchase_probability; NaN where the user or the product is not known.
        """
        users = self.bundle.users.rows(pairs["user_id"])
        items = self.bundle.vocabulary.rows(pairs["product_id"])
        known = (users >= 0) & (items >= 0)
        answer = np.full(len(pairs), np.nan)
        rows, places = np.unique(users[known], return_inverse=True)
        if len(rows):
            answer[known] = self.bundle.probabilities(rows)[places, items[known]]
        return pd.DataFrame({"purchase_probability": answer})


def log(run: Run, bundle: Bundle, path: Path) -> None:
    """Logs a saved bundle as this kind of model, with an example from its own vocabulary."""
    n = min(N_EXAMPLES, len(bundle.users), len(bundle.items))
    example = pd.DataFrame({"user_id": bundle.users.ids[:n], "product_id": bundle.item_ids[:n]})
    answer = PurchaseProbability(bundle).predict(example)
    run.log_bundle(path, bundle.digest, __name__, example, answer)


def _load_pyfunc(path: str) -> PurchaseProbability:
    """MLflow's entry: the folder of the bundle -> the model."""
    return PurchaseProbability(Bundle.load(Path(path)))
