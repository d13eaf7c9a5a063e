# SPDX-License-Identifier: Apache-2.0
"""Matching one pair of inputs, with the permutation and a proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.engines import check_engine, choose_engine
from simplugins.matching.certificates import Certified, match_and_certify
from simplugins.matching.matcher import Matcher
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
    engine: str = "cpu",
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
    engine : {"cpu", "cuda", "auto"}, default "cpu"
        As for `compute_rsm`; one pair is no work for a GPU, but for responses that lie there.

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
    check_engine(engine)
    with error_prefix("x"):
        one = _single(x, layout, dtype)
    with error_prefix("y"):
        other = _single(y, layout, dtype)
    if one.channels != other.channels:
        raise ValueError(f"concept vectors must have equal channels: got {one.channels} and {other.channels}")
    matcher = resolve_matcher(matching, options)
    rows, own = _in_order(one.block(0, 1), matcher)
    cols, others = _in_order(other.block(0, 1), matcher)
    found, affinity = _certify(rows, cols, matcher, choose_engine(engine, matcher))
    columns = np.empty_like(found.columns)
    columns[own] = np.where(found.columns < 0, -1, others[found.columns])
    affinities = np.empty(affinity.shape)
    affinities[np.ix_(own, others)] = affinity
    exponent = int(one.exponents[0] + other.exponents[0])
    return Matching(
        columns=columns,
        value=2.0**exponent * float(found.values[0]),
        upper_bound=2.0**exponent * float(found.upper[0]),
        gap=float(found.gap[0]),
        affinity=np.ldexp(affinities, exponent),
    )


def _in_order(block: Block, matcher: Matcher) -> tuple[Block, NDArray[np.int64]]:
    """Return a block of one input as the matcher wants it, and the positions in that order."""
    if not matcher.by_norm:
        return block, np.arange(len(block.vectors))
    return block.by_norm()


def _certify(x: Block, y: Block, matcher: Matcher, engine: str) -> tuple[Certified, NDArray[np.floating]]:
    """Match two inputs as they stand, and certify the outcome; returns their affinities, too."""
    dtype = np.result_type(x.vectors.dtype, y.vectors.dtype)
    if engine == "cuda":
        from simplugins.compute.engines.cuda import one_pair
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice

        return one_pair.match_and_certify(x, y, matcher, device=CupyDevice(arrays.gpu_of(x.vectors)))
    rows, columns = (arrays.to_numpy(block.vectors, dtype) for block in (x, y))
    affinity = np.ascontiguousarray(rows @ columns.T)
    return match_and_certify(matcher, affinity, x.offsets), affinity


def _single(response: Any, layout: str, dtype: DTypeLike | None) -> Activations:
    array = arrays.as_array(response)
    if layout == "auto":
        layout = {2: "sc", 3: "chw"}.get(len(array.shape), layout)
    if layout not in _LAYOUTS or len(array.shape) != len(layout):
        raise ValueError(
            f"expected the response of one input, (positions, channels) or (channels, height, width); got shape "
            f"{tuple(array.shape)} with layout {layout!r}"
        )
    return Activations.from_array(array[None], layout=_LAYOUTS[layout], dtype=dtype)
