# SPDX-License-Identifier: Apache-2.0
"""Evaluations of RSMs: retrieval, exact search, agreement with a network's outputs, and translation.

Every name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.evaluation.evaluation_differences import output_difference, retrieval_difference
    from simplugins.evaluation.output_divergences import OutputCorrelation, jensen_shannon, output_correlation
    from simplugins.evaluation.query_means import Metric
    from simplugins.evaluation.retrieval_metrics import Retrieval, retrieval
    from simplugins.evaluation.searching.neighbour_comparison import compare_neighbours
    from simplugins.evaluation.searching.neighbours import Neighbours, search
    from simplugins.evaluation.translation_curves import Translation, translation

_MODULES = {
    "Metric": "query_means",
    "Neighbours": "searching.neighbours",
    "OutputCorrelation": "output_divergences",
    "Retrieval": "retrieval_metrics",
    "Translation": "translation_curves",
    "compare_neighbours": "searching.neighbour_comparison",
    "jensen_shannon": "output_divergences",
    "output_correlation": "output_divergences",
    "output_difference": "evaluation_differences",
    "retrieval": "retrieval_metrics",
    "retrieval_difference": "evaluation_differences",
    "search": "searching.neighbours",
    "translation": "translation_curves",
}

__all__ = [
    "Metric",
    "Neighbours",
    "OutputCorrelation",
    "Retrieval",
    "Translation",
    "compare_neighbours",
    "jensen_shannon",
    "output_correlation",
    "output_difference",
    "retrieval",
    "retrieval_difference",
    "search",
    "translation",
]

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
