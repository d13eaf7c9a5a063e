# SPDX-License-Identifier: Apache-2.0
"""Controls and partial matchings on an emulated GPU: with masks, unequal sets and other inputs."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice

import simplugins
from simplugins import Partial
from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
CALLS = {
    "second-order": ("second-order-cosine", {}),
    "second-order rbf": ("second-order-rbf", {}),
    "mean-pooled": ("mean-pooled-cosine", {}),
    "max-sim": ("max-sim-cosine", {}),
    "max-sim rbf": ("max-sim-rbf", {}),
    "share": ("semantic-cosine", {"matching": Partial(share=0.5)}),
    "share, rbf": ("semantic-linear", {"matching": Partial(share=0.3), "certify": True}),
}


@pytest.fixture(autouse=True)
def _emulated_gpu(monkeypatch):
    """Make simplugins find a GPU, which is emulated."""
    monkeypatch.setattr(gpu, "why_unusable", lambda: None)
    monkeypatch.setattr(cupy_device, "CupyDevice", lambda number=None: EmulatedDevice())


def masked(inputs, channels, seed):
    """Inputs of nine positions, and a mask with at least two positions of each."""
    rng = np.random.default_rng(seed)
    mask = rng.random((inputs, 9)) < 0.6
    mask[:, :2] = True
    return rng.normal(0.3, 1, (inputs, 9, channels)).astype(np.float32), mask


def check(measure, x, options, **arguments):
    on_gpu = simplugins.compute_rsm(x, measure, engine="cuda", **arguments, **options)
    expected = simplugins.compute_rsm(x, measure, engine="cpu", **arguments, **options)
    assert on_gpu.metadata["engine"] == "cuda"
    assert on_gpu.shape == expected.shape
    np.testing.assert_allclose(on_gpu, expected, rtol=1e-4, atol=1e-5)
    if expected.gap is not None:
        assert on_gpu.gap.max() <= 1e-5


@pytest.mark.parametrize("channels", [3, 80], ids=["few channels", "many channels"])
@pytest.mark.parametrize("name", CALLS)
def test_masks_unequal_sets_and_other_inputs_give_the_values_of_the_cpu(name, channels):
    measure, options = CALLS[name]
    (x, mask), (y, other_mask) = masked(7, channels, 0), masked(5, channels, 1)
    check(measure, x, options, mask=mask)
    check(measure, x, options, mask=mask, other=simplugins.Activations.from_array(y, mask=other_mask))
    check(measure, x, options, other=y[:, :4])
    check(measure, [RNG.normal(0.3, 1, (size, channels)) for size in (1, 8, 3, 12)], options)
