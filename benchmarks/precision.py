# SPDX-License-Identifier: Apache-2.0
"""Measure the accuracy of the GPU engine's precisions on the CPU: ``python benchmarks/precision.py``.

Factors are rounded as the GPU engine rounds them, and multiplied in float32, or as the emulator of the tests multiplies
them: like the tensor cores of Hopper, which truncate sums where float32 rounds them.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from inputs import load_layer
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from emulation.device import EmulatedDevice

from simplugins.compute.engines import PRECISIONS
from simplugins.compute.engines.cuda.operands import operand
from simplugins.matching.optimal import Optimal

LAYERS = {"block15": 12, "block10": 8, "block4": 4}
"""Number of inputs of each layer, all pairs of which are compared."""

UNEVEN = np.float32(1.1)
"""The layers are stored as float16, which float16x3 represents exactly; division by this prevents that."""


def largest_error(sets: NDArray[np.float32], precision: str) -> float:
    """Return the largest error of an aligned inner product, relative to the mean of the two squared norms."""
    errors, device = [], EmulatedDevice()
    for x, y in itertools.combinations(sets, 2):
        exact = x.astype(np.float64) @ y.T.astype(np.float64)
        factors = operand(x, precision, columns=False), operand(y, precision, columns=True)
        affinity = device.empty((len(x), len(y)), np.float32)
        device.multiply(device.upload(factors[0]), device.upload(factors[1]), affinity, precision)
        rows = np.arange(len(x))
        value = affinity[rows, Optimal().match(affinity)].sum(dtype=np.float64)
        optimum = exact[rows, Optimal().match(exact)].sum()
        squares = [(vectors.astype(np.float64) ** 2).sum() for vectors in (x, y)]
        errors.append(abs(value - optimum) / np.mean(squares))
    return float(max(errors))


def main() -> None:
    """Print the errors of all precisions and layers."""
    print("| | " + " | ".join(LAYERS) + " |\n|---|" + "---:|" * len(LAYERS))
    for precision in PRECISIONS:
        errors = []
        for name, count in LAYERS.items():
            sets = load_layer(name)[:count] / UNEVEN
            scale = np.exp2(-np.round(np.log2(np.sqrt(np.square(sets).mean((1, 2), keepdims=True)))))
            errors.append(f"{largest_error(sets * scale.astype(np.float32), precision):.1e}")
        print(f"| `{precision}` | " + " | ".join(errors) + " |")


if __name__ == "__main__":
    main()
