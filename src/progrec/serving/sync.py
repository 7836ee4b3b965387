"""The second half of the publish stage: the purchases that a bundle knows -> the database."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated

import typer

from progrec import settings, stage
from progrec.learning.bundle import Bundle
from progrec.serving.store import Store


def sync(bundle: Bundle, store: Store) -> int:
    """Adds the purchases that the database does not have yet; returns how many there were."""
    users = bundle.users.ids[bundle.purchases["user"].to_numpy()]
    items = bundle.item_ids[bundle.purchases["item"].to_numpy()]
    days = (datetime.combine(day, time(), UTC) for day in bundle.purchases["date"])
    return store.add_purchases(zip(users, items, days, strict=True))


def main(bundle: Annotated[Path, typer.Option()]) -> None:
    """Puts the purchases that a bundle knows into the service's database."""
    with stage.running("sync") as done:
        config = settings.load()
        store = Store(config.serving.database, config.queue)
        new = sync(Bundle.load(bundle), store)
        store.close()
        done(f"{new:,} purchases are new to {config.serving.database}")


if __name__ == "__main__":
    typer.run(main)
