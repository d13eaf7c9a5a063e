# SPDX-License-Identifier: Apache-2.0
"""Measure the accuracy of the GPU engine's precisions on the CPU: ``python benchmarks/precision.py``.

Factors are rounded as the GPU engine rounds them, and multiplied and accumulated in float32. The additional error of a
GPU's tensor cores, which truncate sums where float32 rounds them, is not included.
"""

from __future__ import annotations

import itertools

import numpy as np
from inputs import load_layer
from numpy.typing import NDArray

from simplugins.compute.engines import PRECISIONS
from simplugins.compute.engines.cuda.operands import operand
from simplugins.matching.optimal import Optimal

LAYERS = {"block15": 12, "block10": 8, "block4": 4}
"""Number of inputs of each layer, all pairs of which are compared."""

UNEVEN = np.float32(1.1)
"""The layers are stored as float16, which two of the precisions represent exactly; division by this prevents that."""


def largest_error(sets: NDArray[np.float32], precision: str) -> float:
    """Return the largest error of an aligned inner product, relative to the mean of the two squared norms."""
    errors = []
    for x, y in itertools.combinations(sets, 2):
        exact = x.astype(np.float64) @ y.T.astype(np.float64)
        factors = operand(x, precision, columns=False), operand(y, precision, columns=True)
        affinity = factors[0].astype(np.float32) @ factors[1].astype(np.float32).T
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
