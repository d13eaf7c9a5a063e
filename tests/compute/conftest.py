# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from simplugins.compute import run as collecting


@pytest.fixture
def small_tiles(monkeypatch):
    """Have runs cut into tiles of 4 x 4 inputs."""
    monkeypatch.setattr(collecting, "block_size", lambda positions: 4)


@pytest.fixture(scope="session")
def maps(photos):
    """Real activations of 22 crops: 6 x 6 positions of block 10."""
    return np.ascontiguousarray(photos["block10"][:22, :32, 4:10, 4:10])
