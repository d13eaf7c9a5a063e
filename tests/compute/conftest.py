# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def maps(photos):
    """Real activations of 22 crops: 6 x 6 positions of block 10."""
    return np.ascontiguousarray(photos["block10"][:22, :32, 4:10, 4:10])
