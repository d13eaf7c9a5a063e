# SPDX-License-Identifier: Apache-2.0
"""The kernels' source, as it is compiled for problems of a given size and type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np

LARGEST = 7168
"""The most positions of an input that the kernels are made for."""

_SLOTS = 8
_MOST_WARPS = 16
_STAGED_BYTES = 24 * 1024
"""Affinities of a problem are copied to shared memory up to so many bytes. With more, too few problems fit a
multiprocessor at a time to hide each other's latency, and it is faster to read rows where they are."""

_SHORT_ARRAYS = 3
"""Arrays of 16-bit numbers, one for each position, that a kernel keeps in shared memory beside one of reals."""

_FUNCTIONS = {"assignment": "assign", "greedy": "take"}
_C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


@dataclass(frozen=True)
class Program:
    """A kernel's source with what it is compiled for.

    Attributes
    ----------
    kernel : {"assignment", "greedy"}
    warps : int
        Warps of a block, which works on one problem.
    slots : int
        Columns of each thread, where these keep what belongs to their columns.
    staged : bool
        Whether a problem's affinities are copied to shared memory.
    affinity, real : dtype
        float32 or float64: of the affinities, and of what is computed from them.
    """

    kernel: str
    warps: int
    slots: int
    staged: bool
    affinity: np.dtype[np.floating]
    real: np.dtype[np.floating]

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that can be launched."""
        return (_FUNCTIONS[self.kernel],)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * self.warps

    @property
    def resident(self) -> int:
        """Blocks that a multiprocessor should have room for: a bound on registers that hides latency without spills."""
        warps = 16 if self.staged or self.real == np.float64 else 28 if self.warps == 1 else 24
        return warps // self.warps if self.warps <= 8 else 1

    @cached_property
    def source(self) -> str:
        """The complete source: definitions, what blocks share, and the kernel."""
        definitions = {
            "AFFINITY": _C_TYPES[self.affinity],
            "REAL": _C_TYPES[self.real],
            "WARPS": self.warps,
            "SLOTS": self.slots,
            "STAGED": int(self.staged),
            "RESIDENT": self.resident,
        }
        lines = [f"#define {name} {value}\n" for name, value in definitions.items()]
        for name in ("block.cu", f"{self.kernel}.cu"):
            lines += [f'#line 1 "{name}"\n', files(__package__).joinpath(name).read_text("utf-8")]
        return "".join(lines)

    def shared_bytes(self, largest: int) -> int:
        """Return the dynamic shared memory of a block, for problems of up to so many rows or columns.

        The kernels lay it out: an array of reals, `_SHORT_ARRAYS` of 16-bit numbers, and the affinities if staged.
        """
        arrays = capacity_for(largest) * (self.real.itemsize + 2 * _SHORT_ARRAYS)
        return arrays + (largest**2 * self.real.itemsize if self.staged else 0)


STATIC_BYTES = 1024
"""More than the kernels' static shared memory."""


def capacity_for(largest: int) -> int:
    """Return the length of the kernels' arrays in shared memory: a multiple of 8, so that what follows is aligned."""
    return -(-largest // 8) * 8


@cache
def program_for(kernel: str, largest: int, affinity: np.dtype[np.floating], real: np.dtype[np.floating]) -> Program:
    """Return the program for problems of up to so many rows or columns.

    Raises
    ------
    ValueError
        If that is more than `LARGEST`.
    """
    if largest > LARGEST:
        raise ValueError(
            f"engine 'cuda' matches sets of at most {LARGEST} positions, got {largest}: use engine='cpu', or "
            f"matching='batch-optimal'"
        )
    warps = min(_MOST_WARPS, -(-largest // (32 * _SLOTS)))
    staged = largest**2 * real.itemsize <= _STAGED_BYTES
    slots = -(-largest // (32 * warps)) if kernel == "assignment" else 1
    return Program(kernel, warps, slots, staged, np.dtype(affinity), np.dtype(real))
