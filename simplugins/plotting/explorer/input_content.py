# SPDX-License-Identifier: Apache-2.0
"""The images, tokens and labels of inputs, and where the positions of a layer lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins.activations.labels import check_labels
from simplugins.plotting.explorer.explored_layers import ExploredLayer
from simplugins.plotting.explorer.explorer_page import script_json
from simplugins.plotting.explorer.input_images import image_urls


@dataclass(frozen=True)
class InputContent:
    """What a page shows of the inputs.

    Attributes
    ----------
    labels : list of str or None
    images : list of str or None
        Data URLs.
    tokens : list of lists of str, or None
    positions : list of dict
        Numbers of positions, grid and channels of each layer.
    """

    labels: list[str] | None
    images: list[str] | None
    tokens: list[list[str]] | None
    positions: list[dict[str, Any]]

    @property
    def size(self) -> int:
        """Bytes that the content takes in the page."""
        return len(script_json([self.labels, self.tokens, self.positions])) + sum(map(len, self.images or ()))


def read_content(
    layers: Sequence[ExploredLayer], images: Any, tokens: Any, labels: Any, grid: tuple[int, int] | None, budget: int
) -> InputContent:
    """Read what `simplugins.explore` shows of the inputs; `budget` is that of `image_urls`.

    Raises
    ------
    TypeError, ValueError
        If images, tokens, labels or the grid do not fit the layers.
    """
    count = len(layers[0])
    values = check_labels(labels, count)
    if values is None:
        values = next((layer.labels for layer in layers if layer.labels is not None), None)
    lists = read_tokens(tokens, count)
    return InputContent(
        labels=None if values is None else [str(value) for value in values],
        images=None if images is None else image_urls(images, count, budget),
        tokens=lists,
        positions=[layer_positions(layer, grid, lists) for layer in layers],
    )


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
        is_list = isinstance(one, Iterable) and not isinstance(one, str)
        if not is_list or not all(isinstance(token, str) for token in one):
            raise TypeError(f"tokens: expected a list of texts for each input, got {one!r:.100} for input {number}")
        lists.append([str(token) for token in one])
    if len(lists) != count:
        raise ValueError(f"tokens: expected {count} lists (one per input), got {len(lists)}")
    return lists


def _checked_grid(grid: Any) -> tuple[int, int]:
    numbers = tuple(grid) if isinstance(grid, tuple | list | np.ndarray) else ()
    if len(numbers) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in numbers):
        raise ValueError(f"grid: expected the height and the width in positions, such as (14, 14), got {grid!r}")
    return int(numbers[0]), int(numbers[1])


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
        height, width = _checked_grid(grid)
        if any(size != height * width for size in sizes):
            raise ValueError(
                f"grid: {height} x {width} are {height * width} positions, but layer {layer.name!r} has "
                f"{x.describe_positions()}; drop_tokens leaves out class tokens"
            )
        shape = [height, width]
    same = len({*sizes}) == 1
    return {"sizes": sizes[0] if same else sizes, "grid": shape, "channels": x.channels}
