# SPDX-License-Identifier: Apache-2.0
"""The computations and figures of the demo: both kinds of RSM on real activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.matchings import Matching
from simplugins.compute.pair import match
from simplugins.data import load_photos
from simplugins.measures.several_measures import compute_rsms
from simplugins.plotting import heatmaps
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = ("block10", "block15")
KERNELS = ("cosine", "linear", "rbf")
"""The kernel of the default measure first."""
KINDS = ("spatio-semantic", "semantic")
CONTROL = "mean-pooled"
NEIGHBOURS = 3
"""Nearest neighbours of a crop to look at: there are three other crops of its photograph."""


def photo_rsms(*, progress: bool = False) -> dict[tuple[str, str], RSM]:
    """Compute both kinds of RSM and those of pooled responses, on both bundled layers, labelled by photograph.

    Returns
    -------
    dict of (layer, measure) to RSM
    """
    photos = load_photos()
    labels = photos["photo_names"][photos["photo"]]
    rsms: dict[tuple[str, str], RSM] = {}
    for layer in LAYERS:
        for kind in (*KINDS, CONTROL):
            measures = [f"{kind}-{kernel}" for kernel in KERNELS]
            title = f"{layer}, {kind}" if progress else False
            results = compute_rsms(photos[layer], measures, labels=labels, progress=title)
            rsms |= {(layer, measure): rsm for measure, rsm in results.items()}
    return rsms


def neighbour_hits(rsm: RSM, k: int = NEIGHBOURS) -> int:
    """Count, over all inputs, those of the k most similar other inputs that have the same label; ties go to the first.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import compute_rsm
    >>> neighbour_hits(compute_rsm(np.eye(3)[[0, 0, 1, 1, 2]], labels=["a", "a", "b", "b", "b"]), k=1)
    4
    """
    if rsm.labels is None:
        raise ValueError("the RSM has no labels to count nearest neighbours by")
    off_diagonal = np.where(np.eye(len(rsm), dtype=bool), -np.inf, rsm.values)
    nearest, labels = np.argsort(-off_diagonal, axis=1, kind="stable")[:, :k], np.asarray(rsm.labels)
    return int(((labels[nearest] == labels[:, None]) & (labels != "")[:, None]).sum())


def rsms_figure(rsms: dict[tuple[str, str], RSM], kernel: str = KERNELS[0]) -> Figure:
    """Draw the RSMs of both kinds side by side, one row per layer, with one scale of colours."""
    from matplotlib.figure import Figure

    shown = {(layer, kind): rsms[layer, f"{kind}-{kernel}"] for layer in LAYERS for kind in KINDS}
    low, high = heatmaps.limits_of([*shown.values()], None, None)
    figure = Figure(figsize=(9.6, 9), layout="constrained")
    for ((layer, kind), rsm), axes in zip(shown.items(), figure.subplots(len(LAYERS), len(KINDS)).flat, strict=True):
        image = axes.imshow(rsm.values, vmin=low, vmax=high, interpolation="nearest")
        for side, edge in (("y", kind == KINDS[0]), ("x", layer == LAYERS[-1])):
            heatmaps.label_axis(axes, side, rsm.labels, "crop")
            if not edge:
                (axes.set_yticks if side == "y" else axes.set_xticks)([])
        hits = f"{neighbour_hits(rsm)} of {NEIGHBOURS * len(rsm)}"
        axes.set_title(f"{kind}-{kernel}, {layer}\n{hits} nearest neighbours right", fontsize=10)
    figure.colorbar(image, ax=figure.axes, label="similarity", extend="max", shrink=0.6)
    return figure


@dataclass(frozen=True, eq=False, repr=False)
class CropMatch:
    """The matching of two overlapping crops, and the true correspondence of their positions.

    Attributes
    ----------
    thumbnails : pair of (96, 96, 3) uint8 arrays
    matching : Matching
    shared : (S,) bool array
        For each position of the first crop, whether the second crop shows the same place.
    right : (S,) bool array
        Whether it does and the match lies within 1.5 cells of that place.
    """

    thumbnails: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    matching: Matching
    shared: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"CropMatch: {self.right.sum()} of {self.shared.sum()} shared places matched with themselves"


def match_crops(first: int = 9, second: int = 10, layer: str = "block10") -> CropMatch:
    """Match two crops of one photograph, and check the matches by the shift between the crops."""
    photos = load_photos()
    size = photos[layer].shape[-1]
    matching = match(photos[layer], inputs=(first, second))
    starts, ends = (np.stack(np.divmod(p, size), axis=1) for p in (np.arange(size**2), matching.columns))
    boxes = photos["boxes"]
    shift = (boxes[second, :2] - boxes[first, :2]) * size / boxes[first, 2]
    truth = starts - shift
    shared = ((truth > -0.5) & (truth < size - 0.5)).all(1)
    right = shared & (np.hypot(*(ends - truth).T) <= 1.5)
    return CropMatch((photos["thumbnails"][first], photos["thumbnails"][second]), matching, shared, right)


def match_figure(crops: CropMatch) -> Figure:
    """Draw two crops with their matched positions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.1), layout="constrained")
    crops.matching.plot(*crops.thumbnails, axes=figure.subplots(1, 2))
    for axes, title in zip(figure.axes, ("first crop", "second crop"), strict=True):
        axes.set_title(title, fontsize=9)
    figure.suptitle(
        f"Matched positions have the same colour, the largest contributions the same number.\n"
        f"{crops.right.sum()} of the {crops.shared.sum()} places that both crops show are matched with themselves, "
        f"within 1.5 cells.",
        fontsize=9,
    )
    return figure
