# SPDX-License-Identifier: Apache-2.0
"""A semantic RSM and its controls: RSMs of the same activations that may show the same at lower cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from simplugins._common.formatting import counted, human_time
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.method import method_label
from simplugins.comparisons.rsm_options import RsmOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simplugins.activations.activations import Activations
    from simplugins.activations.preparation import Center, Centring, Normalize, Preparation
    from simplugins.compute.job import Operation
    from simplugins.matching.matcher import Matcher
    from simplugins.rsm.kernels import Sigma
    from simplugins.rsm.rsm import RSM

_KINDS = ("semantic", "shift", "spatio-semantic", "max-sim", "second-order", "max-pooled", "mean-pooled")
CENTRED: dict[str, Centring] = {"centred": "channel", "centred-by-input": "input"}
"""Endings of the names of the second-order measure of centred activations, and their `center`."""


@dataclass(frozen=True, eq=False, repr=False)
class Controls(Mapping[str, "RSM"]):
    """RSMs by measure, as a mapping; `controls` computes them.

    Attributes
    ----------
    rsms : mapping of str to RSM
        By the name of the measure, such as "semantic-cosine"; "second-order-cosine-centred" and
        "second-order-cosine-centred-by-input" are the measure "second-order-cosine" with ``center="channel"`` and with
        ``center="input"``, which makes second moments covariances.
    unavailable : mapping of str to str
        For measures that cannot be computed for these activations, the reason.
    seconds_per_pair : mapping of str to float
        Time of each RSM, divided by the number of pairs; for few inputs, mostly overhead.
    similarities : mapping of str to float
        Comparison of each RSM with the semantic one; NaN for fewer inputs than the method needs.
    method : str
        Name of the comparison, followed by its options.
    kernel : str
    """

    rsms: Mapping[str, RSM]
    unavailable: Mapping[str, str]
    seconds_per_pair: Mapping[str, float]
    similarities: Mapping[str, float]
    method: str
    kernel: str

    def __getitem__(self, name: str) -> RSM:
        return self.rsms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rsms)

    def __len__(self) -> int:
        return len(self.rsms)

    def __repr__(self) -> str:
        inputs = counted(len(next(iter(self.rsms.values()))), "input")
        width = max(map(len, self.rsms))
        lines = [
            f"Controls of {inputs}, {self.kernel} kernel",
            f"  {'measure':<{width}}  time per pair  {self.method} with semantic",
        ]
        lines += [
            f"  {row['measure']:<{width}}  {human_time(row['seconds_per_pair']):>13}  {row['value']:.3f}"
            for row in self.table()
        ]
        return "\n".join([*lines, *(f"  no {name}: {reason}" for name, reason in self.unavailable.items())])

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per measure, for data frames."""
        return [
            {
                "measure": name,
                "seconds_per_pair": self.seconds_per_pair[name],
                "value": self.similarities[name],
                "method": self.method,
            }
            for name in self.rsms
        ]

    def compare(
        self,
        other: Controls,
        method: AnyMethod = "cka-debiased",
        *,
        method_options: Mapping[str, Any] | None = None,
    ) -> dict[str, float]:
        """Compare RSMs with those of another network for the same inputs, measure by measure.

        Parameters
        ----------
        other : Controls
            Measures that only one of the two has are left out.
        method : str or callable, default "cka-debiased"
            As for `compare`.
        method_options : mapping, optional
            As for `compare`.

        Returns
        -------
        dict of str to float
        """
        resolved = resolve_method(method, method_options)
        return {name: resolved(rsm, other[name]) for name, rsm in self.items() if name in other}

    def to(self, tool: Any, **options: Any) -> dict[str, Any]:
        """Return each RSM as an object of another tool, by measure; see `RSM.to`."""
        return {name: rsm.to(tool, **options) for name, rsm in self.items()}

    def plot(self) -> Figure:
        """Draw the RSMs side by side; see `simplugins.plotting.control_heatmaps.plot_controls`."""
        from simplugins.plotting.control_heatmaps import plot_controls

        return plot_controls(self)


