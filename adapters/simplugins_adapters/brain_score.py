# SPDX-License-Identifier: Apache-2.0
"""Brain-Score: similarities of networks as its metrics, RSMs as its RDMs, and our measures as a stage of its RSA."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, NetworkSimilarity, compute_rsm, plugins
from simplugins_adapters.shared import (
    Dissimilarity,
    all_similarities,
    dissimilarities,
    from_dissimilarities,
    labels_of,
)

if TYPE_CHECKING:
    from brainscore_core.metrics import Metric
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, NeuroidAssembly

TOOL = "Brain-Score"
STIMULUS = "stimulus_id"

_PLACE = "place"
"""A second coordinate of presentations: xarray drops the name of one that is alone."""

_GRIDS = (
    ("channel", "channel_x", "channel_y"),
    ("channel", "channel_temporal", "channel_x", "channel_y"),
    ("embedding", "channel"),
)
"""The coordinates by which Brain-Score's models say where neuroids are: that of channels first, then of positions."""


@dataclass(frozen=True)
class Responses:
    """Responses to stimuli, as simplugins takes them.

    Attributes
    ----------
    activations : (N, C, H, W), (N, T, C) or (N, C) array
    stimuli : (N,) array of str or int64
    grid : str
        Which positions there are.
    """

    activations: NDArray[Any]
    stimuli: NDArray[Any]
    grid: str

    def in_order(self) -> Responses:
        """Return them in the order of stimuli."""
        order = np.argsort(self.stimuli)
        return replace(self, activations=self.activations[order], stimuli=self.stimuli[order])


def responses_in(assembly: NeuroidAssembly, grid: Sequence[str] | None = None) -> Responses:
    """Return the responses in an assembly, with neuroids at their positions.

    Parameters
    ----------
    assembly : NeuroidAssembly
        Presentations by neuroids, in any order.
    grid : sequence of str, optional
        The coordinates of neuroids that tell their channel and, one or several, their position. By default those that
        Brain-Score's models have: "channel", "channel_x" and "channel_y" of maps, "embedding" and "channel" of tokens.
        Neuroids that have none of these are the channels of one position, which is said with a UserWarning, once for
        each layer; with ``()`` all are.

    Raises
    ------
    TypeError
        If it is no assembly.
    ValueError
        If dimensions are others, presentations have no stimulus_id or repeat one, or coordinates are no full grid.
    """
    if set(_dimensions(assembly)) != {"presentation", "neuroid"}:
        raise ValueError(
            f"expected an assembly of presentation x neuroid, got {' x '.join(assembly.dims)}; choose one time bin, or "
            f"average them"
        )
    values = assembly.transpose("presentation", "neuroid").values
    stimuli = _stimuli_of(assembly)
    neuroids = _coordinates(assembly, "neuroid")
    names = _grid_among(neuroids) if grid is None else _asked_grid(neuroids, grid)
    if not names:
        if grid is None or len(grid) > 0:
            _warn_of_one_position(tuple(sorted({str(layer) for layer in neuroids.get("layer", ())})))
        return Responses(values.copy(), stimuli, "one position")
    channels, *positions = names
    return Responses(
        _placed(values, neuroids, channels, positions),
        stimuli,
        f"{' x '.join(str(len(np.unique(neuroids[name]))) for name in positions)} ({', '.join(positions)})",
    )


def to_metric(similarity: NetworkSimilarity, *, grid: Sequence[str] | None = None) -> Metric:
    """Return a similarity of networks as a metric.

    Parameters
    ----------
    similarity : NetworkSimilarity
    grid : sequence of str, optional
        As for `responses_in`, for both assemblies.

    Returns
    -------
    brainscore_core.metrics.Metric
        Called with two assemblies of presentations by neuroids, in any order, it returns a Score. Attributes of that
        are "similarity", "measure", "method", "estimator" (of CKA), and "grid": the positions of the one and the other.

    Raises
    ------
    ValueError
        If larger numbers mean less similar, as scores do not; or if the similarity masks positions of each input.
    """
    _check_score(similarity.name, similarity)
    if similarity.options.get("mask") is not None:
        raise ValueError(f"{TOOL} has presentations in any order, so a mask does not tell which inputs it is of")
    return _metric(similarity, similarity.name, grid)


