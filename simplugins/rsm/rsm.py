# SPDX-License-Identifier: Apache-2.0
"""RSM: a representational similarity matrix, with its labels and its provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import plugins
from simplugins.activations.labels import check_labels
from simplugins.rsm.algebra import Algebra
from simplugins.rsm.constructors import Constructors

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

Part = tuple[slice, slice, NDArray[np.float64]]
"""A block of a matrix: its rows, its columns and its values."""


class Values(Protocol):
    """The (N, M) values of an RSM, in memory or in a store."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""

    @property
    def matrix(self) -> NDArray[np.float64]:
        """All values, (N, M)."""

    @property
    def gap(self) -> NDArray[np.float64] | None:
        """All optimality gaps, (N, M), or None."""

    @property
    def location(self) -> str | None:
        """The path of the store; None for values in memory."""

    def part(self, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Return the values of some rows and columns, reading no more than these."""

    def tiles(self) -> Iterator[Part]:
        """Yield blocks that together hold every pair once."""


@dataclass(frozen=True, eq=False)
class DenseValues:
    """Values in memory.

    Attributes
    ----------
    matrix : (N, M) float64 array
    gap : (N, M) float64 array or None
    """

    matrix: NDArray[np.float64]
    gap: NDArray[np.float64] | None = None
    location = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", np.asarray(self.matrix, np.float64))
        if self.matrix.ndim != 2:
            raise ValueError(f"values: expected a matrix, got an array of shape {self.matrix.shape}")
        if self.gap is not None:
            object.__setattr__(self, "gap", np.asarray(self.gap, np.float64))
            if self.gap.shape != self.matrix.shape:
                raise ValueError(f"gap: expected shape {self.matrix.shape}, one value per pair, got {self.gap.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.matrix.shape

    def part(self, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Return the values of some rows and columns."""
        i, j = index_arrays(self.shape, rows, columns)
        return self.matrix[np.ix_(np.atleast_1d(i), np.atleast_1d(j))].reshape(i.shape + j.shape)

    def tiles(self) -> Iterator[Part]:
        """Yield the whole matrix as one block."""
        rows, columns = self.shape
        yield slice(0, rows), slice(0, columns), self.matrix


def index_arrays(shape: tuple[int, int], rows: Any, columns: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows and columns that a pair of indices selects.

    Raises
    ------
    IndexError
        If an index is out of range, or not a number, slice, or sequence of numbers.
    """
    i, j = (np.asarray(np.arange(count)[index]) for count, index in zip(shape, (rows, columns), strict=True))
    if i.ndim > 1 or j.ndim > 1:
        raise IndexError("expected rows and columns as numbers, slices or lists of numbers, such as rsm[:10, [3, 5]]")
    return i, j


@dataclass(frozen=True, eq=False, repr=False)
class RSM(Algebra, Constructors):
    """Similarities of N inputs to each other, or to M other inputs, under one measure.

    `compute_rsm` computes one, `RSM.from_similarities` and `RSM.from_distances` make one from a matrix of another tool,
    and `load_rsm` reads one from a file or a store.

    Attributes
    ----------
    source : DenseValues or StoredValues
        The values, in memory or in a store; `values`, ``rsm[rows, columns]`` and `tiles` read them.
    measure : str
        Name of the measure.
    squared_norms : (N,) float64 array
        Squared Frobenius norms of the responses.
    other_squared_norms : (M,) float64 array or None
        Those of the other inputs; None if the RSM compares inputs with themselves.
    labels, other_labels : array of str or int64, or None
        Labels of the inputs in rows and columns.
    kernel : {"linear", "cosine", "rbf"} or None
        None if the measure has none.
    matching : str or None
        Name of the matching; None if the measure has none.
    sigma : float or None
        Bandwidth of the RBF kernel.
    metadata : mapping
        Provenance: "matching_options", "sigma_rule" ("median" or "given"), "dtype", "dtype_reason", "center" and
        "normalize" (if the activations were centred or normalised), "engine", "device" (of a GPU), "precision" (of
        affinities), "rounding" (of aligned inner products, relative to the mean of two squared norms), "layout",
        "channels", "positions", "negative_distances" (the number of pairs whose squared distance is negative, in RSMs
        from cross-validated ones), "simplugins" (the version).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> responses = np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [1.0, 0.0]]])  # the second: positions swapped
    >>> rsm = simplugins.compute_rsm(responses, measure="semantic-cosine", labels=["left", "right"])
    >>> rsm
    RSM semantic-cosine: 2 x 2, optimal matching, values 1 to 1 off the diagonal
    >>> np.asarray(rsm).round(6)
    array([[1., 1.],
           [1., 1.]])
    """

    source: Values
    measure: str
    squared_norms: NDArray[np.float64]
    other_squared_norms: NDArray[np.float64] | None = None
    labels: NDArray[Any] | None = None
    other_labels: NDArray[Any] | None = None
    kernel: str | None = None
    matching: str | None = None
    sigma: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.shape
        sides = (("squared_norms", "labels", rows), ("other_squared_norms", "other_labels", columns))
        for norms, labels, count in sides:
            object.__setattr__(self, norms, _check_norms(norms, getattr(self, norms), count))
            if getattr(self, labels) is not None:
                object.__setattr__(self, labels, check_labels(getattr(self, labels), count, labels))
        if self.other_squared_norms is None and (rows != columns or self.other_labels is not None):
            raise ValueError(
                f"an RSM without other_squared_norms compares inputs with themselves, so it is square and takes no "
                f"other_labels; got {rows} x {columns} values"
            )

    @classmethod
    def _from_matrix(cls, matrix: NDArray[np.float64], gap: NDArray[np.float64] | None, **parts: Any) -> Self:
        return cls(DenseValues(matrix, gap), **parts)

    @property
    def values(self) -> NDArray[np.float64]:
        """All values, (N, N) or (N, M) float64; larger is more similar. Read into memory once, if they are stored.

        Symmetric for a symmetric measure without other inputs; after matching, not positive semi-definite in general.
        """
        return self.source.matrix

    @property
    def gap(self) -> NDArray[np.float64] | None:
        """Certified relative optimality gap of each pair, or None without ``certify=True``.

        ``(upper - m) / |upper|``, where m is the aligned inner product of the pair's matching, and no matching exceeds
        `upper`. For a positive bound, m is thus at least ``(1 - gap) upper``. The gap is 0 where both agree to
        rounding, and infinite where the bound is 0 and m is negative. It refers to aligned inner products; it holds for
        cosines as well, but not for RBF values, nor for cosines with ``normalize="matched"``.
        """
        return self.source.gap

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.source.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # NumPy 1 has no such mode
            return np.asarray(self.values, dtype)
        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, index: tuple[Any, Any]) -> Any:
        """Return the values of some rows and columns; of a stored RSM, only the tiles that hold them are read.

        Parameters
        ----------
        index : pair of int, slice, or sequence of int
            Rows, and columns of these; a number selects one row or column and drops its dimension.

        Returns
        -------
        float64 array, or a float64 for a single value

        Examples
        --------
        >>> RSM.from_similarities([[1.0, 0.5], [0.5, 2.0]])[[0, 1], 1]
        array([0.5, 2. ])
        """
        if not isinstance(index, tuple) or len(index) != 2:
            raise TypeError(f"expected rows and columns, such as rsm[:10, :10], got {index!r}")
        return self.source.part(*index)[()]  # a single value as a number, as NumPy indexing returns it

    def tiles(self) -> Iterator[Part]:
        """Yield the values block by block, as (rows, columns, values): a stored RSM needs no more memory than a tile.

        Together, the blocks hold each pair once. A dense RSM is one block; a stored one whose measure is symmetric has
        no blocks below the diagonal.
        """
        return self.source.tiles()

    def _permuted(self, order: NDArray[np.int64]) -> Self:
        index = np.ix_(order, order) if self.symmetric else order
        gap = None if self.gap is None else self.gap[index]
        return replace(
            self,
            source=DenseValues(self.values[index], gap),
            squared_norms=self.squared_norms[order],
            labels=None if self.labels is None else self.labels[order],
        )

    def to(self, tool: Any, **options: Any) -> Any:
        """Return the RSM as an object of another tool; see `simplugins.to_tool`."""
        return plugins.adapter(tool).to(self, **options)

    def plot(
        self,
        axes: Axes | None = None,
        *,
        title: str | None = None,
        cmap: str = "viridis",
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> Axes:
        """Draw the RSM as a heat map; see `simplugins.plotting.heatmaps.plot_rsm`, and `plot_rsms` for several."""
        from simplugins.plotting.heatmaps import plot_rsm

        return plot_rsm(self, axes, title=title, cmap=cmap, vmin=vmin, vmax=vmax)

    def explore(
        self, path: str | PathLike[str], *, layers: Any = None, layer: str | None = None, **options: Any
    ) -> Path:
        """Write an interactive page of the RSM; see `simplugins.plotting.explorer.exploring.explore_rsm`."""
        from simplugins.plotting.explorer.exploring import explore_rsm

        return explore_rsm(self, path, layers=layers, layer=layer, **options)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the RSM to a .npz file, atomically; see `simplugins.rsm.archive.save_rsm`."""
        from simplugins.rsm.archive import save_rsm

        save_rsm(self, path, overwrite=overwrite)

    def summary(self) -> dict[str, str]:
        """Return a human-readable summary as a dict of strings."""
        from simplugins.rsm.summary import summarise

        return summarise(self)

    def __repr__(self) -> str:
        from simplugins.rsm.summary import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from simplugins.plotting.heatmaps import rsm_html

        return rsm_html(self)


def _check_norms(name: str, norms: Any, count: int) -> NDArray[np.float64] | None:
    if norms is None:
        return None
    array = np.asarray(norms, np.float64)
    if array.shape != (count,):
        raise ValueError(f"{name}: expected {count} (one per input), got an array of shape {array.shape}")
    return array
