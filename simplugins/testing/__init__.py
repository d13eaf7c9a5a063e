# SPDX-License-Identifier: Apache-2.0
"""Checks for authors of plugins, in the manner of scikit-learn's ``check_estimator``.

Each check generates inputs, calls the plugin, and raises an AssertionError whose message says what the plugin got
wrong. A plugin that passes works in every function and command that accepts one of its kind. simplugins runs the same
checks on its own plugins.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.testing.adapter_checks import check_adapter
    from simplugins.testing.comparison_checks import check_comparison
    from simplugins.testing.matcher_checks import check_matcher
    from simplugins.testing.measure_checks import check_measure
    from simplugins.testing.similarity_checks import check_similarity

__all__ = ["check_adapter", "check_comparison", "check_matcher", "check_measure", "check_similarity"]

_KINDS = ("adapter", "comparison", "matcher", "measure", "similarity")

__getattr__, __dir__ = lazy_names(__name__, {f"check_{kind}": f"{__name__}.{kind}_checks" for kind in _KINDS})