def rsm_of(
    assembly: NeuroidAssembly,
    measure: str = "semantic-cosine",
    *,
    grid: Sequence[str] | None = None,
    **options: Any,
) -> RSM:
    """Compute the RSM of the responses in an assembly.

    Parameters
    ----------
    assembly, grid
        As for `responses_in`.
    measure, **options
        As for `simplugins.compute_rsm`; but drop_tokens is not for assemblies without tokens, such as recordings.

    Returns
    -------
    RSM
        In the order of the assembly, with stimulus_id as labels; ``made["grid"]`` says which positions there were.

    Raises
    ------
    TypeError, ValueError
        As `responses_in` and `simplugins.compute_rsm`.
    """
    found = responses_in(assembly, grid)
    if found.activations.ndim != 3:
        options.pop("drop_tokens", None)
    rsm = compute_rsm(found.activations, measure, labels=found.stimuli, **options)
    return replace(rsm, made={**rsm.metadata, "grid": found.grid})


def rdm_stage(
    measure: str = "semantic-cosine",
    *,
    dissimilarity: Dissimilarity = "complement",
    grid: Sequence[str] | None = None,
    **options: Any,
) -> Callable[[NeuroidAssembly], DataAssembly]:
    """Return what makes RDMs of assemblies, by one of our measures: the `rdm` of ``RSABenchmark`` and ``RSACeiling``.

    Parameters
    ----------
    measure, **options
        As for `rsm_of`.
    dissimilarity : {"complement", "squared-distance", "distance"}
        See `to_rdm`.
    grid : sequence of str, optional
        As for `responses_in`. Recordings have no grid: for them, the measure is that of one position.

    Returns
    -------
    callable
        Of an assembly of presentations by neuroids; it returns the RDM as `to_rdm` does, in the same order and with all
        coordinates of presentations.

    Raises
    ------
    ValueError
        If there is no such measure or dissimilarity.
    """
    plugins.load("simplugins.measures", measure)
    dissimilarities(
        RSM.from_similarities(np.eye(2)), dissimilarity, TOOL
    )  # so that a wrong one is known before a model is run
    return partial(_rdm_of, measure=measure, dissimilarity=dissimilarity, grid=grid, options=options)


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> DataAssembly:
    """Return an RSM as an RDM.

    Parameters
    ----------
    rsm : RSM
    dissimilarity : {"complement", "squared-distance", "distance"}
        With complements, ``RDMSimilarity`` is the Spearman RSA of the RSMs.

    Returns
    -------
    DataAssembly
        Presentations by presentations, float64, with labels as "stimulus_id". Attributes are "measure" and
        "dissimilarity".

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, a label names several inputs, or there is no such dissimilarity.
    """
    return _assembly_of(rsm, dissimilarity, _presentations(rsm))


def to_features(rsm: RSM, *, shift: bool = False) -> NeuroidAssembly:
    """Return an RSM as features that have it as inner products, for metrics that take features only.

    Parameters
    ----------
    rsm : RSM
    shift : bool, default False
        As for `simplugins.RSM.features`: an RSM that is not positive semi-definite has features only if its diagonal is
        raised. They are exact for Brain-Score's "cka", which leaves the diagonal out, and for no other metric.

    Returns
    -------
    NeuroidAssembly
        Presentations by neuroids, float64, with labels as "stimulus_id". Attributes are "measure" and "shift".

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, a label names several inputs, or the RSM has no such features.
    """
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

    values = rsm.features(shift=shift)
    numbers = np.arange(values.shape[1])
    return NeuroidAssembly(
        values,
        coords={**_presentations(rsm), "neuroid_id": ("neuroid", numbers), "channel": ("neuroid", numbers.copy())},
        dims=["presentation", "neuroid"],
        attrs={"measure": rsm.measure, "shift": shift},
    )


