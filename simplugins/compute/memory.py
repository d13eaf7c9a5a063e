# SPDX-License-Identifier: Apache-2.0
"""What a run takes of this process's memory, and how it keeps to a limit."""

from __future__ import annotations

import os
import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.activations.blocks import CHUNK_BYTES
from simplugins.compute.engines.cpu import TILE_BYTES
from simplugins.matching.matcher import Matcher

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

_ALLOCATOR = 1.25
"""Memory that the allocator holds, in times what is in use."""

_CHUNKS = 4
"""How many chunks of a file are in memory, encoded or decoded, while a part that lies in two of them is read."""

_COSTS = 16
"""Bytes that a matcher holds for each affinity of a pair, at most."""

_RESULTS = 4
"""Matrices of a tile's size that there are at once, while it is completed and written."""


def parse_memory(memory: str | int) -> int:
    """Return how many bytes are meant.

    Parameters
    ----------
    memory : int or str
        Bytes, or a number and a unit: kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024).

    Raises
    ------
    ValueError
        If that is no amount above 0.

    Examples
    --------
    >>> parse_memory("2GB"), parse_memory("1.5 GiB"), parse_memory(1024)
    (2000000000, 1610612736, 1024)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(memory), re.IGNORECASE)
    amount = 0.0 if found is None else float(found[1]) * (_BINARY_UNITS if found[3] else _UNITS)[found[2].lower()]
    if isinstance(memory, bool) or amount < 1:
        raise ValueError(f"memory: expected an amount such as '2GB' or '512MiB', or a number of bytes, got {memory!r}")
    return int(amount)


def resident() -> int:
    """Return how much memory the process takes at present, in bytes."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


@dataclass(frozen=True)
class Needs:
    """What one run takes, in bytes.

    Attributes
    ----------
    block : int
        A block of converted inputs.
    reading : int
        What reading a block takes beside it.
    thread : int
        What a thread takes: affinities, and the matcher's costs.
    results : int
        What the results of a tile take.
    copies : int
        How many more blocks the engine makes, of inputs in another order or scaled.
    """

    block: int
    reading: int
    thread: int
    results: int
    copies: int

    @staticmethod
    def of(x: Activations, y: Activations, matcher: Matcher, size: int, *, certify: bool = False) -> Needs:
        """Return what tiles of `size` inputs take."""
        itemsize = int(np.result_type(x.dtype, y.dtype).itemsize)
        pair = 0 if matcher.positionwise and not certify else int(x.positions.max()) * int(y.positions.max())
        changed = matcher.by_norm or x.exponents.any() or y.exponents.any() or x.dtype != y.dtype
        return Needs(
            block=size * max(x.input_bytes, y.input_bytes),
            reading=3 * max(CHUNK_BYTES, x.input_bytes, y.input_bytes) + _CHUNKS * max(x.chunk_bytes, y.chunk_bytes),
            thread=max(TILE_BYTES, pair * itemsize) + _COSTS * pair,
            results=_RESULTS * 8 * min(size, len(x)) * min(size, len(y)),
            copies=2 if changed else 0,
        )

    def beside_blocks(self, threads: int) -> int:
        """Return all but the blocks that are kept."""
        return int(_ALLOCATOR * (self.reading + threads * self.thread + self.results + self.copies * self.block))


@dataclass(frozen=True)
class Budget:
    """How a run keeps to a limit.

    Attributes
    ----------
    blocks : int
        How many blocks of inputs it keeps, at least 2.
    threads : int
    """

    blocks: int
    threads: int


def plan(needs: Needs, room: int, threads: int) -> Budget | None:
    """Return how many blocks and threads there is room for, threads first; None if there is none for 2 and 1."""
    for fewer in range(threads, 0, -1):
        blocks = int((room - needs.beside_blocks(fewer)) / (_ALLOCATOR * max(1, needs.block)))
        if blocks >= 2:
            return Budget(blocks, fewer)
    return None


def least(needs: Needs, *, blocks: int = 2) -> int:
    """Return the room that a run with one thread and so many blocks needs."""
    return needs.beside_blocks(1) + int(_ALLOCATOR * blocks * needs.block) + 1
