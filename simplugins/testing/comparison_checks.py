# SPDX-License-Identifier: Apache-2.0
"""The check of comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.comparing import compare, resolve_method
from simplugins.comparisons.function_method import FunctionMethod
from simplugins.comparisons.method import ComparisonMethod, without_chance_warning
from simplugins.rsm.rsm import RSM, DenseValues
from simplugins.testing.expectations import TOLERANCE, agree, check_repeatable, expect, failing, pickled

_CHANGES: Mapping[str, Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]] = {
    "scaling": lambda matrix, rng: 2.75 * matrix,
    "constant": lambda matrix, rng: matrix + 0.6,
    "translation": lambda matrix, rng: matrix + np.add.outer(*2 * (rng.normal(size=len(matrix)),)),
    "diagonal": lambda matrix, rng: matrix + np.diag(rng.normal(size=len(matrix))),
    "monotone": lambda matrix, rng: np.where(np.eye(len(matrix)) == 1, matrix, np.arctan(matrix) ** 3),
}
"""What each invariance of `simplugins.Method` does to one matrix."""


def check_comparison(comparison: Any, options: Mapping[str, Any] | None = None) -> None:
    """Check a comparison of RSMs: the number it returns, and everything that it declares.

    Calls the comparison on RSMs of several sizes; verifies its range, direction, symmetry, triangle inequality, number
    of inputs and invariances as declared, and that it leaves out missing pairs, if it declares that; and checks that it
    leaves RSMs unchanged, does not depend on the order of inputs, is deterministic, can be pickled, and can be called
    from several threads.

    Parameters
    ----------
    comparison : str, callable or Method
        As `method` for `simplugins.compare`.
    options : mapping, optional
        Options of a comparison that is a dataclass.

    Raises
    ------
    AssertionError
        If a check fails; the message says which.

    Examples
    --------
    >>> check_comparison("cka")
    >>> check_comparison(lambda a, b: a)
    Traceback (most recent call last):
    AssertionError: comparison '<lambda>' must return a number, got ndarray
    """
    with failing("this is not a comparison"):
        method = without_chance_warning(resolve_method(comparison, options))
    checks = _Checks(method)
    checks.check_results()
    checks.check_order()
    checks.check_range()
    checks.check_direction()
    checks.check_symmetry()
    checks.check_metric()
    checks.check_inputs()
    checks.check_invariances()
    checks.check_missing()
    checks.check_calls()


def random_matrix(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return a random (N, N) linear RSM."""
    features = rng.normal(size=(count, 5))
    return np.asarray(features @ features.T)


