"""The model as it is shipped: a folder of plain files, known by the hash of their content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array

from progrec import atomic, content, settings, warehouse
from progrec.errors import InputError
from progrec.learning.config import ModelConfig
from progrec.learning.dataset import matrix
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Rows, Vocabulary

WEIGHTS = "model.safetensors"
NETWORK = "config.json"
USERS = "users.parquet"
ITEMS = "items.parquet"
PURCHASES = "purchases.parquet"
PROVENANCE = "provenance.json"


class BundleError(InputError):
    """A folder that is not a usable bundle."""


@dataclass(frozen=True)
class Provenance:
    """Where a bundle comes from, as far as the same inputs give the same.

    The run and the git commit, which differ from one making to the next, are tags in MLflow on the
    run and version that carry the bundle's digest.

    Attributes:
        data_digest: hash of the feature tables it was trained on (dvc.lock has the same).
        config_digest: hash of the resolved configuration.
        parent_digest: digest of the bundle that it was updated from; None for a cold model.
        watermark: the last day whose events it has learned.
    """

    data_digest: str
    config_digest: str
    parent_digest: str | None
    watermark: date


@dataclass(frozen=True, eq=False)
class Bundle:
    """A network and what is needed to recommend with it.

    Attributes:
        network: in evaluation mode.
        users: the known users.
        items: one row an item, in the network's order: item_id, purchases (how many), category and
            brand (None where unknown).
        purchases: one row a (user, item) bought: their rows `user` and `item`, and the first
            `date`.
        provenance: where it comes from.
        digest: hash of its files; empty until it is saved.
    """

    network: NCF
    users: Vocabulary
    items: pd.DataFrame
    purchases: pd.DataFrame
    provenance: Provenance
    digest: str = ""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The known items."""
        return Vocabulary(self.items["item_id"].to_numpy(object))

    @property
    def item_ids(self) -> npt.NDArray[np.object_]:
        """(n_items,) ids, in the network's order."""
        return self.vocabulary.ids

    @cached_property
    def item_row(self) -> Mapping[str, int]:
        """Row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def _user_row(self) -> Mapping[str, int]:
        return {user_id: row for row, user_id in enumerate(self.users.ids)}

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """(n_items,) purchases."""
        return self.items["purchases"].to_numpy(np.float64)

    @cached_property
    def category(self) -> npt.NDArray[np.object_]:
        """(n_items,) category, None where it is unknown."""
        category = self.items["category"].astype(object)
        return category.where(category.notna(), None).to_numpy()

    @cached_property
    def bought(self) -> csr_array:
        """(n_users, n_items) 0/1."""
        users, items = self.purchases["user"].to_numpy(), self.purchases["item"].to_numpy()
        return matrix(users, items, (len(self.users), len(self.items)))

    def knows(self, user_id: str) -> bool:
        """Whether the user has an embedding."""
        return user_id in self._user_row

    def scores(self, user_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """(b,) known user ids -> (b, n_items) purchase probabilities."""
        rows = np.array([self._user_row[user_id] for user_id in user_ids], np.int64)
        return probabilities(self.network, rows)

    def save(self, path: Path) -> Bundle:
        """Writes the bundle; returns it with its digest."""
        with atomic.replacing(path) as new:
            new.mkdir()
            save_file(self.network.state_dict(), new / WEIGHTS)
            atomic.write_json(new / NETWORK, self.network.config.model_dump(mode="json"))
            atomic.write_json(
                new / PROVENANCE,
                asdict(self.provenance) | {"watermark": str(self.provenance.watermark)},
            )
            _write(pd.DataFrame({"user_id": self.users.ids}), new / USERS)
            _write(self.items, new / ITEMS)
            _write(self.purchases, new / PURCHASES)
        return Bundle(
            self.network,
            self.users,
            self.items,
            self.purchases,
            self.provenance,
            content.digest(path),
        )

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Reads a bundle.

        Raises:
            BundleError: a file is missing or damaged, or the files do not fit together.
        """
        try:
            network_config = json.loads((path / NETWORK).read_text(encoding="utf-8"))
            provenance = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
            users = Vocabulary(_read(path / USERS)["user_id"].to_numpy(object))
            items = _read(path / ITEMS)
            config = settings.validate(ModelConfig, network_config, str(path / NETWORK))
            network = NCF(len(users), len(items), config)
            network.load_state_dict(load_file(path / WEIGHTS))
            watermark = date.fromisoformat(provenance.pop("watermark"))
            return cls(
                network.eval(),
                users,
                items,
                _read(path / PURCHASES),
                Provenance(**provenance, watermark=watermark),
                content.digest(path),
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise BundleError(f"{path} is not a usable bundle: {error}") from error


def probabilities(network: NCF, users: Rows) -> npt.NDArray[np.float32]:
    """(b,) user rows -> (b, n_items) purchase probabilities."""
    device = network.items.weight.device
    return np.asarray(network.probabilities(torch.as_tensor(users, device=device)).cpu().numpy())


def _read(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def _write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False, compression="zstd", row_group_size=warehouse.ROW_GROUP)
