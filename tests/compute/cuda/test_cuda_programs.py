# SPDX-License-Identifier: Apache-2.0
"""Every kernel compiles for the GPUs that there are, without spilling registers."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from nvrtc import PACKAGES, compile_kernel

from simplugins.compute.engines.cuda.programs import LARGEST, program_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the compiler's wheels are for Linux")

FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
ARCHITECTURES = ["sm_75", "sm_80", "sm_90"]
SIZES = [49, 80, 196, 256, 512, 784, 3136, LARGEST]
REGISTERS = 65536
"""Of a multiprocessor, on all of these architectures."""


def programs(sizes):
    kinds = [("assignment", FLOAT, FLOAT), ("assignment", FLOAT, DOUBLE), ("assignment", DOUBLE, DOUBLE)]
    kinds += [("greedy", FLOAT, FLOAT), ("greedy", DOUBLE, DOUBLE)]
    return [program_for(kernel, size, *types) for size in sizes for kernel, *types in kinds]


@pytest.mark.parametrize(
    ("cuda", "architectures", "sizes"),
    [("CUDA 12", ARCHITECTURES, SIZES), ("CUDA 13", ["sm_90"], [49, 196, 784, LARGEST])],
    ids=list(PACKAGES),
)
def test_every_kernel_compiles_without_spills_or_warnings(cuda, architectures, sizes):
    jobs = list(product(dict.fromkeys(programs(sizes)), architectures))
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(lambda job: compile_kernel(job[0].source, job[1], cuda), jobs)
    for (program, architecture), found in zip(jobs, compiled, strict=True):
        where = f"{program} for {architecture}: {found}"
        assert found.spilled_bytes == 0, where
        assert found.registers <= 128, where
        assert found.registers * program.threads <= REGISTERS, where
        # Turing has room for 16 blocks of a multiprocessor only, and the compiler says so.
        assert architecture == "sm_75" or not found.warnings, where


def test_enough_small_problems_are_resident_to_hide_latency():
    """The registers leave room for at least 28 warps where rows are read from global memory."""
    for size in (80, 200, 256):
        found = compile_kernel(program_for("assignment", size, FLOAT, FLOAT).source, "sm_90", "CUDA 12")
        assert REGISTERS // (32 * found.registers) >= 28


def test_shared_memory_fits():
    """What the smallest of the architectures can give a block, once it is asked for: 64 KiB; 99 KiB from Ampere on."""
    for largest in range(1, 3137):
        assert program_for("assignment", largest, FLOAT, FLOAT).shared_bytes(largest) <= 64 * 1024
    for types in ((FLOAT, FLOAT), (DOUBLE, DOUBLE)):
        assert program_for("greedy", LARGEST, *types).shared_bytes(LARGEST) <= 99 * 1024


def test_larger_sets_are_refused():
    with pytest.raises(ValueError, match=f"at most {LARGEST} positions, got {LARGEST + 8}: use engine='cpu'"):
        program_for("assignment", LARGEST + 8, FLOAT, FLOAT)
