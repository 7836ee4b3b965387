"""A registry of one's own in a store that the tests share, and bundles to put there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import ModelConfig
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Vocabulary
from progrec.settings import RegistrySettings
from progrec.tracking import Tracking


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store; making its tables takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def registry(
    store: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> RegistrySettings:
    """The store, and a registered model's name that no other test uses."""
    monkeypatch.chdir(store)
    return RegistrySettings(
        tracking_uri=f"sqlite:///{store / 'mlflow.db'}", model=request.node.name
    )


@pytest.fixture
def tracking(registry: RegistrySettings) -> Tracking:
    return Tracking(registry)


@pytest.fixture
def bundle_at(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """A name -> the folder of a bundle; another test's bundle of that name has another digest."""

    def save(name: str) -> Path:
        torch.manual_seed(0)
        network = NCF(1, 2, ModelConfig(towers=("gmf",), factors=2, layers=()))
        Bundle(
            network.eval(),
            Vocabulary(np.array(["ann"], dtype=object)),
            pd.DataFrame(
                {
                    "item_id": ["cup", "pot"],
                    "purchases": [1, 0],
                    "category": ["ware", None],
                    "brand": [None, None],
                }
            ),
            pd.DataFrame({"user": [0], "item": [0], "date": [date(2020, 1, 5)]}),
            Provenance(
                data_digest=f"{request.node.name} {name}",
                config_digest="1" * 64,
                parent_digest=None,
                watermark=date(2020, 1, 31),
            ),
        ).save(tmp_path / name)
        return tmp_path / name

    return save
