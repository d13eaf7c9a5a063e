# SPDX-License-Identifier: Apache-2.0
"""Row scans, the inner loops of assignment, as explicit vector code.

Matching spends its time looking through rows for a best entry and where it stands. LLVM does not turn such a loop
into vector code (it finds the best or its position, not both), so the scans are built here from LLVM vectors: they
hold everything in registers and read each row once.

`two_smallest` and `relax` work on costs: C-contiguous integer arrays (int32 or int64, all of one type) whose rows
are padded to a multiple of `LANES` columns. Padding columns carry the price `CLOSED_PRICE_BITS` describes, so no
scan ever picks them. `largest` works on affinities as they are. On equal values the scans pick the same column on
every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from simplugins._common.compiled import kernel

LANES = 16
"""Rows are padded to a multiple of this many columns (64 bytes of int32)."""

CLOSED_PRICE_BITS = 2
"""A column that must not be picked has the price 2**(width - CLOSED_PRICE_BITS), for integers of `width` bits."""

_INDEX = ir.IntType(64)
_LANE_INDEX = ir.IntType(32)


class _Vectors:
    """The vector operations that the scans are made of, for one type of numbers: 64 bytes of them."""

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

    def load(self, pointer: Any) -> Any:
        element = pointer.type.pointee
        loaded = self.builder.load(self.builder.bitcast(pointer, ir.VectorType(element, self.lanes).as_pointer()))
        loaded.align = 4 if element in (ir.FloatType(), ir.IntType(32)) else 8
        return loaded

    def store(self, value: Any, pointer: Any) -> None:
        stored = self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()))
        stored.align = self.width // 8

    def lane_of(self, values: Any, value: Any) -> Any:
        """Return the first lane that holds a value (one does)."""
        holds = self.builder.icmp_signed("==", values, self.splat(value))
        bits = self.builder.bitcast(holds, ir.IntType(self.lanes))
        count = self._call(f"llvm.cttz.i{self.lanes}", bits.type, bits, ir.Constant(ir.IntType(1), 0))
        return self.resize(count, _LANE_INDEX)

    def is_lane(self, lane: Any) -> Any:
        return self.builder.icmp_signed("==", self.numbers, self.splat(self.resize(lane, self.index)))

    def column(self, offsets: Any, lane: Any) -> Any:
        """Return the column of a lane, given the offset of the block in which each lane found its value."""
        offset = self.resize(self.builder.extract_element(offsets, lane), _INDEX)
        return self.builder.add(offset, self.resize(lane, _INDEX))

    def each_block(
        self, columns: Any, carried: Sequence[Any], step: Callable[[Any, Any, Sequence[Any]], Sequence[Any]]
    ) -> Sequence[Any]:
        """Run `step(offset, offset in every lane, carried)` over a row and return what it carries last.

        A row has at least as many columns as there are lanes. Where these do not divide it, the last block begins
        earlier, within the one before.
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

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_signed("<", a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), b, a)

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

    def largest_lane(self, values: Any) -> Any:
        return self._call(f"llvm.vector.reduce.fmax.v{self.lanes}f{self.width}", self.element, values)

    def lowest_column(self, values: Any, value: Any, offsets: Any) -> Any:
        """Return the first column of those that lanes found a value in."""
        holds = self.builder.fcmp_ordered("==", values, self.splat(value))
        none = ir.Constant(self.zero.type, [2 ** (self.width - 1) - 1] * self.lanes)
        columns = self.builder.select(holds, self.builder.add(offsets, self.numbers), none)
        first = self._call(f"llvm.vector.reduce.smin.v{self.lanes}i{self.width}", self.index, columns)
        return self.resize(first, _INDEX)


def _row(vectors: _Vectors, costs_type: Any, costs: Any, row: Any) -> tuple[Any, Any]:
    """Return the pointer to a row of a C-contiguous matrix, and the number of its columns."""
    array = vectors.context.make_array(costs_type)(vectors.context, vectors.builder, costs)
    columns = cgutils.unpack_tuple(vectors.builder, array.shape)[1]
    return vectors.builder.gep(array.data, [vectors.builder.mul(row, columns)]), columns


