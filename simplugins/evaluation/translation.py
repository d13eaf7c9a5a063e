# SPDX-License-Identifier: Apache-2.0
"""Translation: how similarity falls with the shift between crops of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.measures.computation import compute_rsms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("semantic-cosine", "spatio-semantic-cosine")


@dataclass(frozen=True, eq=False, repr=False)
class Translation:
    """Similarities of crops of one image, by the shift between them.

    Attributes
    ----------
    shifts : (P,) float64 array
        How far apart the corners of two crops of one image are, for each pair of these; in the units of the places.
    pairs : (P, 2) int64 array
        Which inputs they are.
    similarities : mapping of (str, str) to (P,) float64 array
        Of each pair, by layer and measure.
    apart : mapping of (str, str) to float
        The mean similarity of crops of different images, by layer and measure; NaN if there is one image only.
    """

    shifts: NDArray[np.float64]
    pairs: NDArray[np.int64]
    similarities: Mapping[tuple[str, str], NDArray[np.float64]]
    apart: Mapping[tuple[str, str], float]

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return list(dict.fromkeys(layer for layer, _ in self.similarities))

    @property
    def measures(self) -> list[str]:
        """Names of the measures."""
        return list(dict.fromkeys(measure for _, measure in self.similarities))

    def curve(
        self, layer: str, measure: str, *, bins: int = 8
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean similarity by shift.

        Parameters
        ----------
        layer, measure : str
        bins : int, default 8
            Into how many ranges of shifts, of as many pairs each; fewer where shifts are equal.

        Returns
        -------
        shifts, means, errors : (B,) float64 arrays
            The mean shift of each range, the mean similarity, and its standard error (NaN of a single pair).
        """
        values = self.similarities[layer, measure]
        edges = np.unique(np.quantile(self.shifts, np.linspace(0, 1, bins + 1)[1:-1]))
        where = np.searchsorted(edges, self.shifts, side="right")
        groups = [where == number for number in np.unique(where)]
        shifts, means = (np.array([found[group].mean() for group in groups]) for found in (self.shifts, values))
        errors = [
            values[group].std(ddof=1) / np.sqrt(group.sum()) if group.sum() > 1 else float("nan") for group in groups
        ]
        return shifts, means, np.array(errors)

    def plot(self, axes: Axes | None = None, *, layer: str | None = None, **options: Any) -> Axes:
        """Draw similarity by shift; see `simplugins.evaluation.pictures.plot_translation`."""
        from simplugins.plotting.evaluation_figures import plot_translation

        return plot_translation(self, axes, layer=self.layers[0] if layer is None else layer, **options)

    def __repr__(self) -> str:
        return (
            f"Translation: {len(self.shifts)} pairs of crops of one image, shifts up to {self.shifts.max():.4g}; "
            f"layers {', '.join(self.layers)} under {', '.join(self.measures)}"
        )


def translation(
    layers: Mapping[str, Any],
    places: Any,
    images: Any = None,
    *,
    measures: Sequence[str] = MEASURES,
    progress: bool | str = False,
    **options: Any,
) -> Translation:
    """Measure how similarity falls with the shift between crops of one image, layer by layer.

    A semantic measure does not see that things have moved, as long as they stay in the picture; a spatio-semantic one
    does, most of all where maps are large.

    Parameters
    ----------
    layers : mapping of str to activations
        Responses to the same N crops, by layer; see `simplugins.compute_rsm`.
    places : (N, 2) array
        Where each crop's corner is in its image (row and column), in any unit. Crops of one size.
    images : (N,) sequence, optional
        Which image each is of; by default all are of one.
    measures : sequence of str, default ("semantic-cosine", "spatio-semantic-cosine")
    progress : bool or str, default False
        Show a progress bar on standard error for each layer.
    **options
        For `simplugins.compute_rsms`.

    Returns
    -------
    Translation

    Raises
    ------
    TypeError
        If layers are no mapping.
    ValueError
        If no two crops are of one image, numbers differ, or places are not finite; or as `compute_rsms`.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107), which
    compares overlapping crops so.

    Examples
    --------
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> found = translation({"block10": photos["block10"]}, photos["boxes"][:, :2], photos["photo"])
    >>> _, semantic, _ = found.curve("block10", "semantic-cosine", bins=3)
    >>> _, spatial, _ = found.curve("block10", "spatio-semantic-cosine", bins=3)
    >>> bool(spatial[-1] < semantic[-1])
    True
    """
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError(f"layers: expected activations by layer's name, got {type(layers).__name__}")
    corners = _corners(places)
    kind = np.zeros(len(corners), np.int64) if images is None else arrays.small_numpy(images)
    if kind.shape != (len(corners),):
        raise ValueError(f"images: expected {len(corners)}, one a place, got an array of shape {kind.shape}")
    first, second = np.triu_indices(len(corners), 1)
    same = kind[first] == kind[second]
    if not same.any():
        raise ValueError("images: no two crops are of one image, so there is no shift to look at")
    similarities, apart = {}, {}
    for name, layer in layers.items():
        for measure, values in _values(str(name), layer, measures, len(corners), progress, options).items():
            of_pairs = values[first, second]
            similarities[str(name), measure] = of_pairs[same]
            apart[str(name), measure] = float(of_pairs[~same].mean()) if not same.all() else float("nan")
    shifts = np.hypot(*(corners[first[same]] - corners[second[same]]).T)
    return Translation(shifts, np.stack([first[same], second[same]], axis=1), similarities, apart)


def _corners(places: Any) -> NDArray[np.float64]:
    found = arrays.to_numpy(arrays.as_array(places), np.dtype(np.float64))
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise ValueError(f"places: expected a finite row and column for each crop, (N, 2), got shape {found.shape}")
    return np.asarray(found)


def _values(
    name: str, layer: Any, measures: Sequence[str], count: int, progress: bool | str, options: Mapping[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """Return the values of a layer's RSMs, by measure."""
    with error_prefix(f"layers[{name!r}]"):
        rsms = compute_rsms(layer, list(measures), progress=name if progress else False, **options)
        found = {measure: rsm.values for measure, rsm in rsms.items()}
        if any(len(values) != count for values in found.values()):
            raise ValueError(f"expected {count} inputs, one a place, got {len(next(iter(found.values())))}")
    return found
