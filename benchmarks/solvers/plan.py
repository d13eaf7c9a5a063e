# SPDX-License-Identifier: Apache-2.0
"""The cells of the whole table: families by sizes and precisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from solvers.families import FAMILIES
from solvers.timing import Budget


class Shape(NamedTuple):
    """Numbers of rows and columns, the precision, and whether only some families are measured."""

    rows: int
    cols: int
    dtype: str = "float32"
    some: bool = False

    @property
    def name(self) -> str:
        """The shape as the title of a column."""
        size = str(self.rows) if self.rows == self.cols else f"{self.rows}×{self.cols}"
        return size if self.dtype == "float32" else f"{size}, {self.dtype}"


SHAPES = (
    *(Shape(size, size) for size in (16, 49, 196, 197, 784)),
    Shape(3136, 3136, some=True),
    *(Shape(size, more) for size in (16, 49, 196) for more in (int(1.3 * size), 2 * size)),
    Shape(784, 1019, some=True),
    Shape(20, 300),
    Shape(49, 49, "float64"),
    Shape(196, 196, "float64"),
)
WHOLE = Budget(elements=500_000, turns=5, seconds=0.4, limit=5.0)

QUICK_SHAPES = (Shape(9, 9, some=True), Shape(9, 12, some=True), Shape(9, 9, "float64", some=True))
FAST = Budget(elements=2000, turns=1, seconds=0.0, limit=1.0)
"""For a test of all steps."""


def cells(shapes: tuple[Shape, ...] = SHAPES) -> Iterator[tuple[str, Shape]]:
    """Yield the families and shapes of the table."""
    for shape in shapes:
        for key, family in FAMILIES.items():
            if family.largest or not shape.some:
                yield key, shape
