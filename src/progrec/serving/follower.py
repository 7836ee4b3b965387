"""The champion as a service sees it: whichever the registry names at the moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from progrec.learning.bundle import BundleError
from progrec.learning.touches import Done
from progrec.serving import candidates, garbage, sync
from progrec.serving.assortment import Assortment
from progrec.serving.candidates import ScoredCatalogue
from progrec.serving.filters import Passing
from progrec.serving.logs import FACTS
from progrec.serving.messages import Model
from progrec.serving.metrics import metrics
from progrec.serving.store import Store
from progrec.settings import Settings

if TYPE_CHECKING:
    from progrec.tracking import Tracking

LOCAL = "sqlite:///"
"""How the address of a registry in a file begins."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """The bundle that is served.

    Attributes:
        catalogue: the bundle.
        data_digest: hash of the data that it was trained on.
        version: its number in the registry.
    """

    catalogue: ScoredCatalogue
    data_digest: str
    version: int | None

    @cached_property
    def assortment(self) -> Assortment:
        """What it knows of its products."""
        return Assortment.of(self.catalogue)

    def model(self) -> Model:
        """What answers say of it."""
        return Model(
            version=self.version,
            digest=self.catalogue.digest,
            data_digest=self.data_digest,
            watermark=self.catalogue.watermark,
            age_seconds=Model.age(self.catalogue.watermark),
        )


def load_champion(config: Settings, served: Champion | None) -> Champion | None:
    """The registry's champion, `served` itself if it is that; None as long as there is none.

    Raises:
        BundleError: its files are missing, damaged or not those that were registered.
    """
    tracking = registry(config)
    if tracking is None:
        return served
    # Not at the top: the registry brings MLflow, which only a service that runs needs.
    from progrec.registry import champion  # noqa: PLC0415

    version = tracking.champion()
    if version is None:
        return None
    if served is not None and served.catalogue.digest == version.digest:
        return served
    bundle = champion.bundle(tracking, version, _shared(config))
    return Champion(bundle, bundle.provenance.data_digest, version.number)


def registry(config: Settings) -> Tracking | None:
    """The registry; None if it is a file that is not there: to ask for it would make it."""
    uri = config.registry.tracking_uri
    if uri.startswith(LOCAL) and not Path(uri.removeprefix(LOCAL)).exists():
        return None
    from progrec.tracking import Tracking  # noqa: PLC0415

    return Tracking(config.registry)


def _shared(config: Settings) -> Path:
    """Where the workers' common tables lie: beside the database."""
    database = config.serving.database
    return database.with_name(f"{database.name}.tables")


def load_shipped(store: Store) -> Champion | None:
    """The champion that came with the service, if one did; what it knows to be bought is kept.

    Raises:
        BundleError: its files are missing, damaged or not those that were shipped.
    """
    from progrec.registry import shipped  # noqa: PLC0415

    found = shipped.load()
    if found is None:
        return None
    version, bundle = found
    # Where there is a registry, publishing has done so.
    sync.sync(bundle, store)
    return Champion(bundle, bundle.provenance.data_digest, version)


class Follower:
    """Holds the champion: the one that came with the service, or the registry's, once it has one.

    A newer one takes its place.
    """

    def __init__(self, config: Settings, store: Store) -> None:
        """Takes the champion of this moment, if one can be had."""
        self.champion: Champion | None = None
        self._config = config
        self._complaint = ""
        self._take(lambda: load_shipped(store) or load_champion(config, None))

    def look(self) -> None:
        """Takes the champion of this moment; keeps the present one when none can be had."""
        self._take(lambda: load_champion(self._config, self.champion))

    def _take(self, load: Callable[[], Champion | None]) -> None:
        try:
            champion = load()
            if champion is None:
                self._complain("none", "there is no champion")
            elif champion is not self.champion:
                self._crown(champion)
        except BundleError as error:
            self._complain(_reason(error), f"refused the champion: {error}")
        except Exception as error:  # whatever is wrong may be right at the next look
            self._complain("unavailable", f"the champion cannot be had: {error}")
        else:
            self._complaint = "" if champion else self._complaint
        if self.champion:
            metrics().aged(self.champion.model().age_seconds)

    def _crown(self, champion: Champion) -> None:
        catalogue = champion.catalogue
        every = np.ones(len(champion.assortment.row), dtype=bool)
        # What the bundle computes at first use, it computes before the first request.
        candidates.candidates(
            catalogue,
            "",
            n=1,
            exclude=(),
            touched=[str(item) for item in catalogue.item_ids[:1]],
            done=[Done(item, "view", 1, catalogue.watermark) for item in catalogue.item_ids[:1]],
            allowed=Passing(champion.assortment, every, frozenset()),
        )
        self.champion = champion
        garbage.freeze()
        metrics().swapped()
        facts = {"version": champion.version, "digest": catalogue.digest}
        logger.info("recommending with a champion", extra={FACTS: facts})

    def _complain(self, reason: str, complaint: str) -> None:
        """Warns and counts, but not at every look."""
        if complaint != self._complaint:
            metrics().refused("bundle", reason)
            served = (
                f"version {self.champion.version} serves on"
                if self.champion
                else "`make run` trains and registers one"
            )
            logger.warning("%s; %s", complaint, served, extra={FACTS: {"reason": reason}})
        self._complaint = complaint


def _reason(error: BundleError) -> str:
    from progrec.registry.champion import WrongDigestError  # noqa: PLC0415

    return "digest" if isinstance(error, WrongDigestError) else "unloadable"
