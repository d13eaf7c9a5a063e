# SPDX-License-Identifier: Apache-2.0
"""The numbers of a report: RSMs and controls, tables of layers, retrieval, and how two networks relate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.comparison_stacks import stack
from simplugins.comparisons.decoupling import decouple
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layers import compare_layers
from simplugins.evaluation.retrieval_metrics import Retrieval, retrieval
from simplugins.reporting.report_networks import Network, classes_of
from simplugins.reporting.report_options import KINDS, SEMANTIC, SPATIO_SEMANTIC, ReportOptions
from simplugins.reporting.work_folder import WorkFolder
from simplugins.rsm.rsm import RSM

MOST_DECOUPLED = 6
"""Most pairs of layers that are decoupled; of more layers, evenly chosen ones."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """The numbers of a report.

    Attributes
    ----------
    networks : tuple of Network
        One or two.
    rsms : mapping of (network, layer, kind) to RSM
        By the number of the network, and a kind of `KINDS`.
    unavailable : mapping of (network, layer, kind) to str
        For RSMs that these activations do not have, the reason.
    kinds : tuple of Comparison or None
        For each network, its semantic RSMs (rows: layers) compared with those of the other kinds (columns); None if no
        other kind is available for all layers.
    within, between : mapping of str to Comparison
        By kind of RSM: the layers of the first network with each other, and with those of the other network.
    retrievals : mapping of (network, layer, kind) to Retrieval
        Empty without classes.
    decouplings : tuple of Decoupled
    """

    networks: tuple[Network, ...]
    rsms: Mapping[tuple[int, str, str], RSM]
    unavailable: Mapping[tuple[int, str, str], str]
    kinds: tuple[Comparison | None, ...] = ()
    within: Mapping[str, Comparison] = field(default_factory=dict)
    between: Mapping[str, Comparison] = field(default_factory=dict)
    retrievals: Mapping[tuple[int, str, str], Retrieval] = field(default_factory=dict)
    decouplings: tuple[Decoupled, ...] = ()

    @property
    def classes(self) -> NDArray[Any] | None:
        """Labels that some inputs share; None otherwise."""
        return classes_of(self.networks[0].labels)


@dataclass(frozen=True, eq=False)
class Decoupled:
    """The result of `decouple` for two layers: its table, and reasons for what is unavailable."""

    layers: tuple[str, str]
    rows: Sequence[Mapping[str, Any]]
    unavailable: Mapping[str, str]


def count_steps(networks: Sequence[Network]) -> int:
    """Return the number of steps that `analyse` announces, at most."""
    layers = [len(network.layers) for network in networks]
    pairs = len(chosen_pairs(networks)) if len(networks) > 1 else 0
    return sum(layers) * len(KINDS) + sum(layers) + 2 * len(networks) + pairs


def analyse(networks: tuple[Network, ...], options: ReportOptions, work: WorkFolder) -> Analysis:
    """Compute the numbers of a report, or take those that the work folder has."""
    rsms: dict[tuple[int, str, str], RSM] = {}
    unavailable: dict[tuple[int, str, str], str] = {}
    for number, network in enumerate(networks):
        for name, kind in product(network.layers, KINDS):
            result = _rsm(work, number, name, kind, network, options)
            target: dict[Any, Any] = unavailable if isinstance(result, str) else rsms
            target[number, name, kind] = result
    return Analysis(
        networks=networks,
        rsms=rsms,
        unavailable=unavailable,
        kinds=tuple(_kinds(work, number, network, rsms, options) for number, network in enumerate(networks)),
        within=_tables(work, "within", rsms, options, (0, None)) if len(networks[0].layers) > 1 else {},
        between=_tables(work, "between", rsms, options, (0, 1)) if len(networks) > 1 else {},
        retrievals=_retrievals(work, rsms, networks, options),
        decouplings=_decouplings(work, networks, options) if len(networks) > 1 else (),
    )


def _rsm(work: WorkFolder, number: int, name: str, kind: str, network: Network, options: ReportOptions) -> RSM | str:
    """Return an RSM, or the reason why these activations have none of this kind."""
    rsm_options = options.rsm_options(kind)
    layer = network.layers[name]
    try:
        rsm_options.operation().check(layer, layer)
    except ValueError as error:
        if kind == SEMANTIC:
            raise
        return str(error)
    key = f"rsm {number} {name} {options.measure(kind)}"
    return work.rsm(key, lambda: rsm_options.compute(rsm_options.read(layer)))


def of_kind(rsms: Mapping[tuple[int, str, str], RSM], number: int, kind: str) -> dict[str, RSM]:
    """Return the RSMs of one kind of a network, by layer."""
    return {name: rsm for (network, name, which), rsm in rsms.items() if (network, which) == (number, kind)}


def _kinds(
    work: WorkFolder,
    number: int,
    network: Network,
    rsms: Mapping[tuple[int, str, str], RSM],
    options: ReportOptions,
) -> Comparison | None:
    """Compare the semantic RSM of each layer with its RSMs of the other kinds, those that all layers have."""
    others = [kind for kind in KINDS[1:] if all((number, name, kind) in rsms for name in network.layers)]
    if not others:
        return None

    def row(name: str) -> Comparison:
        columns = {kind: rsms[number, name, kind] for kind in others}
        semantic = {name: rsms[number, name, SEMANTIC]}
        inference = {**options.inference(), "calibrate": None}
        return compare_layers(semantic, columns, options.resolved_method(), **inference)

    def compute(name: str) -> Comparison:
        return work.comparison(f"kinds {number} {name}", lambda: row(name))

    return stack([compute(name) for name in network.layers], "rows")


def _tables(
    work: WorkFolder,
    name: str,
    rsms: Mapping[tuple[int, str, str], RSM],
    options: ReportOptions,
    sides: tuple[int, int | None],
) -> dict[str, Comparison]:
    """Compare layers by their RSMs of both kinds, as far as these exist."""
    tables = {}
    for kind in (SEMANTIC, SPATIO_SEMANTIC):
        a = of_kind(rsms, sides[0], kind)
        b = None if sides[1] is None else of_kind(rsms, sides[1], kind)
        if not a or b == {}:
            continue

        def compute(a: dict[str, RSM] = a, b: dict[str, RSM] | None = b) -> Comparison:
            return compare_layers(a, b, options.resolved_method(), **options.inference())

        tables[kind] = work.comparison(f"{name} {kind}", compute)
    return tables


def _retrievals(
    work: WorkFolder,
    rsms: Mapping[tuple[int, str, str], RSM],
    networks: Sequence[Network],
    options: ReportOptions,
) -> dict[tuple[int, str, str], Retrieval]:
    classes = classes_of(networks[0].labels)
    if classes is None:
        return {}
    inference = {"confidence": options.confidence, "groups": options.groups, "seed": options.seed}
    with work.step("retrieval"):
        return {key: retrieval(rsm, classes, k=options.k, **inference) for key, rsm in rsms.items()}


def nearest(rsm: RSM, k: int) -> NDArray[np.int64]:
    """Return the k most similar other inputs of each input, most similar first, ties by index."""
    others = np.where(np.eye(len(rsm), dtype=bool), -np.inf, rsm.values)
    return np.argsort(-others, axis=1, kind="stable")[:, :k]


def chosen_pairs(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """Return pairs of layers at the same relative depth, evenly chosen if the first network has many.

    Chosen by depth rather than by similarity, because the most similar of many pairs is similar by selection.
    """
    first, second = (list(network.layers) for network in networks)
    depths = np.linspace(0, 1, len(first)) if len(first) > 1 else np.ones(1)
    chosen = np.unique(np.linspace(0, len(first) - 1, min(len(first), MOST_DECOUPLED)).round().astype(int))
    return [(first[i], second[round(depths[i] * (len(second) - 1))]) for i in chosen]


def _decouplings(work: WorkFolder, networks: Sequence[Network], options: ReportOptions) -> tuple[Decoupled, ...]:
    inference = options.inference()
    inference = {name: inference[name] for name in inference if name not in ("calibrate", "intervals")}

    def compute(a: str, b: str) -> dict[str, Any]:
        try:
            result = decouple(
                networks[0].layers[a],
                networks[1].layers[b],
                kernel=options.kernel,
                method=options.resolved_method(),
                center=options.center,
                normalize=options.normalize,
                engine=options.engine,
                threads=options.threads,
                **inference,
            )
        except ValueError as error:  # such as a normalisation that some of its measures do not have
            return {"rows": [], "unavailable": {"decoupling": str(error)}}
        return {"rows": result.table(), "unavailable": dict(result.unavailable)}

    results = []
    for a, b in chosen_pairs(networks):
        values = work.values(f"decoupling {[a, b]}", lambda a=a, b=b: compute(a, b))  # type: ignore[misc]
        results.append(Decoupled((a, b), values["rows"], values["unavailable"]))
    return tuple(results)
