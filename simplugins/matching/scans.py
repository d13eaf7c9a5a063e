# SPDX-License-Identifier: Apache-2.0
"""Row scans, the inner loops of assignment, as explicit vector code.

Matching spends its time looking through rows of costs for a smallest entry and where it stands. LLVM does not
turn such a loop into vector code (it finds the minimum or its position, not both), so the two scans are built
here from LLVM vectors: they hold everything in registers and read each row once.

Both work on C-contiguous integer arrays (int32 or int64, all of one type) whose rows are padded to a multiple of
`LANES` columns. Padding columns carry the price `CLOSED_PRICE_BITS` describes, so no scan ever picks them. On
equal values the scans pick the same column on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Rows are padded to a multiple of this many columns (64 bytes of int32)."""

CLOSED_PRICE_BITS = 2
"""A column that must not be picked has the price 2**(width - CLOSED_PRICE_BITS), for integers of `width` bits."""

_INDEX = ir.IntType(64)
_LANE_INDEX = ir.IntType(32)


class _Vectors:
    """The vector operations that the scans are made of, for one integer type."""

    def __init__(self, context: Any, builder: Any, dtype: types.Integer) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.lanes = LANES * 32 // self.element.width
        self.type = ir.VectorType(self.element, self.lanes)
        self.closed = self.splat(self.scalar(2 ** (self.element.width - CLOSED_PRICE_BITS)))
        self.zero = ir.Constant(self.type, [0] * self.lanes)

    def scalar(self, value: int) -> ir.Constant:
        return ir.Constant(self.element, value)

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(_LANE_INDEX, 0))
        mask = ir.Constant(ir.VectorType(_LANE_INDEX, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, mask)

    def resize(self, value: Any, target: ir.IntType) -> Any:
        """Widen or narrow a non-negative integer."""
        if value.type.width < target.width:
            return self.builder.zext(value, target)
        return self.builder.trunc(value, target) if value.type.width > target.width else value

    def load(self, pointer: Any) -> Any:
        loaded = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        loaded.align = self.element.width // 8
        return loaded

    def store(self, value: Any, pointer: Any) -> None:
        stored = self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer()))
        stored.align = self.element.width // 8

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_signed("<", a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), b, a)

    def smallest_lane(self, values: Any) -> Any:
        return self._call(f"llvm.vector.reduce.smin.v{self.lanes}i{self.element.width}", self.element, values)

    def lane_of(self, values: Any, value: Any) -> Any:
        """Return the first lane that holds a value (one does)."""
        holds = self.builder.icmp_signed("==", values, self.splat(value))
        bits = self.builder.bitcast(holds, ir.IntType(self.lanes))
        count = self._call(f"llvm.cttz.i{self.lanes}", bits.type, bits, ir.Constant(ir.IntType(1), 0))
        return self.resize(count, _LANE_INDEX)

    def is_lane(self, lane: Any) -> Any:
        numbers = ir.Constant(self.type, list(range(self.lanes)))
        return self.builder.icmp_signed("==", numbers, self.splat(self.resize(lane, self.element)))

    def column(self, blocks: Any, lane: Any) -> Any:
        """Return the column of a lane, given the block in which each lane found its value."""
        block = self.resize(self.builder.extract_element(blocks, lane), _INDEX)
        offset = self.builder.mul(block, ir.Constant(_INDEX, self.lanes))
        return self.builder.add(offset, self.resize(lane, _INDEX))

    def each_block(
        self, columns: Any, carried: Sequence[Any], step: Callable[[Any, Any, Sequence[Any]], Sequence[Any]]
    ) -> Sequence[Any]:
        """Run `step(offset, block number in every lane, carried)` over a row and return what it carries last."""
        builder = self.builder
        before = builder.block
        body, after = (builder.append_basic_block(f"scan.{name}") for name in ("body", "after"))
        count = builder.sdiv(columns, ir.Constant(_INDEX, self.lanes))
        builder.branch(body)
        builder.position_at_end(body)
        block = builder.phi(_INDEX)
        block.add_incoming(ir.Constant(_INDEX, 0), before)
        phis = [builder.phi(value.type) for value in carried]
        offset = builder.mul(block, ir.Constant(_INDEX, self.lanes))
        results = step(offset, self.splat(self.resize(block, self.element)), phis)
        following = builder.add(block, ir.Constant(_INDEX, 1))
        block.add_incoming(following, builder.block)
        for phi, start, result in zip(phis, carried, results, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(result, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), body, after)
        builder.position_at_end(after)
        return results

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function_type = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, arguments)


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
        vectors = _Vectors(context, builder, dtype)
        row_data, columns = _row(vectors, signature.args[0], arguments[0], arguments[1])
        price_data = _data(vectors, signature.args[2], arguments[2])

        def step(offset: Any, block: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, second, blocks = carried
            value = builder.add(
                vectors.load(builder.gep(row_data, [offset])), vectors.load(builder.gep(price_data, [offset]))
            )
            return (
                vectors.minimum(smallest, value),
                vectors.minimum(second, vectors.maximum(smallest, value)),
                builder.select(vectors.less(value, smallest), block, blocks),
            )

        start = [vectors.closed, vectors.closed, vectors.zero]
        by_lane, second_by_lane, blocks = vectors.each_block(columns, start, step)
        smallest = vectors.smallest_lane(by_lane)
        lane = vectors.lane_of(by_lane, smallest)
        rest = builder.select(vectors.is_lane(lane), second_by_lane, by_lane)
        found = [vectors.column(blocks, lane), smallest, vectors.smallest_lane(rest)]
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
        vectors = _Vectors(context, builder, dtype)
        row_data, columns = _row(vectors, signature.args[0], arguments[0], arguments[1])
        price_data, key_data, predecessor_data = (_data(vectors, signature.args[k], arguments[k]) for k in (3, 4, 5))
        row_in_lanes = vectors.splat(vectors.resize(arguments[1], vectors.element))
        base = vectors.splat(arguments[2])

        def step(offset: Any, block: Any, carried: Sequence[Any]) -> Sequence[Any]:
            smallest, blocks = carried
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
            return builder.select(less, key, smallest), builder.select(less, block, blocks)

        by_lane, blocks = vectors.each_block(columns, [vectors.closed, vectors.zero], step)
        smallest = vectors.smallest_lane(by_lane)
        column = vectors.column(blocks, vectors.lane_of(by_lane, smallest))
        return context.make_tuple(builder, signature.return_type, [column, smallest])

    return signature, generate
