# SPDX-License-Identifier: Apache-2.0
"""Measures of any package, from the entry-point group ``representational_similarity.measures``.

The page docs/neutral-measures.md specifies the group.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

GROUP = "representational_similarity.measures"

_FACTS = {
    "larger_is_more_similar": "true or false",
    "is_symmetric": "true or false",
    "range": "two numbers",
    "array_dimensions": "numbers of dimensions",
    "minimum_inputs": "a number",
}


@dataclass(frozen=True, eq=False, repr=False)
class NeutralMeasure:
    """A measure of another package, called as the group specifies.

    It has the facts that the measure declares as attributes, so it is a similarity of networks for every function and
    adapter of simplugins that takes one.

    Attributes
    ----------
    name : str
        The distribution and the name of the entry point, ``distribution/name``.
    function : callable
        The measure itself.
    larger_is_more_similar, is_symmetric : bool or None
        None if the measure does not declare it, as for all facts.
    range : (float, float) or None
    array_dimensions : tuple of int
        (2,) if the measure does not declare it.
    minimum_inputs : int or None
    """

    name: str
    function: Callable[[Any, Any], Any]
    larger_is_more_similar: bool | None = None
    is_symmetric: bool | None = None
    range: tuple[float, float] | None = None
    array_dimensions: tuple[int, ...] = (2,)
    minimum_inputs: int | None = None

    def __call__(self, x: Any, y: Any) -> float:
        """Compare the responses of two networks to the same inputs.

        Parameters
        ----------
        x, y : arrays
            (inputs, features), (inputs, positions, channels) or (inputs, channels, height, width).

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the measure does not take arrays of these dimensions, a value is not finite, or the inputs differ in
            number, or are too few.
        TypeError
            If x or y are no arrays of real numbers, have masked values, or the measure does not return a number.
        """
        x, y = _real("x", x), _real("y", y)
        for side, array in (("x", x), ("y", y)):
            if array.ndim not in self.array_dimensions:
                expected = " or ".join(map(str, self.array_dimensions))
                raise ValueError(f"{side}: {self.name} takes arrays of {expected} dimensions, got shape {array.shape}")
        if len(x) != len(y):
            raise ValueError(f"y: expected {len(x)} inputs, as in x, got {len(y)}")
        if self.minimum_inputs is not None and len(x) < self.minimum_inputs:
            raise ValueError(f"x: {self.name} needs at least {self.minimum_inputs} inputs, got {len(x)}")
        value = np.asarray(self.function(x, y))
        if value.ndim or value.dtype.kind not in "fiu":
            raise TypeError(f"{self.name}: expected one real number, got {value!r}")
        return float(value)

    def __repr__(self) -> str:
        return f"NeutralMeasure {self.name}"


def read_measures(*, own: bool = False) -> dict[str, NeutralMeasure]:
    """Return the measures that installed packages declare, by ``distribution/name``.

    Measures that cannot be loaded, declare facts that are none, or have the name of another one, are left out with a
    warning.

    Parameters
    ----------
    own : bool, default False
        Whether to include those of simplugins.

    Returns
    -------
    dict of str to NeutralMeasure

    Examples
    --------
    >>> from simplugins_adapters.neutral_measures import read_measures
    >>> import numpy as np
    >>> measure = read_measures(own=True)["simplugins/semantic-cosine-cka-debiased"]
    >>> measure.larger_is_more_similar, measure.array_dimensions
    (True, (2, 3, 4))
    >>> x = np.random.default_rng(0).normal(size=(8, 5, 3))
    >>> round(measure(x, x[:, ::-1]), 6)  # the same responses, with their positions in another order
    1.0
    """
    measures: dict[str, NeutralMeasure] = {}
    targets: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=_id):
        if own or _distribution(entry).lower() != "simplugins":
            try:
                if targets.setdefault(_id(entry), entry.value) != entry.value:
                    raise ValueError(f"{entry.value} has the name of {targets[_id(entry)]}")
                measures[_id(entry)] = _measure(_id(entry), entry.load())
            except (Exception, SystemExit) as error:  # whatever a package raises at import
                warnings.warn(f"left out: {_id(entry)}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
    return measures


def _real(side: str, values: Any) -> np.ndarray[Any, Any]:
    """Return an array of finite real numbers, as the specification promises to measures."""
    if np.ma.is_masked(values):
        raise TypeError(f"{side}: expected an array without masked values")
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{side}: expected an array of real numbers, got {type(values).__name__} of {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{side}: expected finite values, got {int((~np.isfinite(array)).sum())} that are not")
    return array


def _distribution(entry: EntryPoint) -> str:
    return "unknown" if entry.dist is None else entry.dist.name


def _id(entry: EntryPoint) -> str:
    return f"{_distribution(entry)}/{entry.name}"


def _measure(name: str, function: Any) -> NeutralMeasure:
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"expected a function, or an object that is called as one, got {function!r:.80}")
    facts = {fact: value for fact in _FACTS if (value := getattr(function, fact, None)) is not None}
    for fact, value in facts.items():
        facts[fact] = _checked(fact, value)
    return NeutralMeasure(name, function, **facts)


def _checked(fact: str, value: Any) -> Any:
    """Return a fact in its own type, after checking it."""
    numbers = np.asarray(value)
    if fact in ("larger_is_more_similar", "is_symmetric"):
        valid = numbers.dtype == bool and numbers.ndim == 0
    elif fact == "range":
        valid = numbers.shape == (2,) and numbers.dtype.kind in "fiu" and bool(numbers[0] <= numbers[1])
    else:
        valid = (
            numbers.dtype.kind in "iu" and numbers.ndim == (fact == "array_dimensions") and bool((numbers > 0).all())
        )
    if not valid:
        raise TypeError(f"{fact}: expected {_FACTS[fact]}, got {value!r}")
    return tuple(numbers.tolist()) if numbers.ndim else numbers.item()
