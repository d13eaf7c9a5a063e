# SPDX-License-Identifier: Apache-2.0
"""Plain functions as methods of comparing RSMs, with the facts that they declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from simplugins._common.plugin_objects import as_json, calling, returned_array, settings_of
from simplugins._common.validation import check_count
from simplugins.comparisons.inputs import check_same_inputs, similarities_of
from simplugins.comparisons.method import INVARIANCES, ComparisonMethod, Counts, Groups, Orders
from simplugins.comparisons.missing_pairs import any_missing, jointly_missing
from simplugins.rsm.matrices import Matrix, Missing, Vector

_BOOLEAN_FACTS = ("larger_is_more_similar", "is_symmetric", "is_metric", "omits_missing")
_FACTS = (*_BOOLEAN_FACTS, "range", "least_inputs", "invariances")


@dataclass(frozen=True)
class FunctionMethod(ComparisonMethod):
    """A function of two (N, N) float64 arrays, called for each pair of matrices.

    Attributes
    ----------
    function : callable(a, b) -> number
    name : str
    larger_is_more_similar, range, least_inputs, is_symmetric, is_metric, invariances
        As the function declares them, in attributes of the same names; see `ComparisonMethod`.
    omits_missing : bool
        Whether the function declares that it leaves out pairs that are NaN. Where a pair is missing from one matrix, it
        receives NaN in both. Functions that do not declare this never receive NaN.
    """

    function: Callable[[Matrix, Matrix], Any]
    name: str
    larger_is_more_similar: bool | None = None
    range: tuple[float, float] | None = None
    least_inputs: int = 2
    is_symmetric: bool | None = None
    is_metric: bool | None = None
    invariances: frozenset[str] | None = None
    omits_missing: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Fields of the function, if it is an instance of a dataclass."""
        fields = settings_of(self.function) if is_dataclass(self.function) else {}
        return {name: as_json(value) for name, value in fields.items()}

    def compare_all(self, a: Mapping[str, Any], b: Mapping[str, Any] | None, *, missing: Missing = "raise") -> Matrix:
        """Call the function for each pair; once for both orders of a pair if it declares ``is_symmetric = True``."""
        columns = a if b is None else b
        items = [*a.items(), *columns.items()]
        check_same_inputs(items, self.least_inputs, self.name)
        incomplete = missing == "omit" and any_missing(items, self)
        compare = self._call_jointly if incomplete else self._call
        rows = [self.matrix(*item, missing=missing) for item in a.items()]
        if b is not None or not self.is_symmetric:
            matrices = rows if b is None else [self.matrix(*item, missing=missing) for item in columns.items()]
            return np.array([[compare(row, column) for column in matrices] for row in rows])
        values = np.empty((len(rows), len(rows)))
        for i, row in enumerate(rows):
            values[i, i:] = values[i:, i] = [compare(row, other) for other in rows[i:]]
        return values

    def matrix(self, name: str, rsm: Any, *, missing: Missing = "raise") -> Matrix:
        """Return a float64 matrix of similarities, finite unless `missing` is "omit"; it need not be symmetric."""
        return similarities_of(name, rsm, missing=missing)

    def permuted(self, a: Matrix, b: Matrix) -> Callable[[Orders], Vector]:
        """Return a function that calls the function for each order."""
        compare = self._comparison(a, b)
        return lambda orders: np.array([compare(a, b[np.ix_(order, order)]) for order in orders])

    def resampled(self, a: Matrix, b: Matrix, groups: Groups | None = None) -> Callable[[Counts], float]:
        """Return a function that passes on whole resampled matrices, which include pairs of an input with itself."""
        compare = self._comparison(a, b)

        def compare_resample(counts: Counts) -> float:
            index = np.ix_(*2 * (np.repeat(np.arange(len(a)), counts),))
            return compare(a[index], b[index])

        return compare_resample

    def _comparison(self, a: Matrix, b: Matrix) -> Callable[[Matrix, Matrix], float]:
        return self._call_jointly if np.isnan(a).any() or np.isnan(b).any() else self._call

    def _call_jointly(self, a: Matrix, b: Matrix) -> float:
        """Call the function with NaN in both matrices where either is NaN."""
        return self._call(*jointly_missing(a, b))

    def _call(self, a: Matrix, b: Matrix) -> float:
        """Call the function with copies, which it may change.

        Raises
        ------
        TypeError
            If it does not return a number.
        """
        with calling(f"method {self.name!r}"):
            result = self.function(a.copy(), b.copy())
        value = returned_array(result, f"method {self.name!r}", "a number")
        if value.size != 1:
            raise TypeError(f"method {self.name!r} must return a number, got {type(result).__name__}")
        return float(value.item())


def described(function: Any, name: str) -> FunctionMethod:
    """Return a function as a method, with the facts that it declares.

    Raises
    ------
    TypeError
        If it does not take two matrices.
    ValueError
        If a declared fact has an impossible value.
    """
    try:
        inspect.signature(function).bind(None, None)
    except ValueError:  # a compiled function without a signature
        pass
    except TypeError as error:
        raise TypeError(f"method {name!r} must take two matrices, f(a, b) -> number: {error}") from error
    facts = {fact: value for fact in _FACTS if (value := getattr(function, fact, None)) is not None}
    for fact in facts.keys() & set(_BOOLEAN_FACTS):
        if not isinstance(facts[fact], bool | np.bool_):
            raise ValueError(f"method {name!r} declares {fact}={facts[fact]!r}: expected True or False")
        facts[fact] = bool(facts[fact])
    if "least_inputs" in facts:
        check_count(f"least_inputs of method {name!r}", facts["least_inputs"])
    if "range" in facts:
        facts["range"] = _range(facts["range"], name)
    if "invariances" in facts:
        facts["invariances"] = _invariances(facts["invariances"], name)
    return FunctionMethod(function, name, **facts)


def _range(value: Any, name: str) -> tuple[float, float]:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not low <= high:
        raise ValueError(f"method {name!r} declares range={value!r}: expected two numbers, (low, high)")
    return low, high


def _invariances(value: Any, name: str) -> frozenset[str]:
    invariances = frozenset([value] if isinstance(value, str) else value)
    if unknown := sorted(map(str, invariances - set(INVARIANCES))):
        raise ValueError(
            f"method {name!r} declares the invariance {unknown[0]!r}: expected any of {', '.join(INVARIANCES)}"
        )
    return invariances
