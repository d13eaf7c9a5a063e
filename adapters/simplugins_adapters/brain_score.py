# SPDX-License-Identifier: Apache-2.0
"""Brain-Score: similarities of networks as its metrics, RSMs as its RDMs, and our measures as a stage of its RSA."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import RSM, Adapter, Matcher, compute_rsm, plugins
from simplugins_adapters.brain_score_assemblies import (
    STIMULUS,
    TOOL,
    coordinates,
    dimensions,
    first_repeated,
    responses_in,
)
from simplugins_adapters.descriptions import check_identified, labels_or_numbers
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, dissimilarities, matrix_as_rsm
from simplugins_adapters.similarities import Similarity, all_similarities, check_choice, fact, name_of

if TYPE_CHECKING:
    from brainscore_core.metrics import Metric
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, NeuroidAssembly

_PLACE = "place"
"""A second coordinate of presentations, because xarray drops the name of a dimension's only coordinate."""


def to_metric(similarity: Similarity, *, grid: Sequence[str] | None = None) -> Metric:
    """Return a similarity of networks as a metric.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    grid : sequence of str, optional
        As for `simplugins_adapters.brain_score_assemblies.responses_in`, for both assemblies.

    Returns
    -------
    brainscore_core.metrics.Metric
        Called with two assemblies of presentations by neuroids, in any order, it returns a Score with the attributes
        "similarity", "measure", "method", "estimator" (of CKA), and "grid": the positions of the two assemblies.

    Raises
    ------
    ValueError
        If larger values of the similarity mean less similar, unlike scores; or if it masks positions per input.
    """
    name = name_of(similarity)
    _check_score(name, similarity)
    if getattr(similarity, "options", {}).get("mask") is not None:
        raise ValueError(f"mask: presentations of {TOOL} come in any order, so a mask cannot be assigned to its inputs")
    return _metric(similarity, name, grid)


@dataclass(frozen=True)
class RDMStage:
    """RDMs of assemblies under one of our measures: the `rdm` of ``RSABenchmark`` and ``RSACeiling``.

    Called with an assembly of presentations by neuroids, it returns the RDM as `to_rdm` does, in the same order and
    with all coordinates of presentations.

    Parameters
    ----------
    measure : str or measure, default "semantic-cosine"
    dissimilarity : {"complement", "squared-distance", "distance"}
        As for `to_rdm`.
    grid : sequence of str, optional
        As for `simplugins_adapters.brain_score_assemblies.responses_in`. Recordings have no grid, so the measure treats
        them as a single position.
    measure_options, matching, matching_options, sigma, drop_tokens, dtype, engine, precision, threads
        As for `simplugins.compute_rsm`; `drop_tokens` has no effect on assemblies without tokens, such as recordings.

    Raises
    ------
    ValueError
        If the measure or the dissimilarity is unknown.

    Examples
    --------
    >>> RDMStage("semantic-rbf", sigma=2.0)
    RDMStage semantic-rbf: complement
    """

    measure: Any = "semantic-cosine"
    _: KW_ONLY
    dissimilarity: Dissimilarity = "complement"
    grid: Sequence[str] | None = None
    measure_options: Mapping[str, Any] | None = None
    matching: str | Matcher | None = None
    matching_options: Mapping[str, Any] | None = None
    sigma: float | Literal["median"] = "median"
    drop_tokens: int | Sequence[int] = 0
    dtype: DTypeLike | None = None
    engine: str = "auto"
    precision: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_choice("dissimilarity", self.dissimilarity, Dissimilarity)
        if isinstance(self.measure, str):
            plugins.load("simplugins.measures", self.measure)

    def __repr__(self) -> str:
        return f"RDMStage {self.measure}: {self.dissimilarity}"

    def rsm(self, assembly: NeuroidAssembly) -> RSM:
        """Compute the RSM of the responses in an assembly.

        Returns
        -------
        RSM
            In the order of the assembly, with stimulus_id as labels; ``metadata["grid"]`` describes the positions.

        Raises
        ------
        TypeError, ValueError
            As `simplugins_adapters.brain_score_assemblies.responses_in` and `simplugins.compute_rsm`.
        """
        responses = responses_in(assembly, self.grid)
        rsm = compute_rsm(
            responses.activations,
            self.measure,
            labels=responses.stimuli,
            drop_tokens=self.drop_tokens if responses.activations.ndim == 3 else 0,
            dtype=self.dtype,
            measure_options=self.measure_options,
            matching=self.matching,
            matching_options=self.matching_options,
            sigma=self.sigma,
            engine=self.engine,
            precision=self.precision,
            threads=self.threads,
        )
        return replace(rsm, metadata={**rsm.metadata, "grid": responses.grid})

    def __call__(self, assembly: NeuroidAssembly) -> DataAssembly:
        """Return the RDM of an assembly; see `rsm` for errors."""
        rsm = self.rsm(assembly)
        presentations = coordinates(assembly, "presentation").items()
        coords = {name: ("presentation", values) for name, values in presentations}
        return _assembly(rsm, self.dissimilarity, {**_presentations(rsm), **coords})


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
        Presentations by presentations, float64, with labels as "stimulus_id" and the attributes "measure" and
        "dissimilarity".

    Raises
    ------
    ValueError
        If the RSM compares inputs with other inputs, a label is repeated, or the kind of dissimilarity is unknown.
    """
    return _assembly(rsm, dissimilarity, _presentations(rsm))


def to_features(rsm: RSM, *, shift: bool = False) -> NeuroidAssembly:
    """Return features whose inner products are an RSM, for metrics that take only features.

    Parameters
    ----------
    rsm : RSM
    shift : bool, default False
        As for `simplugins.RSM.features`: an RSM that is not positive semi-definite only has features after raising its
        diagonal. They are exact for Brain-Score's "cka", which ignores the diagonal, and for no other metric.

    Returns
    -------
    NeuroidAssembly
        Presentations by neuroids, float64, with labels as "stimulus_id" and the attributes "measure" and "shift".

    Raises
    ------
    ValueError
        If the RSM compares inputs with other inputs, a label is repeated, or the RSM has no such features.
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


