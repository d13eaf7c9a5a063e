# SPDX-License-Identifier: Apache-2.0
"""Vectors of LLVM, from which the scans of rows are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from simplugins.matching.scalar_scans import CLOSED_PRICE_BITS, LANES

_INDEX = ir.IntType(64)
_LANE_INDEX = ir.IntType(32)


class Vectors:
    """Operations on vectors of elements of one type; by default, of 64 bytes.

    `bits` replaces the width of the elements that have as many lanes as these vectors.
    """

    def __init__(self, context: Any, builder: Any, dtype: types.Number, bits: int | None = None) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.width = dtype.bitwidth
        self.lanes = LANES * 32 // (bits or self.width)
        self.index = ir.IntType(self.width)
        self.zero = ir.Constant(ir.VectorType(self.index, self.lanes), [0] * self.lanes)
        self.numbers = ir.Constant(ir.VectorType(self.index, self.lanes), list(range(self.lanes)))

    def splat(self, value: Any) -> Any:
        """Return a vector with the same value in every lane."""
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
        """Return the pointer to an element."""
        return self.builder.gep(data, [index], source_etype=element or self.element)

    def load(self, data: Any, index: Any, element: Any = None) -> Any:
        """Load a vector."""
        element = element or self.element
        loaded = self.builder.load(self.address(data, index, element), typ=ir.VectorType(element, self.lanes))
        loaded.align = 4 if element in (ir.FloatType(), ir.IntType(32)) else 8
        return loaded

    def store(self, value: Any, data: Any, index: Any) -> None:
        """Store a vector."""
        pointer = self.address(data, index)
        if not pointer.type.is_opaque:
            pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer).align = self.width // 8

    def turns(self) -> Sequence[Callable[[Any], Any]]:
        """Return functions that turn a vector by half of its lanes, by a quarter of them, and so on."""

        def turn(by: int) -> Callable[[Any], Any]:
            lanes = [(lane + by) % self.lanes for lane in range(self.lanes)]
            mask = ir.Constant(ir.VectorType(_LANE_INDEX, self.lanes), lanes)
            return lambda values: self.builder.shuffle_vector(values, values, mask)

        return [turn(self.lanes >> shift) for shift in range(1, self.lanes.bit_length())]

    def lane_of(self, values: Any, value: Any) -> Any:
        """Return the first lane that holds the value of the same lane of another vector, which at least one must."""
        holds = self.builder.icmp_signed("==", values, value)
        bits = self.builder.bitcast(holds, ir.IntType(self.lanes))
        count = self._call(f"llvm.cttz.i{self.lanes}", bits.type, bits, ir.Constant(ir.IntType(1), 0))
        return self.resize(count, _LANE_INDEX)

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

    def sum_of_indices(self, values: Any) -> Any:
        """Add up the integers of all lanes."""
        return self._call(f"llvm.vector.reduce.add.v{self.lanes}i{self.width}", self.index, values)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function_type = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, arguments)


class Integers(Vectors):
    """Vectors of costs, prices and keys."""

    def __init__(self, context: Any, builder: Any, dtype: types.Integer) -> None:
        super().__init__(context, builder, dtype)
        self.closed = self.splat(ir.Constant(self.element, 2 ** (self.width - CLOSED_PRICE_BITS)))
        self.halvings = ir.Constant(self.zero.type, [self.lanes.bit_length() - 1] * self.lanes)

    def less(self, a: Any, b: Any) -> Any:
        """Compare lanes."""
        return self.builder.icmp_signed("<", a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """Return the smaller values of the lanes."""
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger values of the lanes."""
        return self.builder.select(self.less(a, b), b, a)

    def transpose(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Exchange rows and columns of as many vectors as there are lanes: blocks of half the size, and so on."""
        rows, half = list(rows), self.lanes // 2
        while half:
            for upper in range(self.lanes):
                if not upper & half:
                    a, b = rows[upper], rows[upper + half]
                    left = [k if not k & half else self.lanes + k - half for k in range(self.lanes)]
                    right = [k + half if not k & half else self.lanes + k for k in range(self.lanes)]
                    for place, lanes in ((upper, left), (upper + half, right)):
                        mask = ir.Constant(ir.VectorType(_LANE_INDEX, self.lanes), lanes)
                        rows[place] = self.builder.shuffle_vector(a, b, mask)
            half //= 2
        return rows

    def smallest_in_all(self, values: Any) -> Any:
        """Return the smallest of all lanes, in every lane."""
        for turned in self.turns():
            values = self.minimum(values, turned(values))
        return values

    def two_smallest_in_all(self, smallest: Any, second: Any) -> tuple[Any, Any]:
        """Return the smallest and the second smallest of all lanes' two smallest, in every lane."""
        for turned in self.turns():
            other, other_second = turned(smallest), turned(second)
            between = self.maximum(smallest, other)
            smallest = self.minimum(smallest, other)
            second = self.minimum(self.minimum(second, other_second), between)
        return smallest, second

    def first_lane(self, values: Any) -> Any:
        """Return the value of the first lane."""
        return self.builder.extract_element(values, ir.Constant(_LANE_INDEX, 0))

    def smallest_lane(self, values: Any) -> Any:
        """Return the smallest value of all lanes."""
        return self.first_lane(self.smallest_in_all(values))


class Floats(Vectors):
    """Vectors of affinities and prices, without NaN."""

    def __init__(self, context: Any, builder: Any, dtype: types.Float, bits: int | None = None) -> None:
        super().__init__(context, builder, dtype, bits)
        self.lowest = self.splat(ir.Constant(self.element, float("-inf")))
        self.nothing = ir.Constant(ir.VectorType(self.element, self.lanes), [0.0] * self.lanes)

    def widen(self, values: Any) -> Any:
        """Convert to the type of these vectors."""
        wide = ir.VectorType(self.element, self.lanes)
        return values if values.type == wide else self.builder.fpext(values, wide)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger values of the lanes."""
        return self.builder.select(self.builder.fcmp_ordered(">", b, a), b, a)

    def minimum(self, a: Any, b: Any) -> Any:
        """Return the smaller values of the lanes."""
        return self.builder.select(self.builder.fcmp_ordered("<", b, a), b, a)

    def sum_of_lanes(self, values: Any) -> Any:
        """Add up all lanes, by halves."""
        for turned in self.turns():
            values = self.builder.fadd(values, turned(values))
        return self.builder.extract_element(values, ir.Constant(_LANE_INDEX, 0))

    def largest_lane(self, values: Any) -> Any:
        """Return the largest value of all lanes."""
        return self._call(f"llvm.vector.reduce.fmax.v{self.lanes}f{self.width}", self.element, values)

    def lowest_column(self, values: Any, value: Any, offsets: Any) -> Any:
        """Return the lowest column among the lanes that hold a value."""
        holds = self.builder.fcmp_ordered("==", values, self.splat(value))
        none = ir.Constant(self.zero.type, [2 ** (self.width - 1) - 1] * self.lanes)
        columns = self.builder.select(holds, self.builder.add(offsets, self.numbers), none)
        first = self._call(f"llvm.vector.reduce.smin.v{self.lanes}i{self.width}", self.index, columns)
        return self.resize(first, _INDEX)
