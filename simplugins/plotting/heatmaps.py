# SPDX-License-Identifier: Apache-2.0
"""Heat maps of RSMs, and figure files. Matplotlib is imported when one is drawn."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.texts import printable
from simplugins.plotting.figure_texts import inches_of, label_color_bar, literal_texts, text_size, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from simplugins.rsm.rsm import RSM

MOST_TICKS = 40


def plot_rsm(
    rsm: RSM,
    axes: Axes | None = None,
    *,
    title: str | None = None,
    cmap: str = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
) -> Axes:
    """Draw an RSM as a heat map.

    By default, colours span the values off the diagonal, so that a large diagonal does not hide them; an arrow on the
    colour bar shows that values lie outside. `plot_rsms` draws several RSMs with one scale. Missing values (NaN) are
    white. Consecutive equal labels (such as classes) are named once, with lines between the groups.

    Parameters
    ----------
    rsm : RSM
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    title : str, optional
        By default the name of the measure.
    cmap : str, default "viridis"
        A Matplotlib colour map.
    vmin, vmax : float, optional
        Values of the first and the last colour, such as 0 and 1, to compare figures.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If `vmin` is larger than `vmax`.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=_size([rsm], 6), layout="constrained").add_subplot()
    limits = limits_of([rsm], vmin, vmax)
    image = _draw_matrix(rsm, axes, title, cmap, limits)
    label_color_bar(axes.figure.colorbar(image, ax=axes, extend=_extend([rsm], limits), shrink=0.85), "similarity")
    return axes


def plot_rsms(
    rsms: Mapping[str, RSM],
    *,
    axes: Any = None,
    cmap: str = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """Draw several RSMs side by side with one scale of colours, so that they can be compared.

    Parameters
    ----------
    rsms : mapping of str to RSM
        The RSMs by title, such as the result of `simplugins.compute_rsms`.
    axes : sequence of matplotlib Axes, optional
        One per RSM; by default those of a new pyplot figure.
    cmap : str, default "viridis"
        A Matplotlib colour map.
    vmin, vmax : float, optional
        As for `plot_rsm`; by default the smallest and the largest value of all RSMs, off the diagonals.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If there are no RSMs, not as many axes, or `vmin` is larger than `vmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import compute_rsms
    >>> from simplugins.plotting.heatmaps import plot_rsms
    >>> maps = np.random.default_rng(0).normal(size=(6, 8, 4, 4))
    >>> rsms = compute_rsms(maps, ["spatio-semantic-cosine", "semantic-cosine"])
    >>> figure = plot_rsms(rsms, vmin=0, vmax=1)
    """
    if not isinstance(rsms, Mapping):
        raise TypeError(f"rsms: expected a mapping of names to RSMs, got {type(rsms).__name__}")
    if not rsms:
        raise ValueError("rsms: expected at least one RSM, got none")
    for name, rsm in rsms.items():
        if not (hasattr(rsm, "symmetric") and hasattr(rsm, "values")):
            raise TypeError(f"rsms[{name!r}]: expected an RSM, got {type(rsm).__name__}")
    limits = limits_of([*rsms.values()], vmin, vmax)
    if axes is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=_size([*rsms.values()], 3.2), layout="constrained")
        axes = figure.subplots(1, len(rsms))
    panels = list(np.ravel(axes))
    if len(panels) != len(rsms):
        raise ValueError(f"axes: expected {len(rsms)} (one per RSM), got {len(panels)}")
    first = next(iter(rsms.values()))
    for panel, (name, rsm) in zip(panels, rsms.items(), strict=True):
        image = _draw_matrix(rsm, panel, None, cmap, limits)
        set_title(panel, None, name)
        if rsm is not first and _same(rsm.labels, first.labels):
            panel.set_yticks([])
    result: Figure = panels[0].figure
    extend = _extend([*rsms.values()], limits)
    label_color_bar(result.colorbar(image, ax=panels, extend=extend, shrink=0.85), "similarity")
    return result


def _same(labels: NDArray[Any] | None, others: NDArray[Any] | None) -> bool:
    return labels is not None and others is not None and np.array_equal(labels, others)


