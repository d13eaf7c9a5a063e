# SPDX-License-Identifier: Apache-2.0
"""Figures of evaluations. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.figure_texts import literal_texts, set_literal_texts
from simplugins.plotting.heatmaps import set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.evaluation.translation_curves import Translation

_RELEVANT = "\u2713", "#009e73", "solid"
_IRRELEVANT = "\u2717", "#d55e00", "dashed"
"""Sign, colour and line style of the frames of neighbours; signs and lines tell them apart without the colours."""

_FRAME_WIDTH = 2.8
_MARKERS = "osD^vPX*"
_MOST_QUERIES = 12


def plot_translation(
    result: Translation,
    axes: Axes | None = None,
    *,
    layer: str | None = None,
    bins: int = 8,
    title: str | None = None,
) -> Axes:
    """Draw similarity by shift: one curve per measure, with standard errors.

    A dotted line of the same colour shows the mean similarity of crops of different images.

    Parameters
    ----------
    result : Translation
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    layer : str, optional
        By default the first layer.
    bins : int, default 8
        As for `Translation.curve`.
    title : str, optional
        By default the name of the layer.

    Returns
    -------
    matplotlib Axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=(5, 4), layout="constrained").add_subplot()
    layer = result.layers[0] if layer is None else layer
    curves = []
    for number, measure in enumerate(result.measures):
        shifts, means, errors = result.curve(layer, measure, bins=bins)
        drawn = axes.errorbar(shifts, means, errors, marker=_MARKERS[number % len(_MARKERS)], markersize=4, capsize=2)
        curves.append(drawn)
        axes.axhline(result.apart[layer, measure], color=drawn[0].get_color(), linestyle=":", linewidth=1.2)
    axes.set_xlim(left=0)
    axes.set_xlabel("shift between two crops")
    axes.set_ylabel("similarity")
    set_title(axes, title, layer)
    names = [str(number) for number in range(len(curves))]  # Matplotlib omits names that begin with an underscore
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2, "fontsize": 8}
    set_literal_texts(axes.legend(curves, names, frameon=False, **below).get_texts(), result.measures)
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
    """Draw each query with its neighbours, as a row of thumbnails.

    Parameters
    ----------
    images : (N, height, width, 3) or (N, height, width) array
        Images of the queries: uint8, or floats from 0 to 1.
    indices : (N, k) int64 array
        Neighbours of each query, most similar first: `Retrieval.neighbours`, or `Neighbours.indices`.
    gallery : array, optional
        Images of the gallery, if it is not the queries.
    queries : sequence of int, optional
        Queries to draw; by default the first 12.
    relevant : (N, k) bool array, optional
        Relevant neighbours get a tick and a green frame, others a cross and a dashed orange one. By default, neither is
        drawn.
    title : str, optional

    Returns
    -------
    matplotlib Figure
        Not managed by pyplot.

    Raises
    ------
    ValueError
        If there is not one image per query.
    """
    from matplotlib.figure import Figure

    query_images = np.asarray(images)
    gallery_images = query_images if gallery is None else np.asarray(gallery)
    if len(query_images) != len(indices):
        raise ValueError(f"images: expected {len(indices)} (one per query), got {len(query_images)}")
    rows = np.arange(min(_MOST_QUERIES, len(indices))) if queries is None else np.asarray(queries)
    count = indices.shape[1]
    figure = Figure(figsize=(0.95 * (count + 1) + 0.3, 0.95 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), count + 1, squeeze=False)
    for line, query in zip(grid, rows, strict=True):
        _thumbnail(line[0], query_images[query], None)
        for place, (axes, number) in enumerate(zip(line[1:], indices[query], strict=True)):
            _thumbnail(axes, gallery_images[number], None if relevant is None else bool(relevant[query, place]))
    grid[0][0].set_title("query", fontsize=9)
    for place, axes in enumerate(grid[0][1:]):
        axes.set_title(f"{place + 1}", fontsize=9)
    if title:
        (text,), style = literal_texts([title])
        figure.suptitle(text, fontsize=10, **style)
    return figure


def _thumbnail(axes: Axes, image: NDArray[Any], relevant: bool | None) -> None:
    """Draw an image; its sign and its frame show whether it is relevant, if that is known."""
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(relevant is not None)
    if relevant is not None:
        sign, color, line = _RELEVANT if relevant else _IRRELEVANT
        for spine in axes.spines.values():
            spine.set(linewidth=_FRAME_WIDTH, edgecolor=color, linestyle=line)
        corner = {"facecolor": color, "edgecolor": "none", "pad": 1.2}
        axes.text(0.06, 0.93, sign, transform=axes.transAxes, color="white", fontsize=8, va="top", bbox=corner)
