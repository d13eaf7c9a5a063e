# SPDX-License-Identifier: Apache-2.0
"""Argmin scans of rows, the inner loops of assignment, as explicit vector code.

Assignment spends its time searching rows for a best entry and its position. LLVM vectorises loops that find one of the
two, but not both, so these scans are built from LLVM vectors. They keep all state in registers, and read each row once.

Measured speed-up: with `scalar_scans` in their place, `Optimal.match_batch` on `simplugins.data.load_photos()` takes
7.9 times as long at 196 positions (block10, all pairs of 14 inputs) and 5.0 times at 49 (block15) in float32, 5.2 and
2.1 times in float64. `Auction` takes 10.8 and 5.4 times as long, `Greedy` 3.7 and 1.1. (One core of an AMD EPYC with
AVX-512, Numba 0.68, minima of 30 alternating rounds; swap the imports of `vector_scans` to repeat.)

`two_smallest`, `mean_lead`, `relax` and `relax_open` work on costs: C-contiguous integer arrays (int32 or int64, all of
one type) whose rows are padded to a multiple of `LANES` columns. Padding columns are closed (see `CLOSED_PRICE_BITS`),
so no scan ever selects them. `largest` and `raise_maxima` work on unpadded affinities. The results equal those of
`simplugins.matching.scalar_scans`, which documents them, on all machines.

Loads and addresses state their types, so the code works with opaque pointers as well as with the typed pointers that
llvmlite is phasing out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from simplugins._common.compiled import compiled
from simplugins.matching import scalar_scans
from simplugins.matching.scalar_scans import CLOSED_PRICE_BITS, LANES
from simplugins.matching.vector_code import Floats, Integers

__all__ = ["CLOSED_PRICE_BITS", "LANES", "largest", "mean_lead", "raise_maxima", "relax", "relax_open", "two_smallest"]


@intrinsic
def two_smallest(typing_context, costs, row, prices):  # type: ignore[no-untyped-def]
    """Find the smallest and the second smallest of ``costs[row] + prices``; see `scalar_scans.two_smallest`."""
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype, dtype))(costs, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, _ = vectors.array(signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, second, offsets = carried
            value = builder.add(vectors.load(row_data, offset), vectors.load(price_data, offset))
            return (
                vectors.minimum(smallest, value),
                vectors.minimum(second, vectors.maximum(smallest, value)),
                builder.select(vectors.less(value, smallest), here, offsets),
            )

        start = [vectors.closed, vectors.closed, vectors.zero]
        by_lane, second_by_lane, offsets = vectors.each_block(columns, start, step)
        smallest, second = vectors.two_smallest_in_all(by_lane, second_by_lane)
        column = vectors.column(offsets, vectors.lane_of(by_lane, smallest))
        results = [column, vectors.first_lane(smallest), vectors.first_lane(second)]
        return context.make_tuple(builder, signature.return_type, results)

    return signature, generate


@intrinsic
def mean_lead(typing_context, costs, row, prices):  # type: ignore[no-untyped-def]
    """Return by how much the smallest of ``costs[row] + prices`` leads; see `scalar_scans.mean_lead`."""
    dtype = costs.dtype
    signature = dtype(costs, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, _ = vectors.array(signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            value = builder.add(vectors.load(row_data, offset), vectors.load(price_data, offset))
            return (vectors.minimum(carried[0], value),)

        (by_lane,) = vectors.each_block(columns, [vectors.closed], step)
        leads = builder.sub(by_lane, vectors.smallest_in_all(by_lane))
        leads = builder.select(vectors.less(by_lane, vectors.closed), leads, vectors.zero)
        return vectors.sum_of_indices(builder.ashr(leads, vectors.halvings))

    return signature, generate


@intrinsic
def relax(typing_context, costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Lower `keys` to ``base + prices + costs[row]``, and find the smallest; see `scalar_scans.relax`."""
    return _relaxation(costs, prices, keys, predecessors, lambda vectors, a, b: vectors.less(a, b))


