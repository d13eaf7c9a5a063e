# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simplugins.data import load_photos

DATA = Path(__file__).parent / "data"


def load(name):
    with np.load(DATA / name, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def photos():
    """The bundled activations."""
    return load_photos()


@pytest.fixture(scope="session")
def layers(photos):
    """Activations of three sizes of map: 784, 196 and 49 positions."""
    block4 = load("efficientnet_lite0_block4.npz")["block4"]
    return {"block4": block4, "block10": photos["block10"], "block15": photos["block15"]}


@pytest.fixture(scope="session")
def authors_rsms():
    """The RSMs that the code of the paper's authors computes from these activations."""
    return load("authors_rsms.npz")
