# SPDX-License-Identifier: Apache-2.0
"""`compute_rsms`: the RSMs of the same activations under several measures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import DTypeLike

from simplugins._common import gpu
from simplugins.activations.preparation import Center, Normalize, Preparation
from simplugins.compute.run import Resources
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import resolve_matcher
from simplugins.measures.computation import check_early, compute, on_device, read_inputs
from simplugins.measures.measure import Measure, Options, resolve_measure
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.rsm import RSM


def compute_rsms(
    activations: Any,
    measures: Sequence[Any] = ("semantic-linear", "semantic-cosine", "semantic-rbf"),
    *,
    other: Any = None,
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    labels: Any = None,
    other_labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    certify: bool = False,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    store: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
    tile_size: int | None = None,
    progress: bool | str = False,
) -> dict[str, RSM]:
    """Compute the RSMs of N inputs under several measures; measures that share a matching share its cost.

    Parameters
    ----------
    activations
        As for `compute_rsm`.
    measures : sequence of str or measures
        By default the three semantic ones. A measure with options is given as an instance.
    other, layout, mask, other_mask, labels, other_labels, drop_tokens, dtype, center, normalize
        As for `compute_rsm`.
    matching, matching_options, certify
        As for `compute_rsm`.
    sigma, engine, precision, threads, subset, seed, memory, store, scheduler, tile_size, progress
        As for `compute_rsm`. With a store, all measures must share one matching.

    Returns
    -------
    dict of str to RSM
        By the name of the measure, in the order requested.

    Raises
    ------
    TypeError, ValueError
        As for `compute_rsm`; or if there are no measures, or two different ones have the same name.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rsms = simplugins.compute_rsms(np.eye(3), ["semantic-linear", "spatio-semantic-linear"])
    >>> bool(np.array_equal(rsms["semantic-linear"], rsms["spatio-semantic-linear"]))  # one position: the same
    True
    """
    if isinstance(matching, str):  # one matcher for all measures, so that it is called once per pair
        matching, matching_options = resolve_matcher(matching, matching_options), None
    preparation = None if center is None and normalize is None else Preparation.checked(center, normalize)
    options = Options(matching, matching_options, certify, sigma, engine, precision, other is not None)
    resolved = _resolve_all([measures] if isinstance(measures, str) else measures)
    if preparation is not None and (of_sets := preparation.of_sets) is not None:
        resolved = [measure.normalized(of_sets) for measure in resolved]
    resources = Resources(threads, memory, scheduler, tile_size)
    check_early(options, resources, store)
    if gpu.why_unusable() is None and (subset, store) == (None, None):
        activations, other = on_device(resolved, options, resources, activations, other)
    x, y = read_inputs(
        activations, other, layout, (mask, other_mask), (labels, other_labels), drop_tokens, dtype, subset, seed
    )
    if preparation is not None:
        x, y = preparation.apply(x, y)
    return compute(resolved, x, y, options, resources, store, progress)


def _resolve_all(measures: Sequence[Any]) -> list[Measure]:
    """Return the measures, after checking that their results can be told apart by name."""
    resolved: dict[str, Measure] = {}
    for measure in map(resolve_measure, measures):
        if resolved.setdefault(measure.name, measure) is not measure and resolved[measure.name] != measure:
            raise ValueError(f"measures: two different measures are called {measure.name!r}; give one another name")
    if not resolved:
        raise ValueError("measures: expected at least one measure, got none")
    return list(resolved.values())
