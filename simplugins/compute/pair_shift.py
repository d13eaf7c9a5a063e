# SPDX-License-Identifier: Apache-2.0
"""The best translation of a single pair of inputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from simplugins.compute.grid_shifts import GridShifts, Padding, check_padding
from simplugins.compute.pair import read_pair

_TIED = 2.0**-40
"""Difference of two inner products, relative to the mean of the squared norms, within which they count as equal."""


@dataclass(frozen=True)
class BestShift:
    """The best translation of one input onto another.

    Attributes
    ----------
    shift : tuple of int
        Along each dimension of the grid: position s of the first input meets position ``s + shift`` of the second.
    value : float
        Inner product of the responses so shifted.
    grid : tuple of int
        Sizes of the dimensions of positions.
    padding : {"circular", "zeros"}
    """

    shift: tuple[int, ...]
    value: float
    grid: tuple[int, ...]
    padding: Padding

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.grid))
        return f"BestShift of {size} positions: {self.shift}, {self.padding}, value {self.value:.6g}"


def best_shift(
    x: Any,
    y: Any = None,
    *,
    inputs: tuple[int, int] | None = None,
    padding: Padding = "circular",
    layout: str = "auto",
    dtype: DTypeLike | None = None,
) -> BestShift:
    """Find the translation of the grid under which the responses to two inputs have the largest inner product.

    Parameters
    ----------
    x, y : arrays or Activations
        Responses of one input each, on equal grids: maps (C, H, W), or sequences of concept vectors (S, C).
    inputs : (int, int), optional
        As for `simplugins.match`.
    padding : {"circular", "zeros"}, default "circular"
        Whether positions that leave the grid come back at the opposite side, or match nothing.
    layout, dtype
        As for `simplugins.match`.

    Returns
    -------
    BestShift
        The value that the measures ``shift-linear``, ``-cosine`` and ``-rbf`` are based on. If several translations
        reach it within rounding, the shortest one; circular ones are counted in the shorter direction.

    Raises
    ------
    TypeError, ValueError
        For invalid input, as for `simplugins.match`; or if grids differ.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import best_shift
    >>> response = np.random.default_rng(0).normal(size=(8, 6, 7))  # 8 channels, 6 x 7 positions
    >>> best_shift(response, np.roll(response, (1, -2), axis=(1, 2))).shift
    (1, -2)
    """
    check_padding(padding)
    one, two = read_pair(x, y, inputs, layout, dtype)
    shifts = GridShifts.of(one, two, padding)
    spectra = [shifts.spectra(side.on_cpu().block(0, 1)) for side in (one, two)]
    products = shifts.products(spectra[0].conj(), spectra[1])[0, 0]
    exponents = int(one.exponents[0]), int(two.exponents[0])
    norms = [float(np.ldexp(s.squared_norms[0], -2 * e)) for s, e in zip((one, two), exponents, strict=True)]
    tied = np.flatnonzero(products >= products.max() - _TIED * np.sqrt(norms[0] * norms[1]))
    offsets = list(itertools.product(*(axis.tolist() for axis in shifts.offsets())))
    best = min(tied.tolist(), key=lambda place: sum(offset * offset for offset in offsets[place]))
    return BestShift(offsets[best], float(np.ldexp(products[best], sum(exponents))), shifts.grid, padding)
