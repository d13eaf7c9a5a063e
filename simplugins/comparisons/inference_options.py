# SPDX-License-Identifier: Apache-2.0
"""Options of inference on a table of layers: its calibration and its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.groups import check_exchangeable

CalibrationMode = Literal["each", "max", "mean"]


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """How to permute and to resample the inputs of a table of layers: see `compare_layers`.

    Raises
    ------
    ValueError
        If an option has an impossible value.
    """

    calibrate: CalibrationMode | None
    permutations: int
    alpha: float
    intervals: bool
    resamples: int
    confidence: float
    groups: Any
    seed: int
    threads: int | None
    progress: bool

    def __post_init__(self) -> None:
        if self.calibrate is not None:
            check_mode(self.calibrate)
        check_count("permutations", self.permutations)
        check_between("alpha", self.alpha, 0, 1)
        check_count("resamples", self.resamples)
        check_between("confidence", self.confidence, 0, 1)
        if self.groups is not None and not self.intervals and self.calibrate is None:
            raise ValueError("groups are for intervals and calibration: pass intervals=True or calibrate= as well")
        if self.calibrate is not None and isinstance(self.groups, Sized) and not isinstance(self.groups, str):
            check_exchangeable(self.groups, None, len(self.groups))  # before any RSM is computed

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> InferenceOptions:
        """Return the options among the arguments of a function, its ``locals()`` on entry."""
        return cls(**{field.name: arguments[field.name] for field in fields(cls)})


def check_mode(mode: Any) -> None:
    """Raise a ValueError unless this is a way of calibrating a table of layers."""
    if mode not in get_args(CalibrationMode):
        raise ValueError(f"calibrate must be None or one of {', '.join(get_args(CalibrationMode))}, got {mode!r}")
