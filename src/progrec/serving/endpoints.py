"""The endpoints of a service that runs."""

from __future__ import annotations

from collections.abc import Iterable


def keep(service: object, names: Iterable[str]) -> None:
    """Keeps a service's endpoints as BentoML calls them.

    Its descriptors would make them anew for each request, out of their signatures: that takes a
    tenth of the request's time.

    Args:
        service: an instance that has been set up.
        names: of its endpoints.
    """
    for name in names:
        # What an instance has by itself comes before its class's descriptor.
        vars(service)[name] = getattr(service, name)
