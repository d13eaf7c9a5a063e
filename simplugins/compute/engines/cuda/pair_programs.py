# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels with one thread per pair of inputs: problems, results, similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from simplugins.compute.engines.cuda.device import Device

NULL = np.uintp(0)
_THREADS = 256


@dataclass(frozen=True)
class PairProgram:
    """A file of CUDA kernels with one thread per pair.

    Attributes
    ----------
    file : str
    functions : tuple of str
    """

    file: str
    functions: tuple[str, ...]
    threads: int = _THREADS

    @cached_property
    def source(self) -> str:
        """The complete source."""
        code = files(__package__).joinpath(self.file).read_text("utf-8")
        return f'#define THREADS {self.threads}\n#line 1 "{self.file}"\n{code}'


PAIRS = PairProgram(
    "pairs.cu",
    (
        *("make_problems", "add_results", "choose_problems", "make_partial_problems", "remove_dummies"),
        *("scale_pairs_float32", "scale_pairs_float64", "write_maxima"),
    ),
)
RESULTS = PairProgram(
    "results.cu", ("clear_block", "add_block", "complete", "cosines", "rbf", "count_digits", "select_digit")
)


def launch(
    device: Device, function: str, count: int, arguments: Sequence[Any], *, most_blocks: int = 2**31 - 1
) -> None:
    """Start a CUDA kernel with at least `count` threads, unless that takes more than `most_blocks` blocks."""
    program = PAIRS if function in PAIRS.functions else RESULTS
    blocks = min(most_blocks, max(1, -(-count // program.threads)))
    device.launch(program, function, blocks, program.threads, arguments, shared=0)
