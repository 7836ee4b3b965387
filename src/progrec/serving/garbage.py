"""What the garbage collector leaves alone."""

from __future__ import annotations

import gc

OBJECTS = 50_000
"""After so many more objects the collector looks at those that are new; Python says 700.

Requests leave no cycles behind, but of each of them BentoML keeps a timer for a minute: to look for
garbage among these took a tenth of the service's time, and up to 70 ms at once.
"""


def freeze() -> None:
    """Keeps the collector from what there is now, and from requests for as long as can be.

    A collection that walks a bundle and its libraries stalls the requests for tens of milliseconds.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS)
