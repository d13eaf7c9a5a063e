# SPDX-License-Identifier: Apache-2.0
"""Figures of the matching of two inputs: images with their patches, or texts with their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simplugins.plotting.figure_texts import literal_texts
from simplugins.plotting.match_images import Picture, draw_images, read_picture
from simplugins.plotting.match_tokens import draw_tokens, tokens_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.compute.matchings import Matching

Size = tuple[int, int]


def plot_matching(
    matching: Matching,
    a: Any = None,
    b: Any = None,
    *,
    axes: Any = None,
    grid: Size | tuple[Size, Size] | None = None,
    color: Literal["position", "contribution"] = "position",
    numbered: int = 12,
    title: str | None = None,
) -> Figure:
    """Draw two inputs side by side, with their matched positions.

    Images: a patch of the first image and its partner in the second have the same colour, and the pairs with the
    largest contributions (of those that are not neighbours) have the same number. Patches without a partner are
    crossed out. Texts: lines connect matched tokens, thick and dark for large contributions, dashed for negative ones;
    tokens without a partner are grey, in brackets. Blue, yellow and lightness tell the colours apart, for readers who
    do not see red and green as well.

    Parameters
    ----------
    matching : Matching
    a, b : images or sequences of str, optional
        The two inputs. Images are (height, width), (height, width, 3) or (3, height, width) arrays of uint8 or of
        floats from 0 to 1, Pillow images, or paths; texts have one string per position. By default only the positions
        are drawn, as patches for maps, and by their numbers otherwise.
    axes : pair of matplotlib Axes, optional
        For images, one per input; for texts, a single one. By default those of a new pyplot figure.
    grid : (int, int), or a pair of these, optional
        Rows and columns of the positions, if they are not those of a map, such as (14, 14) for the 196 patches of a
        vision transformer. One grid is for both inputs.
    color : {"position", "contribution"}, default "position"
        Whether the colour of a pair of patches shows where it lies in the first image, or what it contributes.
    numbered : int, default 12
        The largest number of pairs of patches that are numbered.
    title : str, optional
        By default the cosine, and how many positions are matched.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the inputs, the grid or the axes do not fit the matching.
    """
    if color not in ("position", "contribution"):
        raise ValueError(f"color must be 'position' or 'contribution', got {color!r}")
    if isinstance(numbered, bool) or not isinstance(numbered, int | np.integer) or numbered < 0:
        raise ValueError(f"numbered: expected a whole number, 0 for none, got {numbered!r}")
    if (a is None) != (b is None):
        raise ValueError("expected both inputs, or neither: a figure shows two images, or two texts")
    heading = _heading(matching) if title is None else title
    if _are_texts(a, b) or (a is None and grid is None and not _are_maps(matching)):
        texts = [_tokens(name, side, size) for name, side, size in zip("ab", (a, b), _sizes(matching), strict=True)]
        single = _single_axes(axes, texts)
        draw_tokens(matching, texts, single, names=_names(matching))
        return _titled(single.figure, heading, single if axes is not None else None)
    grids = _grids(matching, grid)
    pictures = [read_picture(name, side, size) for name, side, size in zip("ab", (a, b), grids, strict=True)]
    panels = _two_axes(axes, pictures)
    draw_images(matching, pictures, panels, names=_names(matching), color=color, numbered=numbered)
    return _titled(panels[0].figure, heading, panels[0] if axes is not None else None)


def _heading(matching: Matching) -> str:
    matched, (rows, columns) = int((matching.columns >= 0).sum()), matching.affinity.shape
    if matched == rows == columns:
        return f"cosine {matching.cosine:.3f}, {matched} positions matched"
    return f"cosine {matching.cosine:.3f}, {matched} of {rows} and {columns} positions matched"


def _names(matching: Matching) -> list[str]:
    defaults = zip(matching.labels, ("first input", "second input"), strict=True)
    return [default if label is None else label for label, default in defaults]


def _sizes(matching: Matching) -> tuple[int, int]:
    rows, columns = matching.affinity.shape
    return rows, columns


def _are_maps(matching: Matching) -> bool:
    return all(grid is not None and len(grid) == 2 for grid in matching.grids)


def _are_texts(a: Any, b: Any) -> bool:
    return a is not None and all(
        isinstance(side, Sequence | np.ndarray) and np.ndim(side) and len(side) > 0 and isinstance(side[0], str)
        for side in (a, b)
    )


def _tokens(name: str, tokens: Sequence[str] | None, size: int) -> list[str]:
    if tokens is None:
        return [str(number) for number in range(size)]
    if isinstance(tokens, str) or len(tokens) != size:
        raise ValueError(f"{name}: expected {size} tokens (one per position), got {len(tokens)}")
    return [str(token) for token in tokens]


def _grids(matching: Matching, grid: Any) -> list[Size]:
    """Return the rows and columns of the positions of both inputs."""
    given = np.asarray([grid, grid] if np.ndim(grid) == 1 else grid) if grid is not None else None
    if given is not None and given.shape != (2, 2):
        raise ValueError(f"grid: expected (rows, columns), or a pair of these, got {grid!r}")
    grids: list[Size] = []
    for side, size in enumerate(_sizes(matching)):
        own = matching.grids[side]
        if given is not None:
            rows, columns = map(int, given[side])
        elif own is not None and len(own) == 2:
            rows, columns = own
        else:
            raise ValueError(
                f"grid: the {size} positions of input {'ab'[side]} are not those of a map, so where they lie in the "
                f"image is unknown: pass grid=(rows, columns){_square(size)}"
            )
        if rows * columns != size or rows < 1:
            raise ValueError(f"grid: {rows} x {columns} are not the {size} positions of input {'ab'[side]}")
        grids.append((rows, columns))
    return grids


def _square(size: int) -> str:
    side = round(size**0.5)
    return f", such as grid=({side}, {side})" if side * side == size else ""


def _single_axes(axes: Any, texts: Sequence[Sequence[str]]) -> Axes:
    if axes is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=tokens_size(texts), layout="constrained").add_subplot()
    if np.ndim(axes) != 0:
        raise ValueError("axes: expected one Axes for texts, got several")
    single: Axes = axes
    return single


def _two_axes(axes: Any, pictures: Sequence[Picture]) -> list[Axes]:
    if axes is None:
        import matplotlib.pyplot as plt

        ratios = [picture.width / picture.height for picture in pictures]
        width = 6.6
        height = min(max(width / sum(ratios), 1.2), 8.0) + 0.35
        figure = plt.figure(figsize=(width, height), layout="constrained")
        return list(figure.subplots(1, 2, gridspec_kw={"width_ratios": ratios}))
    panels = list(np.ravel(axes))
    if len(panels) != 2:
        raise ValueError(f"axes: expected two Axes, one per image, got {len(panels)}")
    return panels


def _titled(figure: Any, title: str, axes: Axes | None) -> Figure:
    """Title a new figure; in axes that a user passed, the title would cover other axes of the figure."""
    if axes is None and title:
        (text,), style = literal_texts([title])
        figure.suptitle(text, fontsize=10, **style)
    result: Figure = figure
    return result
