# SPDX-License-Identifier: Apache-2.0
"""Comparisons: two RSMs of the same inputs to a number; layers by layers; networks; inference.

Importing this package loads neither engines nor executors: its names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.comparisons.comparing import compare, pairwise, resolve_method
    from simplugins.comparisons.method import Method
    from simplugins.comparisons.minibatches import CkaEstimate, estimate_cka, minibatch_cka

_MODULES = {
    "CkaEstimate": "minibatches",
    "Method": "method",
    "compare": "comparing",
    "estimate_cka": "minibatches",
    "minibatch_cka": "minibatches",
    "pairwise": "comparing",
    "resolve_method": "comparing",
}

__all__ = ["CkaEstimate", "Method", "compare", "estimate_cka", "minibatch_cka", "pairwise", "resolve_method"]

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
