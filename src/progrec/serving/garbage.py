"""What the garbage collector leaves alone."""

from __future__ import annotations

import gc


def freeze() -> None:
    """Keeps the collector from what there is now.

    A collection that walks a bundle and its libraries stalls the requests for tens of milliseconds.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
