# SPDX-License-Identifier: Apache-2.0
"""Layouts: the meaning of an array's dimensions, one letter per dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_INPUTS, _TOKENS, _SPACE = "n", "tls", "dhw"
_POSITIONS = _TOKENS + _SPACE
"""The letters of positions, in the order in which positions are numbered, for any order of the dimensions."""
RAGGED = "ragged"
"""The layout of Activations that were constructed from a list of sets."""
LETTERS = (
    "n (inputs), t, l or s (tokens, time, positions), d, h, w (depth, height, width) and c (channels; without c, d is "
    "the channels)"
)


@dataclass(frozen=True)
class Layout:
    """The meaning of the dimensions of an array of activations.

    Attributes
    ----------
    name : str
        One letter per dimension, such as "nchw".
    inputs, channels : int
        The axes of inputs and of channels.
    positions : tuple of int
        The axes of positions, in the order in which positions are numbered.
    order : tuple of int
        All axes: inputs, positions, channels.
    has_tokens : bool
        Whether the positions are tokens or times: a single axis t, l or s.
    mask_axes : tuple of int
        For an (N, ...) mask whose further dimensions are in the array's order: the axes of the mask, with positions
        in the order in which they are numbered.
    """

    name: str
    inputs: int
    channels: int
    positions: tuple[int, ...]
    order: tuple[int, ...]
    has_tokens: bool
    mask_axes: tuple[int, ...]


@cache
def parse_layout(text: str) -> Layout:
    """Return the layout that letters describe.

    Parameters
    ----------
    text : str
        One letter per dimension, in any order: n (inputs); t, l or s (tokens, time, positions); d, h, w (depth, height,
        width); c (channels). Without c, d is the channels, as in "nd" and "ntd". Spaces are ignored.

    Raises
    ------
    ValueError
        If a letter is unknown or repeated, or if inputs or channels are missing.

    Examples
    --------
    >>> parse_layout("ncw h").positions  # the axes of height and width
    (3, 2)
    """
    name = "".join(text.split())
    channel = "c" if "c" in name else "d"
    if problem := _problem(name):
        raise ValueError(f"layout {text!r}: {problem}; expected one letter per dimension: {LETTERS}")
    letters = [letter for letter in _POSITIONS if letter in name and letter != channel]
    positions = tuple(map(name.index, letters))
    in_array = sorted(positions)
    return Layout(
        name,
        inputs=name.index(_INPUTS),
        channels=name.index(channel),
        positions=positions,
        order=(name.index(_INPUTS), *positions, name.index(channel)),
        has_tokens=len(letters) == 1 and letters[0] in _TOKENS,
        mask_axes=(0, *(1 + in_array.index(axis) for axis in positions)),
    )


def _problem(name: str) -> str | None:
    for letter in name:
        if letter not in f"{_INPUTS}{_POSITIONS}c":
            return f"unknown letter {letter!r}"
        if name.count(letter) > 1:
            return f"{letter!r} is repeated"
    if _INPUTS not in name:
        return "no n, the axis of inputs"
    return None if "c" in name or "d" in name else "no c, the axis of channels"


AUTO = {len(name): parse_layout(name) for name in ("nd", "ntd", "nchw")}
"""By number of dimensions: how layout "auto" reads an array."""
COLOURS = (1, 3, 4)
"""Numbers of channels of images: four dimensions that end in one of them may be images with channels last."""
_SMALL = 4


def layout_of(shape: Sequence[int], layout: str) -> Layout:
    """Return the layout of an array of a shape, by its number of dimensions if `layout` is "auto".

    Raises
    ------
    TypeError, ValueError
        If the layout does not fit the shape, or "auto" could mean two layouts.
    """
    if not isinstance(layout, str):
        raise TypeError(f"layout must be a string such as 'nchw', got {layout!r}")
    if layout == "auto":
        if len(shape) not in AUTO:
            raise ValueError(
                f"expected activations with 2, 3 or 4 dimensions, got shape {tuple(shape)}: name the dimensions with "
                f"layout=, such as 'ncdhw' or 'ncthw'"
            )
        if may_be_channels_last(shape):
            raise ValueError(
                f"shape {tuple(shape)} looks like images (inputs, height, width, channels): pass layout='nhwc', or "
                f"layout='nchw' if they have {shape[1]} channels"
            )
        return AUTO[len(shape)]
    parsed = parse_layout(layout)
    if len(shape) != len(parsed.name):
        raise ValueError(
            f"layout {layout!r} names {len(parsed.name)} dimensions, but the array has {len(shape)}: {tuple(shape)}"
        )
    return parsed


def may_be_channels_last(shape: Sequence[int]) -> bool:
    """Return whether a shape that "auto" would read as nchw is rather that of images with channels last."""
    if len(shape) != len("nhwc") or min(shape[1], shape[2]) <= _SMALL:
        return False
    return shape[3] in COLOURS and (shape[3] > 1 or shape[1] == shape[2])
