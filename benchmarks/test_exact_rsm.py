# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of exact semantic RSMs on real activations, against the competitors in `competitors`.

Competitors take turns (see `turns`), and `report` compares times of the same turn. No test asserts a time, but every
result is checked before it is timed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from competitors import COMPETITORS, RTOL, Activations, Competitor, Products
from inputs import describe, load_layer, with_copies
from machine import environment
from pytest_benchmark.fixture import BenchmarkFixture
from turns import TURNS, first_call

import simplugins

SIZES = {"S=49": ("block15", 1), "S=49, more inputs": ("block15", 4), "S=196": ("block10", 1), "S=784": ("block4", 1)}
"""Layer and number of copies of its crops; added copies have noise of a tenth of each channel's deviation."""

FIRST_CALL = "first call"
CACHES = ("empty", "filled")
FIRST_CALL_CODE = "import numpy, simplugins; simplugins.compute_rsms(numpy.eye(4, dtype=numpy.float32)[:, None])"
FIRST_CALL_ROUNDS = 3


@cache
def load(size: str) -> Activations:
    """Load the activations of a named size as (N, S, C)."""
    layer, copies = SIZES[size]
    return with_copies(load_layer(layer), copies)


@cache
def expected(size: str, competitor: Competitor) -> Products:
    """Return the reference result for a competitor."""
    return competitor.reference(load(size))


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile simplugins before anything is timed."""
    simplugins.compute_rsms(np.zeros((2, 1, 1), np.float32))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", COMPETITORS)  # varies fastest, so competitors of a turn run in succession
@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("size", SIZES)
def test_exact_rsm(benchmark: BenchmarkFixture, threads: int, size: str, turn: int, name: str) -> None:
    """Check the result of a competitor, which also warms it up, then time it."""
    activations, competitor = load(size), COMPETITORS[name]
    reference = expected(size, competitor)
    products, rounds = first_call(competitor.compute, activations, threads)
    check(products, reference)
    benchmark.group = size
    benchmark.extra_info.update(describe(activations), **environment(threads), key=(size, name, turn))
    benchmark.pedantic(competitor.compute, args=(activations, threads), rounds=rounds)


def check(products: Products, reference: Products) -> None:
    """Compare two results above the diagonal."""
    above = np.triu_indices(len(reference), 1)
    typical = float(np.median(np.abs(reference[above])))
    np.testing.assert_allclose(products[above], reference[above], rtol=RTOL, atol=RTOL * typical)


@pytest.mark.parametrize("state", CACHES)
def test_first_call(
    benchmark: BenchmarkFixture, threads: int, tmp_path_factory: pytest.TempPathFactory, state: str
) -> None:
    """Time a fresh process that imports simplugins and calls it once, with and without machine code on disk."""
    folder = tmp_path_factory.mktemp(state)
    if state == "filled":
        call_in_fresh_process(folder)

    def arguments() -> tuple[tuple[Path], dict[str, Any]]:
        return (folder if state == "filled" else tmp_path_factory.mktemp(state),), {}

    benchmark.group = FIRST_CALL
    benchmark.extra_info.update(environment(threads), key=(FIRST_CALL, state))
    compiled = machine_code(folder)
    benchmark.pedantic(call_in_fresh_process, setup=arguments, rounds=FIRST_CALL_ROUNDS)
    assert machine_code(folder) == compiled  # nothing was compiled there while it was timed
    assert bool(compiled) == (state == "filled")


def machine_code(numba_cache: Path) -> set[Path]:
    """Return the files of machine code in a cache folder of Numba."""
    return set(numba_cache.rglob("*.nbc"))


def call_in_fresh_process(numba_cache: Path) -> None:
    """Compute an RSM in a new interpreter with the given cache folder of Numba."""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(numba_cache)}
    subprocess.run([sys.executable, "-c", FIRST_CALL_CODE], check=True, env=variables)
