# SPDX-License-Identifier: Apache-2.0
"""Matching of a single pair of inputs, with a certificate of optimality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.activations.preparation import Preparation
from simplugins.activations.sources import check_channel_order, read_response
from simplugins.compute.engines import check_engine, choose_engine
from simplugins.compute.job import check_pair
from simplugins.matching.certificates import Certified, match_and_certify
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import resolve_matcher

_AUTO = {2: "sc", 3: "chw"}


@dataclass(frozen=True, repr=False)
class Matching:
    """The matching of the positions of two inputs.

    Attributes
    ----------
    columns : (S,) int64 array
        For each position of the first input, the matched position of the second input; -1 for none. Positions of maps
        are numbered row by row.
    value : float
        Aligned inner product: the sum of the inner products of matched concept vectors.
    upper_bound : float
        Proven upper bound on the value of any matching, from the matcher's dual prices if it has them, or else from an
        auction (then at most 1 % above the optimum). For a partial matching, of those with the same number of pairs.
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

    @property
    def unmatched_rows(self) -> NDArray[np.int64]:
        """The positions of the first input that have no partner, in ascending order."""
        return np.flatnonzero(self.columns < 0)

    @property
    def unmatched_columns(self) -> NDArray[np.int64]:
        """The positions of the second input that have no partner, in ascending order."""
        return np.setdiff1d(np.arange(self.affinity.shape[1]), self.columns)

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
    center: Literal["input", "position"] | Sequence[Literal["input", "position"]] | None = None,
    normalize: Literal["position"] | None = None,
    engine: str = "auto",
) -> Matching:
    """Match the positions of two inputs, with a certificate of optimality.

    Time and memory grow with the number of affinities, S T, for all matchings; those without dual prices need an
    auction for the bound.

    Parameters
    ----------
    x, y : arrays
        Responses of one input each: (S, C) and (T, C) sets of concept vectors, or maps (C, H, W).
    matching : str or Matcher, default "optimal"
        A plugin of the group ``simplugins.matchings`` by name, or a matcher. For "greedy" and "topk-greedy" the order
        of the two inputs matters.
    matching_options : mapping, optional
        Options of a matching given by name.
    layout : str, default "auto"
        One letter per dimension, as for `simplugins.compute_rsm` but without n; "auto" reads two dimensions as "sc" and
        three as "chw".
    dtype : float32 or float64, optional
        By default float64 for float64 responses, else float32.
    center : {None, "input", "position"}, or a tuple of these, default None
        "input" subtracts from the concept vectors of each response their mean, and "position" from each concept vector
        the mean of its channels. Centring of channels needs the mean over a data set: subtract it from both responses.
    normalize : {None, "position"}, default None
        "position" divides each concept vector by its norm, after centring.
    engine : {"auto", "cpu", "cuda"}, default "auto"
        As for `simplugins.compute_rsm`, except that "auto" only uses a GPU if a response is on it: a single pair is too
        little work to justify a transfer.

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
    >>> result.value  # 1 + 4 + 18: each concept vector is matched with itself
    23.0
    """
    check_engine(engine)
    one, two = prepared_pair(x, y, layout, dtype, center, normalize)
    matcher = resolve_matcher(matching, matching_options)
    check_pair(one, two, matcher)
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


def prepared_pair(
    x: Any, y: Any, layout: str, dtype: DTypeLike | None, center: Any, normalize: Any
) -> tuple[Activations, Activations]:
    """Read and prepare the responses of two inputs; see `match`."""
    preparation = None if center is None and normalize is None else _preparation(center, normalize)
    one, two = read_pair(x, y, layout, dtype)
    if preparation is None:
        return one, two
    return preparation.apply(one)[0], preparation.apply(two)[0]


def _preparation(center: Any, normalize: Any) -> Preparation:
    """Return the preparation of both responses, after checking that it can be computed from each alone."""
    preparation = Preparation.checked(center, normalize)
    if "channel" in preparation.center:
        raise ValueError(
            "center='channel' subtracts the mean concept vector of a whole data set, which two responses do not "
            "have: subtract that mean from both, or use simplugins.compute_rsm"
        )
    if preparation.of_sets is not None:
        raise ValueError(
            f"normalize={preparation.of_sets!r} defines a similarity, not concept vectors to match: use "
            f"simplugins.compute_rsm"
        )
    return preparation


def _ordered(block: Block, matcher: Matcher) -> tuple[Block, NDArray[np.int64]]:
    """Return a block of one input, sorted if the matcher expects that, and the order."""
    return block.by_norm() if matcher.by_norm else (block, np.arange(len(block.vectors)))


def _certify(x: Block, y: Block, matcher: Matcher, engine: str) -> tuple[Certified, NDArray[np.floating]]:
    """Match two inputs in the given order, and return their certified matching and their affinities."""
    dtype = np.result_type(x.vectors.dtype, y.vectors.dtype)
    if engine.startswith("cuda"):
        from simplugins.compute.engines.cuda import one_pair
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice

        return one_pair.match_and_certify(x, y, matcher, device=CupyDevice(arrays.gpu_of(x.vectors)))
    rows, columns = (arrays.to_numpy(block.vectors, dtype) for block in (x, y))
    affinity = np.ascontiguousarray(rows @ columns.T)
    return match_and_certify(matcher, affinity, x.offsets), affinity


def read_pair(x: Any, y: Any, layout: str, dtype: DTypeLike | None) -> tuple[Activations, Activations]:
    """Read and check the responses of two inputs with equal channels; see `match`."""
    if not (arrays.is_plain(x) or arrays.is_plain(y)):
        check_channel_order(x, y, layout if layout == "auto" else f"n{layout}", one_input=True)
    with error_prefix("x"):
        one = _single(x, layout, dtype)
    with error_prefix("y"):
        two = _single(y, layout, dtype)
    if one.channels != two.channels:
        raise ValueError(f"y: expected {one.channels} channels, as in x, got {two.channels}")
    return one, two


def _single(response: Any, layout: str, dtype: DTypeLike | None) -> Activations:
    if not arrays.is_plain(response):
        response, layout = read_response(response, layout)
    array = response if isinstance(response, np.ma.MaskedArray) else arrays.as_array(response)
    letters = _AUTO.get(len(array.shape), layout) if layout == "auto" else "".join(layout.split())
    if letters == "auto" or len(letters) != len(array.shape):
        raise ValueError(
            f"expected the response of one input, (positions, channels) or (channels, height, width), or a layout that "
            f"names its dimensions; got shape {tuple(array.shape)} with layout {layout!r}"
        )
    return Activations.from_array(array[None], layout=f"n{letters}", dtype=dtype)
