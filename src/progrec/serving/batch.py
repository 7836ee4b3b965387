"""Recommendations for many users at once, as a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from progrec import atomic, settings
from progrec.errors import InputError
from progrec.learning.bundle import Bundle
from progrec.registry import champion
from progrec.serving.candidates import recommend_many
from progrec.serving.store import Store
from progrec.settings import Settings

ALL = "all"


def recommend(out: Path, *, users: str, k: int, bundle: Path | None) -> int:
    """Writes `user_id, rank, product_id, score, source` to a Parquet file.

    Args:
        out: the file.
        users: a file of user ids, one a line, or `all`: those that the bundle knows.
        k: the most products a user.
        bundle: a bundle's folder. What a user had bought when it was made is left out. None: the
            registry's champion; then also what the service's database knows to be bought.

    Returns:
        The number of rows.

    Raises:
        InputError: there is no such file of users or bundle, or no champion yet.
    """
    config = settings.load()
    model = _champion(config) if bundle is None else Bundle.load(bundle)
    user_ids = list(model.users.ids) if users == ALL else _read(Path(users))
    purchased = _purchased(model)
    if bundle is None and config.serving.database.exists():
        _add_live(purchased, user_ids, config)
    frame = recommend_many(model, user_ids, k=k, exclude=purchased)
    with atomic.replacing(out) as new:
        frame.to_parquet(new, index=False)
    return len(frame)


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


def _purchased(model: Bundle) -> dict[str, set[str]]:
    """What each user had bought when the bundle was made."""
    purchased: dict[str, set[str]] = defaultdict(set)
    users = model.users.ids[model.purchases["user"].to_numpy()]
    items = model.item_ids[model.purchases["item"].to_numpy()]
    for user_id, item_id in zip(users, items, strict=True):
        purchased[user_id].add(item_id)
    return purchased


def _add_live(purchased: Mapping[str, set[str]], user_ids: list[str], config: Settings) -> None:
    store = Store(config.serving.database, config.queue)
    for user_id in user_ids:
        purchased[user_id].update(store.purchased(user_id))
    store.close()
