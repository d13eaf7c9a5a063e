# SPDX-License-Identifier: Apache-2.0
"""The assignment problems of a tile of pairs, which the device derives from the numbers of its threads.

Each launch covers all pairs of a tile with one problem per pair, such as the whole pair or its k-th window. A pair
without such a part, or of the other orientation, has a problem of a single entry, whose result is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.pair_programs import NULL, launch
from simplugins.compute.engines.cuda.pair_results import Area
from simplugins.matching.matcher import Matcher

_COARSE_SHARE = 16
"""A tile of n pairs has memory for n / 16 coarse results; with more, it is computed again in float64."""

FINE_ENOUGH = 2.0**-18
"""Largest acceptable certified shortfall of a value computed with float32 prices, relative to the magnitude of the
matched affinities. Pairs with a larger bound are solved again with float64 prices. (In almost all cases the value is
optimal, and only rounding loosens the bound.)"""


class Rule(IntEnum):
    """Which part of a pair a problem covers; the order is that in pairs.cu."""

    WHOLE = 0
    WINDOW = 1
    TOP = 2
    REST = 3
    UNLESS_WINDOW = 4
    UNLESS_TOP = 5


@dataclass(frozen=True)
class Part:
    """One problem of each pair.

    Attributes
    ----------
    kind : {"optimal", "greedy", "bound"}
        Optimal matching, greedy matching, or optimal matching solely for its upper bound.
    rule : Rule
    size : int
        Size of windows, or number of positions that are matched optimally.
    number : int
        The number of the window.
    """

    kind: str
    rule: Rule = Rule.WHOLE
    size: int = 0
    number: int = 0


def parts_of(matcher: Matcher, largest: int, *, certify: bool) -> list[Part]:
    """Return the parts of pairs with up to `largest` positions; with `certify`, also those that bound the optimum."""
    kernel = None if matcher.positionwise else matcher.cuda_kernel
    bound = [Part("bound")] if certify else []
    if kernel is None:
        return bound
    if kernel == "greedy":
        return [Part("greedy"), *bound]
    if kernel == "topk-greedy":
        k = int(getattr(matcher, "k"))  # noqa: B009
        bound = [Part("bound", Rule.UNLESS_TOP, k)] if certify else []
        return [Part("optimal", Rule.TOP, k), *([Part("greedy", Rule.REST, k)] if largest > k else []), *bound]
    if matcher.window is None:
        return [Part("optimal")]
    windows = -(-largest // matcher.window)
    bound = [Part("bound", Rule.UNLESS_WINDOW, matcher.window)] if certify and windows > 1 else []
    return [Part("optimal", Rule.WINDOW, matcher.window, number) for number in range(windows)] + bound


@dataclass(frozen=True)
class TilePairs:
    """The pairs of two blocks of inputs.

    Attributes
    ----------
    device : Device
    rows, columns : DeviceBlock
    triangle : int
        0 for all pairs, 1 for those above the diagonal, 2 to include the diagonal.
    area : Area
        Where their results belong.
    """

    device: Device
    rows: DeviceBlock
    columns: DeviceBlock
    triangle: int
    area: Area

    def of(self, rows: DeviceBlock, columns: DeviceBlock) -> TilePairs:
        """Return the pairs with other vectors of the same inputs."""
        return replace(self, rows=rows, columns=columns)

    @cached_property
    def count(self) -> int:
        """Number of pairs."""
        n, m = len(self.rows), len(self.columns)
        return n * m if not self.triangle else n * (n - 1) // 2 + (n if self.triangle == 2 else 0)

    @property
    def capacity(self) -> int:
        """The largest number of coarse results that are solved again."""
        return -(-self.count // _COARSE_SHARE)

    def orientations(self, part: Part) -> tuple[int, ...]:
        """Return the orientations of the problems (see pairs.cu): no problem may have more rows than columns."""
        if part.kind == "greedy":
            return (2,)
        (least, most), (least_columns, most_columns) = self.rows.bounds, self.columns.bounds
        return (0,) if most <= least_columns else (1,) if least > most_columns else (0, 1)

    def largest(self, part: Part) -> int:
        """Return the largest number of rows or columns of a problem."""
        whole = max(self.rows.bounds[1], self.columns.bounds[1])
        return min(whole, part.size) if part.rule in (Rule.WINDOW, Rule.TOP) else whole

    def batch(self, part: Part, orientation: int, affinities: Any) -> Batch:
        """Return one problem per pair."""
        problems = self.device.empty((self.count, 4), np.dtype(np.int64))
        launch(self.device, "make_problems", self.count, [*self._shape(part, orientation), problems])
        return Batch(affinities, problems, self.count, self.largest(part))

    def solve(
        self, part: Part, orientation: int, affinities: Any, coarse: Any, *, real: np.dtype[np.floating], floor: float
    ) -> None:
        """Start all problems, and add their results to the matrix; count those that remain coarse in `coarse`."""
        device, count = self.device, self.count
        batch = self.batch(part, orientation, affinities)
        if part.kind == "greedy":
            values = device.empty((count,), np.dtype(np.float64))
            launcher.start_greedy(device, batch, values)
            self._add(part, orientation, [values, NULL, NULL])
            return
        results = device.empty((3, count), np.dtype(np.float64))
        self._start(batch, real, results, floor, NULL, NULL)
        if real == np.float64:
            self._add(part, orientation, list(results))
            return
        listed = device.empty((self.capacity,), np.dtype(np.int32))
        self._add(part, orientation, list(results), listed, coarse)
        self._solve_listed(part, orientation, batch, listed, coarse, floor)

    def _solve_listed(self, part: Part, orientation: int, batch: Batch, listed: Any, coarse: Any, floor: float) -> None:
        """Solve problems with loose certificates again in float64."""
        device, capacity = self.device, self.capacity
        chosen = device.empty((capacity, 4), np.dtype(np.int64))
        launch(device, "choose_problems", capacity, [batch.problems, listed, coarse, np.int32(capacity), chosen])
        finer = device.empty((3, capacity), np.dtype(np.float64))
        again = Batch(batch.affinities, chosen, capacity, batch.largest)
        self._start(again, np.dtype(np.float64), finer, floor, listed, coarse)
        self._add(part, orientation, list(finer), listed, coarse, chosen=True)

    def _start(
        self, batch: Batch, real: np.dtype[np.floating], results: Any, floor: float, listed: Any, coarse: Any
    ) -> None:
        """Start problems: all of them, or those that are listed."""
        launcher.start(self.device, batch, real, results, floor=floor)

    def scales(self, powers: Any, dtype: np.dtype[np.floating]) -> Any:
        """Return the factors of each pair's affinities, rows' prices and columns' prices, (B, 3).

        `powers` are the powers of two by which the inputs of both sides are divided, as int64 device arrays.
        """
        scales = self.device.empty((self.count, 3), dtype)
        arguments = [*self._counts[2:], np.int64(self.count), *powers, scales]
        launch(self.device, f"scale_pairs_{dtype}", self.count, arguments)
        return scales

    def write_maxima(self, results: Any, powers: Any, *, means: bool, both: bool, twice: bool) -> None:
        """Write values combined from (2, B) sums of the largest entries of rows and of columns; see pairs.cu."""
        matrix, _, *place = self.area.arguments()
        options = (np.int32(option) for option in (means, both, twice))
        scaling = [NULL, NULL] if powers is None else powers
        arguments = [*self._positions, *self._counts, np.int64(self.count), *results, *options, *scaling]
        launch(self.device, "write_maxima", self.count, [*arguments, matrix, *place])

    @cached_property
    def _positions(self) -> list[Any]:
        return [NULL if side.positions is None else side.positions for side in (self.rows, self.columns)]

    @cached_property
    def _counts(self) -> list[np.generic]:
        sides = self.rows, self.columns
        sizes = [np.int64(side.bounds[1]) for side in sides]
        return [*sizes, *(np.int32(len(side)) for side in sides), np.int32(self.triangle)]

    def _shape(self, part: Part, orientation: int) -> list[Any]:
        numbers = (np.int32(number) for number in (part.rule, part.size, part.number, orientation))
        return [*self._positions, *self._counts, *numbers, np.int64(self.count)]

    def _add(
        self,
        part: Part,
        orientation: int,
        results: list[Any],
        listed: Any = NULL,
        coarse: Any = NULL,
        *,
        chosen: bool = False,
    ) -> None:
        matrix, bounds, *place = self.area.arguments()
        launch(
            self.device,
            "add_results",
            self.capacity if chosen else self.count,
            [
                *self._shape(part, orientation),
                *results,
                NULL if part.kind == "bound" else matrix,
                bounds,
                *place,
                np.float64(FINE_ENOUGH),
                listed,
                coarse,
                np.int32(self.capacity),
                np.int32(chosen),
            ],
        )
