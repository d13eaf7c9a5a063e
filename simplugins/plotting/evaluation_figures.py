# SPDX-License-Identifier: Apache-2.0
"""Pictures of evaluations. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.heatmaps import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.evaluation.translation import Translation

_FOUND, _MISSED, _EDGE = "#1a9850", "#d73027", 3.5


def plot_translation(
    found: Translation, axes: Axes | None = None, *, layer: str, bins: int = 8, title: str | None = None
) -> Axes:
    """Draw similarity by shift, a curve for each measure, with its standard errors.

    A dotted line of the same colour shows how similar crops of different images are.

    Parameters
    ----------
    found : Translation
    axes : matplotlib Axes, optional
        Where to draw; by default a new figure of pyplot.
    layer : str
    bins : int, default 8
        See `Translation.curve`.
    title : str, optional
        By default the name of the layer.

    Returns
    -------
    matplotlib Axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=(5, 4), layout="constrained").add_subplot()
    for measure in found.measures:
        shifts, means, errors = found.curve(layer, measure, bins=bins)
        drawn = axes.errorbar(shifts, means, np.nan_to_num(errors), marker="o", markersize=4, capsize=2, label=measure)
        axes.axhline(found.apart[layer, measure], color=drawn[0].get_color(), linestyle=":", linewidth=1.2)
    axes.set_xlim(left=0)
    axes.set_xlabel("shift between two crops")
    axes.set_ylabel("similarity")
    axes.set_title(plain(layer) if title is None else title)
    axes.legend(frameon=False)
    return axes


def neighbours_figure(
    images: Any,
    indices: NDArray[np.int64],
    *,
    gallery: Any = None,
    queries: NDArray[np.int64] | None = None,
    relevant: NDArray[np.bool_] | None = None,
    title: str = "",
) -> Figure:
    """Draw queries, each with the images that were found for it, as rows of thumbnails.

    Parameters
    ----------
    images : (N, height, width, 3) or (N, height, width) array
        Of the queries: uint8, or floats from 0 to 1.
    indices : (N, k) int64 array
        What was found for each, the most similar first: `Retrieval.neighbours`, or `Neighbours.indices`.
    gallery : array, optional
        The images that were found, if they are not those of the queries.
    queries : sequence of int, optional
        Which to draw; by default all, 12 at most.
    relevant : (N, k) bool array, optional
        Which of those found are relevant: they get a green frame, others a red one.
    title : str, optional

    Returns
    -------
    matplotlib Figure
        Outside pyplot.

    Raises
    ------
    ValueError
        If numbers of images and queries differ.
    """
    from matplotlib.figure import Figure

    shown, others = np.asarray(images), np.asarray(images if gallery is None else gallery)
    if len(shown) != len(indices):
        raise ValueError(f"images: expected {len(indices)}, one a query, got {len(shown)}")
    rows = np.arange(min(12, len(indices))) if queries is None else np.asarray(queries)
    count = indices.shape[1]
    figure = Figure(figsize=(0.95 * (count + 1) + 0.3, 0.95 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), count + 1, squeeze=False)
    for line, query in zip(grid, rows, strict=True):
        _thumbnail(line[0], shown[query], None)
        for place, (axes, number) in enumerate(zip(line[1:], indices[query], strict=True)):
            _thumbnail(axes, others[number], None if relevant is None else bool(relevant[query, place]))
    grid[0][0].set_title("query", fontsize=9)
    for place, axes in enumerate(grid[0][1:]):
        axes.set_title(f"{place + 1}", fontsize=9)
    if title:
        figure.suptitle(plain(title), fontsize=10)
    return figure


def _thumbnail(axes: Axes, image: NDArray[Any], right: bool | None) -> None:
    """Draw an image; the frame says whether it was rightly found, if that is known."""
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(right is not None)
        spine.set_linewidth(_EDGE)
        spine.set_edgecolor(_FOUND if right else _MISSED)
