# SPDX-License-Identifier: Apache-2.0
"""Figures of rankings of models. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simplugins.plotting.figure_texts import fitted_names, literal_texts, text_size, width_of
from simplugins.plotting.heatmaps import set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.comparisons.model_ranking import ModelRanking

_BAR, _DOT, _CEILING = "#4477aa", "#222222", "#bbbbbb"
_BELOW_LABEL = 36
"""Points from the axes to the lower end of their label."""

_DOT_OFFSET = 0.18
"""Points of single targets lie below the interval."""


def plot_ranking(ranking: ModelRanking, axes: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the candidates as bars, the most similar one at the top, with their intervals.

    Points are single targets; a grey band is the noise ceiling. Candidates that share a letter are not clearly
    different. Values that are NaN have no bar.

    Parameters
    ----------
    ranking : ModelRanking
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    title : str, optional
        By default one that states the number of targets.

    Returns
    -------
    matplotlib Axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=_size(ranking), layout="constrained").add_subplot()
    places, values = np.arange(len(ranking.candidates)), ranking.values
    if ranking.noise_ceiling is not None:
        axes.axvspan(*sorted(ranking.noise_ceiling), color=_CEILING, alpha=0.6, linewidth=0, label="noise ceiling")
    axes.barh(places, values, height=0.6, color=_BAR, alpha=0.75)
    radii = np.abs([ranking.low - values, ranking.high - values])
    axes.errorbar(values, places, xerr=radii, fmt="none", color=_DOT, capsize=3)
    if len(ranking.targets) > 1:
        rows = np.broadcast_to(places[:, None] + _DOT_OFFSET, ranking.per_target.shape)
        axes.scatter(ranking.per_target, rows, s=9, facecolors="white", edgecolors=_DOT, linewidths=0.6, zorder=3)
    _write_letters(axes, ranking)
    names = fitted_names(ranking.candidates, axes, "y", text_size(axes))
    texts, style = literal_texts(names)
    axes.yaxis.set_ticks(places, texts, **style)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=text_size(axes))
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    (method,), style = literal_texts([ranking.label])
    axes.set_xlabel(method, fontsize=text_size(axes), **style)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if ranking.noise_ceiling is not None:
        _write_legend(axes)
    count = len(ranking.targets)
    set_title(axes, title, "comparison with the target" if count == 1 else f"comparison with {count} targets")
    return axes


def _write_legend(axes: Axes) -> None:
    """Write the legend below the label of the axis, whose distance does not depend on the height of the axes."""
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0, -_BELOW_LABEL / 72, axes.figure.dpi_scale_trans)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0), bbox_transform=below, borderaxespad=0)


def _write_letters(axes: Axes, ranking: ModelRanking) -> None:
    """Write the letters of the candidates in a column at the right of the axes."""
    if len(ranking.candidates) > 1:
        for place, letters in enumerate(ranking.letters):
            axes.text(
                1.02,
                place,
                letters,
                transform=axes.get_yaxis_transform(),
                va="center",
                fontweight="bold",
                fontsize=text_size(axes),
            )


def ranking_figure(ranking: ModelRanking) -> Figure:
    """Draw a ranking in a figure that pyplot does not manage, sized for the number of candidates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size(ranking), layout="constrained")
    plot_ranking(ranking, figure.add_subplot())
    return figure


def _size(ranking: ModelRanking) -> tuple[float, float]:
    longest = max(0.0, width_of(ranking.candidates) - 1)  # the width of the axes does not depend on the names
    return 6.0 + longest, (1.3 if ranking.noise_ceiling is None else 1.55) + 0.4 * len(ranking.candidates)
