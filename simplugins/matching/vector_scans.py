# SPDX-License-Identifier: Apache-2.0
"""Argmin scans of rows, the inner loops of assignment, as explicit vector code.

Assignment spends its time searching rows for a best entry and its position. LLVM vectorises loops that find one of the
two, but not both, so these scans are built from LLVM vectors. They keep all state in registers, and read each row once.

Measured speed-up: with `scalar_scans` in their place, `Optimal.match_batch` on `simplugins.data.load_photos()` takes
7.9 times as long at 196 positions (block10, all pairs of 14 inputs) and 5.0 times at 49 (block15) in float32, 5.2 and
2.1 times in float64. `Auction` takes 10.8 and 5.4 times as long, `Greedy` 3.7 and 1.1. (One core of an AMD EPYC with
AVX-512, Numba 0.68, minima of 30 alternating rounds; swap the imports of `vector_scans` to repeat.)

`two_smallest`, `mean_lead` and `relax` work on costs: C-contiguous integer arrays (int32 or int64, all of one type)
whose rows are padded to a multiple of `LANES` columns. Padding columns are closed (see `CLOSED_PRICE_BITS`), so no scan
ever selects them. `largest` and `raise_maxima` work on unpadded affinities. The results equal those of
`simplugins.matching.scalar_scans`, which documents them, on all machines.

Loads and addresses state their types, so the code works with opaque pointers as well as with the typed pointers that
llvmlite is phasing out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simplugins._common.compiled import compiled
from simplugins.matching import scalar_scans
from simplugins.matching.scalar_scans import CLOSED_PRICE_BITS, LANES

__all__ = ["CLOSED_PRICE_BITS", "LANES", "largest", "mean_lead", "raise_maxima", "relax", "two_smallest"]

_INDEX = ir.IntType(64)
_LANE_INDEX = ir.IntType(32)


class _Vectors:
    """Operations on vectors of 64 bytes, with elements of one type."""

    def __init__(self, context: Any, builder: Any, dtype: types.Number) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.width = dtype.bitwidth
        self.lanes = LANES * 32 // self.width
        self.index = ir.IntType(self.width)
        self.zero = ir.Constant(ir.VectorType(self.index, self.lanes), [0] * self.lanes)
        self.numbers = ir.Constant(ir.VectorType(self.index, self.lanes), list(range(self.lanes)))

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(_LANE_INDEX, 0))
        mask = ir.Constant(ir.VectorType(_LANE_INDEX, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, mask)

    def resize(self, value: Any, target: ir.IntType) -> Any:
        """Widen or narrow a non-negative integer."""
        if value.type.width < target.width:
            return self.builder.zext(value, target)
        return self.builder.trunc(value, target) if value.type.width > target.width else value

    def array(self, array_type: types.Array, array: Any) -> tuple[Any, Any]:
        """Return the pointer to an array's data, and its shape."""
        struct = self.context.make_array(array_type)(self.context, self.builder, array)
        return struct.data, struct.shape

    def row(self, array_type: types.Array, array: Any, row: Any) -> tuple[Any, Any]:
        """Return the pointer to a row of a C-contiguous matrix, and the number of its columns."""
        data, shape = self.array(array_type, array)
        columns = cgutils.unpack_tuple(self.builder, shape)[1]
        element = self.context.get_value_type(array_type.dtype)
        return self.address(data, self.builder.mul(row, columns), element), columns

    def address(self, data: Any, index: Any, element: Any = None) -> Any:
        return self.builder.gep(data, [index], source_etype=element or self.element)

    def load(self, data: Any, index: Any, element: Any = None) -> Any:
        element = element or self.element
        loaded = self.builder.load(self.address(data, index, element), typ=ir.VectorType(element, self.lanes))
        loaded.align = 4 if element in (ir.FloatType(), ir.IntType(32)) else 8
        return loaded

    def store(self, value: Any, data: Any, index: Any) -> None:
        pointer = self.address(data, index)
        if not pointer.type.is_opaque:
            pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer).align = self.width // 8

    def lane_of(self, values: Any, value: Any) -> Any:
        """Return the first lane that holds a value, which at least one lane must."""
        holds = self.builder.icmp_signed("==", values, self.splat(value))
        bits = self.builder.bitcast(holds, ir.IntType(self.lanes))
        count = self._call(f"llvm.cttz.i{self.lanes}", bits.type, bits, ir.Constant(ir.IntType(1), 0))
        return self.resize(count, _LANE_INDEX)

    def is_lane(self, lane: Any) -> Any:
        return self.builder.icmp_signed("==", self.numbers, self.splat(self.resize(lane, self.index)))

    def column(self, offsets: Any, lane: Any) -> Any:
        """Return the column of a lane's value, given the offsets of the blocks that the values come from."""
        offset = self.resize(self.builder.extract_element(offsets, lane), _INDEX)
        return self.builder.add(offset, self.resize(lane, _INDEX))

    def each_block(
        self, columns: Any, carried: Sequence[Any], step: Callable[[Any, Any, Sequence[Any]], Sequence[Any]]
    ) -> Sequence[Any]:
        """Run `step(offset, offset in every lane, carried)` over a row, and return the final carried values.

        A row has at least as many columns as there are lanes. If the number of columns is not a multiple of the number
        of lanes, the last block overlaps the one before.
        """
        builder = self.builder
        before = builder.block
        body, after = (builder.append_basic_block(f"scan.{name}") for name in ("body", "after"))
        last = builder.sub(columns, ir.Constant(_INDEX, self.lanes))
        builder.branch(body)
        builder.position_at_end(body)
        offset = builder.phi(_INDEX)
        offset.add_incoming(ir.Constant(_INDEX, 0), before)
        phis = [builder.phi(value.type) for value in carried]
        results = step(offset, self.splat(self.resize(offset, self.index)), phis)
        following = builder.add(offset, ir.Constant(_INDEX, self.lanes))
        within = builder.select(builder.icmp_signed("<", following, last), following, last)
        offset.add_incoming(within, builder.block)
        for phi, start, result in zip(phis, carried, results, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(result, builder.block)
        builder.cbranch(builder.icmp_signed("<", offset, last), body, after)
        builder.position_at_end(after)
        return results

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function_type = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, arguments)