def from_rdm(rdm: DataAssembly, *, dissimilarity: Dissimilarity | None = None) -> RSM:
    """Return an RDM as an RSM.

    Parameters
    ----------
    rdm : DataAssembly
        Presentations by presentations.
    dissimilarity : {"complement", "squared-distance", "distance"}, optional
        What it holds; by default what its attributes say, if it was made here. Brain-Score's own ``RDM`` makes
        complements.

    Returns
    -------
    RSM
        With stimulus_id as labels, if presentations have it. That of distances is about the mean of all inputs (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    TypeError
        If it is no assembly.
    ValueError
        If it is no RDM, or is not known or not found to hold such dissimilarities.
    """
    if _dimensions(rdm) != ("presentation", "presentation"):
        raise ValueError(
            f"expected an RDM, presentation x presentation, got {' x '.join(rdm.dims)}; of responses, "
            f"simplugins_adapters.brain_score.rsm_of(assembly, measure) makes RSMs"
        )
    kind = dissimilarity or rdm.attrs.get("dissimilarity")
    if kind is None:
        raise ValueError(
            "the RDM does not tell what it holds: say with dissimilarity= whether it is complement (1 minus "
            "similarity, as of Brain-Score's RDM), squared-distance or distance"
        )
    return from_dissimilarities(
        rdm.values,
        kind,
        labels=_coordinates(rdm, "presentation").get(STIMULUS),
        measure=str(rdm.attrs.get("measure", "RDM")),
        source=TOOL,
    )


def register() -> list[str]:
    """Enter all similarities of networks into ``brainscore_vision.metric_registry``, in this process.

    Returns
    -------
    list of str
        Their names there, such as "simplugins-semantic-cosine-cka": ``metric_registry[name]()`` makes the metric.
        ``load_metric`` finds files of the package only. Similarities of which larger numbers mean less similar are left
        out, with a warning.
    """
    from brainscore_vision import metric_registry

    entered = []
    for name, similarity in all_similarities().items():
        try:
            _check_score(name, similarity)
        except ValueError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
            continue
        metric_registry[f"simplugins-{name}"] = partial(_metric, similarity, name)
        entered.append(f"simplugins-{name}")
    return entered


def _metric(similarity: Callable[..., float], name: str, grid: Sequence[str] | None = None) -> Metric:
    from simplugins_adapters.subclasses.brain_score import SimilarityMetric

    return SimilarityMetric(similarity, name, grid)


def _check_score(name: str, similarity: Any) -> None:
    if getattr(similarity, "larger_is_more_similar", None) is False:
        raise ValueError(f"scores of {TOOL} are larger for what is more similar; of {name!r} they would be smaller")


def _rdm_of(
    assembly: NeuroidAssembly,
    *,
    measure: str,
    dissimilarity: Dissimilarity,
    grid: Sequence[str] | None,
    options: Mapping[str, Any],
) -> DataAssembly:
    rsm = rsm_of(assembly, measure, grid=grid, **options)
    own = {name: ("presentation", values) for name, values in _coordinates(assembly, "presentation").items()}
    return _assembly_of(rsm, dissimilarity, {**_presentations(rsm), **own})


def _assembly_of(rsm: RSM, dissimilarity: Dissimilarity, coords: Mapping[str, Any]) -> DataAssembly:
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly

    return DataAssembly(
        dissimilarities(rsm, dissimilarity, TOOL),
        coords=coords,
        dims=["presentation", "presentation"],
        attrs={
            "measure": rsm.measure,
            "dissimilarity": dissimilarity,
            **({"grid": rsm.metadata["grid"]} if "grid" in rsm.metadata else {}),
        },
    )


def _presentations(rsm: RSM) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return the coordinates of an RSM's inputs."""
    labels = labels_of(rsm)
    if repeated := _first_repeated(labels):
        raise ValueError(
            f"label {repeated[0]!r} names {repeated[1]} inputs; {TOOL} puts them in order by stimulus_id, so each "
            f"needs a label of its own, or all have none: dataclasses.replace(rsm, labels=None)"
        )
    return {STIMULUS: ("presentation", labels), _PLACE: ("presentation", np.arange(len(rsm)))}


def _dimensions(assembly: Any) -> tuple[str, ...]:
    if not hasattr(assembly, "dims"):
        raise TypeError(f"expected an assembly of {TOOL}, got {type(assembly).__name__}")
    return tuple(assembly.dims)


def _coordinates(assembly: DataAssembly, dimension: str) -> dict[str, NDArray[Any]]:
    """Return the coordinates along a dimension, also those in its index."""
    from brainscore_core.supported_data_standards.brainio.assemblies import walk_coords

    return {name: values for name, dims, values in walk_coords(assembly) if set(dims) == {dimension}}


