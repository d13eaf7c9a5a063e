# SPDX-License-Identifier: Apache-2.0
"""Heat maps of RSMs, and figure files. Matplotlib is imported when one is drawn."""

from __future__ import annotations

import base64
import warnings
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.texts import printable
from simplugins.plotting.figure_texts import literal_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.rsm.rsm import RSM

MOST_TICKS = 40


def plot_rsm(rsm: RSM, axes: Axes | None = None, *, title: str | None = None, cmap: str = "viridis") -> Axes:
    """Draw an RSM as a heat map.

    Colours span the values off the diagonal, so that a large diagonal does not hide them; an arrow on the colour bar
    shows that the diagonal lies outside. Missing values (NaN) are white. Consecutive equal labels (such as classes) are
    named once, with lines between the groups.

    Parameters
    ----------
    rsm : RSM
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    title : str, optional
        By default the name of the measure.
    cmap : str, default "viridis"
        A Matplotlib colour map.

    Returns
    -------
    matplotlib Axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=(6, 5), layout="constrained").add_subplot()
    low, high = color_limits(rsm)
    image = axes.imshow(rsm.values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    beyond = {(True, False): "max", (False, True): "min", (True, True): "both", (False, False): "neither"}
    extend = beyond[bool((rsm.values > high).any()), bool((rsm.values < low).any())]
    axes.figure.colorbar(image, ax=axes, label="similarity", extend=extend, shrink=0.85)
    set_title(axes, title, rsm.measure)
    label_axis(axes, "y", rsm.labels, "input")
    label_axis(
        axes, "x", rsm.labels if rsm.symmetric else rsm.other_labels, "input" if rsm.symmetric else "other input"
    )
    return axes


def set_title(axes: Axes, title: str | None, name: str) -> None:
    """Set the title that a user passed, or else a name."""
    if title is not None:
        axes.set_title(title)
        return
    (text,), style = literal_texts([name])
    axes.set_title(text, **style)


def color_limits(rsm: RSM) -> tuple[float, float]:
    """Return the smallest and the largest value, off the diagonal if rows and columns are the same several inputs."""
    values = rsm.values[~np.eye(len(rsm), dtype=bool)] if rsm.symmetric and len(rsm) > 1 else rsm.values
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def label_axis(axes: Axes, side: str, labels: NDArray[Any] | None, otherwise: str) -> None:
    """Label the rows ("y") or columns ("x") of a heat map, once per group of equal labels; more than 40 are omitted.

    Parameters
    ----------
    axes : matplotlib Axes
    side : {"x", "y"}
    labels : array or None
    otherwise : str
        Title of the axis if its labels are not shown.
    """
    axis = axes.xaxis if side == "x" else axes.yaxis
    starts = np.zeros(0, int) if labels is None else np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    if labels is None or len(starts) > MOST_TICKS:
        axis.set_label_text(otherwise)
        return
    ends = np.r_[starts[1:], len(labels)]
    texts, style = literal_texts(labels[starts])
    axis.set_ticks((starts + ends - 1) / 2, texts, **style)
    if side == "x" and max(map(len, texts), default=0) * len(starts) > 40:
        axes.tick_params(axis="x", rotation=90)
    axis.set_tick_params(length=0)
    if len(starts) < len(labels):
        for start in starts[1:]:
            (axes.axvline if side == "x" else axes.axhline)(start - 0.5, color="white", linewidth=0.8)


def rsm_html(rsm: RSM) -> str:
    """Return an HTML fragment with the heat map and the summary of an RSM, for notebooks."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{_html(name)}</th><td style='text-align:left'>{_html(text)}</td></tr>"
        for name, text in rsm.summary().items()
    )
    return (
        "<div style='display:flex;gap:1em;align-items:center'>"
        f"<img alt='{_html(repr(rsm))}' src='data:image/png;base64,{rsm_png(rsm)}' height='240'>"
        f"<table>{rows}</table></div>"
    )


def _html(text: str) -> str:
    return escape(printable(text))


def rsm_png(rsm: RSM) -> str:
    """Return a small heat map as a PNG in base64, for HTML."""
    file = BytesIO()
    _draw(rsm_figure(rsm, width=4), file, "png", dpi=100)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _draw(figure: Figure, file: IO[bytes], image_format: str, *, dpi: int) -> None:
    """Write a figure, without Matplotlib's warning that labels leave too little space for its constrained layout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        figure.savefig(file, format=image_format, dpi=dpi)


def rsm_figure(rsm: RSM, *, width: float = 7) -> Figure:
    """Draw an RSM in a figure that pyplot does not manage; `width` is in inches, the height follows from the shape."""
    from matplotlib.figure import Figure

    rows, columns = rsm.shape
    height = width * min(max(0.85 * rows / columns, 0.3), 1.5)
    figure = Figure(figsize=(width, height), layout="constrained")
    plot_rsm(rsm, figure.add_subplot())
    return figure


def check_format(path: str | PathLike[str]) -> None:
    """Raise a ValueError if figures cannot be written in the format that the ending of a path names."""
    from matplotlib.backend_bases import FigureCanvasBase

    suffix, known = Path(path).suffix.lstrip(".").lower(), FigureCanvasBase.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"{path}: unknown image format {suffix!r}, expected one of {', '.join(sorted(known))}")


def save_figure(figure: Figure, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a figure in the format given by the ending of the path (.png, .pdf, .svg …), atomically.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is False.
    ValueError
        If Matplotlib does not support the format.
    """
    suffix = Path(path).suffix.lstrip(".").lower()
    check_format(path)

    def write(file: IO[bytes]) -> None:
        _draw(figure, file, suffix, dpi=150)

    filesystem.write_whole(path, write, overwrite=overwrite)
