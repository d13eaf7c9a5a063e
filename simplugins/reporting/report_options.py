# SPDX-License-Identifier: Apache-2.0
"""The options of a report that determine its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from simplugins._common.validation import check_between, check_count, check_seed
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.method import ComparisonMethod, without_chance_warning
from simplugins.comparisons.null_calibration import check_calibration
from simplugins.comparisons.rsm_options import RsmOptions

SEMANTIC, SPATIO_SEMANTIC = "semantic", "spatio-semantic"
KINDS = (SEMANTIC, SPATIO_SEMANTIC, "second-order", "mean-pooled")
"""The kinds of measures of a report: both kinds of RSM, and two controls that cost next to nothing."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of `report`, which documents them."""

    kernel: str = "cosine"
    method: AnyMethod = "cka-debiased"
    permutations: int = 200
    alpha: float = 0.05
    resamples: int = 200
    confidence: float = 0.95
    groups: Any = None
    k: int = 1
    seed: int = 0
    center: Any = None
    normalize: Any = None
    matching: Any = None
    matching_options: Mapping[str, Any] | None = None
    engine: str = "auto"
    threads: int | None = None
    memory: int | str | None = None

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> ReportOptions:
        """Return the options among the arguments of a function, its ``locals()`` on entry."""
        return cls(**{field.name: arguments[field.name] for field in fields(cls) if field.name in arguments})

    def __post_init__(self) -> None:
        from simplugins.rsm.kernels import KERNELS

        if self.kernel not in KERNELS:
            raise ValueError(f"kernel: expected one of {', '.join(map(repr, KERNELS))}, got {self.kernel!r}")
        check_calibration(self.permutations, self.alpha)
        check_count("resamples", self.resamples)
        check_count("k", self.k)
        check_between("confidence", self.confidence, 0, 1)
        check_seed(self.seed)
        for kind in KINDS:
            self.rsm_options(kind).resolved()
        self.resolved_method()

    def resolved_method(self) -> ComparisonMethod:
        """Return the comparison method; its values are calibrated, so it does not warn of chance."""
        return without_chance_warning(resolve_method(self.method, None))

    def measure(self, kind: str) -> str:
        """Return the name of the measure of a kind."""
        return f"{kind}-{self.kernel}"

    def rsm_options(self, kind: str) -> RsmOptions:
        """Return the options of the RSMs of a kind; the matching is for semantic ones only."""
        matching = {"matching": self.matching, "matching_options": self.matching_options} if kind == SEMANTIC else {}
        return RsmOptions(
            measure=self.measure(kind),
            center=self.center,
            normalize=self.normalize if kind in (SEMANTIC, SPATIO_SEMANTIC) else _of_vectors(self.normalize),
            engine=self.engine,
            threads=self.threads,
            memory=self.memory,
            **matching,
        )

    def inference(self) -> dict[str, Any]:
        """Return the options of tables: calibration by the maximum, intervals, groups and seed."""
        return {
            "calibrate": "max",
            "permutations": self.permutations,
            "alpha": self.alpha,
            "intervals": True,
            "resamples": self.resamples,
            "confidence": self.confidence,
            "groups": self.groups,
            "seed": self.seed,
        }

    def deciding(self) -> dict[str, Any]:
        """Return the options that decide the numbers, by name."""
        spent = ("engine", "threads", "memory")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in spent}


def _of_vectors(normalize: Any) -> Any:
    names: Sequence[str] = [normalize] if isinstance(normalize, str) else list(normalize or ())
    return [name for name in names if name == "position"] or None
