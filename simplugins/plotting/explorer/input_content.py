# SPDX-License-Identifier: Apache-2.0
"""Tokens of inputs, and where the positions of a layer lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simplugins.plotting.explorer.explored_layers import ExploredLayer


def read_tokens(tokens: Sequence[Sequence[str]] | None, count: int) -> list[list[str]] | None:
    """Return the tokens of texts as lists.

    Raises
    ------
    TypeError, ValueError
        If there is not one sequence of texts per input.
    """
    if tokens is None:
        return None
    lists = []
    for number, one in enumerate(tokens):
        if isinstance(one, str) or not all(isinstance(token, str) for token in one):
            raise TypeError(f"tokens: expected a list of texts for each input, got {one!r:.100} for input {number}")
        lists.append([str(token) for token in one])
    if len(lists) != count:
        raise ValueError(f"tokens: expected {count} lists (one per input), got {len(lists)}")
    return lists


def layer_positions(
    layer: ExploredLayer, grid: tuple[int, int] | None, tokens: list[list[str]] | None
) -> dict[str, Any]:
    """Return the numbers of positions of a layer, and its grid or None.

    Raises
    ------
    ValueError
        If the grid or the tokens do not fit the positions.
    """
    x = layer.activations
    if x is None:
        return {"sizes": None, "grid": None, "channels": None}
    sizes = [int(size) for size in x.positions]
    if tokens is not None:
        for number, (one, size) in enumerate(zip(tokens, sizes, strict=True)):
            if len(one) != size:
                raise ValueError(
                    f"tokens: input {number} has {size} positions in layer {layer.name!r}, but {len(one)} tokens"
                )
    shape = list(x.grid) if x.grid is not None and len(x.grid) == 2 else None
    if grid is not None and shape is None:
        height, width = grid
        if any(size != height * width for size in sizes):
            raise ValueError(
                f"grid: {height} x {width} are {height * width} positions, but layer {layer.name!r} has "
                f"{x.describe_positions()}; drop_tokens leaves out class tokens"
            )
        shape = [int(height), int(width)]
    same = len({*sizes}) == 1
    return {"sizes": sizes[0] if same else sizes, "grid": shape, "channels": x.channels}
