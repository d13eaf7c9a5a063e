# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels compile for all supported GPUs without register spills."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from nvrtc import PACKAGES, compile_kernel

from simplugins.compute.engines.cuda.nearest_programs import NearestProgram
from simplugins.compute.engines.cuda.pair_programs import PAIRS, RESULTS
from simplugins.compute.engines.cuda.programs import LARGEST, program_for
from simplugins.compute.engines.cuda.reductions import reduction_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the compiler's wheels are for Linux")

FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"]
SIZES = [49, 80, 196, 256, 512, 784, 1369, 3136, LARGEST]
REGISTERS = 65536
"""Registers per multiprocessor on all of these architectures."""


def programs(sizes):
    kinds = [("assignment", FLOAT, FLOAT), ("assignment", FLOAT, DOUBLE), ("assignment", DOUBLE, DOUBLE)]
    kinds += [("greedy", FLOAT, FLOAT), ("greedy", DOUBLE, DOUBLE)]
    matching = [program_for(kernel, size, *types) for size in sizes for kernel, *types in kinds]
    matching += [PAIRS, RESULTS, NearestProgram(real="float"), NearestProgram(real="double")]
    return matching + [reduction_program(size, dtype) for size in sizes for dtype in (FLOAT, DOUBLE)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cuda", "architectures", "sizes"),
    [("CUDA 12", ARCHITECTURES, SIZES), ("CUDA 13", ["sm_90", "sm_120"], [49, 196, 784, LARGEST])],
    ids=list(PACKAGES),
)
def test_cuda_kernels_compile_without_spills_or_warnings(cuda, architectures, sizes):
    jobs = list(product(dict.fromkeys(programs(sizes)), architectures))
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(lambda job: compile_kernel(job[0].source, job[1], cuda), jobs)
    for (program, architecture), code in zip(jobs, compiled, strict=True):
        where = f"{program} for {architecture}: {code}"
        assert code.spilled_bytes == 0, where
        assert code.registers <= 128, where
        assert code.registers * program.threads <= REGISTERS, where
        assert not code.warnings, where


def test_enough_small_problems_are_resident_to_hide_latency():
    """If rows are read from global memory, registers leave room for at least 28 warps, in most cases for 32."""
    for size, warps in ((80, 32), (196, 32), (256, 28)):
        code = compile_kernel(program_for("assignment", size, FLOAT, FLOAT).source, "sm_90", "CUDA 12")
        assert REGISTERS // (32 * code.registers) >= warps


def test_shared_memory_fits():
    """The limit per block with opt-in is 64 KiB on Turing, and at least 99 KiB from Ampere on."""
    for largest in range(1, 3137):
        assert program_for("assignment", largest, FLOAT, FLOAT).shared_bytes(largest) <= 64 * 1024
    for types in ((FLOAT, FLOAT), (DOUBLE, DOUBLE)):
        assert program_for("greedy", LARGEST, *types).shared_bytes(LARGEST) <= 99 * 1024
        assert reduction_program(LARGEST, types[0]).shared_bytes(LARGEST) <= 99 * 1024


def test_larger_sets_are_rejected():
    with pytest.raises(ValueError, match=f"at most {LARGEST} positions, got {LARGEST + 8}: use engine='cpu'"):
        program_for("assignment", LARGEST + 8, FLOAT, FLOAT)
