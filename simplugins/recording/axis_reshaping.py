# SPDX-License-Identifier: Apache-2.0
"""Axes after views and reshapes, which split and merge dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simplugins.recording.axes import (
    CHANNELS,
    INPUTS,
    MERGED,
    POSITIONS,
    UNKNOWN,
    Axes,
    Dimension,
    Factor,
    is_exchanged,
    kind_of,
    named,
    places_of,
    size_of,
)


def reshaped(axes: Axes, shape: tuple[int, ...]) -> Axes:
    """Return the axes after a view or reshape, which splits and merges dimensions."""
    factors = [factor for dimension in axes for factor in dimension]
    result: list[Dimension] = []
    for position, size in enumerate(shape):
        taken = _take(factors, size)
        if taken is None:
            return (*result, *_mixture(factors, shape[position:]))
        while factors and factors[0].size == 1 and shape[position + 1 : position + 2] != (1,):
            taken = (*taken, factors.pop(0))
        result.append(taken)
    return tuple(result)


def _take(factors: list[Factor], size: int) -> Dimension | None:
    """Remove the factors of the next dimension from the list, splitting the last one if necessary; None if none fit."""
    if size == 1:
        return (factors.pop(0),) if factors and factors[0].size == 1 else ()
    taken: list[Factor] = []
    missing = size
    while missing > 1:
        if not factors:
            return None
        factor = factors[0]
        if missing % factor.size == 0:
            taken.append(factors.pop(0))
            missing //= factor.size
        elif factor.size % missing == 0:
            outer, factors[0] = _divided(factor, missing)
            taken.append(outer)
            missing = 1
        elif not _fuse(factors):
            factors[:0] = taken
            return None
    return tuple(taken)


def _divided(factor: Factor, count: int) -> tuple[Factor, Factor]:
    """Divide a factor into an outer part of this size, and an inner part."""
    outer = Factor(factor.kind, count, exchanged=factor.exchanged, is_part=True)
    inner = Factor(factor.kind, factor.size // count, exchanged=factor.exchanged, is_part=True)
    if factor.kind == INPUTS:
        places = places_of((factor,)).reshape(count, -1)
        outer.places, inner.places = places[:, 0], places[0] - places[0, 0]
        if not np.array_equal(np.add.outer(outer.places, inner.places), places):
            outer.kind = inner.kind = MERGED
        outer.by_data = factor.by_data
    return outer, inner


def _fuse(factors: list[Factor]) -> bool:
    """Fuse the first two factors of the list if both are positions or both channels; return whether they are."""
    if len(factors) < 2:
        return False
    pair = tuple(factors[:2])
    kind = kind_of(pair)
    if not (kind in POSITIONS or all(factor.kind == CHANNELS for factor in pair)):
        return False
    factors[:2] = [Factor(kind, size_of(pair), exchanged=is_exchanged(pair))]
    return True


def _mixture(factors: Sequence[Factor], shape: Sequence[int]) -> Axes:
    kind = kind_of(tuple(factors))
    if kind == INPUTS:
        kind = MERGED
    return tuple(named(kind or UNKNOWN, size) if size != 1 else () for size in shape)
