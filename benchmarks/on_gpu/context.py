# SPDX-License-Identifier: Apache-2.0
"""The context that all steps of a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from on_gpu.device import Gpu, open_gpu
from on_gpu.inputs import Case, Plan
from on_gpu.timing import Budget
from simplugins import Activations, Optimal
from simplugins.compute.engines.cuda import engine
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.job import TileResult


@dataclass(frozen=True)
class Step:
    """A step of a run: its kind, its case, and an option."""

    kind: str
    case: Case | None = None
    option: str = ""

    @property
    def name(self) -> str:
        """Its name in tables."""
        details = ", ".join(filter(None, [self.option, self.case.name if self.case else ""]))
        return f"{self.kind}: {details}" if details else self.kind


@dataclass(frozen=True)
class Context:
    """A run so far, with the results of previous steps by name."""

    plan: Plan
    emulated: bool
    budget: Budget
    results: dict[str, Any]

    @property
    def gpu(self) -> Gpu:
        """The GPU of this process."""
        return open_gpu(self.emulated)

    def result(self, kind: str, case: Case | None = None, option: str = "") -> Mapping[str, Any] | None:
        """Return the result of a previous step, or None if it has none."""
        return self.results.get(Step(kind, case, option).name)


def match_on_gpu(gpu: Gpu, vectors: Any, precision: Precision | None = None) -> TileResult:
    """Match all pairs optimally, from an array of activations to the matrix."""
    return engine.aligned_products(
        Activations.from_array(vectors), None, Optimal(), device=gpu.device, precision=precision
    )
