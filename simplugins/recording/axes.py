# SPDX-License-Identifier: Apache-2.0
"""Named axes: which dimensions of a tensor hold inputs, positions and channels, also after reshaping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

INPUTS, CHANNELS, UNKNOWN, MERGED = "n", "c", "?", "x"
"""Kinds of factors; MERGED means inputs merged with something else. All other kinds are letters of positions."""
POSITIONS = "tdhw"
TOKENS = "t"
POSITION_LETTERS = {0: "", 1: "t", 2: "hw", 3: "dhw", 4: "tdhw", 5: "tldhw", 6: "tlsdhw"}
"""Letters of positions, by the number of dimensions that hold positions."""


@dataclass(eq=False)
class Factor:
    """A named axis, or a part of one; a dimension of a tensor is the product of its factors.

    Attributes
    ----------
    kind : str
    size : int
    special : (size,) bool array or None
        True for tokens that come from parameters, such as class tokens; None if there are none.
    exchanged : bool
        Whether positions became channels or vice versa, because a linear map mixed positions.
    is_part : bool
        Whether it is one of several parts into which an axis was split, such as the heads of attention.
    is_weak : bool
        Whether it holds channels only because a linear map took an unknown axis for channels.
    is_untouched : bool
        Whether it is an axis of the model's input that no operation has interpreted yet.
    uses : set of str
        The kinds that later operations expect an unknown axis to be.
    places : (size,) int array or None
        Of inputs, their indices in the batch; of a part of an axis, indices to add to those of the other part. None
        for 0, 1, 2 and so on.
    by_data : bool
        Whether the order of inputs depends on the inputs themselves, and may differ in the next batch.
    """

    kind: str
    size: int
    special: NDArray[np.bool_] | None = None
    exchanged: bool = False
    is_part: bool = False
    is_weak: bool = False
    is_untouched: bool = False
    uses: set[str] = field(default_factory=set)
    places: NDArray[np.int64] | None = None
    by_data: bool = False

    def resolved(self) -> str:
        """Return the kind; if it is unknown, the kind that later operations expect, provided they agree."""
        return next(iter(self.uses)) if self.kind == UNKNOWN and len(self.uses) == 1 else self.kind


Dimension = tuple[Factor, ...]
Axes = tuple[Dimension, ...]


def named(kind: str, size: int) -> Dimension:
    """Return a dimension of one factor."""
    return (Factor(kind, size),)


def unknown(shape: Iterable[int]) -> Axes:
    """Return unknown axes; those of size 1 have no factor, because they may hold anything."""
    return tuple(named(UNKNOWN, size) if size != 1 else () for size in shape)


def size_of(dimension: Dimension) -> int:
    """Return the product of the factors."""
    return math.prod(factor.size for factor in dimension)


def kind_of(dimension: Dimension, *, resolve: bool = False) -> str:
    """Return the kind of a dimension; "" for a dimension of size 1 that may hold anything.

    Channels merged with positions are channels; positions of several kinds are tokens. Factors of size 1 only count
    where there is no other. With `resolve`, unknown factors have the kind that later operations expect.
    """
    larger = [factor for factor in dimension if factor.size != 1]
    kinds = {factor.resolved() if resolve else factor.kind for factor in larger or dimension}
    if not kinds:
        return ""
    if len(kinds) == 1:
        return kinds.pop()
    if INPUTS in kinds or MERGED in kinds:
        return MERGED
    if CHANNELS in kinds:
        return CHANNELS
    return UNKNOWN if UNKNOWN in kinds else TOKENS


def is_position(dimension: Dimension) -> bool:
    """Return whether a dimension is known to hold positions."""
    return kind_of(dimension) in tuple(POSITIONS)


def is_exchanged(dimension: Dimension) -> bool:
    """Return whether positions became the channels of this dimension, or vice versa."""
    return any(factor.exchanged for factor in dimension)


def is_partial(dimension: Dimension) -> bool:
    """Return whether a dimension is one of several parts into which an axis was split."""
    larger = [factor for factor in dimension if factor.size != 1]
    return len(larger) == 1 and larger[0].is_part


def is_weak(dimension: Dimension) -> bool:
    """Return whether a dimension holds channels only because a linear map took an unknown axis for channels."""
    return any(factor.is_weak for factor in dimension)


def is_untouched(dimension: Dimension) -> bool:
    """Return whether a dimension is one of the model's input that no operation has interpreted yet."""
    return any(factor.is_untouched for factor in dimension)


