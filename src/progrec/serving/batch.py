"""Recommendations for many users at once, as a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from progrec import atomic, progress, settings
from progrec.errors import InputError
from progrec.learning.bundle import Bundle
from progrec.registry import champion
from progrec.serving.candidates import ScoredCatalogue, candidates
from progrec.serving.store import Store
from progrec.settings import Settings

ALL = "all"

BATCH_USERS = 1000
"""Users whose products are held in memory at once."""

COLUMNS = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int64()),
        ("product_id", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
    ]
)


def recommend(out: Path, *, users: str, k: int, bundle: Path | None) -> int:
    """Writes a Parquet file with the columns of `COLUMNS`, a row a product; ranks begin with 1.

    Args:
        out: the file.
        users: a file of user ids, one a line, or `all`: those that the bundle knows.
        k: the most products a user; fewer when the bundle has no more.
        bundle: a bundle's folder. What a user had bought when it was made is left out. None: the
            registry's champion; then also what the service's database knows to be bought, and
            what it knows to be given back is not left out.

    Returns:
        The number of rows.

    Raises:
        InputError: there is no such file of users or bundle, or no champion yet.
    """
    config = settings.load()
    model = _champion(config) if bundle is None else Bundle.load(bundle)
    user_ids = list(model.users.ids) if users == ALL else _read(Path(users))
    bought = _bought(model)
    exclude: Mapping[str, Collection[str]] = bought
    if bundle is None and config.serving.database.exists():
        with closing(Store(config.serving.database, config.queue)) as store:
            exclude = {user_id: barred(store, user_id, bought[user_id]) for user_id in user_ids}
    with atomic.replacing(out) as new:
        return write(new, model, user_ids, k=k, exclude=exclude)


def barred(store: Store, user_id: str, bought: Mapping[str, date]) -> frozenset[str]:
    """What a user may not be shown.

    Args:
        store: what has been bought and given back until now.
        user_id: the user.
        bought: the products that a bundle knows to be bought, and the first day of each. One that
            was given back since, on that day or later, may be shown again.
    """
    refunded = store.refunded(user_id)
    kept = (item for item, day in bought.items() if day > refunded.get(item, date.min))
    return store.purchased(user_id).union(kept)


def write(
    path: Path,
    catalogue: ScoredCatalogue,
    user_ids: Sequence[str],
    *,
    k: int,
    exclude: Mapping[str, Collection[str]],
) -> int:
    """Writes each user's `k` best products without those to exclude; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(path, COLUMNS) as file:
        for start in progress.steps(range(0, len(user_ids), BATCH_USERS), "recommending"):
            some = user_ids[start : start + BATCH_USERS]
            table = pa.Table.from_pylist(list(_rows(catalogue, some, k, exclude)), COLUMNS)
            file.write_table(table)
            rows += len(table)
    return rows


def _rows(
    catalogue: ScoredCatalogue,
    user_ids: Sequence[str],
    k: int,
    exclude: Mapping[str, Collection[str]],
) -> Iterator[dict[str, object]]:
    for user_id in user_ids:
        found = candidates(catalogue, user_id, n=k, exclude=exclude.get(user_id, ()), touched=())
        for rank, candidate in enumerate(found, start=1):
            yield {"user_id": user_id, "rank": rank, **vars(candidate)}


def _champion(config: Settings) -> Bundle:
    model = champion.load(config.registry)
    if model is None:
        raise InputError("the registry has no champion yet; run `dvc repro`, or name a --bundle")
    return model


def _read(path: Path) -> list[str]:
    """The user ids of a file, each once, in their order there."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            f"--users {path}: cannot be read ({error}); give a text file with one user id a line, "
            f"or: {ALL}"
        ) from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _bought(model: Bundle) -> dict[str, dict[str, date]]:
    """What each user had bought when the bundle was made, and when first."""
    bought: dict[str, dict[str, date]] = defaultdict(dict)
    users = model.users.ids[model.purchases["user"].to_numpy()]
    items = model.item_ids[model.purchases["item"].to_numpy()]
    for user_id, item_id, day in zip(users, items, model.purchases["date"], strict=True):
        bought[user_id][item_id] = day
    return bought
