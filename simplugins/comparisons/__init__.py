# SPDX-License-Identifier: Apache-2.0
"""Comparisons of RSMs of the same inputs, layer by layer and of whole networks, with inference.

Names are imported when they are first used, so importing this package loads no compute engine.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.comparisons.cka_estimates import CkaEstimate, estimate_cka
    from simplugins.comparisons.comparing import compare, pairwise, resolve_method
    from simplugins.comparisons.method import Method
    from simplugins.comparisons.minibatches import minibatch_cka
    from simplugins.comparisons.networks import resolve_similarity

_MODULES = {
    "CkaEstimate": "cka_estimates",
    "Method": "method",
    "compare": "comparing",
    "estimate_cka": "cka_estimates",
    "minibatch_cka": "minibatches",
    "pairwise": "comparing",
    "resolve_method": "comparing",
    "resolve_similarity": "networks",
}

__all__ = [
    "CkaEstimate",
    "Method",
    "compare",
    "estimate_cka",
    "minibatch_cka",
    "pairwise",
    "resolve_method",
    "resolve_similarity",
]

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
