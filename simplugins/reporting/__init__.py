# SPDX-License-Identifier: Apache-2.0
"""Reports: one HTML page about a network or two, and how representations change in training.

Every name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from simplugins._common.lazy import lazy_names

if TYPE_CHECKING:
    from simplugins.reporting.model_report import Report, report

_MODULES = {"Report": "model_report", "report": "model_report"}

__all__ = ["Report", "report"]

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
