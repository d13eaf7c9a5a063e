# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from simplugins import Activations, read_activations

pytestmark = pytest.mark.gpu

MAPS = np.random.default_rng(0).normal(size=(5, 6, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("library", ["cupy", "torch"])
@pytest.mark.parametrize("scale", [1, 1e40])
def test_activations_on_a_gpu_are_shown_and_saved_as_numpy_arrays(library, scale, tmp_path):
    maps = MAPS * scale if scale == 1 else MAPS.astype(np.float64) * scale
    to_gpu = pytest.importorskip("cupy").asarray
    if library == "torch":
        torch = pytest.importorskip("torch")
        to_gpu = lambda array: torch.from_numpy(array).cuda()  # noqa: E731
    x, expected = (Activations.from_array(array, dtype="f4") for array in (to_gpu(maps), maps))
    assert x.gpu is not None
    for values, plain in [
        (x.array(), expected.array()),
        (x[2], expected[2]),
        *zip(x.sets(), expected.sets(), strict=True),
    ]:
        assert type(values) is np.ndarray
        assert values.dtype == plain.dtype
        np.testing.assert_array_equal(values, plain)
    x.save(tmp_path / "x.npz")
    assert read_activations(tmp_path / "x.npz").digest() == x.digest() == expected.digest()
    options = {"mask": MAPS[:, 0] > -1, "subset": [3, 1], "dtype": "f8"}
    assert Activations.from_array(x, **options).digest() == Activations.from_array(expected, **options).digest()