def places_of(dimension: Dimension) -> NDArray[np.int64]:
    """Return the indices of the inputs that a dimension of inputs holds."""
    places = np.zeros(1, np.int64)
    for factor in dimension:
        places = np.add.outer(places, np.arange(factor.size) if factor.places is None else factor.places).ravel()
    return places


def is_by_data(dimension: Dimension) -> bool:
    """Return whether the order of inputs depends on the inputs themselves."""
    return any(factor.by_data for factor in dimension)


def inputs_at(places: NDArray[np.int64], *, by_data: bool = False) -> Dimension:
    """Return a dimension of the inputs with these indices."""
    is_plain = not by_data and np.array_equal(places, np.arange(len(places)))
    return (Factor(INPUTS, len(places), places=None if is_plain else places, by_data=by_data),)


def is_in_order(dimension: Dimension) -> bool:
    """Return whether a dimension holds all inputs in their order, in any batch."""
    return not is_by_data(dimension) and np.array_equal(places_of(dimension), np.arange(size_of(dimension)))


def untouched(shape: Iterable[int]) -> Axes:
    """Return the unknown axes of an input of the model."""
    return tuple((Factor(UNKNOWN, size, is_untouched=True),) if size != 1 else () for size in shape)


def note_use(dimension: Dimension, kind: str) -> None:
    """Note that an operation expects an unknown dimension to be of this kind."""
    if len(dimension) == 1 and dimension[0].kind == UNKNOWN:
        dimension[0].uses.add(kind)


def anchored(dimension: Dimension, kind: str, size: int) -> Dimension:
    """Return the output dimension of an operation that expects this kind; a known dimension keeps its own kind."""
    if kind_of(dimension) not in (UNKNOWN, ""):
        return resized(dimension, size)
    note_use(dimension, kind)
    return named(kind, size)


def resized(dimension: Dimension, size: int) -> Dimension:
    """Return a dimension of the same kind and another size; the same dimension if the size is equal."""
    if dimension and size_of(dimension) == size:
        return dimension
    kind = kind_of(dimension)
    if size == 1 and kind not in (INPUTS, CHANNELS, MERGED):
        return ()
    return (
        Factor(
            kind or UNKNOWN,
            size,
            exchanged=is_exchanged(dimension),
            is_part=is_partial(dimension),
            is_weak=is_weak(dimension),
            is_untouched=is_untouched(dimension),
        ),
    )


def special_of(dimension: Dimension) -> NDArray[np.bool_] | None:
    """Return which tokens of a dimension are special; None if there are none."""
    return dimension[0].special if len(dimension) == 1 else None


def with_special(dimension: Dimension, special: NDArray[np.bool_] | None, size: int) -> Dimension:
    """Return a dimension of this size with these special tokens."""
    if special is not None and (len(special) != size or not special.any()):
        special = None
    if special is None and special_of(dimension) is None:
        return resized(dimension, size)
    kind = kind_of(dimension) or UNKNOWN
    return (Factor(kind, size, special, is_exchanged(dimension)),)


def selected(dimension: Dimension, index: Sequence[int] | NDArray[np.integer] | slice, size: int) -> Dimension:
    """Return a dimension after indexing, which selects or reorders its elements."""
    if kind_of(dimension) == INPUTS:
        return inputs_at(places_of(dimension)[index], by_data=is_by_data(dimension))
    special = special_of(dimension)
    return with_special(dimension, None if special is None else special[index], size)


