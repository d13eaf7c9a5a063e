# SPDX-License-Identifier: Apache-2.0
"""Source code of the CUDA kernels, specialised for problems of a given size and type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np

LARGEST = 7168
"""The largest number of positions per input that the CUDA kernels support."""

_SLOTS = 8
_SLOTS_OF_MANY_WARPS = 7
_MAX_WARPS = 16
_STAGED_BYTES = 24 * 1024
"""Affinities of a problem are copied to shared memory up to this size. If they are larger, too few problems fit a
multiprocessor at once to hide latency, and reading rows from global memory is faster."""

_SHORT_ARRAYS = 3
"""Number of shared arrays with a 16-bit number per position in each CUDA kernel, in addition to one array of reals."""

_LIST_BYTES = 20
"""Shared memory of a row's list; see listed_auctions.cu."""

_LONGEST_LISTED = 1536
"""The largest number of positions with lists: beyond, registers would spill. A single warp reads rows as fast."""

_SMALL = 64
"""The largest number of positions per input for which there is an assignment kernel of its own, in float32."""

_SMALL_BYTES = 712
"""Shared memory per block of small_assignment.cu, in addition to affinities."""

_FUNCTIONS = {"assignment": "assign", "small_assignment": "assign", "greedy": "match_greedily"}
_PARTS = {"assignment": ("auctions.cu",)}
_C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


@dataclass(frozen=True)
class Program:
    """Source code of a CUDA kernel with its compile-time parameters.

    Attributes
    ----------
    kernel : {"assignment", "small_assignment", "greedy"}
    warps : int
        Warps per block; a block works on one problem.
    slots : int
        Columns per thread, in CUDA kernels whose threads keep the state of their columns in registers.
    staged : bool
        Whether affinities are copied to shared memory.
    affinity, real : dtype
        float32 or float64: the type of the affinities, and the type of computations.
    """

    kernel: str
    warps: int
    slots: int
    staged: bool
    affinity: np.dtype[np.floating]
    real: np.dtype[np.floating]

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions to launch."""
        return (_FUNCTIONS[self.kernel],)

    @property
    def threads(self) -> int:
        """Threads per block."""
        return 32 * self.warps

    @property
    def resident(self) -> int:
        """Number of blocks that must fit a multiprocessor, which limits registers: hides latency without spilling."""
        if self.staged or self.real == np.float64:
            warps = 16
        else:
            warps = 28 if self.slots == _SLOTS else 32 if self.warps in (1, 2, 4, 8) else 24
        return warps // self.warps if self.warps <= 8 else 1

    @property
    def listed(self) -> bool:
        """Whether shared memory has a list of the best columns of each row."""
        of_use = self.warps > 1 and self.threads * self.slots <= _LONGEST_LISTED
        return self.kernel == "assignment" and of_use and self.real == np.float32

    @cached_property
    def source(self) -> str:
        """The complete source: definitions, shared block operations, and the CUDA kernel."""
        definitions = {
            "AFFINITY": _C_TYPES[self.affinity],
            "REAL": _C_TYPES[self.real],
            "WARPS": self.warps,
            "SLOTS": self.slots,
            "STAGED": int(self.staged),
            "RESIDENT": self.resident,
            "LISTED": int(self.listed),
        }
        lines = [f"#define {name} {value}\n" for name, value in definitions.items()]
        parts = *_PARTS.get(self.kernel, ()), *(("listed_auctions.cu",) if self.listed else ())
        for name in ("block.cu", *parts, f"{self.kernel}.cu"):
            lines += [f'#line 1 "{name}"\n', files(__package__).joinpath(name).read_text("utf-8")]
        return "".join(lines)

    def shared_bytes(self, largest: int) -> int:
        """Return the dynamic shared memory per block, for problems with up to `largest` rows or columns.

        It consists of an array of reals, `_SHORT_ARRAYS` arrays of 16-bit numbers, and the affinities if staged, in
        this order (see ``assign`` in assignment.cu and ``match_greedily`` in greedy.cu).
        """
        if self.kernel == "small_assignment":
            stride = 2 * (-(-largest // 2) | 1)
            return _SMALL_BYTES + largest * stride * self.real.itemsize
        per_position = self.real.itemsize + 2 * _SHORT_ARRAYS + (_LIST_BYTES if self.listed else 0)
        arrays = capacity_for(largest) * per_position
        return arrays + (largest**2 * self.real.itemsize if self.staged else 0)


STATIC_BYTES = 1024
"""Upper bound on the static shared memory of a block."""


def capacity_for(largest: int) -> int:
    """Return the length of arrays in shared memory: a multiple of 8, so that the next array is aligned."""
    return -(-largest // 8) * 8


@cache
def program_for(kernel: str, largest: int, affinity: np.dtype[np.floating], real: np.dtype[np.floating]) -> Program:
    """Return the program for problems with up to `largest` rows or columns.

    Raises
    ------
    ValueError
        If `largest` exceeds `LARGEST`.
    """
    if largest > LARGEST:
        raise ValueError(
            f"engine 'cuda' matches sets of at most {LARGEST} positions, got {largest}: use engine='cpu', or "
            f"matching='batch-optimal'"
        )
    if kernel == "assignment" and largest <= _SMALL and affinity == real == np.float32:
        return Program("small_assignment", 1, 2, True, np.dtype(affinity), np.dtype(real))
    warps = 1 if largest <= 32 * _SLOTS else min(_MAX_WARPS, -(-largest // (32 * _SLOTS_OF_MANY_WARPS)))
    warps = {3: 4, 7: 8}.get(warps, warps)
    staged = largest**2 * real.itemsize <= _STAGED_BYTES
    slots = -(-largest // (32 * warps)) if kernel == "assignment" else 1
    return Program(kernel, warps, slots, staged, np.dtype(affinity), np.dtype(real))
