# SPDX-License-Identifier: Apache-2.0
"""The contract of comparisons: the facts that methods declare, and `Method`, which embeds each RSM once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins._common.progress import progress_bar
from simplugins.comparisons.all_pairs import relate_all
from simplugins.comparisons.inputs import named, symmetric_similarities_of
from simplugins.comparisons.missing_pairs import any_missing, relate_pairs, relate_present
from simplugins.comparisons.resamples import Resample
from simplugins.comparisons.vectors import order_of_pairs
from simplugins.rsm.matrices import Matrix, Missing, Vector

Invariance = Literal["scaling", "constant", "translation", "diagonal", "monotone"]
INVARIANCES = get_args(Invariance)

Orders = NDArray[np.int64]
"""(P, N) orders of the inputs, one per row."""

CHUNK_BYTES = 16 * 2**20
"""Memory of the permuted vectors that are held at a time, unless those of one order need more."""
Counts = NDArray[np.int64]
"""(N,) numbers of occurrences of the inputs in a resample."""

Groups = NDArray[np.int64]
"""(N,) numbers of the groups of the inputs."""


class ComparisonMethod(ABC):
    """A method of comparing RSMs as simplugins uses it: a `Method`, or a plain function with the facts it declares.

    The attributes are explained in `Method`; those that are None are unknown.
    """

    name: str
    larger_is_more_similar: bool | None
    range: tuple[float, float] | None
    least_inputs: int
    is_symmetric: bool | None
    is_metric: bool | None
    invariances: frozenset[Any] | None
    omits_missing: bool

    @property
    def options(self) -> Mapping[str, Any]:
        """Values of the method's options by name, as JSON types."""
        return {}

    @property
    def least_different(self) -> int:
        """Number of different inputs that a resample needs."""
        return self.least_inputs

    @abstractmethod
    def compare_all(self, a: Mapping[str, Any], b: Mapping[str, Any] | None, *, missing: Missing = "raise") -> Matrix:
        """Compare each matrix of `a` with each of `b`, or of `a` again if `b` is None; keys name matrices in errors."""

    @abstractmethod
    def matrix(self, name: str, rsm: Any, *, missing: Missing = "raise") -> Matrix:
        """Return an RSM or array as a float64 matrix, after the checks that the method needs."""

    @abstractmethod
    def permuted(self, a: Matrix, b: Matrix) -> Callable[[Orders], Vector]:
        """Return a function that compares `a` with `b` under P orders of the inputs of `b`."""

    def permuted_all(
        self,
        a: Sequence[Matrix],
        b: Sequence[Matrix],
        orders: Orders,
        *,
        progress: bool | str = False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> NDArray[np.float64]:
        """Compare each matrix of `a` with each of `b` under the same P orders of the inputs of `b`, (P, A, B).

        By default one pair of matrices after the other, by `permuted`, which receives a limited number of orders.
        """
        values = np.empty((len(orders), len(a), len(b)))
        chunk = max(1, chunk_bytes // (4 * orders.shape[1] ** 2))
        with progress_bar(np.ndindex(len(a), len(b)), progress, title="permuting", total=len(a) * len(b)) as pairs:
            for i, j in pairs:
                compare = self.permuted(a[i], b[j])
                for start in range(0, len(orders), chunk):
                    part = orders[start : start + chunk]
                    values[start : start + len(part), i, j] = compare(part)
        return values

    @abstractmethod
    def resampled(self, a: Matrix, b: Matrix, groups: Groups | None = None) -> Callable[[Counts], float]:
        """Return a function that compares a resample of the inputs, given how often each occurs.

        With `groups`, whole groups are drawn, so the inputs of a group occur equally often.
        """

    def resampled_all(
        self, a: Sequence[Matrix], b: Sequence[Matrix] | None, groups: Groups | None = None
    ) -> Callable[[Counts], Matrix]:
        """Return a function that compares a resample of each matrix of `a` with each of `b`, or of `a` if it is None.

        Called by several threads at once.
        """
        comparisons = [[self.resampled(row, column, groups) for column in (a if b is None else b)] for row in a]
        return lambda counts: np.array([[compare(counts) for compare in row] for row in comparisons])

    def __call__(self, a: Any, b: Any) -> float:
        """Compare two matrices.

        Parameters
        ----------
        a, b : (N, N) arrays or RSMs
            Of the same inputs; for a `Method` symmetric, up to the rounding of float32.

        Returns
        -------
        float
            NaN, with a RuntimeWarning, if a `Method` is not defined for one of them.

        Raises
        ------
        TypeError
            If one is not an array of real numbers.
        ValueError
            If a matrix is not symmetric or not finite, or inputs are too few or not the same.
        """
        return float(self.compare_all({"a": a}, {"b": b})[0, 0])

    def pairwise(self, matrices_a: Any, matrices_b: Any = None, *, missing: Missing = "raise") -> Matrix:
        """Compare each matrix with each matrix of a second set; see `simplugins.comparisons.pairwise`."""
        columns = None if matrices_b is None else named(matrices_b, "matrices_b")
        return self.compare_all(named(matrices_a, "matrices_a"), columns, missing=missing)


def method_label(name: str, options: Mapping[str, Any]) -> str:
    """Return a method's name, followed by its options if it has some.

    Examples
    --------
    >>> method_label("mutual-knn", {"k": 10}), method_label("cka", {})
    ('mutual-knn (k=10)', 'cka')
    """
    texts = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return f"{name} ({texts})" if texts else name


def without_chance_warning(method: ComparisonMethod) -> ComparisonMethod:
    """Return a method that does not warn of results near chance, for results that are reported together with chance."""
    return replace(method, near_chance=None) if isinstance(method, Method) else method


@dataclass(frozen=True, kw_only=True)
class Method(ComparisonMethod):
    """A method that maps each RSM to a vector (`embed`) and compares vectors (`relate`).

    It is a plugin of the group ``simplugins.comparisons``, like any ``callable(a, b) -> float``, and more efficient:
    each of many matrices is embedded once, permutations reuse the vectors, and resamples are well defined. Called with
    two N × N arrays or RSMs, it returns a number.

    Attributes
    ----------
    name : str
        The name that users select it by.
    embed : callable
        Maps an (N, N) symmetric, finite float64 array, which it must not change, and the (N,) float64 number of
        occurrences of each input (1 except in resamples) to a vector: one entry per pair of different inputs, in the
        order of the rows of the upper triangle, optionally preceded by one entry per input. Permuting the inputs must
        permute the entries; in resamples the vector may have any length. NaN throughout where the method is not
        defined. Called by several threads at once.
    relate : callable
        Maps two float64 arrays of vectors, (A, D) and (B, D), to the (A, B) float64 array of results.
    larger_is_more_similar : bool
        Whether the method is a similarity (True) or a distance (False).
    is_metric : bool
        Whether the method is a distance that obeys the triangle inequality, on matrices that differ by more than its
        invariances.
    range : (float, float)
        The lowest and the highest possible value, for any symmetric matrices.
    invariances : frozenset of str
        Changes of one matrix that have no effect: "scaling" (by a positive factor), "constant" (added to every entry),
        "translation" (``r_i + r_j`` added to entry i, j, which is how a translation of features changes their inner
        products), "diagonal" (anything added to the diagonal), "monotone" (an increasing function of the entries off
        the diagonal). Permuting the inputs of both matrices must never have an effect.
    reference : str
        Its source.
    least_inputs : int
        The number of inputs that it needs.
    is_symmetric : bool
        Whether the order of the two matrices does not matter.
    embed_pairs : callable, optional
        For methods that depend on pairs of different inputs only, and can do without some of them: maps the (P,)
        similarities of pairs, and the (P,) number of occurrences of each (None if all are 1), to a vector. With it,
        ``missing="omit"`` leaves out the pairs that are NaN in either RSM; without it, they are an error.
    embed_groups : callable, optional
        As `embed`, for resamples of whole groups: takes the (N,) int64 group of each input as well, and leaves out
        pairs of different copies of a group, like pairs of an input with itself. Without it, `embed_pairs` is called
        with these numbers of occurrences (see `simplugins.comparisons.vectors.pair_counts`), or else `embed`, which
        does not know the groups.
    near_chance : callable, optional
        For methods with large values by chance: maps the vectors, (A, D) and (B, D), and their (A, B) results to the
        (A, B) results expected if the inputs of one RSM are permuted, NaN where a result is far from that. Results that
        are not raise a RuntimeWarning, except where they are calibrated.
    """

    name: str
    embed: Callable[[Matrix, Vector], Vector] = field(repr=False)
    relate: Callable[[Matrix, Matrix], Matrix] = field(repr=False)
    larger_is_more_similar: bool
    is_metric: bool
    range: tuple[float, float]
    invariances: frozenset[Invariance]
    reference: str
    least_inputs: int = 2
    is_symmetric: bool = True
    embed_pairs: Callable[[Vector, Vector | None], Vector] | None = field(default=None, repr=False)
    embed_groups: Callable[[Matrix, Vector, Groups], Vector] | None = field(default=None, repr=False)
    near_chance: Callable[[Matrix, Matrix, Matrix], Matrix] | None = field(default=None, repr=False)

    @property
    def omits_missing(self) -> bool:  # type: ignore[override]
        """Whether pairs that are NaN can be left out."""
        return self.embed_pairs is not None

    def compare_all(self, a: Mapping[str, Any], b: Mapping[str, Any] | None, *, missing: Missing = "raise") -> Matrix:
        """Embed each matrix once, and relate the vectors; see `relate_all`."""
        if missing == "omit" and any_missing([*a.items(), *(b or {}).items()], self):
            return relate_present(self, a, b)
        return relate_all(self, a, b)

    def matrix(self, name: str, rsm: Any, *, missing: Missing = "raise") -> Matrix:
        """Return a symmetric float64 matrix of similarities; it is finite, unless `missing` is "omit"."""
        return symmetric_similarities_of(name, rsm, missing=missing)

    def permuted(self, a: Matrix, b: Matrix) -> Callable[[Orders], Vector]:
        """Embed both matrices, and return a function that permutes the second vector."""
        from simplugins.comparisons.permuting import permuter  # imports Numba

        if np.isnan(a).any() or np.isnan(b).any():
            return lambda orders: np.array([relate_pairs(self, a, b[np.ix_(order, order)]) for order in orders])
        once = np.ones(len(a))
        vector, permute = self.embed(a, once)[None], permuter(self.embed(b, once), len(b))
        return lambda orders: self.relate(vector, permute(orders))[0]

    def permuted_all(
        self,
        a: Sequence[Matrix],
        b: Sequence[Matrix],
        orders: Orders,
        *,
        progress: bool | str = False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> NDArray[np.float64]:
        """Embed each matrix once, and relate all vectors, in threads; see `relate_permuted`."""
        from simplugins.comparisons.permuting import relate_permuted  # imports Numba

        if any(np.isnan(matrix).any() for matrix in (*a, *b)):
            return super().permuted_all(a, b, orders, progress=progress, chunk_bytes=chunk_bytes)
        return relate_permuted(self, a, b, orders, progress=progress, chunk_bytes=chunk_bytes)

    def resampled(self, a: Matrix, b: Matrix, groups: Groups | None = None) -> Callable[[Counts], float]:
        """Return a function that embeds the inputs that occur, with their counts, and relates the vectors."""
        compare_all = self.resampled_all([a], [b], groups)
        return lambda counts: float(compare_all(counts)[0, 0])

    def resampled_all(
        self, a: Sequence[Matrix], b: Sequence[Matrix] | None, groups: Groups | None = None
    ) -> Callable[[Counts], Matrix]:
        """Return a function that embeds each matrix once per resample, and relates all vectors."""
        columns = a if b is None else b
        if any(np.isnan(matrix).any() for matrix in (*a, *columns)):
            return lambda counts: Resample.of(counts, groups).related(self, a, columns)

        if "monotone" in self.invariances:
            a, b = [order_of_pairs(matrix) for matrix in a], None if b is None else [*map(order_of_pairs, b)]

        def compare(counts: Counts) -> Matrix:
            resample = Resample.of(counts, groups)
            u = np.stack([resample.embedded(self, matrix) for matrix in a])
            v = u if b is None else np.stack([resample.embedded(self, matrix) for matrix in b])
            return self.relate(u, v)

        return compare
