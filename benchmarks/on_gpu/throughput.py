# SPDX-License-Identifier: Apache-2.0
"""Steps that time optimal matching."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

from runs import ratio

from on_gpu.context import Context, match_on_gpu
from on_gpu.inputs import Case, Vectors, count_pairs, load
from on_gpu.tiles import Tiles
from on_gpu.timing import SkippedError, Timed, take_turns, timed
from simplugins import Activations, Optimal
from simplugins.compute.engines import cpu
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.engines.cuda.tile_run import TileRun
from simplugins.compute.job import TileResult

FROM_NUMPY, FROM_GPU, CPU_ENGINE = "from NumPy", "from the GPU", "CPU engine"
TWO_LANES = "from the GPU, tiles in two lanes"
READING, AFFINITIES, MATCHING = "checks and norms alone", "affinities alone", "matching alone"
PLAIN = "float32"
"""The precision for which every step is timed; for the others, only the steps that depend on the precision are."""

SHARE = 0.4
"""Maximum share of the remaining time for a run of many inputs, as estimated from its throughput."""


def match_on_cpu(vectors: Vectors) -> TileResult:
    """Match all pairs optimally on the CPU, on all cores."""
    return cpu.aligned_products(Activations.from_array(vectors), None, Optimal())


def throughput(context: Context, case: Case, precision: Precision) -> dict[str, Any]:
    """Time all pairs of a case: the whole in turns with the CPU engine, then its parts."""
    vectors = load(case)
    with context.gpu.device:
        turns = take_turns(_whole(context, case, vectors, precision), context.budget)
        turns |= take_turns(_parts(context, vectors, precision), context.budget)
    pairs = dict.fromkeys(turns, count_pairs(case.inputs))
    if CPU_ENGINE in turns:
        pairs[CPU_ENGINE] = count_pairs(case.cpu_inputs)
    return {
        "inputs": case.inputs,
        "pairs": pairs,
        "rounds": {name: len(seconds) for name, seconds in turns.items()},
        "seconds_a_pair": {name: median(seconds) / pairs[name] for name, seconds in turns.items()},
        **(_compare_engines(turns, pairs) if precision == PLAIN else {}),
    }


def _whole(context: Context, case: Case, vectors: Vectors, precision: Precision) -> dict[str, Timed]:
    gpu = context.gpu
    uploaded = gpu.device.upload(vectors)
    match = partial(match_on_gpu, gpu, uploaded, precision)
    from_gpu = {FROM_GPU: timed(gpu, match), TWO_LANES: timed(gpu, partial(_in_two_lanes, match))}
    if precision != PLAIN:
        return from_gpu
    from_numpy = {FROM_NUMPY: timed(gpu, partial(match_on_gpu, gpu, vectors))}
    return from_numpy | from_gpu | {CPU_ENGINE: timed(gpu, partial(match_on_cpu, vectors[: case.cpu_inputs]))}


def _in_two_lanes(match: Callable[[], TileResult]) -> None:
    """Match while tiles take turns on two streams."""
    with mock.patch.object(TileRun, "in_lanes", True):
        match()


def _parts(context: Context, vectors: Vectors, precision: Precision) -> dict[str, Timed]:
    gpu = context.gpu
    tiles = Tiles(gpu, vectors)
    affinities = {AFFINITIES: timed(gpu, partial(tiles.multiply_all, precision))}
    if precision != PLAIN:
        return affinities
    return {READING: timed(gpu, partial(Activations.from_array, vectors)), **affinities, MATCHING: tiles.match_all}


def _compare_engines(turns: Mapping[str, list[float]], pairs: Mapping[str, int]) -> dict[str, Any]:
    gpu, cpu_engine = ([seconds / pairs[name] for seconds in turns[name]] for name in (FROM_NUMPY, CPU_ENGINE))
    return {"times_as_fast_as_cpu": ratio(cpu_engine, gpu)}


def long_run(context: Context) -> dict[str, Any]:
    """Time a run of many inputs."""
    return _run(context, context.plan.long_run)


def large_run(context: Context) -> dict[str, Any]:
    """Time a run of very many inputs in limited device memory."""
    limit = context.plan.memory_limit
    with context.gpu.device, context.gpu.limited_memory(limit) as peak:
        result = _run(context, context.plan.large_run)
    return {**result, "memory_limit": limit, "peak": peak.bytes}


def _run(context: Context, requested: Case | None) -> dict[str, Any]:
    assert requested is not None  # else the run has no such step
    case = _fitting(context, requested)
    vectors, gpu = load(case), context.gpu
    seconds = timed(gpu, partial(match_on_gpu, gpu, vectors))()
    counts = {"inputs": case.inputs, "inputs_wanted": requested.inputs, "pairs": count_pairs(case.inputs)}
    return {"case": case.name, **counts, "seconds": seconds}


def _fitting(context: Context, case: Case) -> Case:
    """Return a case with as many of its inputs as time permits."""
    measured = context.result("throughput", case, PLAIN)
    if measured is None:
        raise SkippedError(f"the throughput at {case.name}, needed to estimate the time, is unknown")
    most = math.isqrt(int(2 * SHARE * context.budget.left() / measured["seconds_a_pair"][FROM_NUMPY]))
    return replace(case, inputs=min(case.inputs, max(2, most)))
