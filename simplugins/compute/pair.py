# SPDX-License-Identifier: Apache-2.0
"""Matching of a single pair of inputs, with a certificate of optimality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.activations.preparation import Preparation
from simplugins.activations.reading import read
from simplugins.activations.sources import check_channel_order, read_response
from simplugins.compute.engines import check_engine, choose_engine
from simplugins.compute.job import check_pair
from simplugins.compute.matchings import Matching
from simplugins.matching.certificates import Certified, match_and_certify
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import resolve_matcher

_AUTO = {2: "sc", 3: "chw"}


def match(
    x: Any,
    y: Any = None,
    matching: str | Matcher = "optimal",
    *,
    inputs: tuple[int, int] | None = None,
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
    x, y : arrays or Activations
        Responses of one input each: (S, C) and (T, C) sets of concept vectors, or maps (C, H, W). With `inputs`,
        responses of any number of inputs, as for `simplugins.compute_rsm`: arrays, or a layer that `simplugins.record`
        returned. `y` is then `x` by default.
    matching : str or Matcher, default "optimal"
        A plugin of the group ``simplugins.matchings`` by name, or a matcher. For "greedy" and "topk-greedy" the order
        of the two inputs matters.
    inputs : (int, int), optional
        Which input of `x` is matched with which input of `y`; only these are read.
    matching_options : mapping, optional
        Options of a matching given by name.
    layout : str, default "auto"
        One letter per dimension, as for `simplugins.compute_rsm`. Without `inputs` there is no letter n; "auto" then
        reads two dimensions as "sc" and three as "chw".
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

    Two of the inputs of a layer:

    >>> layer = np.stack([concepts, concepts[[2, 0, 1]], concepts[::-1]])  # 3 inputs, as `record` returns them
    >>> match(layer, inputs=(0, 2)).columns
    array([2, 1, 0])
    """
    check_engine(engine)
    one, two = prepared_pair(x, y, inputs, layout, dtype, center, normalize)
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
        norms=(_norm(one), _norm(two)),
        grids=(one.grid, two.grid),
        labels=(_label(one), _label(two)),
    )


def _norm(response: Activations) -> float:
    """Return the Frobenius norm, without overflow of its square."""
    exponent = int(response.exponents[0])
    return float(np.ldexp(np.sqrt(np.ldexp(response.squared_norms[0], -2 * exponent)), exponent))


def _label(response: Activations) -> str | None:
    return None if response.labels is None else str(response.labels[0])


def prepared_pair(
    x: Any,
    y: Any,
    inputs: tuple[int, int] | None,
    layout: str,
    dtype: DTypeLike | None,
    center: Any,
    normalize: Any,
) -> tuple[Activations, Activations]:
    """Read and prepare the responses of two inputs; see `match`."""
    preparation = None if center is None and normalize is None else _preparation(center, normalize)
    one, two = read_pair(x, y, inputs, layout, dtype)
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


def read_pair(
    x: Any, y: Any, inputs: tuple[int, int] | None, layout: str, dtype: DTypeLike | None
) -> tuple[Activations, Activations]:
    """Read and check the responses of two inputs with equal channels; see `match`."""
    if inputs is not None:
        one, two = _chosen(x, x if y is None else y, _checked_inputs(inputs), layout, dtype)
    else:
        one, two = _both(x, y, layout, dtype)
    if one.channels != two.channels:
        raise ValueError(f"y: expected {one.channels} channels, as in x, got {two.channels}")
    return one, two


def _both(x: Any, y: Any, layout: str, dtype: DTypeLike | None) -> tuple[Activations, Activations]:
    """Read two responses of one input each."""
    if y is None:
        raise TypeError(
            "y: expected the response of a second input; to match two inputs of x, say which: inputs=(0, 1)"
        )
    if not (arrays.is_plain(x) or arrays.is_plain(y)):
        check_channel_order(x, y, layout if layout == "auto" else f"n{layout}", one_input=True)
    with error_prefix("x"):
        one = _single(x, layout, dtype)
    with error_prefix("y"):
        two = _single(y, layout, dtype)
    return one, two


def _checked_inputs(inputs: Any) -> tuple[int, int]:
    numbers = tuple(inputs) if isinstance(inputs, tuple | list | np.ndarray) else ()
    if len(numbers) != 2 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"inputs: expected the numbers of two inputs, such as (0, 1), got {inputs!r}")
    return int(numbers[0]), int(numbers[1])


def _chosen(
    x: Any, y: Any, inputs: tuple[int, int], layout: str, dtype: DTypeLike | None
) -> tuple[Activations, Activations]:
    """Read one input each of two sets of activations."""
    if not (arrays.is_plain(x) or arrays.is_plain(y) or isinstance(x, Activations) or isinstance(y, Activations)):
        check_channel_order(x, y, layout)
    with error_prefix("x"):
        one = _input(x, inputs[0], layout, dtype)
    with error_prefix("y"):
        two = _input(y, inputs[1], layout, dtype)
    return one, two


def _input(activations: Any, number: int, layout: str, dtype: DTypeLike | None) -> Activations:
    return Activations.from_array(read(activations), layout=layout, dtype=dtype, subset=[number])


def _single(response: Any, layout: str, dtype: DTypeLike | None) -> Activations:
    if isinstance(response, Activations):
        if len(response) != 1:
            raise ValueError(
                f"expected the response of one input, got Activations of {len(response)}: say which, as in "
                f"match(x, y, inputs=(0, 1))"
            )
        return _input(response, 0, layout, dtype)
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
