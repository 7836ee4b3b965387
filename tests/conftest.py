"""What tests of several rooms need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public data sets, which are not part of this repository."""
    folder = os.environ.get("PROGREC_REAL_DATA")
    if not folder:
        pytest.skip("PROGREC_REAL_DATA is not set")
    return Path(folder)
