# SPDX-License-Identifier: Apache-2.0
"""Roofline of the device, from a copy and large products, and the share of it that each case reaches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from on_gpu.context import Context
from on_gpu.inputs import Case
from on_gpu.throughput import AFFINITIES, MATCHING, PLAIN
from on_gpu.tiles import FLOAT
from on_gpu.timing import take_turns, timed
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.engines.cuda.operands import operand
from simplugins.compute.engines.cuda.programs import program_for


def bandwidth(context: Context) -> dict[str, float]:
    """Measure the bandwidth of a copy on the device, counting bytes read and bytes written."""
    gpu, size = context.gpu, context.plan.copy_bytes
    with gpu.device as device:
        source, target = (device.empty((size // FLOAT.itemsize,), FLOAT) for _ in range(2))
        copy = timed(gpu, partial(target.__setitem__, slice(None), source))
        seconds = median(take_turns({"copy": copy}, context.budget)["copy"])
    return {"bytes_a_second": 2 * size / seconds}


def product(context: Context, precision: Precision) -> dict[str, float]:
    """Measure the rate of a large product, with two operations per term at every precision."""
    gpu, size, rng = context.gpu, context.plan.product_size, np.random.default_rng(0)
    with gpu.device as device:
        rows, columns = (device.upload(rng.standard_normal((size, size), np.float32)) for _ in range(2))
        operands = operand(rows, precision, columns=False), operand(columns, precision, columns=True)
        multiply = timed(gpu, partial(device.multiply, *operands, device.empty((size, size), FLOAT), precision))
        seconds = median(take_turns({"product": multiply}, context.budget)["product"])
    return {"operations_a_second": 2 * size**3 / seconds}


def bounds(context: Context) -> dict[str, Any]:
    """Return the minimum seconds per pair that the device allows, and the share reached, as far as measured."""
    return {case.name: dict(_bounds_of(context, case)) for case in context.plan.throughput}


def _bounds_of(context: Context, case: Case) -> Iterator[tuple[str, dict[str, float]]]:
    copy = context.result("bandwidth")
    if copy is None:
        return
    for precision in context.plan.precisions:
        large, measured = context.result("product", None, precision), context.result("throughput", case, precision)
        if large and measured:
            least_seconds = _bound_affinities(case, large["operations_a_second"], copy["bytes_a_second"])
            least = max(least_seconds.values())
            yield precision, {**least_seconds, "reached": least / measured["seconds_a_pair"][AFFINITIES]}
    measured, row_visits = context.result("throughput", case, PLAIN), context.plan.row_visits.get(case.positions)
    if measured and row_visits:
        size = _matching_bytes(case, row_visits)
        reading = size / copy["bytes_a_second"]
        reached = reading / measured["seconds_a_pair"][MATCHING]
        yield MATCHING, {"row_visits": row_visits, "bytes": size, "reading": reading, "reached": reached}


def _bound_affinities(case: Case, operations_a_second: float, bytes_a_second: float) -> dict[str, float]:
    """Return the time to compute and to write affinities; reading vectors is negligible, since tiles are large."""
    entries = case.positions**2
    computing = 2 * entries * case.channels / operations_a_second
    return {"computing": computing, "writing": entries * FLOAT.itemsize / bytes_a_second}


def _matching_bytes(case: Case, row_visits: int) -> int:
    """Return the bytes read: all once if the CUDA kernel stages them in shared memory, otherwise a row per visit."""
    staged = program_for("assignment", case.positions, FLOAT, FLOAT).staged
    return (case.positions if staged else row_visits) * case.positions * FLOAT.itemsize