def _data(vectors: _Vectors, array_type: Any, array: Any) -> Any:
    return vectors.context.make_array(array_type)(vectors.context, vectors.builder, array).data


@intrinsic
def two_smallest(typing_context, costs, row, prices):  # type: ignore[no-untyped-def]
    """Find the smallest and the second smallest of ``costs[row] + prices``.

    Returns ``(column, smallest, second)``; ``second`` equals ``smallest`` where two columns share it.
    """
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype, dtype))(costs, types.int64, prices)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Integers(context, builder, dtype)
        row_data, columns = _row(vectors, signature.args[0], arguments[0], arguments[1])
        price_data = _data(vectors, signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, second, offsets = carried
            value = builder.add(
                vectors.load(builder.gep(row_data, [offset])), vectors.load(builder.gep(price_data, [offset]))
            )
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
        found = [vectors.column(offsets, lane), smallest, vectors.smallest_lane(rest)]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@intrinsic
def relax(typing_context, costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Lower `keys` to ``base + prices + costs[row]`` where that is less, and find the smallest key.

    Columns whose key falls get `row` as their predecessor. Returns ``(column, smallest key)``.
    """
    dtype = costs.dtype
    signature = types.Tuple((types.int64, dtype))(costs, types.int64, dtype, prices, keys, predecessors)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Integers(context, builder, dtype)
        row_data, columns = _row(vectors, signature.args[0], arguments[0], arguments[1])
        price_data, key_data, predecessor_data = (_data(vectors, signature.args[k], arguments[k]) for k in (3, 4, 5))
        row_in_lanes = vectors.splat(vectors.resize(arguments[1], vectors.index))
        base = vectors.splat(arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, offsets = carried
            key_pointer = builder.gep(key_data, [offset])
            predecessor_pointer = builder.gep(predecessor_data, [offset])
            reached = builder.add(
                builder.add(base, vectors.load(builder.gep(price_data, [offset]))),
                vectors.load(builder.gep(row_data, [offset])),
            )
            key = vectors.load(key_pointer)
            falls = vectors.less(reached, key)
            key = builder.select(falls, reached, key)
            vectors.store(key, key_pointer)
            predecessor = builder.select(falls, row_in_lanes, vectors.load(predecessor_pointer))
            vectors.store(predecessor, predecessor_pointer)
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
        row_data, columns = _row(vectors, signature.args[0], arguments[0], arguments[1])
        price_data = _data(vectors, signature.args[2], arguments[2])

        def step(offset: Any, here: Any, carried: Sequence[Any]) -> Sequence[Any]:
            largest, offsets = carried
            affinity = vectors.widen(vectors.load(builder.gep(row_data, [offset])))
            value = builder.fsub(affinity, vectors.load(builder.gep(price_data, [offset])))
            more = builder.fcmp_ordered(">", value, largest)
            return builder.select(more, value, largest), builder.select(more, here, offsets)

        by_lane, offsets = vectors.each_block(columns, [vectors.lowest, vectors.zero], step)
        largest = vectors.largest_lane(by_lane)
        found = [vectors.lowest_column(by_lane, largest, offsets), largest]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@kernel
def largest(affinities, row, prices):  # type: ignore[no-untyped-def]
    """Find the largest of ``affinities[row] - prices``, and the first column that has it.

    Both are float arrays, the affinities C-contiguous, in any number of columns; the difference is taken in the type
    of the prices. A price of infinity closes a column.

    Returns ``(column, largest)``.
    """
    columns = affinities.shape[1]
    if columns >= LANES:
        return _largest(affinities, row, prices)
    column, best = 0, affinities[row, 0] - prices[0]
    for j in range(1, columns):
        value = affinities[row, j] - prices[j]
        if value > best:
            column, best = j, value
    return column, best
