# SPDX-License-Identifier: Apache-2.0
"""Reports: one HTML page about a network or two, and how representations change in training.

Every name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.reporting.model_report import Report, report
    from simplugins.reporting.training_trajectory import Trajectory

_MODULES = {"Report": "model_report", "Trajectory": "training_trajectory", "report": "model_report"}

__all__ = ["Report", "Trajectory", "report"]

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
