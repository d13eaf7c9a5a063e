# SPDX-License-Identifier: Apache-2.0
"""Comparing two networks layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from simplugins import __version__
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.inference_options import CalibrationMode, InferenceOptions
from simplugins.comparisons.inputs import all_aligned, named
from simplugins.comparisons.layer_calibration import calibrate_layers
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layer_intervals import layer_intervals
from simplugins.comparisons.layer_rsms import layer_rsms
from simplugins.comparisons.method import ComparisonMethod, without_chance_warning
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.comparisons.yardsticks import Yardsticks, aligned_yardsticks, read_yardsticks, yardstick_values
from simplugins.rsm.matrices import Missing, check_missing
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from simplugins.activations.preparation import Center, Normalize
    from simplugins.matching.matcher import Matcher
    from simplugins.rsm.kernels import Sigma


def compare_layers(
    a: Mapping[str, Any],
    b: Mapping[str, Any] | None = None,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    align: bool = False,
    missing: Missing = "raise",
    calibrate: CalibrationMode | None = None,
    permutations: int = 200,
    alpha: float = 0.05,
    intervals: bool = False,
    resamples: int = 200,
    confidence: float = 0.95,
    groups: Any = None,
    yardsticks: Mapping[str, Any] | None = None,
    measure: Any = "semantic-cosine",
    measure_options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    mask: Any = None,
    labels: Any = None,
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
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    scheduler: Any = None,
    progress: bool = False,
) -> Comparison:
    """Compare the layers of one network with those of another, or with each other.

    Parameters
    ----------
    a, b : mapping of str to RSM or activations
        Layers by name: RSMs, which are compared as they are, or activations (see `compute_rsm`), whose RSMs are
        computed once. All must have the same inputs; channels and positions may differ. Pass matrices of similarities
        or distances as RSMs (`RSM.from_similarities`, `RSM.from_distances`). Without `b`, the layers of `a` are
        compared with each other.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    align : bool, default False
        Whether to reorder the inputs of all RSMs by the labels of the first. Otherwise a different order is an error.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`; pairs of inputs are left out of each comparison of two RSMs for which they are missing.
    calibrate : {"each", "max", "mean"}, optional
        Calibrate the values by permuting the inputs of the second network, in the same order for all pairs of layers;
        see `LayerCalibration` for the result, and `calibrate` for its scores. "each" compares a cell with its own
        permuted values. "max" compares it with the largest value of each permuted table (the smallest, for distances),
        which accounts for the search over pairs of layers: the probability that any cell of unrelated networks is
        significant is at most `alpha`. "mean" calibrates each cell as "each" does, and in addition the mean of the
        table.
    permutations, alpha : int, default 200, and float, default 0.05
        As for `simplugins.calibrate`; `seed` is the seed of the permutations too.
    intervals : bool, default False
        Whether to estimate an interval of each value from resamples of the inputs; see `LayerIntervals` for the result,
        and `bootstrap_interval` for the resamples. All pairs of layers have the same ones (with the same `seed`, those
        of `bootstrap_interval`), so that `Comparison.difference` can test whether two cells differ.
    resamples, confidence : int, default 200, and float, default 0.95
        As for `bootstrap_interval`, whose default of 1,000 resamples is better for a report. Here it is 200, because
        all layers are compared in each of them.
    groups : sequence or "labels", optional
        As for `bootstrap_interval` and `calibrate`: inputs with equal entries, such as the crops of one photograph, are
        drawn and permuted together. To calibrate, groups must be of equal size.
    yardsticks : mapping of str to layers or array, optional
        Values for reference. The layers of another network, such as an untrained copy of the second (see
        `simplugins.recording.untrained`), take the place of the columns; they have the same form as `b`, and the same
        names. An array holds values from elsewhere, of a shape that broadcasts to (A, B), such as a noise ceiling.
    measure : str or measure, default "semantic-cosine"
        As for `compute_rsm`, like all options below. They apply to every layer that is given as activations.
    measure_options, layout, labels, drop_tokens, dtype, center, normalize, matching, matching_options, sigma, engine
        As for `compute_rsm`. Each layer is centred on its own.
    precision, threads
        As for `compute_rsm`.
    mask : (N, S) bool array, optional
        For layers with the same S positions. Pass `Activations` if masks differ between layers.
    subset, seed, memory, scheduler
        As for `compute_rsm`; the memory limit applies to each RSM in turn.
    progress : bool, default False
        Show a progress bar on standard error for each RSM that is computed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there are no layers, an RSM has different inputs in rows and columns, or the inputs differ in number or
        labels; or as `compute_rsm`.
    TypeError
        If `a` or `b` is not a mapping; or as `compute_rsm`.

    Notes
    -----
    Memory: 8 N^2 bytes per layer for the RSMs, and as much again for the method. Nothing is matched again to calibrate:
    200 permutations of 12 × 12 layers of 1,000 inputs take seconds (Kendall's correlations, an hour). The permuted
    values of all cells are kept, 8 A B bytes per permutation. For intervals, each layer is embedded once per resample:
    200 resamples of the same layers take about 20 s on 2 cores under "cka-debiased", and 30 s under "rsa-spearman".
    Each thread needs about 1.6 N^2 bytes per layer.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(8, 4, 6, 6))
    >>> mirrored = maps[:, :, :, ::-1]
    >>> comparison = simplugins.compare_layers({"maps": maps}, {"mirrored": mirrored}, "cka")
    >>> comparison.rows, comparison.columns, comparison.values.round(6)
    (('maps',), ('mirrored',), array([[1.]]))
    """
    options = RsmOptions.among(locals())
    check_missing(missing)
    inference = InferenceOptions.among(locals())
    resolved = resolve_method(method, method_options)
    resolved = resolved if calibrate is None else without_chance_warning(resolved)
    rows = layer_rsms("a", a, options)
    columns = None if b is None else layer_rsms("b", b, options)
    references = read_yardsticks(yardsticks or {}, tuple(rows if columns is None else columns), options)
    if align:
        rows, columns, references = _aligned(rows, columns, references)
    sides = named(rows, "a"), None if columns is None else named(columns, "b")
    values = resolved.compare_all(*sides, missing=missing)
    return Comparison(
        values=values,
        rows=tuple(rows),
        columns=tuple(rows if columns is None else columns),
        metadata=_metadata(resolved, [*rows.values(), *(columns or {}).values()], symmetric=b is None),
        calibration=calibrate_layers(inference, resolved, values, *sides, missing=missing),
        intervals=layer_intervals(inference, resolved, *sides, missing=missing),
        yardsticks=yardstick_values(resolved, sides[0], references, values.shape, missing=missing),
    )


def _aligned(
    rows: dict[str, RSM], columns: dict[str, RSM] | None, yardsticks: Yardsticks
) -> tuple[dict[str, RSM], dict[str, RSM] | None, Yardsticks]:
    """Return all RSMs with their inputs in the order of the first."""
    first = next(iter(rows.values()))
    aligned_columns = None if columns is None else all_aligned(first, columns)
    return all_aligned(first, rows), aligned_columns, aligned_yardsticks(first, yardsticks)


def _metadata(method: ComparisonMethod, rsms: Sequence[RSM], *, symmetric: bool) -> dict[str, Any]:
    measures = list(dict.fromkeys(rsm.measure for rsm in rsms))
    return {
        "method": method.name,
        "method_options": dict(method.options),
        "larger_is_more_similar": method.larger_is_more_similar,
        "range": None if method.range is None else list(method.range),
        "symmetric": symmetric,
        "measure": measures[0] if len(measures) == 1 else measures,
        "inputs": len(rsms[0]),
        "simplugins": __version__,
    }
