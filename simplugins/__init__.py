# SPDX-License-Identifier: Apache-2.0
"""Semantic representational similarity matrices: exact, fast, and compatible with the tools you already use.

Names are imported on first use, so ``import simplugins`` takes almost no time.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins_adapters.contract import Adapter, adapter, from_tool, to_tool

    from simplugins import comparisons, data, evaluation, plotting, plugins, recording, testing
    from simplugins.activations.activations import Activations
    from simplugins.activations.formats import read_activations
    from simplugins.activations.labels import partial_labels
    from simplugins.activations.layouts import Layout, parse_layout
    from simplugins.activations.recordings import read_recorded
    from simplugins.comparisons.cka_estimates import CkaEstimate, estimate_cka
    from simplugins.comparisons.comparing import compare
    from simplugins.comparisons.comparison_files import load_comparison
    from simplugins.comparisons.controls import Controls, controls
    from simplugins.comparisons.crossvalidation import CrossValidation, crossvalidate
    from simplugins.comparisons.decoupling import Decoupling, decouple
    from simplugins.comparisons.differences import PairedDifference, difference_test
    from simplugins.comparisons.inference import (
        BootstrapInterval,
        PermutationTest,
        bootstrap_interval,
        permutation_test,
    )
    from simplugins.comparisons.layer_calibration import LayerCalibration
    from simplugins.comparisons.layer_comparison import Comparison
    from simplugins.comparisons.layer_intervals import LayerIntervals
    from simplugins.comparisons.layers import compare_layers
    from simplugins.comparisons.method import Method
    from simplugins.comparisons.minibatches import minibatch_cka
    from simplugins.comparisons.model_ranking import ModelRanking
    from simplugins.comparisons.networks import NetworkSimilarity, similarity
    from simplugins.comparisons.noise_ceilings import NoiseCeiling, noise_ceiling
    from simplugins.comparisons.null_calibration import Calibration, calibrate
    from simplugins.comparisons.partial_correlations import PartialCorrelation, partial_correlation
    from simplugins.comparisons.ranking import rank_models
    from simplugins.comparisons.structure import Structure, structure
    from simplugins.compute.engines.gpu_memory import free_gpu_memory
    from simplugins.compute.matchings import Matching
    from simplugins.compute.pair import match
    from simplugins.compute.pair_shift import BestShift, best_shift
    from simplugins.compute.share_curves import ShareCurve, share_curve
    from simplugins.evaluation.searching.neighbour_comparison import compare_neighbours
    from simplugins.evaluation.searching.neighbours import Neighbours, search
    from simplugins.matching.auction import Auction
    from simplugins.matching.batch_optimal import BatchOptimal
    from simplugins.matching.greedy import Greedy
    from simplugins.matching.identity import Identity
    from simplugins.matching.matcher import Assignments, BatchMatcher, Matcher
    from simplugins.matching.optimal import Optimal
    from simplugins.matching.partial import Partial
    from simplugins.matching.topk_greedy import TopKGreedy
    from simplugins.measures.computation import compute_rsm
    from simplugins.measures.cost.estimates import Estimate, estimate, estimate_for
    from simplugins.measures.differentiable import semantic_rsm, semantic_similarity
    from simplugins.measures.precompilation import Precompilation, precompile
    from simplugins.plotting.explorer.exploring import explore
    from simplugins.recording.recorder import record
    from simplugins.reporting.model_report import Report, report
    from simplugins.reporting.training_trajectory import Trajectory
    from simplugins.rsm.archive import load_rsm
    from simplugins.rsm.labelled_matrices import index_labels
    from simplugins.rsm.rsm import RSM

__version__ = "0.2.0"

_MODULES = {
    "Activations": "activations.activations",
    "Assignments": "matching.matcher",
    "Auction": "matching.auction",
    "BatchMatcher": "matching.matcher",
    "BatchOptimal": "matching.batch_optimal",
    "BestShift": "compute.pair_shift",
    "BootstrapInterval": "comparisons.inference",
    "Calibration": "comparisons.null_calibration",
    "CkaEstimate": "comparisons.cka_estimates",
    "CrossValidation": "comparisons.crossvalidation",
    "Controls": "comparisons.controls",
    "Comparison": "comparisons.layer_comparison",
    "Decoupling": "comparisons.decoupling",
    "Estimate": "measures.cost.estimates",
    "Greedy": "matching.greedy",
    "Identity": "matching.identity",
    "LayerCalibration": "comparisons.layer_calibration",
    "LayerIntervals": "comparisons.layer_intervals",
    "Layout": "activations.layouts",
    "Matcher": "matching.matcher",
    "Matching": "compute.matchings",
    "Method": "comparisons.method",
    "ModelRanking": "comparisons.model_ranking",
    "Neighbours": "evaluation.searching.neighbours",
    "NetworkSimilarity": "comparisons.networks",
    "NoiseCeiling": "comparisons.noise_ceilings",
    "Optimal": "matching.optimal",
    "Partial": "matching.partial",
    "PairedDifference": "comparisons.differences",
    "PartialCorrelation": "comparisons.partial_correlations",
    "PermutationTest": "comparisons.inference",
    "Precompilation": "measures.precompilation",
    "RSM": "rsm.rsm",
    "Report": "reporting.model_report",
    "Structure": "comparisons.structure",
    "ShareCurve": "compute.share_curves",
    "TopKGreedy": "matching.topk_greedy",
    "Trajectory": "reporting.training_trajectory",
    "best_shift": "compute.pair_shift",
    "bootstrap_interval": "comparisons.inference",
    "calibrate": "comparisons.null_calibration",
    "compare": "comparisons.comparing",
    "compare_layers": "comparisons.layers",
    "compare_neighbours": "evaluation.searching.neighbour_comparison",
    "comparisons": "comparisons",
    "compute_rsm": "measures.computation",
    "compute_rsms": "measures.several_measures",
    "crossvalidate": "comparisons.crossvalidation",
    "controls": "comparisons.controls",
    "data": "data",
    "difference_test": "comparisons.differences",
    "decouple": "comparisons.decoupling",
    "estimate": "measures.cost.estimates",
    "estimate_cka": "comparisons.cka_estimates",
    "estimate_for": "measures.cost.estimates",
    "evaluation": "evaluation",
    "explore": "plotting.explorer.exploring",
    "free_gpu_memory": "compute.engines.gpu_memory",
    "index_labels": "rsm.labelled_matrices",
    "load_comparison": "comparisons.comparison_files",
    "load_rsm": "rsm.archive",
    "match": "compute.pair",
    "minibatch_cka": "comparisons.minibatches",
    "noise_ceiling": "comparisons.noise_ceilings",
    "partial_correlation": "comparisons.partial_correlations",
    "partial_labels": "activations.labels",
    "parse_layout": "activations.layouts",
    "permutation_test": "comparisons.inference",
    "plotting": "plotting",
    "plugins": "plugins",
    "precompile": "measures.precompilation",
    "rank_models": "comparisons.ranking",
    "read_activations": "activations.formats",
    "read_recorded": "activations.recordings",
    "record": "recording.recorder",
    "recording": "recording",
    "report": "reporting.model_report",
    "search": "evaluation.searching.neighbours",
    "semantic_rsm": "measures.differentiable",
    "semantic_similarity": "measures.differentiable",
    "share_curve": "compute.share_curves",
    "similarity": "comparisons.networks",
    "structure": "comparisons.structure",
    "testing": "testing",
}

__all__ = [
    "RSM",
    "Activations",
    "Adapter",
    "Assignments",
    "Auction",
    "BatchMatcher",
    "BatchOptimal",
    "BestShift",
    "BootstrapInterval",
    "Calibration",
    "CkaEstimate",
    "Comparison",
    "Controls",
    "CrossValidation",
    "Decoupling",
    "Estimate",
    "Greedy",
    "Identity",
    "LayerCalibration",
    "LayerIntervals",
    "Layout",
    "Matcher",
    "Matching",
    "Method",
    "ModelRanking",
    "Neighbours",
    "NetworkSimilarity",
    "NoiseCeiling",
    "Optimal",
    "PairedDifference",
    "Partial",
    "PartialCorrelation",
    "PermutationTest",
    "Precompilation",
    "Report",
    "ShareCurve",
    "Structure",
    "TopKGreedy",
    "Trajectory",
    "__version__",
    "adapter",
    "best_shift",
    "bootstrap_interval",
    "calibrate",
    "compare",
    "compare_layers",
    "compare_neighbours",
    "comparisons",
    "compute_rsm",
    "compute_rsms",
    "controls",
    "crossvalidate",
    "data",
    "decouple",
    "difference_test",
    "estimate",
    "estimate_cka",
    "estimate_for",
    "evaluation",
    "explore",
    "free_gpu_memory",
    "from_tool",
    "index_labels",
    "load_comparison",
    "load_rsm",
    "match",
    "minibatch_cka",
    "noise_ceiling",
    "parse_layout",
    "partial_correlation",
    "partial_labels",
    "permutation_test",
    "plotting",
    "plugins",
    "precompile",
    "rank_models",
    "read_activations",
    "read_recorded",
    "record",
    "recording",
    "report",
    "search",
    "semantic_rsm",
    "semantic_similarity",
    "share_curve",
    "similarity",
    "structure",
    "testing",
    "to_tool",
]

_ADAPTERS = dict.fromkeys(("Adapter", "adapter", "from_tool", "to_tool"), "simplugins_adapters.contract")

__getattr__, __dir__ = lazy_names(__name__, {**_ADAPTERS, **{k: f"{__name__}.{v}" for k, v in _MODULES.items()}})