def check_ends(vmin: Any, vmax: Any) -> None:
    """Raise a ValueError unless the ends of a scale are None or finite numbers, in order."""
    for name, end in (("vmin", vmin), ("vmax", vmax)):
        if end is not None and (not isinstance(end, int | float | np.number) or not np.isfinite(end)):
            raise ValueError(f"{name}: expected a finite number, or None for that of the values, got {end!r}")
    if vmin is not None and vmax is not None and vmin > vmax:
        raise ValueError(f"vmin: expected at most vmax, {vmax}, got {vmin}")


def limits_of(rsms: Sequence[RSM], vmin: float | None, vmax: float | None) -> tuple[float, float]:
    """Return the limits of a common scale of colours; see `plot_rsms`.

    Raises
    ------
    ValueError
        If `vmin` is larger than `vmax`.
    """
    check_ends(vmin, vmax)
    limits = np.array([color_limits(rsm) for rsm in rsms])
    low = float(np.fmin.reduce(limits[:, 0])) if vmin is None else float(vmin)
    high = float(np.fmax.reduce(limits[:, 1])) if vmax is None else float(vmax)
    return (low, high) if low <= high or np.isnan(low + high) else ((low, low) if vmin is not None else (high, high))


def _draw_matrix(rsm: RSM, axes: Axes, title: str | None, cmap: str, limits: tuple[float, float]) -> AxesImage:
    """Draw an RSM without a colour bar."""
    image = axes.imshow(rsm.values, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    set_title(axes, title, rsm.measure)
    label_axis(axes, "y", rsm.labels, "input")
    label_axis(
        axes, "x", rsm.labels if rsm.symmetric else rsm.other_labels, "input" if rsm.symmetric else "other input"
    )
    return image


def _extend(rsms: Sequence[RSM], limits: tuple[float, float]) -> str:
    """Return at which ends of the colour bar values lie outside."""
    above = any(bool((rsm.values > limits[1]).any()) for rsm in rsms)
    below = any(bool((rsm.values < limits[0]).any()) for rsm in rsms)
    return {(True, False): "max", (False, True): "min", (True, True): "both", (False, False): "neither"}[above, below]


def _size(rsms: Sequence[RSM], side: float) -> tuple[float, float]:
    """Return the size in inches of a figure of several RSMs, each with a map of about `side` and its labels."""
    left, below = (
        max(_label_inches(labels) for labels in labels_of) for labels_of in zip(*map(_shown, rsms), strict=True)
    )
    rows, columns = np.max([rsm.shape for rsm in rsms], axis=0)
    height = side * min(max(0.85 * rows / columns, 0.3), 1.5)
    return len(rsms) * (side + left) + (1 if len(rsms) > 1 else 0), height + below


def _shown(rsm: RSM) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    return rsm.labels, rsm.labels if rsm.symmetric else rsm.other_labels


def _label_inches(labels: NDArray[Any] | None) -> float:
    """Return by how much a figure grows for long labels, beyond the space for short ones."""
    starts = _starts(labels)
    if labels is None or len(starts) > MOST_TICKS:
        return 0.0
    return max(0.0, width_of(labels[starts]) - 0.6)


def _starts(labels: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return the first index of each group of equal labels."""
    return np.zeros(0, int) if labels is None else np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])


def set_title(axes: Axes, title: str | None, name: str) -> None:
    """Set the title that a user passed, or else a name."""
    if title is not None:
        axes.set_title(title)
        return
    (text,), style = literal_texts([name])
    axes.set_title(text, fontsize=1.1 * text_size(axes), **style)


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
    starts = _starts(labels)
    if labels is None or len(starts) > MOST_TICKS:
        axis.set_label_text(otherwise)
        return
    ends = np.r_[starts[1:], len(labels)]
    texts, style = literal_texts(labels[starts])
    axis.set_ticks((starts + ends - 1) / 2, texts, **style)
    if side == "x" and width_of(texts, text_size(axes)) * len(starts) > 0.7 * inches_of(axes)[0]:
        axes.tick_params(axis="x", rotation=90)
    axis.set_tick_params(length=0, labelsize=text_size(axes))
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
    """Draw an RSM in a figure that pyplot does not manage; `width` is in inches, to which long labels add."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size([rsm], width), layout="constrained")
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
