# SPDX-License-Identifier: Apache-2.0
"""Two images with coloured and numbered patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import error_prefix
from simplugins.plotting.explorer.input_images import read_image
from simplugins.plotting.figure_texts import literal_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.compute.matchings import Matching

_OPACITY = 0.5
_FADED = 0.25
"""By how much the contrast of an image is reduced below the patches."""

_CORNERS = np.array([[[0.62, 0.78, 1.0], [1.0, 0.93, 0.45]], [[0.05, 0.20, 0.55], [0.55, 0.35, 0.0]]])
"""Colours of the corners of the first image: blue to yellow from left to right, light to dark from top to bottom."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, or none, and the grid of positions on it.

    Attributes
    ----------
    pixels : (height, width) or (height, width, 3 or 4) array, or None
    grid : (int, int)
        Rows and columns of the positions.
    """

    pixels: NDArray[Any] | None
    grid: tuple[int, int]

    @property
    def height(self) -> int:
        """Height of the image; without one, the rows of the grid."""
        return self.grid[0] if self.pixels is None else self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Width of the image; without one, the columns of the grid."""
        return self.grid[1] if self.pixels is None else self.pixels.shape[1]

    @property
    def cell(self) -> tuple[float, float]:
        """Height and width of a patch."""
        return self.height / self.grid[0], self.width / self.grid[1]

    def corner(self, position: int) -> tuple[float, float]:
        """Return x and y of the upper left corner of a patch."""
        row, column = divmod(int(position), self.grid[1])
        return column * self.cell[1], row * self.cell[0]


def read_picture(name: str, image: Any, grid: tuple[int, int]) -> Picture:
    """Read an image, a Pillow image or a file; see `read_image`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If it is no image, or its values are neither bytes nor from 0 to 1.
    """
    if image is None:
        return Picture(None, grid)
    with error_prefix(name):
        return Picture(read_image(image) / 255, grid)


def draw_images(
    matching: Matching,
    pictures: Sequence[Picture],
    panels: Sequence[Axes],
    *,
    names: Sequence[str],
    color: str,
    numbered: int,
) -> None:
    """Draw both images with the patches of a matching in the same colours."""
    columns, rows = matching.columns, matching.rows
    contributions = matching.contributions
    norm = None
    if color == "contribution":
        colors, norm = _contribution_colors(contributions)
    else:
        colors = _position_colors(pictures[0].grid)
    sides = ((columns >= 0, colors), (rows >= 0, colors[np.maximum(rows, 0)]))
    texts, style = literal_texts(names)
    for axes, picture, (matched, patches), text in zip(panels, pictures, sides, texts, strict=True):
        _show(axes, picture, patches, matched)
        axes.set_title(text, fontsize=9, **style)
    places = _spread_out(contributions, columns >= 0, pictures[0].grid, numbered)
    for number, place in enumerate(places, 1):
        _number(panels[0], pictures[0], place, number)
        _number(panels[1], pictures[1], columns[place], number)
    if norm is not None:
        from matplotlib.cm import ScalarMappable

        bar = panels[0].figure.colorbar(ScalarMappable(norm, "cividis"), ax=list(panels), shrink=0.8)
        bar.set_label("contribution to the cosine", fontsize=8)
        bar.ax.tick_params(labelsize=7)


def _position_colors(grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return a colour per position of a grid, between those of its corners."""
    down, right = (np.linspace(0, 1, size)[:, None] for size in grid)
    edges = (1 - right) * _CORNERS[:, None, 0] + right * _CORNERS[:, None, 1]  # (2, columns, 3): top and bottom
    colors: NDArray[np.float64] = ((1 - down[:, None]) * edges[0] + down[:, None] * edges[1]).reshape(-1, 3)
    return colors


def _contribution_colors(contributions: NDArray[np.float64]) -> tuple[NDArray[np.float64], Any]:
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    norm = Normalize(min(0.0, float(contributions.min())), max(float(contributions.max()), 1e-12))
    return np.asarray(colormaps["cividis"](norm(contributions)))[:, :3], norm


def _show(axes: Axes, picture: Picture, colors: NDArray[np.float64], matched: NDArray[np.bool_]) -> None:
    """Show an image in grey, and on it its patches; those without a partner are crossed out."""
    extent = (0.0, float(picture.width), float(picture.height), 0.0)
    if picture.pixels is not None:
        axes.imshow(_faded(picture.pixels), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="antialiased")
    opacity = np.where(matched, 1.0 if picture.pixels is None else _OPACITY, 0.0)
    patches = np.column_stack([colors, opacity]).reshape(*picture.grid, 4)
    axes.imshow(patches, extent=extent, interpolation="nearest")
    height, width = picture.cell
    corners = np.array([picture.corner(position) for position in np.flatnonzero(~matched).tolist()]).reshape(-1, 2)
    centers = corners + np.array([width / 2, height / 2])
    for color, line in (("white", 1.8), ("black", 0.8)):
        axes.plot(*centers.T, "x", color=color, markersize=4, markeredgewidth=line)
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _faded(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return an image in grey, with less contrast, around the middle."""
    grey = pixels if pixels.ndim == 2 else pixels[:, :, :3] @ np.array([0.299, 0.587, 0.114])
    return 0.5 + (1 - _FADED) * (grey - 0.5)


def _spread_out(
    contributions: NDArray[np.float64], matched: NDArray[np.bool_], grid: tuple[int, int], most: int
) -> list[int]:
    """Return the positions with the largest contributions, without neighbours of one already chosen."""
    apart = max(1, min(grid) // 6)
    chosen: list[int] = []
    places = np.stack(np.divmod(np.arange(len(contributions)), grid[1]), axis=1)
    for position in np.argsort(-contributions, kind="stable"):
        if len(chosen) >= most:
            break
        near = np.abs(places[chosen] - places[position]).max(1) <= apart if chosen else np.zeros(0, bool)
        if matched[position] and not near.any():
            chosen.append(int(position))
    return chosen


def _number(axes: Axes, picture: Picture, position: int, number: int) -> None:
    """Frame a patch and write a number into it."""
    from matplotlib.patches import Rectangle

    height, width = picture.cell
    x, y = picture.corner(position)
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black", linewidth=1.0))
    axes.text(
        x + width / 2,
        y + height / 2,
        str(number),
        ha="center",
        va="center",
        fontsize=7,
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
