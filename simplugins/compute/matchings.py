# SPDX-License-Identifier: Apache-2.0
"""The matching of the positions of two inputs, and what each position contributes to their similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Grid = tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Matching:
    """The matching of the positions of two inputs.

    Attributes
    ----------
    columns : (S,) int64 array
        For each position of the first input, the matched position of the second input; -1 for none. Positions of maps
        are numbered row by row.
    value : float
        Aligned inner product: the sum of the inner products of matched concept vectors.
    upper_bound : float
        Proven upper bound on the value of any matching, from the matcher's dual prices if it has them, or else from an
        auction (then at most 1 % above the optimum). For a partial matching, of those with the same number of pairs.
    gap : float
        Proven relative optimality gap, ``(upper_bound - value) / |upper_bound|``: 0 where both agree to rounding,
        infinite if the bound is 0 and the value is not.
    affinity : (S, T) float64 array
        Inner products of all positions of the first input with all positions of the second: the negative costs of the
        assignment problem.
    norms : (float, float)
        Frobenius norms of the two responses, as they were matched (centred or normalised, if they were).
    grids : pair of tuple of int, or None
        For each input the sizes of its dimensions of positions, such as (height, width); None for sets, or if
        positions were left out.
    labels : pair of str or None
        The labels of the inputs; numbers, if they were chosen among inputs without labels.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import match
    >>> x, y = np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [3.0, 0.0]])
    >>> pair = match(x, y)
    >>> round(pair.cosine, 6), pair.contributions  # the first position contributes 9 of 10
    (1.0, array([0.9, 0.1]))
    """

    columns: NDArray[np.int64]
    value: float
    upper_bound: float
    gap: float
    affinity: NDArray[np.float64]
    norms: tuple[float, float]
    grids: tuple[Grid | None, Grid | None] = (None, None)
    labels: tuple[str | None, str | None] = (None, None)

    @property
    def rows(self) -> NDArray[np.int64]:
        """For each position of the second input, the matched position of the first input; -1 for none."""
        rows = np.full(self.affinity.shape[1], -1)
        matched = np.flatnonzero(self.columns >= 0)
        rows[self.columns[matched]] = matched
        return rows

    @property
    def unmatched_rows(self) -> NDArray[np.int64]:
        """The positions of the first input that have no partner, in ascending order."""
        return np.flatnonzero(self.columns < 0)

    @property
    def unmatched_columns(self) -> NDArray[np.int64]:
        """The positions of the second input that have no partner, in ascending order."""
        return np.flatnonzero(self.rows < 0)

    @property
    def cosine(self) -> float:
        """The value divided by both norms, as in the measure ``semantic-cosine``; 0 if a norm is 0."""
        return float(self._relative(self.value))

    @property
    def contributions(self) -> NDArray[np.float64]:
        """What each position of the first input contributes to `cosine`, (S,): they sum to it.

        The inner product of a position's concept vector with that of its partner, divided by both norms; 0 without a
        partner. Those of the second input's positions are ``contributions[rows]`` where `rows` is not -1. Multiplied by
        both norms, they sum to `value`.
        """
        products = np.take_along_axis(self.affinity, np.maximum(self.columns, 0)[:, None], axis=1)[:, 0]
        contributions: NDArray[np.float64] = self._relative(np.where(self.columns < 0, 0.0, products))
        return contributions

    def _relative(self, products: Any) -> Any:
        """Divide inner products by both norms, one after the other, as their product may overflow."""
        first, second = self.norms
        return np.divide(products, first) / second if first and second else 0.0 * products

    def plot(
        self,
        a: Any = None,
        b: Any = None,
        *,
        axes: Any = None,
        grid: tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | None = None,
        color: Literal["position", "contribution"] = "position",
        numbered: int = 12,
        title: str | None = None,
    ) -> Figure:
        """Draw both inputs with their matched positions; see `simplugins.plotting.match_figures.plot_matching`."""
        from simplugins.plotting.match_figures import plot_matching

        return plot_matching(self, a, b, axes=axes, grid=grid, color=color, numbered=numbered, title=title)

    def __repr__(self) -> str:
        matched, positions = int((self.columns >= 0).sum()), self.affinity.shape
        return (
            f"Matching of {positions[0]} x {positions[1]} positions: {matched} matched, value {self.value:.6g}, "
            f"gap {self.gap:.2g}"
        )
