# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of exact search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from simplugins.compute.engines.cuda.pair_programs import PairProgram

_THREADS = 64
_FUNCTIONS = ("summarise", "mark_reachable", "mark_promising", "drop_problems", "score_pairs", "merge_best")


@dataclass(frozen=True)
class NearestProgram(PairProgram):
    """The CUDA kernels of exact search, for affinities of one type.

    Attributes
    ----------
    real : {"float", "double"}
    """

    file: str = "nearest.cu"
    functions: tuple[str, ...] = _FUNCTIONS
    threads: int = _THREADS
    real: str = "float"

    @cached_property
    def source(self) -> str:
        """The complete source."""
        return f"#define REAL {self.real}\n{super().source}"
