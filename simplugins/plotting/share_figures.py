# SPDX-License-Identifier: Apache-2.0
"""Figures of similarity by the share of matched positions. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simplugins.plotting.heatmaps import set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.compute.share_curves import ShareCurve

_VALUE, _COSINE, _CHORD = "#4477aa", "#ee6677", "#999999"


def plot_shares(curve: ShareCurve, axes: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the value (left axis) and the cosine (right axis) by the number of pairs, with the elbow and its chord.

    Parameters
    ----------
    curve : ShareCurve
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    title : str, optional

    Returns
    -------
    matplotlib Axes
        The left one.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=(5.5, 3.6), layout="constrained").add_subplot()
    count, elbow = len(curve.values), curve.elbow
    pairs, marker = np.arange(1, count + 1), "o" if count == 1 else None
    chord = axes.plot([0, count], [0, curve.values[-1]], color=_CHORD, linewidth=1, linestyle=":", label="chord")
    values = axes.plot(
        [0, *pairs], [0, *curve.values], color=_VALUE, linewidth=2, marker=marker, label="aligned inner product"
    )
    at_elbow = axes.plot(elbow, curve.values[elbow - 1], "o", color=_VALUE, label=f"elbow: {elbow} of {count}")
    right = axes.twinx()
    cosines = right.plot(
        pairs, curve.cosines, color=_COSINE, linewidth=2, linestyle="--", marker=marker, label="cosine (right)"
    )
    axes.set_xlim(0, count)
    axes.set_xlabel("matched pairs")
    axes.set_ylabel("aligned inner product")
    right.set_ylabel("cosine of matched positions")
    for side in (axes, right):
        side.spines["top"].set_visible(False)
    axes.legend(
        handles=[*values, *cosines, *at_elbow, *chord],
        frameon=False,
        fontsize=8,
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.18),
    )
    set_title(axes, title, "similarity by number of matched pairs")
    return axes
