# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of optimal matching on a GPU and of the CPU engine on the same inputs; skipped without a GPU.

Results are checked before they are timed; times are not asserted. `gpu.py` measures more.
"""

from __future__ import annotations

from functools import cache, partial

import pytest
from machine import cpu_model
from on_gpu.checks import check_difference, check_gpu
from on_gpu.context import match_on_gpu
from on_gpu.device import Gpu, open_gpu
from on_gpu.inputs import NARROW, Case, count_pairs, load
from on_gpu.throughput import CPU_ENGINE, FROM_GPU, FROM_NUMPY, match_on_cpu
from on_gpu.timing import SkippedError
from pytest_benchmark.fixture import BenchmarkFixture

from simplugins._common.threads import usable_cores
from simplugins.activations.activations import Activations
from simplugins.compute.job import TileResult

ROUNDS = 3


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    """Open the GPU."""
    try:
        check_gpu()
    except SkippedError as reason:
        pytest.skip(str(reason))
    return open_gpu(emulated=False)


@cache
def expected(case: Case) -> TileResult:
    """Return the reference result."""
    return match_on_cpu(load(case))


@pytest.mark.parametrize("name", [CPU_ENGINE, FROM_NUMPY, FROM_GPU])
@pytest.mark.parametrize("case", NARROW, ids=lambda case: case.name)
def test_optimal_matching(benchmark: BenchmarkFixture, gpu: Gpu, case: Case, name: str) -> None:
    """Check all pairs of a case, which also warms up, then time them."""
    vectors = load(case)
    with gpu.device as device:
        compute = {
            CPU_ENGINE: partial(match_on_cpu, vectors),
            FROM_NUMPY: partial(match_on_gpu, gpu, vectors),
            FROM_GPU: partial(match_on_gpu, gpu, device.upload(vectors)),
        }[name]
        products = compute()
        allowed = products.rounding + expected(case).rounding
        check_difference(products, expected(case), Activations.from_array(vectors), allowed)
        benchmark.group = case.name
        benchmark.extra_info.update(
            pairs=count_pairs(case.inputs), device=gpu.device.name, cpu=cpu_model(), cores=usable_cores()
        )
        benchmark.pedantic(compute, rounds=ROUNDS)
