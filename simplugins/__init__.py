# SPDX-License-Identifier: Apache-2.0
"""Semantic representational similarity: exact, fast, and at home in the tools you already use.

Everything here is imported when it is first used, so ``import simplugins`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from simplugins._version import __version__

if TYPE_CHECKING:
    from simplugins import plugins
    from simplugins.adapters import Adapter, adapter, from_tool, to_tool
    from simplugins.comparisons import CkaEstimate, compare, estimate_cka, minibatch_cka
    from simplugins.differentiable import semantic_rsm, semantic_similarity
    from simplugins.estimating import Estimate, estimate, estimate_for
    from simplugins.files import read_activations
    from simplugins.layers import Comparison, compare_layers, load_comparison
    from simplugins.measures import compute_rsm, compute_rsms
    from simplugins.pair import Matching, match
    from simplugins.recording import read_recorded, record
    from simplugins.rsm import RSM, load_rsm
    from simplugins.searching import Neighbours, search
    from simplugins.significance import bootstrap_interval, permutation_test
    from simplugins.similarities import NetworkSimilarity, similarity

_ROOMS = {
    "RSM": "rsm",
    "Adapter": "adapters",
    "CkaEstimate": "comparisons",
    "Comparison": "layers",
    "Estimate": "estimating",
    "Matching": "pair",
    "Neighbours": "searching",
    "NetworkSimilarity": "similarities",
    "adapter": "adapters",
    "bootstrap_interval": "significance",
    "compare": "comparisons",
    "compare_layers": "layers",
    "compute_rsm": "measures",
    "compute_rsms": "measures",
    "estimate": "estimating",
    "estimate_cka": "comparisons",
    "estimate_for": "estimating",
    "from_tool": "adapters",
    "load_comparison": "layers",
    "load_rsm": "rsm",
    "match": "pair",
    "minibatch_cka": "comparisons",
    "permutation_test": "significance",
    "read_activations": "files",
    "read_recorded": "recording",
    "record": "recording",
    "search": "searching",
    "semantic_rsm": "differentiable",
    "semantic_similarity": "differentiable",
    "similarity": "similarities",
    "to_tool": "adapters",
}

__all__ = [
    "RSM",
    "Adapter",
    "CkaEstimate",
    "Comparison",
    "Estimate",
    "Matching",
    "Neighbours",
    "NetworkSimilarity",
    "__version__",
    "adapter",
    "bootstrap_interval",
    "compare",
    "compare_layers",
    "compute_rsm",
    "compute_rsms",
    "estimate",
    "estimate_cka",
    "estimate_for",
    "from_tool",
    "load_comparison",
    "load_rsm",
    "match",
    "minibatch_cka",
    "permutation_test",
    "plugins",
    "read_activations",
    "read_recorded",
    "record",
    "search",
    "semantic_rsm",
    "semantic_similarity",
    "similarity",
    "to_tool",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        found = getattr(import_module(f"simplugins.{_ROOMS[name]}"), name)
    elif name == "plugins":
        found = import_module("simplugins.plugins")
    else:
        raise AttributeError(f"module 'simplugins' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
