# SPDX-License-Identifier: Apache-2.0
"""What all steps of a run are given, and what they do alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from on_gpu.device import Gpu, open_gpu
from on_gpu.inputs import Case, Plan
from on_gpu.timing import Budget
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import engine
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.engines.result import AlignedProducts
from simplugins.matching.optimal import Optimal


@dataclass(frozen=True)
class Step:
    """A step of a run: what it does, at which size, and with what."""

    kind: str
    case: Case | None = None
    option: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        details = ", ".join(filter(None, [self.option, self.case.name if self.case else ""]))
        return f"{self.kind}: {details}" if details else self.kind


@dataclass(frozen=True)
class Context:
    """A run so far; `results` are of the steps before, by name."""

    plan: Plan
    emulated: bool
    budget: Budget
    results: dict[str, Any]

    @property
    def gpu(self) -> Gpu:
        """The GPU of this process."""
        return open_gpu(self.emulated)

    def found(self, kind: str, case: Case | None = None, option: str = "") -> Mapping[str, Any] | None:
        """Return what a step before found, if it did."""
        return self.results.get(Step(kind, case, option).name)


def match_on_gpu(gpu: Gpu, vectors: Any, precision: Precision = "float32") -> AlignedProducts:
    """Match all pairs exactly, from an array of activations to the matrix."""
    return engine.aligned_products(
        Activations.from_array(vectors), None, Optimal(), device=gpu.device, precision=precision
    )