def controls(
    activations: Any,
    *,
    kernel: str = "cosine",
    method: AnyMethod = "cka-debiased",
    method_options: Mapping[str, Any] | None = None,
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
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    scheduler: Any = None,
    progress: bool | str = False,
) -> Controls:
    """Compute the semantic RSM of N inputs and its controls: RSMs of cheaper measures that might show the same.

    The controls are the spatio-semantic measure; the best shift of the grid; MaxSim; means and maxima over positions;
    and second moments of concept vectors, also after subtracting the mean concept vector of all inputs, or that of
    each input.

    Parameters
    ----------
    activations : array, path, list of arrays, or Activations
        As for `compute_rsm`.
    kernel : {"linear", "cosine", "rbf"}, default "cosine"
        The kernel of all measures.
    method : str or callable, default "cka-debiased"
        Compares each RSM with the semantic one; as for `compare`.
    method_options : mapping, optional
        As for `compare`.
    layout, mask, labels, drop_tokens, dtype, center, normalize, sigma, engine, threads, subset, seed, memory, scheduler
        As for `compute_rsm`, for all measures; but ``normalize="matched"`` and "mass" only change the semantic and
        spatio-semantic ones, as the others match no sets.
    matching, matching_options
        As for `compute_rsm`, for the semantic measure.
    progress : bool or str, default False
        Show a progress bar per measure on standard error.

    Returns
    -------
    Controls
        A mapping of names of measures to RSMs. Measures that cannot be computed for these activations, such as the
        spatio-semantic one for sets of unequal size, are in `Controls.unavailable` with the reason.

    Raises
    ------
    TypeError, ValueError
        As for `compute_rsm`.

    Notes
    -----
    The semantic RSM takes most of the time; `estimate` predicts it.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(6, 8, 4, 4))
    >>> result = simplugins.controls(maps)
    >>> list(result)  # doctest: +NORMALIZE_WHITESPACE
    ['semantic-cosine', 'shift-cosine', 'spatio-semantic-cosine', 'max-sim-cosine', 'second-order-cosine',
     'second-order-cosine-centred', 'second-order-cosine-centred-by-input', 'max-pooled-cosine', 'mean-pooled-cosine']
    >>> result["mean-pooled-cosine"].shape, result.similarities["semantic-cosine"]
    ((6, 6), 1.0)
    """
    from simplugins.activations.preparation import Preparation
    from simplugins.rsm.kernels import KERNELS

    if kernel not in KERNELS:
        raise ValueError(f"kernel: expected one of {', '.join(map(repr, KERNELS))}, got {kernel!r}")
    resolved, preparation = resolve_method(method, method_options), Preparation.checked(center, normalize)
    options = replace(RsmOptions.among(locals()), measure=f"semantic-{kernel}")
    options.resolved()
    raw = replace(options, center=None, normalize=None).read(activations)
    inputs = preparation.of_vectors().apply(raw)[0]
    result = _Results(options, kernel)
    for kind in _KINDS:
        result.add(kind, inputs)
        if kind == "second-order":
            result.add_centred(raw, preparation)
    semantic, enough = result.rsms[f"semantic-{kernel}"], len(inputs) >= resolved.least_inputs
    similarities = {name: resolved(rsm, semantic) if enough else math.nan for name, rsm in result.rsms.items()}
    label = method_label(resolved.name, resolved.options)
    return Controls(result.rsms, result.unavailable, result.seconds, similarities, label, kernel)


class _Results:
    """RSMs and times as they are computed."""

    def __init__(self, options: RsmOptions, kernel: str) -> None:
        self.options, self.kernel = options, kernel
        self.rsms: dict[str, RSM] = {}
        self.unavailable: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def add(self, kind: str, inputs: Activations, name: str | None = None) -> None:
        """Compute the RSM of a kind of measure, or note why there is none."""
        measure = f"{kind}-{self.kernel}"
        name = measure if name is None else name
        options = replace(self.options, measure=measure, progress=name if self.options.progress else False)
        if kind != "semantic":
            options = replace(options, matching=None, matching_options=None)
        if kind not in ("semantic", "spatio-semantic"):  # the inputs are prepared; only sets remain to be normalised
            options = replace(options, normalize=None)
        try:
            operation: Operation = options.operation()
            operation.check(inputs, inputs)
        except ValueError as error:
            if kind == "semantic":
                raise
            self.unavailable[name] = str(error)
            return
        operation.warm_up()
        start = perf_counter()
        self.rsms[name] = options.compute(inputs)
        self.seconds[name] = (perf_counter() - start) / (len(inputs) * (len(inputs) - 1) / 2)

    def add_centred(self, raw: Activations, preparation: Preparation) -> None:
        """Compute the second-order RSMs of centred activations, in addition to the centring of all measures."""
        for ending, centring in CENTRED.items():
            name = f"second-order-{self.kernel}-{ending}"
            if {centring, "input"} & {*preparation.center}:
                self.unavailable[name] = "all measures are centred in this way"
                continue
            center = (centring, *(each for each in preparation.center if each == "position"))
            self.add("second-order", replace(preparation, center=center).of_vectors().apply(raw)[0], name)
