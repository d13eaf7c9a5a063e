# SPDX-License-Identifier: Apache-2.0
"""Matching one pair of inputs, with the permutation and a proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import arrays
from simplugins.activations import Activations, naming
from simplugins.matching.contract import Matcher, resolve_matcher

_LAYOUTS = {"sc": "ntd", "chw": "nchw", "hwc": "nhwc"}


@dataclass(frozen=True)
class Matching:
    """How the positions of two inputs were matched.

    Attributes
    ----------
    columns : (S,) int64 array
        For each position of the first input, the position of the second that it is matched with; -1 for none.
        Positions of maps are counted row by row.
    value : float
        Aligned inner product: the sum of the inner products of matched concept vectors.
    upper_bound : float or None
        What no matching can exceed, proven by dual prices; None if the matcher keeps none.
    affinity : (S, T) float64 array
        Inner products of all positions of the first input with all of the second.
    """

    columns: NDArray[np.int64]
    value: float
    upper_bound: float | None
    affinity: NDArray[np.float64]

    @property
    def gap(self) -> float | None:
        """Proven relative gap: how far, at most, the value is below the optimum, as a share of the bound."""
        if self.upper_bound is None:
            return None
        missing = max(self.upper_bound - self.value, 0.0)
        return missing / abs(self.upper_bound) if self.upper_bound else missing


def match(
    x: Any,
    y: Any,
    matching: str | Matcher = "optimal",
    *,
    layout: str = "auto",
    dtype: DTypeLike | None = None,
    **options: Any,
) -> Matching:
    """Match the positions of two inputs.

    Parameters
    ----------
    x, y : arrays
        Responses of one input each: (S, C) and (T, C) sets of concept vectors, or maps (C, H, W).
    matching : str or Matcher, default "optimal"
        Any plugin of the group ``simplugins.matchings``; it takes `options` as its own.
    layout : {"auto", "sc", "chw", "hwc"}
        What the dimensions are; "auto" reads two and three of them as the first two.
    dtype : float32 or float64, optional
        By default float64 for float64 responses, else float32.

    Returns
    -------
    Matching

    Raises
    ------
    TypeError, ValueError
        For bad input, as `simplugins.compute_rsm`.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import match
    >>> concepts = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> found = match(concepts, concepts[[2, 0, 1]])
    >>> found.columns
    array([1, 2, 0])
    >>> found.value  # 1 + 4 + 18: each concept vector met itself
    23.0
    """
    with naming("x"):
        one = _single(x, layout, dtype)
    with naming("y"):
        other = _single(y, layout, dtype)
    if one.channels != other.channels:
        raise ValueError(f"concept vectors must have equal channels: got {one.channels} and {other.channels}")
    matcher = resolve_matcher(matching, **options)
    rows, cols = one.block(0, 1).vectors, other.block(0, 1).vectors
    affinity = np.ascontiguousarray(rows @ cols.T)
    offsets = np.array([0, len(rows)])
    assignments = matcher.match_batch(affinity, offsets)
    exponent = int(one.exponents[0] + other.exponents[0])
    scale = 2.0**exponent
    return Matching(
        columns=assignments.columns,
        value=scale * _reduced("aligned_values", affinity, offsets, assignments.columns),
        upper_bound=(
            None
            if assignments.prices is None
            else scale * _reduced("upper_bounds", affinity, offsets, assignments.prices)
        ),
        affinity=np.ldexp(affinity.astype(np.float64), exponent),
    )


def _reduced(function: str, affinity: NDArray[Any], offsets: NDArray[Any], found: NDArray[Any]) -> float:
    from simplugins.matching import values

    out = np.empty(1)
    getattr(values, function)(affinity, offsets, found, out)
    return float(out[0])


def _single(response: Any, layout: str, dtype: DTypeLike | None) -> Activations:
    array = arrays.as_array(response)
    if layout == "auto":
        layout = {2: "sc", 3: "chw"}.get(len(array.shape), layout)
    if layout not in _LAYOUTS or len(array.shape) != len(layout):
        raise ValueError(
            f"expected the response of one input, (positions, channels) or (channels, height, width); got shape "
            f"{tuple(array.shape)} with layout {layout!r}"
        )
    return Activations.of(array[None], layout=_LAYOUTS[layout], dtype=dtype)
