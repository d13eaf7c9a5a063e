# SPDX-License-Identifier: Apache-2.0
"""The check of matchers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Assignments, Matcher, check_assignment, match_batch
from simplugins.matching.matcher_options import resolve_matcher
from simplugins.matching.norm_windows import norm_windows
from simplugins.measures.computation import compute_rsm
from simplugins.testing.expectations import agree, changed_activations, check_repeatable, expect, failing, pickled

_SIZES = ((1, 1), (5, 5), (4, 7), (7, 4), (1, 6), (6, 1), (12, 12))


def check_matcher(matcher: str | Matcher, options: Mapping[str, Any] | None = None) -> None:
    """Check a matcher: its assignments, its dual prices, and everything that it declares.

    Calls the matcher on affinities of several sizes and types, with ties, with zeros and with negative values, one by
    one and in batches; verifies the facts that it declares; and checks that it leaves affinities unchanged, is
    deterministic, can be pickled, and can be called from several threads.

    Parameters
    ----------
    matcher : str or Matcher
        A plugin of the group ``simplugins.matchings``, or a matcher.
    options : mapping, optional
        Options of a matcher given by name.

    Raises
    ------
    AssertionError
        If a check fails; the message says which.

    Examples
    --------
    >>> import simplugins
    >>> check_matcher("batch-optimal", {"window": 4})
    >>> check_matcher(simplugins.Greedy())
    """
    with failing("this is not a matcher"):
        resolved = resolve_matcher(matcher, options)
    checks = _Checks(resolved)
    checks.check_assignments()
    checks.check_batches()
    checks.check_order()
    checks.check_translation()
    checks.check_symmetry()
    checks.check_scaling()
    checks.check_calls()
    checks.check_compute_rsm()


class _Checks:
    """The checks of one matcher."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher, self.name = matcher, f"matching {matcher.name!r}"
        self.rng = np.random.default_rng(0)
        self.tolerance = max(1e-6, float(getattr(matcher, "tolerance", 0)))

    def affinities(self, rows: int, columns: int) -> dict[str, NDArray[np.floating]]:
        """Return affinities by a description of them."""
        normal = self.rng.normal(size=(rows, columns))
        return {
            "random affinities": normal,
            "float32 affinities": normal.astype(np.float32),
            "affinities with ties": self.rng.integers(-1, 2, size=(rows, columns)).astype(np.float32),
            "affinities of zero": np.zeros((rows, columns)),
            "negative affinities": -np.abs(normal) - 1,
        }

    def check_assignments(self) -> None:
        """Check single problems: valid assignments, windows, identity, and affinities left as they were."""
        for rows, columns in _SIZES:
            if self.matcher.positionwise and rows != columns:
                continue
            for kind, affinity in self.affinities(rows, columns).items():
                before = affinity.copy()
                affinity.flags.writeable = False
                with failing(f"{self.name} fails on {rows} x {columns} {kind}"):
                    assignment = check_assignment(
                        self.matcher.match(affinity),
                        rows,
                        columns,
                        name=self.matcher.name,
                        partial=self.matcher.partial,
                    )
                expect(np.array_equal(affinity, before), f"{self.name} changes affinities in place")
                self._check_facts(assignment, rows, columns)

    def _check_facts(self, assignment: NDArray[np.int64], rows: int, columns: int) -> None:
        if self.matcher.positionwise:
            expect(
                bool(np.array_equal(assignment, np.arange(rows))),
                f"{self.name} declares positionwise = True, but does not match each position with the same position",
            )
        if self.matcher.window is not None:
            row_window, column_window = np.full(rows, -1), np.full(columns, -1)
            for number, (first, second) in enumerate(norm_windows(rows, columns, self.matcher.window)):
                row_window[first], column_window[second] = number, number
            matched = assignment >= 0
            expect(
                bool(np.array_equal(row_window[matched], column_window[assignment[matched]])),
                f"{self.name} declares window = {self.matcher.window}, but matches positions of different windows",
            )

    def check_batches(self) -> None:
        """Check that a batch is matched as its problems are, and that dual prices are valid."""
        for size in (1, 4, 7):
            counts = [size, size, size] if self.matcher.positionwise else [3, 1, 6, 4]
            offsets = np.concatenate([[0], np.cumsum(counts)])
            batch = self.rng.normal(size=(offsets[-1], size))
            with failing(f"{self.name} fails on a batch of problems with {counts} rows and {size} columns"):
                result = match_batch(self.matcher, batch.copy(), offsets)
                single = [self.matcher.match(batch[start:stop].copy()) for start, stop in pairwise(offsets)]
            expect(
                bool(np.array_equal(result.columns, np.concatenate(single))),
                f"{self.name} matches problems in a batch differently than one by one",
            )
            if result.prices is not None:
                self._check_prices(batch, offsets, result)

    def _check_prices(self, batch: NDArray[np.float64], offsets: NDArray[np.int64], result: Assignments) -> None:
        columns = batch.shape[1]
        prices = np.asarray(result.prices)
        needed = max(max(columns, stop - start) for start, stop in pairwise(offsets))
        expect(
            prices.ndim == 2 and len(prices) == len(offsets) - 1 and prices.shape[1] >= needed,
            f"{self.name} must return prices of shape ({len(offsets) - 1}, at least {needed}), got {prices.shape}",
        )
        for (start, stop), price in zip(pairwise(offsets), prices, strict=True):
            rows = stop - start
            used = price[: max(rows, columns)]
            expect(np.isfinite(used).all(), f"{self.name} returns dual prices that are not finite")
            expect(
                (rows == columns and not self.matcher.partial) or (used >= 0).all(),
                f"{self.name} returns negative dual prices for {rows} x {columns} affinities, where positions of the "
                f"larger side are unmatched",
            )

    def rsm(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the aligned inner products of two sets of inputs, with this matching."""
        return compute_rsm(x, "semantic-linear", other=y, matching=self.matcher, engine="cpu").values

    def inputs(self, count: int, positions: int = 9) -> NDArray[np.float64]:
        """Return random (N, S, C) activations."""
        return np.maximum(self.rng.normal(0.3, 1, size=(count, positions, 6)), 0)

    def check_order(self) -> None:
        """Check ``invariant_to_order = True``."""
        if self.matcher.invariant_to_order:
            x, y = self.inputs(4), self.inputs(5)
            shuffled = (changed_activations("positions", side, self.rng) for side in (x, y))
            expect(
                agree(self.rsm(*shuffled), self.rsm(x, y), self.tolerance),
                f"{self.name} declares invariant_to_order = True, but values depend on the order of positions",
            )

    def check_translation(self) -> None:
        """Check ``invariant_to_translation = True``: the same positions are matched, so only known terms are added."""
        if self.matcher.invariant_to_translation:
            x, y, vector = self.inputs(4), self.inputs(5), self.rng.normal(size=6)
            added = x.sum(1) @ vector
            expected = self.rsm(x, y) + added[:, None] + y.sum(1) @ vector + x.shape[1] * vector @ vector
            expect(
                agree(self.rsm(x + vector, y + vector), expected, self.tolerance),
                f"{self.name} declares invariant_to_translation = True, but adding one vector to all concept vectors "
                f"changes the matching",
            )

    def check_symmetry(self) -> None:
        """Check ``symmetric = True``."""
        if self.matcher.symmetric:
            x, y = self.inputs(4), self.inputs(5)
            expect(
                agree(self.rsm(x, y), self.rsm(y, x).T, self.tolerance),
                f"{self.name} declares symmetric = True, but values depend on which input comes first",
            )

    def check_scaling(self) -> None:
        """Check ``invariant_to_scaling = True``, by powers of two, which leave no room for rounding."""
        if self.matcher.invariant_to_scaling and not self.matcher.positionwise:
            affinity = self.rng.normal(size=(7, 9))
            for factor in (2.0**-20, 2.0**20):
                expect(
                    bool(np.array_equal(self.matcher.match(affinity * factor), self.matcher.match(affinity.copy()))),
                    f"{self.name} does not declare invariant_to_scaling = False, but multiplying all affinities by "
                    f"{factor:g} changes the matching",
                )

    def check_calls(self) -> None:
        """Check determinism, threads and pickling."""
        affinity = self.rng.normal(size=(8, 8))
        expected = self.matcher.match(affinity.copy())
        check_repeatable(self.name, lambda: self.matcher.match(affinity.copy()), expected)
        again = pickled(self.name, self.matcher).match(affinity.copy())
        expect(np.array_equal(again, expected), f"{self.name} matches differently after pickling")

    def check_compute_rsm(self) -> None:
        """Check a call of `compute_rsm` with certificates, and with sets of unequal size."""
        with failing(f"compute_rsm fails with {self.name}"):
            rsm = compute_rsm(self.inputs(5), matching=self.matcher, certify=True, engine="cpu")
        expect(rsm.gap is not None and (np.asarray(rsm.gap) >= 0).all(), f"{self.name} has negative optimality gaps")
        if not self.matcher.positionwise:
            sets = [self.inputs(1, size)[0] for size in (3, 9, 1)]
            with failing(f"compute_rsm fails with {self.name} on sets of unequal size"):
                compute_rsm(sets, matching=self.matcher, engine="cpu")