def _stimuli_of(assembly: NeuroidAssembly) -> NDArray[Any]:
    """Return the stimulus of each presentation, (N,)."""
    found = _coordinates(assembly, "presentation")
    if STIMULUS not in found:
        raise ValueError(
            f"presentations need a coordinate {STIMULUS!r}, they have {', '.join(found) or 'none'}; one that is alone "
            f"loses its name in xarray, so give them another one too"
        )
    stimuli = np.array(found[STIMULUS].tolist())
    if repeated := _first_repeated(stimuli.astype(str)):  # so that missing ones, NaN, are alike
        raise ValueError(
            f"stimulus_id {repeated[0]!r} has {repeated[1]} presentations: average repetitions first, such as with "
            f"brainscore_vision.benchmark_helpers.neural_common.average_repetition"
        )
    return stimuli


def _first_repeated(names: NDArray[Any]) -> tuple[Any, int] | None:
    """Return the first name that occurs more than once, and how often."""
    return next(((name, count) for name, count in Counter(names.tolist()).items() if count > 1), None)


def _is_told(values: NDArray[Any]) -> bool:
    """Tell whether a coordinate has values: those of layers without positions are NaN."""
    return not (values.dtype.kind == "f" and np.isnan(values).all())


def _grid_among(neuroids: Mapping[str, NDArray[Any]]) -> Sequence[str]:
    """Return the grid of Brain-Score's that neuroids have, or none."""
    known = {name for grid in _GRIDS for name in grid}
    present = {name for name, values in neuroids.items() if name in known and _is_told(values)}
    return next((grid for grid in _GRIDS if set(grid) == present), ())


def _asked_grid(neuroids: Mapping[str, NDArray[Any]], grid: Sequence[str]) -> Sequence[str]:
    """Return the grid that was asked for, or none if neuroids have nothing of it."""
    if isinstance(grid, str) or len(grid) == 1:
        raise ValueError(f"grid: expected a coordinate of channels, and then those of positions, got {grid!r}")
    missing = [name for name in grid if name not in neuroids or not _is_told(neuroids[name])]
    if missing and len(missing) < len(grid):
        raise ValueError(f"grid: neuroids lack {', '.join(missing)}; their coordinates are {', '.join(neuroids)}")
    return () if missing else grid


def _placed(
    values: NDArray[Any], neuroids: Mapping[str, NDArray[Any]], channels: str, positions: Sequence[str]
) -> NDArray[Any]:
    """Return responses with neuroids at their positions: maps (N, C, H, W) of two coordinates, else (N, T, C)."""
    names = (channels, *positions) if len(positions) == 2 else (*positions, channels)
    found = [np.unique(neuroids[name], return_inverse=True) for name in names]
    sizes = [len(unique) for unique, _ in found]
    cells = tuple(inverse.ravel() for _, inverse in found)
    count = values.shape[1]
    places = np.ravel_multi_index(cells, sizes) if prod(sizes) == count else np.zeros(count, np.int64)
    if len(np.unique(places)) < count:
        raise ValueError(
            f"{count} neuroids do not fill a grid of {' x '.join(map(str, sizes))} ({', '.join(names)}): "
            f"give one layer at a time, such as assembly.sel(layer=...), and all its neuroids; with grid=(), all are "
            f"channels of one position"
        )
    placed = values[:, np.argsort(places)]
    return placed.reshape(len(values), *sizes) if len(positions) == 2 else placed.reshape(len(values), -1, sizes[-1])


@cache
def _warn_of_one_position(layers: tuple[str, ...]) -> None:
    """Say once, for recordings and for each layer of models, that neuroids have no positions."""
    warnings.warn(
        f"{TOOL}: neuroids{' of ' + ', '.join(layers) if layers else ''} have no coordinates of channels and positions "
        f"({', '.join(_GRIDS[0])}, or {', '.join(_GRIDS[2])}), so they count as channels of one position, and nothing "
        f"is matched; grid=() says that this is meant",
        UserWarning,
        stacklevel=2,
    )


adapter = Adapter(
    tool=TOOL,
    modules=("brainscore_core", "brainscore_vision"),
    install="pip install 'simplugins[brain-score]'",
    rsm=to_rdm,
    similarity=to_metric,
    back=from_rdm,
    registry=register,
)