class _Integers(_Vectors):
    """Vectors of costs, prices and keys."""

    def __init__(self, context: Any, builder: Any, dtype: types.Integer) -> None:
        super().__init__(context, builder, dtype)
        self.closed = self.splat(ir.Constant(self.element, 2 ** (self.width - CLOSED_PRICE_BITS)))
        self.halvings = ir.Constant(self.zero.type, [self.lanes.bit_length() - 1] * self.lanes)

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_signed("<", a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), b, a)

    def sum_of_lanes(self, values: Any) -> Any:
        return self._call(f"llvm.vector.reduce.add.v{self.lanes}i{self.width}", self.index, values)

    def smallest_lane(self, values: Any) -> Any:
        return self._call(f"llvm.vector.reduce.smin.v{self.lanes}i{self.width}", self.index, values)


class _Floats(_Vectors):
    """Vectors of affinities and prices, without NaN."""

    def __init__(self, context: Any, builder: Any, dtype: types.Float) -> None:
        super().__init__(context, builder, dtype)
        self.lowest = self.splat(ir.Constant(self.element, float("-inf")))

    def widen(self, values: Any) -> Any:
        """Convert to the type of these vectors."""
        wide = ir.VectorType(self.element, self.lanes)
        return values if values.type == wide else self.builder.fpext(values, wide)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", b, a), b, a)

    def largest_lane(self, values: Any) -> Any:
        return self._call(f"llvm.vector.reduce.fmax.v{self.lanes}f{self.width}", self.element, values)

    def lowest_column(self, values: Any, value: Any, offsets: Any) -> Any:
        """Return the lowest column among the lanes that hold a value."""
        holds = self.builder.fcmp_ordered("==", values, self.splat(value))
        none = ir.Constant(self.zero.type, [2 ** (self.width - 1) - 1] * self.lanes)
        columns = self.builder.select(holds, self.builder.add(offsets, self.numbers), none)
        first = self._call(f"llvm.vector.reduce.smin.v{self.lanes}i{self.width}", self.index, columns)
        return self.resize(first, _INDEX)


@intrinsic
def two_smallest(typing_context, costs, row, prices):  # type: ignore[no-untyped-def]
    """Find the smallest and the second smallest of ``costs[row] + prices``; see `scalar_scans.two_smallest`."""
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype, dtype))(costs, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Integers(context, builder, dtype)
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
        smallest = vectors.smallest_lane(by_lane)
        lane = vectors.lane_of(by_lane, smallest)
        rest = builder.select(vectors.is_lane(lane), second_by_lane, by_lane)
        results = [vectors.column(offsets, lane), smallest, vectors.smallest_lane(rest)]
        return context.make_tuple(builder, signature.return_type, results)

    return signature, generate


@intrinsic
def mean_lead(typing_context, costs, row, prices):  # type: ignore[no-untyped-def]
    """Return by how much the smallest of ``costs[row] + prices`` leads; see `scalar_scans.mean_lead`."""
    dtype = costs.dtype
    signature = dtype(costs, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Integers(context, builder, dtype)
        row_data, columns = vectors.row(signature.args[0], arguments[0], arguments[1])
        price_data, _ = vectors.array(signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            value = builder.add(vectors.load(row_data, offset), vectors.load(price_data, offset))
            return (vectors.minimum(carried[0], value),)

        (by_lane,) = vectors.each_block(columns, [vectors.closed], step)
        leads = builder.sub(by_lane, vectors.splat(vectors.smallest_lane(by_lane)))
        leads = builder.select(vectors.less(by_lane, vectors.closed), leads, vectors.zero)
        return vectors.sum_of_lanes(builder.ashr(leads, vectors.halvings))

    return signature, generate


@intrinsic
def relax(typing_context, costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Lower `keys` to ``base + prices + costs[row]``, and find the smallest; see `scalar_scans.relax`."""
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype))(costs, types.int64, dtype, prices, keys, predecessors)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Integers(context, builder, dtype)
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
            less = vectors.less(key, smallest)
            return builder.select(less, key, smallest), builder.select(less, here, offsets)

        by_lane, offsets = vectors.each_block(columns, [vectors.closed, vectors.zero], step)
        smallest = vectors.smallest_lane(by_lane)
        column = vectors.column(offsets, vectors.lane_of(by_lane, smallest))
        return context.make_tuple(builder, signature.return_type, [column, smallest])

    return signature, generate


@intrinsic
def _largest(typing_context, affinities, row, prices):  # type: ignore[no-untyped-def]
    signature = types.Tuple((types.int64, prices.dtype))(affinities, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Floats(context, builder, prices.dtype)
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
        vectors = _Floats(context, builder, dtype)
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