def from_rdm(rdm: DataAssembly, *, dissimilarity: Dissimilarity | None = None, missing: Missing = "raise") -> RSM:
    """Return an RDM as an RSM.

    Parameters
    ----------
    rdm : DataAssembly
        Presentations by presentations.
    dissimilarity : {"complement", "squared-distance", "distance"}, optional
        The kind of dissimilarities; by default the one in the attributes, if simplugins made the RDM. Brain-Score's own
        ``RDM`` makes complements.
    missing : {"raise", "omit"}, default "raise"
        With "omit", complements may be NaN; see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM
        With stimulus_id as labels, if presentations have it. RSMs from distances are centred (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    TypeError
        If `rdm` is not an assembly.
    ValueError
        If it is not an RDM, or the kind of dissimilarities is unknown or does not fit the values.
    """
    if dimensions(rdm) != ("presentation", "presentation"):
        raise ValueError(
            f"rdm: expected the dimensions presentation x presentation, got {' x '.join(rdm.dims)}; "
            f"simplugins_adapters.brain_score.RDMStage(measure).rsm(assembly) computes the RSM of responses"
        )
    dissimilarity = dissimilarity or rdm.attrs.get("dissimilarity")
    if dissimilarity is None:
        raise ValueError(
            "the kind of dissimilarities is unknown: pass dissimilarity='complement' (1 minus similarity, as in "
            "Brain-Score's RDM), 'squared-distance' or 'distance'"
        )
    labels, measure = coordinates(rdm, "presentation").get(STIMULUS), str(rdm.attrs.get("measure", "RDM"))
    return matrix_as_rsm(rdm.values, dissimilarity, labels=labels, measure=measure, tool=TOOL, missing=missing)


def register() -> list[str]:
    """Add all similarities of networks to ``brainscore_vision.metric_registry``, in this process.

    Returns
    -------
    list of str
        Their names there, such as "simplugins-semantic-cosine-cka-debiased"; ``metric_registry[name]()`` returns the
        metric. ``load_metric`` only finds files of its own package. Similarities whose larger values mean less similar
        are left out, with a warning.
    """
    from brainscore_vision import metric_registry

    names = []
    for name, similarity in all_similarities().items():
        try:
            _check_score(name, similarity)
        except ValueError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
            continue
        metric_registry[f"simplugins-{name}"] = partial(_metric, similarity, name)
        names.append(f"simplugins-{name}")
    return names


def _metric(similarity: Similarity, name: str, grid: Sequence[str] | None = None) -> Metric:
    from simplugins_adapters.subclasses.brain_score_metric import SimilarityMetric

    return SimilarityMetric(similarity, name, grid)


def _check_score(name: str, similarity: Similarity) -> None:
    if fact(similarity, "larger_is_more_similar") is False:
        raise ValueError(f"larger scores of {TOOL} mean more similar, and larger values of {name!r} mean less similar")


def _assembly(rsm: RSM, dissimilarity: Dissimilarity, coords: Mapping[str, Any]) -> DataAssembly:
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly

    attributes = {"measure": rsm.measure, "dissimilarity": dissimilarity}
    return DataAssembly(
        dissimilarities(rsm, dissimilarity, TOOL),
        coords=coords,
        dims=["presentation", "presentation"],
        attrs=attributes | ({"grid": rsm.metadata["grid"]} if "grid" in rsm.metadata else {}),
    )


def _presentations(rsm: RSM) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return the coordinates of an RSM's inputs."""
    check_identified(rsm, TOOL)
    labels = labels_or_numbers(rsm)
    if repeated := first_repeated(labels):
        raise ValueError(
            f"labels: {repeated[0]!r} labels {repeated[1]} inputs; {TOOL} sorts inputs by stimulus_id, so labels must "
            f"be unique, or absent: dataclasses.replace(rsm, labels=None)"
        )
    return {STIMULUS: ("presentation", labels), _PLACE: ("presentation", np.arange(len(rsm)))}


adapter = Adapter(
    tool=TOOL,
    modules=("brainscore_core", "brainscore_vision"),
    install="pip install 'simplugins[brain-score]'",
    rsm=to_rdm,
    similarity=to_metric,
    reader=from_rdm,
    registry=register,
)
