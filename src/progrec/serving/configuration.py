"""How BentoML runs the service: without what costs requests and tells nothing new."""

from __future__ import annotations

from typing import Any

CONFIGURATION: dict[str, Any] = {
    # An access log line and a span take about as long as an empty request itself. Both can be had
    # back by BENTOML_CONFIG; metrics stay.
    "logging": {"access": {"enabled": False}},
    "tracing": {"excluded_urls": ".*"},
}
