# SPDX-License-Identifier: Apache-2.0
"""Translation: how similarity decreases with the shift between crops of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import arrays
from simplugins._common.validation import check_names, error_prefix
from simplugins.activations.labels import check_labels
from simplugins.activations.preparation import Center, Normalize
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.matching.matcher import Matcher
from simplugins.measures.several_measures import compute_rsms
from simplugins.rsm.kernels import Sigma

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Translation:
    """Similarities of crops of one image, by the shift between them.

    Attributes
    ----------
    shifts : (P,) float64 array
        For each pair of crops of one image, the distance between their corners, in the units of the places.
    pairs : (P, 2) int64 array
        The two inputs of each pair.
    similarities : mapping of (str, str) to (P,) float64 array
        Similarities of the pairs, by layer and measure.
    apart : mapping of (str, str) to float
        Mean similarity of crops of different images, by layer and measure; NaN if there is only one image.
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
            Number of ranges of shifts, with equal numbers of pairs; fewer where shifts are equal.

        Returns
        -------
        shifts, means, errors : (B,) float64 arrays
            For each range, the mean shift, the mean similarity, and its standard error (NaN for a single pair).
        """
        values = self.similarities[layer, measure]
        edges = np.unique(np.quantile(self.shifts, np.linspace(0, 1, bins + 1)[1:-1]))
        ranges = np.searchsorted(edges, self.shifts, side="right")
        groups = [ranges == number for number in np.unique(ranges)]
        shifts, means = (np.array([numbers[group].mean() for group in groups]) for numbers in (self.shifts, values))
        errors = [
            values[group].std(ddof=1) / np.sqrt(group.sum()) if group.sum() > 1 else float("nan") for group in groups
        ]
        return shifts, means, np.array(errors)

    def plot(
        self, axes: Axes | None = None, *, layer: str | None = None, bins: int = 8, title: str | None = None
    ) -> Axes:
        """Draw similarity by shift; see `simplugins.plotting.evaluation_figures.plot_translation`."""
        from simplugins.plotting.evaluation_figures import plot_translation

        return plot_translation(self, axes, layer=layer, bins=bins, title=title)

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
    measures: Sequence[Any] = ("semantic-cosine", "spatio-semantic-cosine"),
    layout: str = "auto",
    mask: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    memory: int | str | None = None,
    scheduler: Any = None,
    progress: bool | str = False,
) -> Translation:
    """Measure how similarity decreases with the shift between crops of one image, layer by layer.

    A semantic measure ignores where content is, as long as it stays within the crop; under a spatio-semantic one
    similarity decreases with the shift, fastest for large maps.

    Parameters
    ----------
    layers : mapping of str to activations
        Responses to the same N crops, by layer; see `simplugins.compute_rsm`.
    places : (N, 2) array
        Row and column of each crop's corner in its image, in any unit. All crops have one size.
    images : (N,) sequence, optional
        The image that each crop is from; by default all are from one image.
    measures : sequence of str or measures
        By default "semantic-cosine" and "spatio-semantic-cosine".
    layout, mask, drop_tokens, dtype, center, normalize, matching, matching_options, sigma, engine, precision, threads
        As for `simplugins.compute_rsms`, for all layers.
    memory, scheduler
        As for `simplugins.compute_rsms`, for all layers.
    progress : bool or str, default False
        Show a progress bar on standard error for each layer.

    Returns
    -------
    Translation

    Raises
    ------
    TypeError
        If `layers` is not a mapping.
    ValueError
        If there are no layers, no two crops are from one image, numbers of inputs differ, or places are not finite; or
        as for `simplugins.compute_rsms`.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107), which
    compares overlapping crops.

    Examples
    --------
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> result = translation({"block10": photos["block10"]}, photos["boxes"][:, :2], photos["photo"])
    >>> _, semantic, _ = result.curve("block10", "semantic-cosine", bins=3)
    >>> _, spatial, _ = result.curve("block10", "spatio-semantic-cosine", bins=3)
    >>> bool(spatial[-1] < semantic[-1])
    True
    """
    options = replace(RsmOptions.among(locals()), progress=False).changed()  # each layer has its own progress bar
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers: expected a mapping from names to activations, got {type(layers).__name__}")
    if not layers:
        raise ValueError("layers: expected at least one layer, got none")
    check_names("layers", layers)
    corners = _corners(places)
    images = np.zeros(len(corners), np.int64) if images is None else check_labels(images, len(corners), "images")
    first, second = np.triu_indices(len(corners), 1)
    same = images[first] == images[second]
    if not same.any():
        raise ValueError("images: expected at least two crops of one image, but all crops are of different images")
    similarities, apart = {}, {}
    for name, layer in layers.items():
        for measure, values in _values(str(name), layer, measures, len(corners), progress, options).items():
            similarities[str(name), measure] = values[first, second][same]
            apart[str(name), measure] = float("nan") if same.all() else float(values[first, second][~same].mean())
    shifts = np.hypot(*(corners[first[same]] - corners[second[same]]).T)
    return Translation(shifts, np.stack([first[same], second[same]], axis=1), similarities, apart)


def _corners(places: Any) -> NDArray[np.float64]:
    corners = arrays.to_numpy(arrays.as_array(places), np.dtype(np.float64))
    if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all():
        raise ValueError(f"places: expected a finite row and column per crop, (N, 2), got shape {corners.shape}")
    return np.asarray(corners)


def _values(
    name: str, layer: Any, measures: Sequence[Any], count: int, progress: bool | str, options: Mapping[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """Return the values of a layer's RSMs, by measure."""
    with error_prefix(f"layers[{name!r}]"):
        rsms = compute_rsms(layer, measures, progress=name if progress else False, **options)
        values = {measure: rsm.values for measure, rsm in rsms.items()}
        for matrix in values.values():
            if len(matrix) != count:
                raise ValueError(f"expected {count} inputs (one per place), got {len(matrix)}")
    return values
