# SPDX-License-Identifier: Apache-2.0
"""Matching one pair of inputs, with the permutation and a proof."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import arrays
from simplugins.activations import Activations, naming
from simplugins.matching.certificates import match_and_certify
from simplugins.matching.contract import Matcher
from simplugins.matching.options import resolve_matcher

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
    upper_bound : float
        What no matching can exceed, proven by dual prices: the matcher's own, or else those of an auction, which are
        at most 1 % above the optimum.
    gap : float
        Proven relative gap, ``(upper_bound - value) / |upper_bound|``: the share of the bound that the value may be
        short of. 0 where both agree to rounding; infinite if the bound is 0 and the value is not.
    affinity : (S, T) float64 array
        Inner products of all positions of the first input with all of the second.
    """

    columns: NDArray[np.int64]
    value: float
    upper_bound: float
    gap: float
    affinity: NDArray[np.float64]


def match(
    x: Any,
    y: Any,
    matching: str | Matcher = "optimal",
    *,
    layout: str = "auto",
    dtype: DTypeLike | None = None,
    **options: Any,
) -> Matching:
    """Match the positions of two inputs, and prove how good that is.

    Time and memory grow with all S T affinities, whatever the matching; for one without prices of its own an auction
    finds the bound.

    Parameters
    ----------
    x, y : arrays
        Responses of one input each: (S, C) and (T, C) sets of concept vectors, or maps (C, H, W).
    matching : str or Matcher, default "optimal"
        Any plugin of the group ``simplugins.matchings``; it takes `options` as its own (see `compute_rsm`). For
        "greedy" and "topk-greedy" it matters which input comes first.
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
    rows, cols = one.block(0, 1), other.block(0, 1)
    exponent = int(one.exponents[0] + other.exponents[0])
    affinity: NDArray[Any] = np.ascontiguousarray(rows.vectors @ cols.vectors.T)
    if matcher.by_norm:
        in_order = rows.norm_order(), cols.norm_order()
        found = _match(affinity[np.ix_(*in_order)], matcher)
        columns = np.empty_like(found.columns)
        columns[in_order[0]] = np.where(found.columns < 0, -1, in_order[1][found.columns])
        found = replace(found, columns=columns)
    else:
        found = _match(affinity, matcher)
    return replace(
        found,
        value=2.0**exponent * found.value,
        upper_bound=2.0**exponent * found.upper_bound,
        affinity=np.ldexp(affinity.astype(np.float64), exponent),
    )


def _match(affinity: NDArray[Any], matcher: Matcher) -> Matching:
    """Match the positions as they stand, and certify the outcome."""
    found = match_and_certify(matcher, affinity, np.array([0, len(affinity)]))
    return Matching(found.columns, float(found.values[0]), float(found.upper[0]), float(found.gap[0]), affinity)


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