def joined(dimensions: Sequence[Dimension | int]) -> Dimension:
    """Return the concatenation of dimensions; an int is a number of tokens from parameters."""
    derived = [part for part in dimensions if not isinstance(part, int)]
    if len(derived) == len(dimensions) and all(kind_of(part) == INPUTS for part in derived):
        return inputs_at(np.concatenate(list(map(places_of, derived))), by_data=any(map(is_by_data, derived)))
    kinds = {kind_of(part) for part in derived} - {""}
    kinds = kinds - {UNKNOWN} or kinds
    kind = next(iter(kinds)) if len(kinds) == 1 else TOKENS if kinds and kinds <= set(POSITIONS) else UNKNOWN
    if len(kinds) == 1 and kind != UNKNOWN:
        for part in derived:
            note_use(part, kind)
    if kind == INPUTS and len(derived) < len(dimensions):
        kind = MERGED
    special = np.concatenate([_special_part(part) for part in dimensions])
    is_tokens = kind == UNKNOWN or kind in POSITIONS
    return (
        Factor(kind, len(special), special if is_tokens and special.any() else None, any(map(is_exchanged, derived))),
    )


def _special_part(part: Dimension | int) -> NDArray[np.bool_]:
    if isinstance(part, int):
        return np.ones(part, bool)
    special = special_of(part)
    return np.zeros(size_of(part), bool) if special is None else special


def combined(dimensions: Sequence[Dimension], size: int) -> Dimension:
    """Return the dimension of an elementwise operation on several tensors.

    Known dimensions win over unknown ones, and both over exchanged ones. If the kinds contradict each other, the
    result is unknown.
    """
    full = [dimension for dimension in dimensions if size_of(dimension) == size and dimension]
    if not full:
        broadcast = [dimension for dimension in dimensions if dimension]
        return resized(broadcast[0], size) if broadcast else unknown([size])[0]
    known = [dimension for dimension in full if kind_of(dimension) != UNKNOWN]
    plain = [dimension for dimension in known if not is_exchanged(dimension)]
    candidates = plain or [dimension for dimension in full if dimension not in known] or known
    kinds = {kind_of(dimension) for dimension in candidates}
    for dimension in full:
        if len(kinds) == 1 and UNKNOWN not in kinds:
            note_use(dimension, next(iter(kinds)))
    if kinds == {INPUTS} and (inputs := _common_inputs(candidates)) is not None:
        return inputs
    special = _common_special(full)
    if len(kinds) == 1:
        chosen = next((each for each in candidates if special_of(each) is special), candidates[0])
        return chosen if special_of(chosen) is special else with_special(chosen, special, size)
    return (Factor(TOKENS if kinds <= set(POSITIONS) else UNKNOWN, size, special),)


def _common_inputs(dimensions: Sequence[Dimension]) -> Dimension | None:
    """Return a dimension of inputs in an order of their own; None if all are in their order."""
    moved = [dimension for dimension in dimensions if not is_in_order(dimension)]
    if not moved:
        return None
    same = all(np.array_equal(places_of(moved[0]), places_of(dimension)) for dimension in dimensions)
    return moved[0] if same else named(MERGED, size_of(moved[0]))


def _common_special(dimensions: Sequence[Dimension]) -> NDArray[np.bool_] | None:
    """Return the tokens that are special in all dimensions."""
    special = [each for dimension in dimensions if (each := special_of(dimension)) is not None]
    if len(special) < len(dimensions):
        return None
    if all(np.array_equal(special[0], each) for each in special[1:]):
        return special[0]
    return np.asarray(np.all(special, axis=0))


def mixed(contracted: Dimension, others: Sequence[Dimension], size: int) -> tuple[Dimension, list[Dimension]]:
    """Return the new dimension of this size and the other dimensions, after a linear map of one dimension.

    The new dimension holds channels. If the map mixes positions, the former channels become the positions, until
    another such map turns them back.
    """
    elsewhere = [factor for dimension in others for factor in dimension if factor.kind == CHANNELS]
    if kind_of(contracted) == CHANNELS or not elsewhere:
        note_use(contracted, CHANNELS)
        weak = is_weak(contracted) if kind_of(contracted) == CHANNELS else True
        return (Factor(CHANNELS, size, exchanged=is_exchanged(contracted), is_weak=weak),), list(others)
    if any(factor.is_weak for factor in elsewhere):
        note_use(contracted, CHANNELS)
    back = is_exchanged(contracted)
    turned = [tuple(_turned(factor, back=back) for factor in dimension) for dimension in others]
    return (Factor(CHANNELS, size, exchanged=not back),), turned


def _turned(factor: Factor, *, back: bool) -> Factor:
    return Factor(TOKENS, factor.size, exchanged=not back) if factor.kind == CHANNELS else factor
