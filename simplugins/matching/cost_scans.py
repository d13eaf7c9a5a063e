# SPDX-License-Identifier: Apache-2.0
"""Scans that turn affinities into integer costs and describe them, as explicit vector code (see `vector_scans`).

Affinities are C-contiguous float32 or float64 matrices, costs int32 or int64 matrices whose rows are padded to a
multiple of `LANES` columns, and `start` is the place of a row's first affinity in the memory of its matrix. Sums are
float64: single precision would hide small differences between means, which matter if the range of affinities is wide.
Their order is fixed, so they are equal on all machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simplugins.matching.scalar_scans import LANES
from simplugins.matching.vector_code import Floats, Integers

WIDE = 2 * LANES

MOST_ADDED = 31
"""Number of costs whose sum always fits their type (see `integer_costs.HEADROOM_BITS`)."""


@intrinsic
def widen_extremes(typing_context, affinities, start, count, extremes):  # type: ignore[no-untyped-def]
    """Raise ``extremes[0]`` and lower ``extremes[1]`` (of `WIDE` places) to those of `count` affinities, by lane.

    There are twice as many lanes as in other scans, so that the processor works on two blocks at once; `count` is at
    least that number.
    """
    dtype = affinities.dtype
    signature = types.void(affinities, types.int64, types.int64, extremes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, dtype, dtype.bitwidth // 2)
        data = vectors.address(vectors.array(signature.args[0], arguments[0])[0], arguments[1])
        found, _ = vectors.array(signature.args[3], arguments[3])
        places = [ir.Constant(ir.IntType(64), place) for place in (0, WIDE)]

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            value = vectors.load(data, offset)
            return vectors.maximum(carried[0], value), vectors.minimum(carried[1], value)

        results = vectors.each_block(arguments[2], [vectors.load(found, place) for place in places], step)
        for result, place in zip(results, places, strict=True):
            vectors.store(result, found, place)
        return context.get_dummy_value()

    return signature, generate


def _converter(context: Any, builder: Any, dtype: types.Float, origin: Any, floor: Any, scale: Any) -> Any:
    """Return a function that converts a vector of affinities to costs."""
    vectors = Floats(context, builder, dtype)
    wide = ir.VectorType(ir.DoubleType(), vectors.lanes)
    whole = ir.VectorType(vectors.index, vectors.lanes)
    origins, floors, scales = (vectors.splat(value) for value in (origin, floor, scale))

    def convert(values: Any) -> Any:
        values = vectors.maximum(values, floors)
        values = values if values.type == wide else builder.fpext(values, wide)
        halves = builder.fptosi(builder.fmul(builder.fsub(origins, values), scales), whole)
        return builder.add(halves, halves)

    return convert


@intrinsic
def convert_row(typing_context, affinities, start, cols, origin, floor, scale, costs, row):  # type: ignore[no-untyped-def]
    """Write a row of affinities as costs, those below `floor` (of the type of affinities) as if they were equal to it.

    Reads affinities beyond the row, as many as there are padding columns, whose costs are zero.
    """
    dtype, float64 = affinities.dtype, types.float64
    signature = types.void(affinities, types.int64, types.int64, float64, dtype, float64, costs, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, dtype)
        integers = Integers(context, builder, costs.dtype)
        data = vectors.address(vectors.array(signature.args[0], arguments[0])[0], arguments[1])
        row_data, padded = integers.row(signature.args[6], arguments[6], arguments[7])
        convert = _converter(context, builder, dtype, *arguments[3:6])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            integers.store(convert(vectors.load(data, offset)), row_data, offset)
            return ()

        vectors.each_block(padded, (), step)
        for behind in range(LANES, 0, -vectors.lanes):
            place = builder.sub(padded, ir.Constant(ir.IntType(64), behind))
            columns = integers.resize(builder.sub(arguments[2], place), integers.index)  # of the block; may be negative
            within = integers.less(integers.numbers, integers.splat(columns))
            integers.store(builder.select(within, integers.load(row_data, place), integers.zero), row_data, place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def least_cost(typing_context, costs, row, cols):  # type: ignore[no-untyped-def]
    """Return the smallest cost of a row; `cols` is at least the number of lanes."""
    signature = costs.dtype(costs, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = Integers(context, builder, costs.dtype)
        row_data, _ = integers.row(signature.args[0], arguments[0], arguments[1])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            return (integers.minimum(carried[0], integers.load(row_data, offset)),)

        (by_lane,) = integers.each_block(arguments[2], [integers.closed], step)
        return integers.smallest_lane(by_lane)

    return signature, generate


@intrinsic
def add_costs(typing_context, costs, row, start, count, sums):  # type: ignore[no-untyped-def]
    """Add some costs of a row to `sums` (of the type of costs), and return their own sum.

    `count` is a multiple of the number of lanes, of at most `MOST_ADDED` times that.
    """
    signature = types.float64(costs, types.int64, types.int64, types.int64, sums)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals = Floats(context, builder, types.float64, costs.dtype.bitwidth)
        integers = Integers(context, builder, costs.dtype)
        row_data, _ = integers.row(signature.args[0], arguments[0], arguments[1])
        sum_data, _ = integers.array(signature.args[4], arguments[4])
        row_data, sum_data = (integers.address(data, arguments[2]) for data in (row_data, sum_data))

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            cost = integers.load(row_data, offset)
            integers.store(builder.add(integers.load(sum_data, offset), cost), sum_data, offset)
            return (builder.add(carried[0], cost),)

        (by_lane,) = integers.each_block(arguments[3], [integers.zero], step)
        return totals.sum_of_lanes(builder.sitofp(by_lane, totals.nothing.type))

    return signature, generate


@intrinsic
def convert_transposed(typing_context, affinities, start, origin, floor, scale, costs, row, column):  # type: ignore[no-untyped-def]
    """Write a square block of affinities, as wide as a vector, as costs with rows and columns exchanged.

    `start` is the place of the block's first affinity; its cost is that of the given row and column.
    """
    dtype, float64 = affinities.dtype, types.float64
    signature = types.void(affinities, types.int64, float64, dtype, float64, costs, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, dtype)
        integers = Integers(context, builder, costs.dtype)
        data, shape = vectors.array(signature.args[0], arguments[0])
        length = cgutils.unpack_tuple(builder, shape)[1]
        convert = _converter(context, builder, dtype, *arguments[2:5])
        places = [arguments[1]]
        for _ in range(1, vectors.lanes):
            places.append(builder.add(places[-1], length))
        block = integers.transpose([convert(vectors.load(data, place)) for place in places])
        row_data, padded = integers.row(signature.args[5], arguments[5], arguments[6])
        place = arguments[7]
        for values in block:
            integers.store(values, row_data, place)
            place = builder.add(place, padded)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def moments(typing_context, costs, row, cols, mean, deviations):  # type: ignore[no-untyped-def]
    """Return the sum of a row's costs times `deviations` (float64), and that of the squares of ``costs - mean``."""
    float64 = types.float64
    signature = types.UniTuple(float64, 2)(costs, types.int64, types.int64, float64, deviations)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, float64, costs.dtype.bitwidth)
        integers = Integers(context, builder, costs.dtype)
        row_data, padded = integers.row(signature.args[0], arguments[0], arguments[1])
        deviation_data, _ = vectors.array(signature.args[4], arguments[4])
        end, mean = integers.splat(integers.resize(arguments[2], integers.index)), vectors.splat(arguments[3])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            cost = builder.sitofp(integers.load(row_data, offset), vectors.nothing.type)
            product = builder.fmul(cost, vectors.load(deviation_data, offset))
            within = integers.less(builder.add(here, integers.numbers), end)
            difference = builder.select(within, builder.fsub(cost, mean), vectors.nothing)
            square = builder.fmul(difference, difference)
            return builder.fadd(carried[0], product), builder.fadd(carried[1], square)

        results = integers.each_block(padded, [vectors.nothing, vectors.nothing], step)
        return context.make_tuple(
            builder, signature.return_type, [vectors.sum_of_lanes(by_lane) for by_lane in results]
        )

    return signature, generate


@intrinsic
def count_above(typing_context, values, padded, value):  # type: ignore[no-untyped-def]
    """Return how many of the first values exceed a value; `padded` is a multiple of `LANES`."""
    signature = types.int64(values, types.int64, values.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, values.dtype)
        data, _ = vectors.array(signature.args[0], arguments[0])
        value = vectors.splat(arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            above = builder.fcmp_ordered(">", vectors.load(data, offset), value)
            return (builder.sub(carried[0], builder.sext(above, vectors.zero.type)),)

        (by_lane,) = vectors.each_block(arguments[1], [vectors.zero], step)
        return vectors.resize(vectors.sum_of_indices(by_lane), ir.IntType(64))

    return signature, generate