@intrinsic
def relax_open(typing_context, costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Relax the columns that are not closed; see `scalar_scans.relax_open`."""
    return _relaxation(
        costs, prices, keys, predecessors, lambda vectors, a, b: vectors.builder.icmp_unsigned("<", a, b)
    )


def _relaxation(
    costs: Any, prices: Any, keys: Any, predecessors: Any, less: Callable[[Integers, Any, Any], Any]
) -> Any:
    """Return the signature and the generator of a relaxation in which `less` finds the smallest key."""
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype))(costs, types.int64, dtype, prices, keys, predecessors)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, key_data, predecessor_data = (vectors.array(signature.args[k], arguments[k])[0] for k in (3, 4, 5))
        row_in_lanes = vectors.splat(vectors.resize(arguments[1], vectors.index))
        base = vectors.splat(arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, offsets = carried
            reached = builder.add(builder.add(base, vectors.load(price_data, offset)), vectors.load(row_data, offset))
            key = vectors.load(key_data, offset)
            falls = vectors.less(reached, key)
            key = builder.select(falls, reached, key)
            vectors.store(key, key_data, offset)
            predecessor = builder.select(falls, row_in_lanes, vectors.load(predecessor_data, offset))
            vectors.store(predecessor, predecessor_data, offset)
            closer = less(vectors, key, smallest)
            return builder.select(closer, key, smallest), builder.select(closer, here, offsets)

        by_lane, offsets = vectors.each_block(columns, [vectors.closed, vectors.zero], step)
        smallest = vectors.smallest_in_all(by_lane)
        column = vectors.column(offsets, vectors.lane_of(by_lane, smallest))
        return context.make_tuple(builder, signature.return_type, [column, vectors.first_lane(smallest)])

    return signature, generate


@intrinsic
def _largest(typing_context, affinities, row, prices):  # type: ignore[no-untyped-def]
    signature = types.Tuple((types.int64, prices.dtype))(affinities, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, prices.dtype)
        element = context.get_value_type(affinities.dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, _ = vectors.array(signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            largest, offsets = carried
            affinity = vectors.widen(vectors.load(row_data, offset, element))
            value = builder.fsub(affinity, vectors.load(price_data, offset))
            more = builder.fcmp_ordered(">", value, largest)
            return builder.select(more, value, largest), builder.select(more, here, offsets)

        by_lane, offsets = vectors.each_block(columns, [vectors.lowest, vectors.zero], step)
        largest = vectors.largest_lane(by_lane)
        results = [vectors.lowest_column(by_lane, largest, offsets), largest]
        return context.make_tuple(builder, signature.return_type, results)

    return signature, generate


@compiled
def largest(affinities, row, prices):  # type: ignore[no-untyped-def]
    """Find the largest of ``affinities[row] - prices``; see `scalar_scans.largest`.

    Here, the affinities must be C-contiguous, and the prices of the same type or of a wider one.
    """
    if affinities.shape[1] >= LANES:
        return _largest(affinities, row, prices)
    return scalar_scans.largest(affinities, row, prices)


@intrinsic
def _raise_maxima(typing_context, affinities, row, scale, prices, price, maxima):  # type: ignore[no-untyped-def]
    dtype = affinities.dtype
    signature = dtype(affinities, types.int64, dtype, prices, dtype, maxima)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Floats(context, builder, dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, maximum_data = (vectors.array(signature.args[k], arguments[k])[0] for k in (3, 5))
        scale, price = vectors.splat(arguments[2]), vectors.splat(arguments[4])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            scaled = builder.fmul(scale, vectors.load(row_data, offset))
            raised = vectors.maximum(vectors.load(maximum_data, offset), builder.fsub(scaled, price))
            vectors.store(raised, maximum_data, offset)
            return (vectors.maximum(carried[0], builder.fsub(scaled, vectors.load(price_data, offset))),)

        (by_lane,) = vectors.each_block(columns, [vectors.lowest], step)
        return vectors.largest_lane(by_lane)

    return signature, generate


@compiled
def raise_maxima(affinities, row, scale, prices, price, maxima):  # type: ignore[no-untyped-def]
    """Find a row's largest value, and raise the maxima of the columns; see `scalar_scans.raise_maxima`.

    Here, the affinities must be C-contiguous.
    """
    if affinities.shape[1] >= LANES:
        return _raise_maxima(affinities, row, scale, prices, price, maxima)
    return scalar_scans.raise_maxima(affinities, row, scale, prices, price, maxima)