class _Checks:
    """The checks of one comparison."""

    def __init__(self, method: ComparisonMethod) -> None:
        self.method, self.name = method, f"comparison {method.name!r}"
        self.rng = np.random.default_rng(0)

    def _pair(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return two unrelated RSMs of `count` inputs, or as many as the comparison needs."""
        count = max(count, self.method.least_inputs)
        return random_matrix(self.rng, count), random_matrix(self.rng, count)

    def check_results(self) -> None:
        """Check that the result is a finite number, and that RSMs are left as they were."""
        # A FunctionMethod passes copies to its function, which would hide changes in place.
        plugin: Any = self.method.function if isinstance(self.method, FunctionMethod) else self.method
        for a, b in (self._pair(12), self._pair(5)):
            copies = a.copy(), b.copy()
            with failing(f"{self.name} fails on two RSMs of {len(a)} inputs"):
                result = plugin(a, b)
            value = np.asarray(result)
            expect(
                value.ndim == 0 and isinstance(value.item(), Real),
                f"{self.name} must return a number, got {type(result).__name__}",
            )
            expect(np.isfinite(value), f"{self.name} returned {value} for random RSMs")
            unchanged = np.array_equal(a, copies[0]) and np.array_equal(b, copies[1])
            expect(unchanged, f"{self.name} changes RSMs in place")
            with failing(f"compare fails with {self.name}"):
                expect(agree(compare(a, b, self.method), value), f"{self.name} returns other values through compare")

    def check_order(self) -> None:
        """Check that a permutation of the inputs of both RSMs has no effect."""
        a, b = self._pair(11)
        order = self.rng.permutation(len(a))
        permuted = self.method(a[np.ix_(order, order)], b[np.ix_(order, order)])
        expect(agree(permuted, self.method(a, b)), f"{self.name} depends on the order of the inputs")

    def check_range(self) -> None:
        """Check the declared range, on matrices that are alike, unlike and opposite."""
        if self.method.range is None:
            return
        low, high = self.method.range
        for count in (6, 20):
            a, b = self._pair(count)
            opposite = RSM(DenseValues(-a), "opposite", np.zeros(len(a)))
            for other in (a, b, opposite, 0.9 * a + 0.1 * b, 100 * b, np.diag(b.diagonal()) + 0.01 * a):
                value = self.method(a, other)
                slack = TOLERANCE * max(1, abs(value))
                expect(
                    low - slack <= value <= high + slack,
                    f"{self.name} declares range = ({low}, {high}), but returned {value:.6g}",
                )

    def check_direction(self) -> None:
        """Check `larger_is_more_similar`: an RSM is more similar to itself than to another one."""
        larger = self.method.larger_is_more_similar
        if larger is None:
            return
        for count in (10, 30):
            a, b = self._pair(max(count, 4 * self.method.least_inputs))  # with fewer, all inputs may be neighbours
            equal, unequal = self.method(a, a), self.method(a, b)
            expect(
                equal > unequal if larger else equal < unequal,
                f"{self.name} declares larger_is_more_similar = {larger}, but returned {equal:.6g} for equal RSMs and "
                f"{unequal:.6g} for unrelated ones",
            )

    def check_symmetry(self) -> None:
        """Check ``is_symmetric = True``."""
        if self.method.is_symmetric:
            a, b = self._pair(10)
            expect(
                agree(self.method(a, b), self.method(b, a)),
                f"{self.name} declares is_symmetric = True, but its value depends on which RSM comes first",
            )

    def check_metric(self) -> None:
        """Check ``is_metric = True``: zero for equal RSMs, and the triangle inequality."""
        if not self.method.is_metric:
            return
        matrices = [*self._pair(8), *self._pair(8)]
        distances = np.array([[self.method(a, b) for b in matrices] for a in matrices])
        largest = np.abs(distances.diagonal()).max()
        expect(
            largest <= 1e-5 * distances.max(),
            f"{self.name} declares is_metric = True, but the distance of equal RSMs is {largest:.3g}",
        )
        detours = (distances[:, :, None] + distances[None, :, :]).min(axis=1)
        expect(
            (distances <= detours + TOLERANCE * distances.max()).all(),
            f"{self.name} declares is_metric = True, but violates the triangle inequality",
        )

    def check_inputs(self) -> None:
        """Check that `least_inputs` inputs suffice."""
        least = self.method.least_inputs
        with failing(f"{self.name} declares least_inputs = {least}, but fails on {least} inputs"):
            value = self.method(*self._pair(least))
        message = f"{self.name} declares least_inputs = {least}, but returned {value} for {least} inputs"
        expect(np.isfinite(value), message)

    def check_invariances(self) -> None:
        """Check each declared invariance."""
        invariances = self.method.invariances or ()
        unknown = sorted(set(invariances) - set(_CHANGES))
        expect(not unknown, f"{self.name} declares unknown invariances {unknown}; known are {', '.join(_CHANGES)}")
        a, b = self._pair(10)
        for invariance in invariances:
            value, expected = self.method(a, _CHANGES[invariance](b, self.rng)), self.method(a, b)
            expect(
                agree(value, expected),
                f"{self.name} declares the invariance {invariance!r}, but the change turned {expected:.6g} into "
                f"{value:.6g}",
            )

    def check_missing(self) -> None:
        """Check that leaving out all pairs of an input equals leaving out the input, if pairs can be left out."""
        if not self.method.omits_missing:
            return
        a, b = self._pair(max(12, self.method.least_inputs + 1))
        expected = self.method.compare_all({"a": a[1:, 1:]}, {"b": b[1:, 1:]})[0, 0]
        for side in (a, b):
            matrices = {"a": a.copy(), "b": b.copy()}
            missing = matrices["a" if side is a else "b"]
            missing[0, 1:] = missing[1:, 0] = np.nan
            with failing(f"{self.name} leaves out missing pairs, as it declares, but fails on RSMs that hold NaN"):
                value = self.method.compare_all({"a": matrices["a"]}, {"b": matrices["b"]}, missing="omit")[0, 0]
            expect(
                agree(value, expected),
                f"{self.name} leaves out missing pairs, as it declares, but returned {value:.6g} for RSMs without the "
                f"pairs of an input, and {expected:.6g} for RSMs without the input",
            )

    def check_calls(self) -> None:
        """Check determinism, threads and pickling."""
        a, b = self._pair(10)
        expected = self.method(a, b)
        check_repeatable(self.name, lambda: self.method(a.copy(), b.copy()), expected)
        again = pickled(self.name, self.method)(a, b)
        expect(agree(again, expected), f"{self.name} returns other values after pickling")
