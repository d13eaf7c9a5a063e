# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emulation.device import EmulatedDevice

from simplugins._common.gpu import why_unusable
from simplugins.compute.engines.cuda.cupy_device import CupyDevice
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
def maps(photos):
    """Small activations of 22 crops: 32 channels and 6 x 6 positions of block 10."""
    return np.ascontiguousarray(photos["block10"][:22, :32, 4:10, 4:10])


@pytest.fixture(scope="session")
def authors_rsms():
    """The RSMs that the code of the paper's authors computes from these activations."""
    return load("authors_rsms.npz")


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the tests that need a GPU, only these, and all of them")
    parser.addoption("--pictures", type=Path, help="a folder for the pictures that the tools' pages draw")
    parser.addoption(
        "--checkout",
        action="append",
        default=[],
        metavar="TOOL=PATH",
        help="test with a tool that is not on PyPI itself, not with a double or stored values; see docs/tools",
    )


def pytest_collection_modifyitems(config, items):
    """Skip what needs a GPU where there is none; if it was asked for, nothing is skipped and nothing else runs."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if config.getoption("--gpu"):
        config.hook.pytest_deselected(items=[item for item in items if item not in on_gpu])
        items[:] = on_gpu
    elif reason := why_unusable():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """A device for the GPU engine: one that the CPU plays, or the real one."""
    if request.param == "emulated":
        return EmulatedDevice()
    return CupyDevice()
