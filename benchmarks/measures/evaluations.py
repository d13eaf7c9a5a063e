# SPDX-License-Identifier: Apache-2.0
"""From responses to separations: RSMs, their comparisons, and how well these tell pairs of networks apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

import simplugins
from measures.design import COMPARISONS, CONDITIONS, HOSTED, INPUTS, LAYER, MEASURES, OURS, STRUCTURE, pairings
from measures.networks import MOVED, SEEDS, VIEWS, Population, Size
from measures.relations import draw_resamples, estimate, identified, recognised, separation
from measures.training import LAYERS, Responses
from simplugins.comparisons import pairwise

Array = NDArray[np.float64]
RSMs = dict[str, list[list[simplugins.RSM]]]
"""By view; a list by network of lists by layer."""

Values = dict[str, Array]
"""(L, R, X) comparisons, layer by layer, of ordinary networks with those of each view."""

_ORDERS = 39
"""Permutations of inputs for the values by chance."""


def compute_rsms(population: Population, measure: Any) -> RSMs:
    """Compute the RSMs of all networks."""
    return {
        view: [[simplugins.compute_rsm(each[layer], measure) for layer in LAYERS] for each in responses]
        for view, responses in population.responses.items()
    }


def compare_views(rsms: RSMs, method: Any) -> Values:
    """Compare ordinary networks with those of each view, layer by layer."""
    columns = [network for view in VIEWS for network in rsms[view]]
    values = np.stack(
        [
            pairwise(method, [network[i] for network in rsms[SEEDS]], [network[i] for network in columns])
            for i in range(len(LAYERS))
        ]
    )
    ends = np.cumsum([len(rsms[view]) for view in VIEWS])[:-1]
    return dict(zip(VIEWS, np.split(values, ends, axis=2), strict=True))


def compare_all_layers(rsms: RSMs, method: Any) -> Array:
    """Compare all layers of ordinary networks with each other, (R, L, R, L)."""
    flat = [rsm for network in rsms[SEEDS] for rsm in network]
    return pairwise(method, flat).reshape(len(rsms[SEEDS]), len(LAYERS), len(rsms[SEEDS]), len(LAYERS))


def by_chance(rsms: RSMs, method: Any) -> float:
    """Return the mean comparison of two ordinary networks' layers after permuting the inputs of one."""
    first, second = rsms[SEEDS][:2]
    results = [
        simplugins.calibrate(a, b, method, permutations=_ORDERS, seed=i)
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    return float(np.mean([result.chance for result in results]))


def structure_of(population: Population, size: Size) -> tuple[Values, Array, float]:
    """Compare within-image structure: values by view, of all pairs of layers, and of different images."""
    shown = {
        view: [{layer: maps[: size.structured] for layer, maps in each.items()} for each in responses]
        for view, responses in population.responses.items()
    }
    ordinary = shown[SEEDS]
    results = {
        view: [[[_structure(a, b, i, i) for b in shown[view]] for a in ordinary] for i in range(len(LAYERS))]
        for view in VIEWS
    }
    chances = [result.chance for layer in results[SEEDS] for row in layer for result in row]
    values = {
        view: np.array([[[result.value for result in row] for row in layer] for layer in layers])
        for view, layers in results.items()
    }
    count = len(ordinary)
    tables = np.ones((count, len(LAYERS), count, len(LAYERS)))
    for a, b in product(range(count), repeat=2):
        for i, j in product(range(len(LAYERS)), repeat=2):
            if a < b:
                value = values[SEEDS][i, a, b] if i == j else _structure(ordinary[a], ordinary[b], i, j).value
                tables[a, i, b, j] = tables[b, j, a, i] = value
    return values, tables, float(np.mean(chances))


def _structure(a: Responses, b: Responses, first: int, second: int) -> simplugins.Structure:
    return simplugins.structure(a[LAYERS[first]], b[LAYERS[second]], layout="nchw")


def recognise_moved(population: Population, measure: Any) -> Array:
    """Return how well inputs are recognised after their objects moved, (R, L)."""
    options = {"direction": "both"} if measure == OURS["max-sim"] else {}
    pairs = zip(population.responses[SEEDS], population.responses[MOVED], strict=True)
    return np.array(
        [
            [
                recognised(
                    simplugins.compute_rsm(before[layer], measure, other=after[layer], measure_options=options).values
                )
                for layer in LAYERS
            ]
            for before, after in pairs
        ]
    )


class Evaluation:
    """All separations, with the same resamples of networks for every measure and comparison."""

    def __init__(self, size: Size, seed: int) -> None:
        self.among_others = draw_resamples(size.ordinary, size.others, size.resamples, seed)
        self.draws: dict[str, dict[tuple[str, str], Array]] = {}
        """(1 + B, L) values by relation and condition, and by measure and comparison."""
        self.levels: dict[tuple[str, str], dict[str, float]] = {}
        """Median values of views, and the mean by chance."""

    def add(self, row: tuple[str, str], values: Values, tables: Array, chance: float) -> None:
        """Add the comparisons of one measure."""
        for relation, conditions in CONDITIONS.items():
            for condition in conditions:
                layers = [
                    self._separate(values[condition.similar][i], values[condition.dissimilar][i], condition.similar)
                    for i in range(len(LAYERS))
                ]
                self._keep(f"{relation}: {condition.title}", row, np.stack(layers, axis=1))
        self._keep(LAYER, row, identified(tables, self.among_others)[:, None])
        medians = {view: float(np.median(_different(view, values[view]))) for view in VIEWS}
        self.levels[row] = {**medians, "chance": chance}

    def add_inputs(self, measure: str, values: Array) -> None:
        """Add the recognition of moved inputs by one measure."""
        weights: Array = self.among_others.ordinary
        self._keep(INPUTS, (measure, ""), weights @ values / weights.sum(1, keepdims=True))

    def _separate(self, similar: Array, dissimilar: Array, view: str) -> Array:
        across = view not in (SEEDS, MOVED)
        return separation(similar, dissimilar, self.among_others, across=across)

    def _keep(self, condition: str, row: tuple[str, str], values: Array) -> None:
        self.draws.setdefault(condition, {})[row] = values

    def estimates(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the means over layers with intervals, and the values of layers, by condition and row."""
        return {
            condition: {
                " × ".join(filter(None, row)): {**estimate(values.mean(1)), "layers": values[0].tolist()}
                for row, values in rows.items()
            }
            for condition, rows in self.draws.items()
        }

    def difference(self, condition: str, first: tuple[str, str], second: tuple[str, str]) -> dict[str, float]:
        """Return by how much the first row separates better than the second, in the same resamples."""
        rows = self.draws[condition]
        return estimate(rows[first].mean(1) - rows[second].mean(1))


def _different(view: str, values: Array) -> Array:
    """Return the values of pairs of different networks."""
    if view not in (SEEDS, MOVED):
        return values
    return values[:, ~np.eye(values.shape[1], dtype=bool)]


def evaluate(population: Population, size: Size, seed: int, step: Callable[[str], Any]) -> Evaluation:
    """Evaluate all measures and comparisons; `step` is a context manager that times a step by its name."""
    evaluation = Evaluation(size, seed)
    methods: Mapping[str, Any] = {**COMPARISONS, **HOSTED}
    for name, measure in MEASURES.items():
        with step(name):
            rsms = compute_rsms(population, measure)
            for row in _rows_of(name):
                method = methods[row[1]]
                tables = compare_all_layers(rsms, method)
                evaluation.add(row, compare_views(rsms, method), tables, by_chance(rsms, method))
            evaluation.add_inputs(name, recognise_moved(population, measure))
    with step(STRUCTURE):
        evaluation.add(_rows_of(STRUCTURE)[0], *structure_of(population, size))
    return evaluation


def _rows_of(name: str) -> Sequence[tuple[str, str]]:
    return [row for row in pairings() if row[0] == name]
