# SPDX-License-Identifier: Apache-2.0
"""Matching of one pair of inputs, with the assignment and a certificate of optimality."""

from __future__ import annotations

from collections.abc import Mapping
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
from simplugins.matching.matcher_options import resolve_matcher

_LAYOUTS = {"sc": "ntd", "chw": "nchw", "hwc": "nhwc"}


@dataclass(frozen=True, repr=False)
class Matching:
    """How the positions of two inputs are matched.

    Attributes
    ----------
    columns : (S,) int64 array
        For each position of the first input, the position of the second input that it is matched with; -1 for none.
        Positions of maps are counted row by row.
    value : float
        Aligned inner product: the sum of the inner products of matched concept vectors.
    upper_bound : float
        Bound that no matching can exceed, proven by dual prices: the matcher's own, or else those of an auction, which
        are at most 1 % above the optimum.
    gap : float
        Proven relative optimality gap, ``(upper_bound - value) / |upper_bound|``: 0 where both agree to rounding,
        infinite if the bound is 0 and the value is not.
    affinity : (S, T) float64 array
        Inner products of all positions of the first input with all positions of the second: the negative costs of the
        assignment problem.
    """

    columns: NDArray[np.int64]
    value: float
    upper_bound: float
    gap: float
    affinity: NDArray[np.float64]

    def __repr__(self) -> str:
        matched, positions = int((self.columns >= 0).sum()), self.affinity.shape
        return (
            f"Matching of {positions[0]} x {positions[1]} positions: {matched} matched, value {self.value:.6g}, "
            f"gap {self.gap:.2g}"
        )


def match(
    x: Any,
    y: Any,
    matching: str | Matcher = "optimal",
    *,
    matching_options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    dtype: DTypeLike | None = None,
    engine: str = "auto",
) -> Matching:
    """Match the positions of two inputs, with a certificate of optimality.

    Time and memory grow with all S T affinities, whatever the matching; a matching without dual prices of its own
    needs an auction for the bound.

    Parameters
    ----------
    x, y : arrays
        Responses of one input each: (S, C) and (T, C) sets of concept vectors, or maps (C, H, W).
    matching : str or Matcher, default "optimal"
        A plugin of the group ``simplugins.matchings`` by name, or a matcher. For "greedy" and "topk-greedy" the order
        of the two inputs matters.
    matching_options : mapping, optional
        Options of a matching given by name.
    layout : {"auto", "sc", "chw", "hwc"}
        The meaning of the dimensions; "auto" reads two and three of them as the first two layouts.
    dtype : float32 or float64, optional
        By default float64 for float64 responses, else float32.
    engine : {"auto", "cpu", "cuda"}, default "auto"
        As for `simplugins.compute_rsm`, except that "auto" takes a GPU only for responses that lie on one: a single
        pair is too little work to send there.

    Returns
    -------
    Matching

    Raises
    ------
    TypeError, ValueError
        For invalid input, as for `simplugins.compute_rsm`.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import match
    >>> concepts = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> result = match(concepts, concepts[[2, 0, 1]])
    >>> result
    Matching of 3 x 3 positions: 3 matched, value 23, gap 0
    >>> result.columns
    array([1, 2, 0])
    >>> result.value  # 1 + 4 + 18: each concept vector met itself
    23.0
    """
    check_engine(engine)
    with error_prefix("x"):
        one = _single(x, layout, dtype)
    with error_prefix("y"):
        two = _single(y, layout, dtype)
    if one.channels != two.channels:
        raise ValueError(f"y: expected {one.channels} channels, as in x, got {two.channels}")
    matcher = resolve_matcher(matching, matching_options)
    if engine == "auto" and one.gpu is None and two.gpu is None:
        engine = "cpu"
    rows, row_order = _ordered(one.block(0, 1), matcher)
    columns, column_order = _ordered(two.block(0, 1), matcher)
    certified, affinity = _certify(rows, columns, matcher, choose_engine(engine, matcher))
    matched = np.empty_like(certified.columns)
    matched[row_order] = np.where(certified.columns < 0, -1, column_order[certified.columns])
    affinities = np.empty(affinity.shape)
    affinities[np.ix_(row_order, column_order)] = affinity
    exponent = int(one.exponents[0] + two.exponents[0])
    return Matching(
        columns=matched,
        value=2.0**exponent * float(certified.values[0]),
        upper_bound=2.0**exponent * float(certified.upper[0]),
        gap=float(certified.gap[0]),
        affinity=np.ldexp(affinities, exponent),
    )


def _ordered(block: Block, matcher: Matcher) -> tuple[Block, NDArray[np.int64]]:
    """Return a block of one input in the order of positions that the matcher expects, and that order."""
    return block.by_norm() if matcher.by_norm else (block, np.arange(len(block.vectors)))


def _certify(x: Block, y: Block, matcher: Matcher, engine: str) -> tuple[Certified, NDArray[np.floating]]:
    """Match two inputs in their present order, with a certificate; return their affinities as well."""
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
