# SPDX-License-Identifier: Apache-2.0
"""The memory model: estimates a job's needs in this process, and fits blocks and threads into a limit."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from simplugins.activations.blocks import CHUNK_BYTES
from simplugins.compute.job import Job

TILE_BYTES = 8 * 2**20
"""Size of the affinities that one thread of the CPU engine holds at a time, unless one pair needs more."""

CACHE_BYTES = 256 * 2**20
"""Size of the CPU engine's cache of converted inputs."""

SOLVER_BYTES = 16
"""Maximum working memory of a matcher per affinity."""

PROCESS_BYTES = 180 * 2**20
"""Memory of Python with NumPy, SciPy and the compiled solver, without activations."""

_MATRICES = {None: 3, "linear": 2, "cosine": 3, "rbf": 4}
"""Number of matrices of the size of the result that exist at once while each kernel is applied."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

_ALLOCATOR = 1.25
"""Ratio of the memory held by the allocator to the memory in use."""

_CHUNKS = 4
"""Number of chunks of a file in memory, encoded or decoded, while a part that spans two chunks is read."""

_TILE_MATRICES = 4
"""Number of matrices of the size of a tile that exist at once while a tile is completed and written."""


def parse_memory(memory: str | int) -> int:
    """Return a number of bytes, parsed from a string with a unit.

    Parameters
    ----------
    memory : int or str
        Bytes, or a number and a unit: kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024).

    Raises
    ------
    ValueError
        If it is not a positive amount.

    Examples
    --------
    >>> parse_memory("2GB"), parse_memory("1.5 GiB"), parse_memory(1024)
    (2000000000, 1610612736, 1024)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(memory), re.IGNORECASE)
    amount = 0.0 if match is None else float(match[1]) * (_BINARY_UNITS if match[3] else _UNITS)[match[2].lower()]
    if isinstance(memory, bool) or amount < 1:
        raise ValueError(f"memory: expected an amount such as '2GB' or '512MiB', or a number of bytes, got {memory!r}")
    return int(amount)


def resident() -> int:
    """Return the memory that this process occupies, in bytes.

    Raises
    ------
    ValueError
        If the platform does not report it.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:
        raise ValueError(
            "memory: this platform does not report the memory of a process, so no limit can be enforced"
        ) from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class Needs:
    """Memory needs of a job, in bytes.

    Attributes
    ----------
    block : int
        A block of converted inputs.
    reading : int
        Reading a block, in addition to the block.
    thread : int
        Affinities and the matcher's working memory, per thread.
    results : int
        The results of a tile.
    copies : int
        Number of further blocks that the engine creates, sorted or scaled.
    """

    block: int
    reading: int
    thread: int
    results: int
    copies: int

    @staticmethod
    def of(job: Job, size: int) -> Needs:
        """Return the needs of tiles of `size` inputs."""
        x, y = job.x, job.columns
        chunk = max(CHUNK_BYTES, x.input_bytes, y.input_bytes)
        copies = 6 if x.prepared or y.prepared else 3
        return Needs(
            block=size * max(x.input_bytes, y.input_bytes),
            reading=copies * chunk + _CHUNKS * max(x.chunk_bytes, y.chunk_bytes),
            thread=thread_bytes(job),
            results=_TILE_MATRICES * 8 * min(size, len(x)) * min(size, len(y)),
            copies=job.operation.copies(x, y),
        )

    def without_blocks(self, threads: int) -> int:
        """Return the total without cached blocks."""
        return int(_ALLOCATOR * (self.reading + threads * self.thread + self.results + self.copies * self.block))


def thread_bytes(job: Job) -> int:
    """Return the memory of one thread: a tile of affinities, and the matcher's working memory for one pair."""
    affinities, working = job.operation.pair_bytes(job.x, job.columns)
    return max(TILE_BYTES, affinities) + working


def result_bytes(rows: int, columns: int) -> int:
    """Return the bytes of an RSM."""
    return 8 * rows * columns


def kernel_bytes(rows: int, columns: int, kernel: str | None, *, certify: bool) -> int:
    """Return the bytes of all matrices that exist at once while a kernel is applied, including gaps."""
    return (_MATRICES[kernel] + certify) * result_bytes(rows, columns)


def peak_bytes(job: Job, rows: int, columns: int, kernel: str | None, *, threads: int) -> int:
    """Return the peak memory of a call on the CPU without a limit; the caller's activations do not count.

    Parameters
    ----------
    job : Job
        A job on a sample of the inputs.
    rows, columns : int
        Numbers of inputs in the whole call.
    kernel : str or None
    threads : int
    """
    converted = rows * job.x.input_bytes + (0 if job.y is None else columns * job.y.input_bytes)
    matrices = kernel_bytes(rows, columns, kernel, certify=job.operation.certify)
    return PROCESS_BYTES + min(CACHE_BYTES, converted) + threads * thread_bytes(job) + matrices


@dataclass(frozen=True)
class Budget:
    """Blocks and threads of a job within its memory limit.

    Attributes
    ----------
    blocks : int
        Blocks of inputs to keep in memory, at least 2.
    threads : int
    """

    blocks: int
    threads: int


def plan(needs: Needs, available: int, threads: int) -> Budget | None:
    """Return the numbers of blocks and threads that fit, giving priority to threads; None if 2 and 1 do not fit."""
    for count in range(threads, 0, -1):
        blocks = int((available - needs.without_blocks(count)) / (_ALLOCATOR * max(1, needs.block)))
        if blocks >= 2:
            return Budget(blocks, count)
    return None


def minimum_bytes(needs: Needs, *, blocks: int = 2) -> int:
    """Return the memory that a job needs with a single thread."""
    return needs.without_blocks(1) + int(_ALLOCATOR * blocks * needs.block) + 1
