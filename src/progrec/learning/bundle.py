"""The model as it is shipped: a folder of plain files, known by the hash of their content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TypeVar

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
from progrec.learning import evidence, mapped, side, touches
from progrec.learning.catalogue import Catalogue, Ranking
from progrec.learning.config import ModelConfig, Recipe
from progrec.learning.dataset import matrix
from progrec.learning.evidence import Evidence
from progrec.learning.fold_in import FoldIn
from progrec.learning.ncf import NCF
from progrec.learning.touches import Done, Touches
from progrec.learning.vocabulary import Rows, Vocabulary
from progrec.settings import Group

WEIGHTS = "model.safetensors"
NETWORK = "config.json"
USERS = "users.parquet"
ITEMS = "items.parquet"
PURCHASES = "purchases.parquet"
RECIPE = "recipe.json"
PROVENANCE = "provenance.json"
HISTORY = "history.parquet"
DEMAND = "demand.parquet"
NEIGHBOURS = "neighbours.parquet"
COLUMNS = {
    USERS: ["user_id"],
    ITEMS: ["item_id", "category", "brand"],
    PURCHASES: ["user", "item", "date"],
    HISTORY: touches.COLUMNS,
    DEMAND: ["purchases", *evidence.DEMAND],
    NEIGHBOURS: ["item", "neighbour", "weight"],
}

G = TypeVar("G", bound=Group)
T = TypeVar("T")


FROM_NOISE = Recipe(start=None, epochs=0)


class BundleError(InputError):
    """A folder that is not a usable bundle."""


class Link(Group):
    """A day that a bundle has learned, and how good the bundle before it was on that day.

    Attributes:
        date: the day.
        parent_digest: of the bundle before it.
        delta_digest: hash of the day's tables.
        config_digest: hash of the settings and the code that learned it.
        users: how many users were measured.
        figures: model -> metric -> mean over these users: see `prequential`.
        losses: what learning it cost: see `daily.learn`.
    """

    date: date
    parent_digest: str
    delta_digest: str
    config_digest: str
    users: int
    figures: dict[str, dict[str, float]]
    losses: dict[str, float]


class Provenance(Group):
    """Where a bundle comes from, as far as the same inputs give the same.

    The run and the git commit, which differ from one making to the next, are tags in MLflow on the
    run and version that carry the bundle's digest.

    Attributes:
        data_digest: hash of the enriched events it was trained on (dvc.lock has the same).
        config_digest: hash of the resolved configuration.
        parent_digest: digest of the bundle that it was updated from; None for a cold model.
        chain: the days that it has learned since its cold model, in order.
        watermark: the last day whose events it has learned.
    """

    data_digest: str
    config_digest: str
    parent_digest: str | None
    watermark: date
    chain: tuple[Link, ...] = ()


@dataclass(frozen=True, eq=False)
class Bundle:
    """A network and what is needed to recommend with it.

    Attributes:
        network: in evaluation mode.
        users: the known users.
        items: one row an item, in the network's order: item_id, category and brand (None where
            unknown).
        purchases: one row a (user, item) bought: their rows `user` and `item`, and the first
            `date`.
        provenance: where it comes from.
        evidence: what its users have done; a network with a fusion looks at it.
        recipe: how its towers were trained.
        digest: hash of its files; empty until it is saved.
    """

    network: NCF
    users: Vocabulary
    items: pd.DataFrame
    purchases: pd.DataFrame
    provenance: Provenance
    evidence: Evidence
    recipe: Recipe = FROM_NOISE
    digest: str = ""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The known items."""
        return Vocabulary(self.items["item_id"].to_numpy(object))

    @property
    def watermark(self) -> date:
        """The last day whose events it has learned."""
        return self.provenance.watermark

    @property
    def item_ids(self) -> npt.NDArray[np.object_]:
        """(n_items,) ids, in the network's order."""
        return self.vocabulary.ids

    @cached_property
    def item_row(self) -> Mapping[str, int]:
        """Row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        """(n_items,) purchases; a user counts once a day."""
        return self.evidence.demand[:, 0].astype(np.float64)

    @cached_property
    def category(self) -> npt.NDArray[np.object_]:
        """(n_items,) category, None where it is unknown."""
        return _text_or_none(self.items["category"])

    @cached_property
    def brand(self) -> npt.NDArray[np.object_]:
        """(n_items,) brand, None where it is unknown."""
        return _text_or_none(self.items["brand"])

    @cached_property
    def bought(self) -> csr_array:
        """(n_users, n_items) 0/1."""
        users, items = self.purchases["user"].to_numpy(), self.purchases["item"].to_numpy()
        return matrix(users, items, (len(self.users), len(self.items)))

    def knows(self, user_id: str) -> bool:
        """Whether the user has an embedding."""
        return self.users.row(user_id) >= 0

    def scores(self, user_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """(b,) known user ids -> (b, n_items) purchase probabilities."""
        return self.probabilities(self.users.rows(user_ids))

    def ranking_after(self, user_id: str, done: Sequence[Done]) -> Ranking | None:
        """The items with a shopper who has done something that the bundle has not seen.

        A known shopper keeps their embedding, and is known to have done it; a stranger gets an
        embedding from what they like.

        Args:
            user_id: the shopper.
            done: what, with which products, known or not; of a known one, after the watermark.

        Returns:
            None for a stranger who has done nothing with a known product.
        """
        row = self.users.row(user_id)
        rows = self.evidence.touches.of_one(row, done, self.vocabulary)
        if row >= 0:
            embedding = self.network.users(torch.tensor(row)).detach()
        elif len(rows["item"]):
            likes = touches.likes(rows, (1, len(self.items)))
            (embedding,) = self._strangers.embeddings(likes)
        else:
            return None
        known = self.evidence.known(rows) if self.network.fusion else None
        return self.catalogue.ranking(embedding, known)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Ranks all items for one user."""
        return Catalogue(self.network, self.evidence.demand_inputs)

    @cached_property
    def _strangers(self) -> FoldIn:
        return FoldIn.of(self.network, self.recipe.start)

    def probabilities(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) purchase probabilities."""
        known = self.evidence.inputs(users) if self.network.fusion else None
        return probabilities(self.network, users, known)

    def save(self, path: Path) -> Bundle:
        """Writes the bundle; returns it with its digest."""
        with atomic.replacing(path) as new:
            new.mkdir()
            save_file(self.network.state_dict(), new / WEIGHTS)
            network = self.network.config.model_dump(mode="json", exclude_defaults=True)
            atomic.write_json(new / NETWORK, network)
            atomic.write_json(new / RECIPE, self.recipe.model_dump(mode="json"))
            atomic.write_json(new / PROVENANCE, self.provenance.model_dump(mode="json"))
            _write(pd.DataFrame({"user_id": self.users.ids}), new / USERS)
            _write(self.items, new / ITEMS)
            _write(self.purchases, new / PURCHASES)
            _save(self.evidence, new)
        return replace(self, digest=content.digest(path))

    @classmethod
    def load(cls, path: Path, shared: Path | None = None) -> Bundle:
        """Reads a bundle.

        Args:
            path: its folder.
            shared: a folder for its largest table as processes share it, which the first one fills;
                without it, each has the table in memory of its own. Its numbers are narrow then:
                such a bundle is for scoring, and not to be saved.

        Raises:
            BundleError: a file is missing or damaged, or the files do not fit together.
        """
        digest = content.digest(path) if path.exists() else ""
        try:
            provenance = _read_json(Provenance, path / PROVENANCE)
            config = _read_json(ModelConfig, path / NETWORK)
            recipe = _read_json(Recipe, path / RECIPE)
            users, items, purchases = (_read(path / name) for name in (USERS, ITEMS, PURCHASES))
            _check(users, items, purchases)
            codes = side.codes(items, config.features.attributes)
            state = _part(path / WEIGHTS, load_file)
            network = NCF.of(state, len(users), len(items), config, codes)
            known = _load(path, network, provenance.watermark, digest, shared)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path} is not a usable bundle: {error}") from error
        ids = Vocabulary(users["user_id"].to_numpy(object))
        return cls(network, ids, items, purchases, provenance, known, recipe, digest)


def probabilities(
    network: NCF, users: Rows, known: torch.Tensor | None = None
) -> npt.NDArray[np.float32]:
    """Purchase probabilities of every item.

    Args:
        network: what gives them.
        users: (b,) user rows.
        known: (b, n_items, e) the evidence; left out, the network's towers alone decide.

    Returns:
        (b, n_items).
    """
    device = network.items.weight.device
    rows = torch.as_tensor(users, device=device)
    known = None if known is None else known.to(device)
    return np.asarray(network.probabilities(rows, known).cpu().numpy())


def _save(known: Evidence, folder: Path) -> None:
    demand = pd.DataFrame(known.demand, columns=COLUMNS[DEMAND])
    pairs = known.neighbours.tocoo()
    columns = dict(zip(COLUMNS[NEIGHBOURS], (pairs.row, pairs.col, pairs.data), strict=True))
    _write(known.touches.table(), folder / HISTORY)
    _write(demand, folder / DEMAND)
    _write(pd.DataFrame(columns), folder / NEIGHBOURS)


def _load(folder: Path, network: NCF, day: date, digest: str, shared: Path | None) -> Evidence:
    """Reads the evidence; raises a ValueError where it does not fit the network."""
    n_users, n_items = network.users.num_embeddings, network.n_items

    def history() -> pd.DataFrame:
        table = _read(folder / HISTORY)
        _check_rows(HISTORY, table, user=n_users, item=n_items)
        if not table["user"].is_monotonic_increasing:
            raise ValueError(f"{HISTORY} is not in the order of its users")
        return table

    demand, pairs = _read(folder / DEMAND), _read(folder / NEIGHBOURS)
    if len(demand) != n_items:
        raise ValueError(f"{DEMAND} has {len(demand)} rows, not one for each of {n_items} items")
    _check_rows(NEIGHBOURS, pairs, item=n_items, neighbour=n_items)
    rows = history() if shared is None else mapped.table(shared, digest, touches.COLUMNS, history)
    places = (pairs["item"].to_numpy(), pairs["neighbour"].to_numpy())
    neighbours = csr_array((pairs["weight"].to_numpy(), places), shape=(n_items, n_items))
    return Evidence(Touches.of(rows), demand.to_numpy(np.float32), neighbours, n_users, day)


def _check_rows(name: str, table: pd.DataFrame, **limits: int) -> None:
    """Raises a ValueError where a column names a row that is not below its limit."""
    for column, n in limits.items():
        if not table[column].between(0, n - 1).all():
            raise ValueError(f"{name}: column {column} names a row that is not there")


def _text_or_none(column: pd.Series[str]) -> npt.NDArray[np.object_]:
    column = column.astype(object)
    return column.where(column.notna(), None).to_numpy()


def _part(path: Path, read: Callable[[Path], T]) -> T:
    """What a reader makes of a file; its errors name the file."""
    try:
        return read(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _read_json(group: type[G], path: Path) -> G:
    values = _part(path, lambda file: json.loads(file.read_text(encoding="utf-8")))
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: it is no JSON object")
    return settings.validate(group, values, path.name)


def _read(path: Path) -> pd.DataFrame:
    # The columns are the file's: a folder called a=b above it shall not add one.
    table = _part(path, lambda file: pq.read_table(file, partitioning=None))
    frame: pd.DataFrame = table.to_pandas()
    if list(frame) != COLUMNS[path.name]:
        raise ValueError(f"{path.name} must have the columns {', '.join(COLUMNS[path.name])}")
    return frame


def _check(users: pd.DataFrame, items: pd.DataFrame, purchases: pd.DataFrame) -> None:
    """Raises a ValueError where the tables do not fit together."""
    for ids in (users["user_id"], items["item_id"]):
        if ids.isna().any() or ids.duplicated().any():
            raise ValueError(f"{ids.name} is not there in each row, or not once")
    for kind, table in (("user", users), ("item", items)):
        if not purchases[kind].between(0, len(table) - 1).all():
            raise ValueError(f"{PURCHASES} names a {kind} that has no row in {kind}s.parquet")


def _write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False, compression="zstd", row_group_size=warehouse.ROW_GROUP)
