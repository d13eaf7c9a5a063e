# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of exact semantic RSMs on real activations, against the competitors in `peers`.

Machines are noisy, so competitors take turns: all of them run within seconds of each other, several times over, and
`report` compares those of one turn. Nothing is asserted of time, but every result is checked before it is timed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from machine import cores, cpu_model, versions
from peers import COMPETITORS, Activations, Competitor, Products
from pytest_benchmark.fixture import BenchmarkFixture

import simplugins
from simplugins.data import load_photos

BLOCK4 = Path(__file__).resolve().parent.parent / "tests" / "data" / "efficientnet_lite0_block4.npz"
SIZES = {"S=49": ("block15", 1), "S=49, more inputs": ("block15", 4), "S=196": ("block10", 1), "S=784": ("block4", 1)}
"""The layer, and how often its crops are used: copies after the first with noise, a tenth of a channel's deviation."""

TURNS = 5
TURN_SECONDS = 0.5
"""A turn repeats a call for so long, but `ROUNDS` times at least and at most."""
ROUNDS = 3, 50

RTOL = 1e-5
"""Float32 rounds each of up to 320 products by at most 2**-24 of it, and errors of either sign mostly cancel: about
sqrt(320) * 2**-24 = 1e-6 of the sum of magnitudes, which is a few times the sum. A wrong assignment is off by more."""

FIRST_CALL = "first call"
CACHES = ("empty", "filled")
FIRST_CALL_CODE = "import numpy, simplugins; simplugins.compute_rsms(numpy.eye(4, dtype=numpy.float32)[:, None])"
FIRST_CALL_ROUNDS = 3


@cache
def load(size: str) -> Activations:
    """Load the activations of a named size as (N, S, C)."""
    layer, copies = SIZES[size]
    if layer == "block4":
        with np.load(BLOCK4, allow_pickle=False) as archive:
            maps = archive[layer]
    else:
        maps = load_photos()[layer]
    vectors = maps.reshape(*maps.shape[:2], -1).swapaxes(1, 2)
    once = np.ascontiguousarray(vectors, dtype=np.float32)
    rng, deviation = np.random.default_rng(0), once.std((0, 1), dtype=np.float64)
    noisy = [(once + 0.1 * deviation * rng.normal(size=once.shape)).astype(np.float32) for _ in range(copies - 1)]
    return np.concatenate([once, *noisy])


@cache
def expected(size: str, competitor: Competitor) -> Products:
    """Return what a competitor must return."""
    return competitor.reference(load(size))


@pytest.fixture(scope="module")
def compiled() -> None:
    """Have simplugins compiled, so that no timed call does."""
    simplugins.compute_rsms(np.zeros((2, 1, 1), np.float32))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", COMPETITORS)  # varies fastest: competitors of a size and turn run in succession
@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("size", SIZES)
def test_exact_rsm(benchmark: BenchmarkFixture, threads: int, size: str, turn: int, name: str) -> None:
    """Check a competitor, which also warms it up, then time it."""
    activations, competitor = load(size), COMPETITORS[name]
    reference = expected(size, competitor)
    start = perf_counter()
    found = competitor.compute(activations, threads)
    seconds = perf_counter() - start
    check(found, reference)
    benchmark.group = size
    benchmark.extra_info.update(describe(activations, threads), turn=turn, competitor=name)
    rounds = int(np.clip(TURN_SECONDS / seconds, *ROUNDS))
    benchmark.pedantic(competitor.compute, args=(activations, threads), rounds=rounds)


def check(found: Products, reference: Products) -> None:
    """Compare two results above the diagonal."""
    above = np.triu_indices(len(reference), 1)
    typical = float(np.median(np.abs(reference[above])))
    np.testing.assert_allclose(found[above], reference[above], rtol=RTOL, atol=RTOL * typical)


def describe(activations: Activations, threads: int) -> dict[str, Any]:
    """Return what a row of the report says of its problem, beside what all rows say."""
    count, positions, channels = activations.shape
    problem = {"pairs": count * (count - 1) // 2, "positions": positions, "channels": channels}
    return {**problem, **surroundings(threads)}


def surroundings(threads: int) -> dict[str, Any]:
    """Return what is the same for all rows of a run."""
    return {"threads": threads, "cpu": cpu_model(), "cores": cores(), "versions": versions()}


@pytest.mark.parametrize("state", CACHES)
def test_first_call(
    benchmark: BenchmarkFixture, threads: int, tmp_path_factory: pytest.TempPathFactory, state: str
) -> None:
    """Time a fresh process that imports simplugins and calls it once, with and without compiled kernels on disk."""
    folder = tmp_path_factory.mktemp(state)
    if state == "filled":
        call_in_fresh_process(folder)

    def arguments() -> tuple[tuple[Path], dict[str, Any]]:
        return (folder if state == "filled" else tmp_path_factory.mktemp(state),), {}

    benchmark.group = FIRST_CALL
    benchmark.extra_info.update(surroundings(threads), cache=state)
    kernels = compiled_kernels(folder)
    benchmark.pedantic(call_in_fresh_process, setup=arguments, rounds=FIRST_CALL_ROUNDS)
    assert compiled_kernels(folder) == kernels  # nothing was compiled there while it was timed
    assert bool(kernels) == (state == "filled")


def compiled_kernels(numba_cache: Path) -> set[Path]:
    """List the files of machine code that Numba keeps in a folder."""
    return set(numba_cache.rglob("*.nbc"))


def call_in_fresh_process(numba_cache: Path) -> None:
    """Compute an RSM in a new interpreter that keeps its compiled kernels in the given folder."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(numba_cache)}
    subprocess.run([sys.executable, "-c", FIRST_CALL_CODE], check=True, env=environment)
