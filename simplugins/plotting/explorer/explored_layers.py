# SPDX-License-Identifier: Apache-2.0
"""Layers on a page: their activations and RSMs, and the comparisons of these."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_names, error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Preparation
from simplugins.activations.reading import read
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.measures.computation import compute_rsm
from simplugins.plotting.explorer.explored_measures import ExploredMeasure
from simplugins.rsm.rsm import RSM

NOT_COMPUTED = "there are no activations of this layer to compute it from"


@dataclass(frozen=True)
class ReadingOptions:
    """Options of `compute_rsm` that say how activations are read and where RSMs are computed."""

    layout: str = "auto"
    mask: Any = None
    drop_tokens: int | Sequence[int] = 0
    dtype: Any = None
    preparation: Preparation = field(default_factory=Preparation)
    engine: str = "auto"
    threads: int | None = None
    progress: bool | str = False


@dataclass
class ExploredLayer:
    """A layer on a page.

    Attributes
    ----------
    name : str
    activations : Activations or None
        As prepared by the options `center` and `normalize`; None if only RSMs are known.
    rsms : dict of str to RSM
        By name of the measure on the page.
    unavailable : dict of str to str
        Why there is no RSM of a measure.
    """

    name: str
    activations: Activations | None
    rsms: dict[str, RSM] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.activations if self.activations is not None else next(iter(self.rsms.values())))

    @property
    def labels(self) -> NDArray[Any] | None:
        """Labels that the activations or the RSMs have."""
        sources = [self.activations, *self.rsms.values()]
        return next((source.labels for source in sources if source is not None and source.labels is not None), None)


def read_layers(layers: Any, options: ReadingOptions) -> list[ExploredLayer]:
    """Read the layers of one or several networks.

    Parameters
    ----------
    layers : activations or RSM, or mapping of names to these, or of names of networks to such mappings
    options : ReadingOptions

    Raises
    ------
    TypeError, ValueError
        As for `simplugins.explore`.
    """
    if not isinstance(layers, Mapping):
        layers = {"layer": layers}
    explored: list[ExploredLayer] = []
    for name, value in layers.items():
        if isinstance(value, Mapping):
            explored += [_read(f"{name} · {layer}", one, options) for layer, one in value.items()]
        else:
            explored.append(_read(str(name), value, options))
    if not explored:
        raise ValueError("layers: expected at least one")
    check_names("layers", [layer.name for layer in explored])
    for layer in explored:
        if len(layer) != len(explored[0]):
            raise ValueError(
                f"layers: expected the same inputs in all, got {len(explored[0])} in {explored[0].name!r} and "
                f"{len(layer)} in {layer.name!r}"
            )
    return explored


def _read(name: str, value: Any, options: ReadingOptions) -> ExploredLayer:
    with error_prefix(f"layer {name!r}"):
        if isinstance(value, str | os.PathLike):
            value = read(value)
        if isinstance(value, RSM):
            return ExploredLayer(name, None, {ExploredMeasure.from_rsm(value).name: checked_rsm(value)})
        x = Activations.from_array(
            value, layout=options.layout, mask=options.mask, drop_tokens=options.drop_tokens, dtype=options.dtype
        )
        return ExploredLayer(name, options.preparation.of_vectors().apply(x)[0])


def checked_rsm(rsm: Any) -> RSM:
    """Return an RSM after checking that it compares inputs with themselves.

    Raises
    ------
    TypeError, ValueError
        If it is not an RSM, or has other inputs in its columns.
    """
    if not isinstance(rsm, RSM):
        raise TypeError(f"expected an RSM, got {type(rsm).__name__}")
    if not rsm.symmetric:
        raise ValueError("an explorer shows RSMs of inputs with themselves; this one has other inputs as columns")
    return rsm


def compute_rsms(
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    options: ReadingOptions,
    *,
    required: Collection[str],
) -> None:
    """Compute the RSMs that layers lack.

    Parameters
    ----------
    layers : sequence of ExploredLayer
        Those with activations get their RSMs, or the reason why there is none.
    measures : sequence of ExploredMeasure
    options : ReadingOptions
    required : collection of str
        Measures whose errors are raised. Those of others are recorded: spatio-semantic measures, for example, do not
        apply to sets of different sizes.
    """
    for layer in layers:
        for measure in measures:
            if measure.name in layer.rsms:
                continue
            if layer.activations is None:
                layer.unavailable[measure.name] = NOT_COMPUTED
                continue
            try:
                layer.rsms[measure.name] = _computed(layer, measure, options)
            except ValueError as error:
                if measure.name in required:
                    raise ValueError(f"layer {layer.name!r}, {measure.name}: {error}") from error
                layer.unavailable[measure.name] = str(error)


def _computed(layer: ExploredLayer, measure: ExploredMeasure, options: ReadingOptions) -> RSM:
    return compute_rsm(layer.activations, measure.measure, **rsm_options(layer, measure, options))


def rsm_options(layer: ExploredLayer, measure: ExploredMeasure, options: ReadingOptions) -> dict[str, Any]:
    """Return the options of `compute_rsm` for activations that are prepared already."""
    title = f"{layer.name}, {measure.name}" if options.progress else False
    normalize = {} if options.preparation.of_sets is None else {"normalize": options.preparation.of_sets}
    resources = {"engine": options.engine, "threads": options.threads, "progress": title}
    return {**normalize, **measure.options, **resources}


def comparison_table(
    layers: Sequence[ExploredLayer], measures: Sequence[ExploredMeasure], method: AnyMethod
) -> dict[str, Any]:
    """Compare the RSMs of all layers and measures with each other.

    Returns
    -------
    dict
        ``method``, ``larger`` (whether larger values are more similar) and ``values``: one row for each layer and
        measure, layers first; None where an RSM is missing or has missing values, or a value is undefined.
    """
    resolved = resolve_method(method)
    rsms = [layer.rsms.get(measure.name) for layer in layers for measure in measures]
    complete = {str(place): rsm for place, rsm in enumerate(rsms) if rsm is not None and _is_complete(rsm)}
    values = np.full((len(rsms), len(rsms)), np.nan)
    if complete and len(layers[0]) >= resolved.least_inputs:
        places = [int(place) for place in complete]
        unlabelled = {place: replace(rsm, labels=None) for place, rsm in complete.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # undefined values, which the page shows as such
            values[np.ix_(places, places)] = resolved.compare_all(unlabelled, None, missing="raise")
    rounded = [[None if np.isnan(value) else float(f"{value:.6g}") for value in row] for row in values]
    return {"method": resolved.name, "larger": resolved.larger_is_more_similar is not False, "values": rounded}


def _is_complete(rsm: RSM) -> bool:
    values = rsm.values
    return bool(np.isfinite(values).all()) and np.allclose(values, values.T, rtol=1e-6, atol=1e-9 * abs(values).max())
