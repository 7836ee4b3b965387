"""The champion as a service sees it: whichever the registry names at the moment."""

from __future__ import annotations

import gc
import logging
import threading

from progrec.learning.touches import Done
from progrec.serving import recommender
from progrec.serving.recommender import ScoredCatalogue
from progrec.settings import Settings

RETRY_SECONDS = 5.0
"""How long after one look for a first champion the next is taken."""

FOLLOW_SECONDS = 60.0
"""How long after one look for a newer champion the next is taken."""

logger = logging.getLogger(__name__)


def load_champion(config: Settings, served: ScoredCatalogue | None) -> ScoredCatalogue | None:
    """The registry's champion, `served` itself if it is that; None as long as there is none."""
    # Not at the top: the registry brings MLflow, which only a service that runs needs.
    from progrec.registry import champion  # noqa: PLC0415

    if served is not None and served.digest == champion.digest(config.registry):
        return served
    return champion.load(config.registry)


class Follower:
    """Holds the registry's champion, once there is one; a newer one takes its place."""

    def __init__(self, config: Settings) -> None:
        self.catalogue: ScoredCatalogue | None = None
        self._config = config
        self._complaint = ""
        self._closed = threading.Event()
        self.look()
        self._follower = threading.Thread(target=self._follow, name="champion", daemon=True)
        self._follower.start()

    def look(self) -> None:
        """Takes the champion of this moment; keeps the present one when none can be had."""
        try:
            catalogue = load_champion(self._config, self.catalogue)
            if catalogue is None:
                self._complain("the registry has no champion yet")
            elif self.catalogue is None or catalogue.digest != self.catalogue.digest:
                self._crown(catalogue)
        except Exception as error:  # whatever is wrong may be right at the next look
            self._complain(f"the champion cannot be loaded: {error}")

    def close(self) -> None:
        """Stops following the registry."""
        self._closed.set()
        self._follower.join()

    def _follow(self) -> None:
        while not self._closed.wait(FOLLOW_SECONDS if self.catalogue else RETRY_SECONDS):
            self.look()

    def _crown(self, catalogue: ScoredCatalogue) -> None:
        # What the bundle computes at first use, it computes before the first request.
        recommender.candidates(
            catalogue,
            "",
            n=1,
            exclude=(),
            touched=[str(item) for item in catalogue.item_ids[:1]],
            done=[Done(item, "view", 1, catalogue.watermark) for item in catalogue.item_ids[:1]],
        )
        self.catalogue = catalogue
        self._complaint = ""
        # A collection that walks the bundle would stall requests; what is frozen it leaves alone.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        logger.info("recommending with the bundle %s", catalogue.digest)

    def _complain(self, complaint: str) -> None:
        """Warns, but not at every look."""
        if complaint != self._complaint:
            logger.warning("%s; `make run` trains and registers one", complaint)
        self._complaint = complaint
