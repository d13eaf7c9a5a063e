# SPDX-License-Identifier: Apache-2.0
"""What a method of comparing RSMs is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.all_pairs import relate_all
from simplugins.comparisons.inputs import named

Invariance = Literal["scaling", "constant", "translation", "diagonal", "monotone"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of comparing two RSMs; called with two N × N arrays or RSMs, it returns a number.

    It is a plugin of the group ``simplugins.comparisons``, as is any ``callable(a, b) -> float``. A method does more:
    it takes each matrix on its own first (`embed`), and then relates what it got (`relate`). So many matrices are
    compared with many others at the cost of embedding each once, permuted inputs need no new embedding, and resamples
    have a meaning.

    Attributes
    ----------
    name : str
        The name that users give.
    embed : callable
        From an (N, N) symmetric, finite float64 array, to be left as it is, and an (N,) float64 array of how often
        each input occurs (once, but in resamples), to a vector of its own: an entry for each pair of different
        inputs, in the order of the upper triangle's rows, and before these an entry for each input, or none. To permute
        the inputs is to permute its entries; in resamples the vector may have any length. NaN throughout if the method
        is not defined for the matrix. Called from several threads at once.
    relate : callable
        From two float64 arrays of vectors, (A, D) and (B, D), to the (A, B) float64 array of results.
    larger_is_more_similar : bool
        Whether it is a similarity; else it is a distance.
    is_metric : bool
        Whether it is a distance that obeys the triangle inequality, on matrices that differ by more than its
        invariances.
    range : (float, float)
        The lowest and the highest value there can be, for any symmetric matrices.
    invariances : frozenset of str
        What may be done to one matrix alone without an effect: "scaling" (times a positive number), "constant" (a
        number added to every entry), "translation" (``r_i + r_j`` added to entry i, j, as a translation of features
        does to their inner products), "diagonal" (anything added to the diagonal), "monotone" (an increasing function
        of the entries off the diagonal). To permute the inputs of both has no effect under any method.
    reference : str
        Where it comes from.
    least_inputs : int
        How many inputs it needs.
    is_symmetric : bool
        Whether it does not matter which matrix comes first.
    """

    name: str
    embed: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] = field(repr=False)
    relate: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] = field(repr=False)
    larger_is_more_similar: bool
    is_metric: bool
    range: tuple[float, float]
    invariances: frozenset[Invariance]
    reference: str
    least_inputs: int = 2
    is_symmetric: bool = True

    def __call__(self, a: Any, b: Any) -> float:
        """Compare two matrices.

        Parameters
        ----------
        a, b : (N, N) arrays or RSMs
            Symmetric, up to rounding.

        Returns
        -------
        float
            NaN, with a RuntimeWarning, if the method is not defined for one of them.

        Raises
        ------
        TypeError
            If one is no array of real numbers.
        ValueError
            If they are not symmetric, not finite, of too few inputs, or not of the same inputs.
        """
        return float(relate_all(self, {"a": a}, {"b": b})[0, 0])

    def pairwise(self, matrices_a: Any, matrices_b: Any = None) -> NDArray[np.float64]:
        """Compare each of some matrices with each of others; see `simplugins.comparisons.pairwise`."""
        others = None if matrices_b is None else named(matrices_b, "matrices_b")
        return relate_all(self, named(matrices_a, "matrices_a"), others)
