# SPDX-License-Identifier: Apache-2.0
"""RSM: a representational similarity matrix, with its labels and all about how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import filesystem
from simplugins.activations.labels import check_labels
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.matrices import centred, symmetric_matrix_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMAT = "simplugins RSM"
_FORMAT_VERSION = 1

_ROUNDINGS = 16
"""How many roundings of the largest eigenvalue another one may be off."""

_DISTANCE_ROUNDING = 1e-6
"""How far from 0 distances of inputs to themselves may be, relative to the largest: the rounding of float32."""


@dataclass(frozen=True, eq=False, repr=False)
class RSM:
    """Similarities of N inputs to each other, or to M others, under one measure.

    Attributes
    ----------
    values : (N, N) or (N, M) float64 array
        Larger is more similar. Symmetric when no other inputs were given; in general *not* positive semi-definite
        where positions were matched.
    made : mapping
        How it was made: "measure", "kernel", "matching", "matching_options", "sigma" (RBF's bandwidth, else None),
        "dtype", "engine" ("cpu", or "cuda", then with the "device"), "precision" (of the affinities), "simplugins" (the
        version), and numbers of positions and channels.
    squared_norms : (N,) float64 array
        Squared Frobenius norms of the responses.
    other_squared_norms : (M,) float64 array or None
        Those of the other inputs; None if the RSM compares inputs with themselves.
    gap : (N, N) or (N, M) float64 array or None
        The proven relative gap of each pair, ``(upper - m) / |upper|``: no matching reaches an aligned inner product
        above `upper`, and m is the one found. So m is at least ``(1 - gap) upper``, for a positive bound. 0 where
        both agree to rounding, infinite where the bound is 0 and m is below. It is that of the aligned inner products,
        whatever the kernel; so of cosines too, but not of RBF's values. None if it was not asked for.
    labels, other_labels : array of str or int64, or None
        What the inputs, of rows and of columns, are called.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> responses = np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [1.0, 0.0]]])  # the second: places swapped
    >>> rsm = simplugins.compute_rsm(responses, measure="semantic-cosine", labels=["left", "right"])
    >>> rsm
    RSM semantic-cosine: 2 x 2, optimal matching, values 1 to 1 off the diagonal
    >>> np.asarray(rsm).round(6)
    array([[1., 1.],
           [1., 1.]])
    """

    values: NDArray[np.float64]
    made: Mapping[str, Any]
    squared_norms: NDArray[np.float64]
    other_squared_norms: NDArray[np.float64] | None = None
    gap: NDArray[np.float64] | None = None
    labels: NDArray[Any] | None = None
    other_labels: NDArray[Any] | None = None
    symmetric: bool = field(init=False)
    """Whether rows and columns are the same inputs."""

    def __post_init__(self) -> None:
        values, norms = np.asarray(self.values, np.float64), np.asarray(self.squared_norms, np.float64)
        if values.ndim != 2 or norms.shape != values.shape[:1]:
            raise ValueError(
                f"an RSM has a matrix of values and a squared norm for each row, got shapes {values.shape} and "
                f"{norms.shape}"
            )
        other = self.other_squared_norms
        if other is not None and np.shape(other) != values.shape[1:]:
            raise ValueError(f"other_squared_norms: expected {values.shape[1]}, one a column, got {np.shape(other)}")
        if other is not None:
            object.__setattr__(self, "other_squared_norms", np.asarray(other, np.float64))
        if self.gap is not None:
            object.__setattr__(self, "gap", np.asarray(self.gap, np.float64))
            if np.shape(self.gap) != values.shape:
                raise ValueError(f"gap: expected a value for each pair, {values.shape}, got {np.shape(self.gap)}")
        rows, columns = values.shape
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "squared_norms", norms)
        object.__setattr__(self, "symmetric", self.other_squared_norms is None)
        if self.symmetric and (rows != columns or self.other_labels is not None):
            raise ValueError(
                f"an RSM of inputs with themselves is square and labelled once, got {rows} x {columns} values"
            )
        object.__setattr__(self, "labels", check_labels(self.labels, rows))
        object.__setattr__(self, "other_labels", check_labels(self.other_labels, columns))

    @classmethod
    def of(cls, values: Any, *, labels: Any = None, measure: str = "precomputed", **made: Any) -> RSM:
        """Make an RSM of similarities that came from elsewhere, such as another tool.

        Parameters
        ----------
        values : (N, N) array
            Larger is more similar; symmetric, up to the rounding of float32. It is copied.
        labels : (N,) array of str or int, optional
            What the inputs are called.
        measure : str, default "precomputed"
            What the similarities are.
        **made
            What else there is to tell of how they were made: numbers and texts.

        Returns
        -------
        RSM
            The diagonal counts as squared norms of the inputs.

        Raises
        ------
        TypeError
            If values are no array of real numbers.
        ValueError
            If they are not square, symmetric and finite, or labels are not one an input.

        Examples
        --------
        >>> RSM.of([[1.0, 0.5], [0.5, 1.0]], labels=["cat", "dog"], measure="rated by people")
        RSM rated by people: 2 x 2, values 0.5 to 0.5 off the diagonal
        """
        matrix = symmetric_matrix_of("values", values).copy()
        return cls(matrix, {"measure": measure, **made}, matrix.diagonal().copy(), labels=labels)

    @classmethod
    def of_distances(
        cls,
        distances: Any,
        *,
        squared: bool = False,
        labels: Any = None,
        measure: str = "precomputed",
        **made: Any,
    ) -> RSM:
        """Make an RSM of distances: the inner products about the mean of all inputs that have these distances.

        Parameters
        ----------
        distances : (N, N) array
            At least 0, and 0 on the diagonal; symmetric; all up to the rounding of float32.
        squared : bool, default False
            Whether they are squared distances.
        labels, measure, **made
            As for `of`.

        Returns
        -------
        RSM
            ``-H D H / 2``, of squared distances D, with ``H = I - 1 / N``. `rdm` returns the distances again, and CKA
            is that of the RSM which the distances belong to; what they do not tell is where the origin was.

        Raises
        ------
        TypeError
            If distances are no array of real numbers.
        ValueError
            If they are not square, symmetric, finite, at least 0, and 0 on the diagonal; or labels are not one an
            input.

        References
        ----------
        Gower 1966, "Some distance properties of latent root and vector methods used in multivariate analysis".

        Examples
        --------
        >>> rsm = RSM.of_distances([[0.0, 2.0], [2.0, 0.0]])  # at -1 and 1
        >>> rsm.values
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        matrix = symmetric_matrix_of("distances", distances).copy()
        diagonal = np.abs(matrix.diagonal())
        if diagonal.max(initial=0) <= _DISTANCE_ROUNDING * np.abs(matrix).max(initial=0):
            np.fill_diagonal(matrix, 0)
        if matrix.diagonal().any() or (matrix < 0).any():
            i, j = np.argwhere((matrix < 0) | (np.eye(len(matrix), dtype=bool) & (matrix != 0)))[0]
            raise ValueError(
                f"distances are at least 0, and 0 on the diagonal; at row {i}, column {j} there is {matrix[i, j]:.6g} "
                f"(similarities are read by RSM.of)"
            )
        products = centred(matrix if squared else matrix**2, np.ones(len(matrix))) / -2
        return cls.of(products, labels=labels, measure=measure, **made)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.values.shape

    @property
    def measure(self) -> str:
        """Name of the measure."""
        return str(self.made["measure"])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # NumPy 1 has no such mode
            return np.asarray(self.values, dtype)
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def rdm(self, *, squared: bool = False) -> NDArray[np.float64]:
        """Return dissimilarities: the distance that belongs to the kernel.

        Parameters
        ----------
        squared : bool, default False
            Whether to return squared distances.

        Returns
        -------
        (N, N) or (N, M) float64 array
            ``sqrt(k(i, i) + k(j, j) - 2 k(i, j))``, at least 0. For the linear kernel this is the smallest
            distance of the two responses over all ways to match their positions; from exact matching it behaves as
            a metric. For an RSM of inputs with themselves it is exactly symmetric, with a diagonal of exactly 0.
        """
        own, other = self._self_similarities()
        distances = np.maximum(own[:, None] + other[None, :] - 2 * self.values, 0)
        if self.symmetric:
            distances = np.maximum(distances, distances.T)
            np.fill_diagonal(distances, 0)
        return distances if squared else np.sqrt(distances)

    def centred(self) -> NDArray[np.float64]:
        """Return the values about the mean of all inputs: ``H K H``, with ``H = I - 1 / N``.

        Returns
        -------
        (N, N) float64 array
            Exactly symmetric; rows and columns add up to 0.

        Raises
        ------
        ValueError
            If the RSM compares inputs with others.

        Examples
        --------
        >>> RSM.of([[2.0, 0.0], [0.0, 2.0]]).centred()
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        self._check_symmetric("centred values")
        return centred((self.values + self.values.T) / 2, np.ones(len(self)))

    def indefiniteness(self) -> float:
        """Return how far the RSM is from positive semi-definite: how far below 0 its least eigenvalue is.

        Returns
        -------
        float
            As a share of the largest eigenvalue; 0 if the least one is at least 0, but for the rounding of how the RSM
            was computed.

        Raises
        ------
        ValueError
            If the RSM compares inputs with others.

        Notes
        -----
        O(N^3).

        Examples
        --------
        >>> RSM.of([[1.0, 2.0], [2.0, 1.0]]).indefiniteness()  # its eigenvalues are 3 and -1
        0.3333333333333333
        """
        self._check_symmetric("eigenvalues")
        return self._indefiniteness(np.linalg.eigvalsh((self.values + self.values.T) / 2))

    def _indefiniteness(self, eigenvalues: NDArray[np.floating]) -> float:
        missing = -float(eigenvalues[0]) / (float(np.abs(eigenvalues).max()) or 1.0)
        rounding = _ROUNDINGS * float(np.finfo(self.made.get("dtype") or np.float64).eps)
        return missing if missing > rounding else 0.0

    def _check_symmetric(self, what: str) -> None:
        if not self.symmetric:
            raise ValueError(f"{what} are those of an RSM of inputs with themselves; this one has others as columns")

    def features(self, *, shift: bool = False) -> NDArray[np.float64]:
        """Return vectors whose inner products are the values, for tools that take features only.

        Parameters
        ----------
        shift : bool, default False
            Whether to add to the diagonal, if the RSM is not positive semi-definite, the least number that makes it so.
            The debiased CKA of Song et al. leaves the diagonal out, so for it, and for nothing else, the vectors then
            stand for the RSM exactly.

        Returns
        -------
        (N, R) float64 array
            X with ``X X' = K``, or ``X X' = K + shift I``; R is the rank.

        Raises
        ------
        ValueError
            If the RSM compares inputs with others; or if it is not positive semi-definite beyond the rounding of how it
            was computed and no shift is allowed, as there are no such vectors then.

        Notes
        -----
        O(N^3).

        Examples
        --------
        >>> rsm = RSM.of([[2.0, 1.0], [1.0, 2.0]])
        >>> x = rsm.features()
        >>> (x @ x.T).round(6)
        array([[2., 1.],
               [1., 2.]])
        """
        self._check_symmetric("features")
        eigenvalues, vectors = np.linalg.eigh((self.values + self.values.T) / 2)
        missing = self._indefiniteness(eigenvalues)
        if missing and not shift:
            raise ValueError(
                f"the RSM is not positive semi-definite, so no features have it as their inner products: its least "
                f"eigenvalue is {eigenvalues[0]:.4g}, {missing:.2%} of the largest below 0; with shift=True, features "
                f"are exact for the debiased CKA of Song et al., and for nothing else"
            )
        if missing:
            eigenvalues = eigenvalues - eigenvalues[0]
        kept = eigenvalues > _ROUNDINGS * np.finfo(np.float64).eps * np.abs(eigenvalues).max()
        return vectors[:, kept] * np.sqrt(eigenvalues[kept])  # type: ignore[no-any-return]

    def in_order(self, labels: Any) -> RSM:
        """Return the RSM with its inputs in another order.

        Parameters
        ----------
        labels : (N,) array of str or int
            The labels of all inputs, in the order wanted. Each names one input, unless the order is the one there is.

        Returns
        -------
        RSM
            Rows are in that order, and so are columns, if these are the same inputs.

        Raises
        ------
        ValueError
            If the RSM has no labels; if these are not the ones asked for; or if one names several inputs, so that the
            order cannot be told.

        Examples
        --------
        >>> RSM.of([[1.0, 0.2], [0.2, 3.0]], labels=["a", "b"]).in_order(["b", "a"]).values
        array([[3. , 0.2],
               [0.2, 1. ]])
        """
        if self.labels is None:
            raise ValueError("inputs are put in order by their labels, and the RSM has none")
        wanted, present = np.asarray(labels).tolist(), self.labels.tolist()
        if wanted == present:
            return self
        if missing := [label for label in wanted if label not in set(present)]:
            raise ValueError(f"it lacks {len(missing)} of the labels asked for, the first {missing[0]!r}")
        if more := [label for label in present if label not in set(wanted)]:
            raise ValueError(f"it has {len(more)} labels that are not asked for, the first {more[0]!r}")
        label, times = Counter([*wanted, *present]).most_common(1)[0]
        if times > 2:
            raise ValueError(f"label {label!r} names more than one input, so the order cannot be told")
        places = {label: place for place, label in enumerate(present)}
        return self._taken(np.array([places[label] for label in wanted]))

    def _taken(self, order: NDArray[np.int64]) -> RSM:
        """Return the inputs in an order of places."""
        where = np.ix_(order, order) if self.symmetric else order
        return replace(
            self,
            values=self.values[where],
            squared_norms=self.squared_norms[order],
            gap=None if self.gap is None else self.gap[where],
            labels=None if self.labels is None else self.labels[order],
        )

    def to(self, tool: str, **options: Any) -> Any:
        """Return the RSM as an object of another tool; see `simplugins.to_tool`."""
        from simplugins_adapters.contract import to_tool

        return to_tool(tool, self, **options)

    def _self_similarities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return k(i, i) of rows and of columns."""
        other = self.squared_norms if self.other_squared_norms is None else self.other_squared_norms
        kernel = self.made.get("kernel")
        if kernel == "linear":
            return self.squared_norms, other
        if kernel == "cosine":
            return (self.squared_norms > 0).astype(float), (other > 0).astype(float)
        if kernel == "rbf":
            return np.ones(len(self.squared_norms)), np.ones(len(other))
        if self.symmetric:
            return self.values.diagonal(), self.values.diagonal()
        raise ValueError(f"the self-similarities under measure {self.measure!r} are not known, so no distances are")

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the RSM to a .npz file: arrays, and the rest as JSON inside it. No pickle.

        Parameters
        ----------
        path : path
            Ends in .npz. The file appears whole or not at all.
        overwrite : bool, default False
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and may not be replaced.
        ValueError
            If the path does not end in .npz.
        """
        arrays = {
            "values": self.values,
            "squared_norms": self.squared_norms,
            "other_squared_norms": self.other_squared_norms,
            "gap": self.gap,
            "labels": self.labels,
            "other_labels": self.other_labels,
        }
        present = {name: array for name, array in arrays.items() if array is not None}
        header = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "arrays": list(present),
            "made": dict(self.made),
        }
        filesystem.write_npz(path, present, header, overwrite=overwrite)

    def plot(self, axes: Axes | None = None, **options: Any) -> Axes:
        """Draw the RSM as a heat map; see `simplugins.plotting.plot_rsm`."""
        from simplugins.plotting.heatmaps import plot_rsm

        return plot_rsm(self, axes, **options)

    def summary(self) -> dict[str, str]:
        """Return what there is to say about the RSM, as texts by name."""
        told = ("measure", "matching", "matching_options")
        shown = {k: v for k, v in self.made.items() if v is not None and k not in told}
        rows, columns = self.shape
        where = " off the diagonal" if self.symmetric else ""
        values = self._off_diagonal(self.values)
        return {
            "measure": self.measure,
            **({"matching": self._matching()} if self.made.get("matching") else {}),
            "inputs": f"{rows}" if self.symmetric else f"{rows} x {columns}",
            "labels": "none" if self.labels is None else f"{len(np.unique(self.labels))} different",
            "similarity" + where: (
                f"{values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}" if values.size else "none"
            ),
            **({} if self.gap is None else {"proven gap" + where: self._gap_range(self.gap)}),
            **{name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in shown.items()},
        }

    def _matching(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.made.get("matching_options", {}).items())
        return f"{self.made.get('matching')}" + (f" ({options})" if options else "")

    def _gap_range(self, gap: NDArray[np.float64]) -> str:
        """Say how large gaps are, and which pair has the largest."""
        shown = self._off_diagonal(gap)
        if not shown.any():
            return "none"
        i, j = np.unravel_index(np.argmax(gap), gap.shape)  # on the diagonal it is 0
        return f"largest {shown.max():.3g} (inputs {i} and {j}), mean {shown.mean():.3g}"

    def _off_diagonal(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the entries that differ between RSMs: off the diagonal, where there is one."""
        return matrix[~np.eye(len(self), dtype=bool)] if self.symmetric else matrix.ravel()

    def __repr__(self) -> str:
        rows, columns = self.shape
        values = self._off_diagonal(self.values)
        span = f", values {values.min():.4g} to {values.max():.4g}" if values.size else ""
        where = " off the diagonal" if self.symmetric and values.size else ""
        matching = f", {self._matching()} matching" if self.made.get("matching") else ""
        return f"RSM {self.measure}: {rows} x {columns}{matching}{span}{where}"

    def _repr_html_(self) -> str:
        from simplugins.plotting.heatmaps import rsm_png

        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self.summary().items()
        )
        return (
            "<div style='display:flex;gap:1em;align-items:center'>"
            f"<img alt='{escape(repr(self))}' src='data:image/png;base64,{rsm_png(self)}' height='240'>"
            f"<table>{rows}</table></div>"
        )


def load_rsm(path: str | PathLike[str], *, measure: str | None = None, sigma: Sigma | None = None) -> RSM:
    """Read an RSM that `RSM.save` wrote, or open one in a store, which is read where it is looked at.

    Parameters
    ----------
    path : path
        A .npz file, or the store of a run (see `compute_rsm`).
    measure : str, optional
        Of a store: another measure of the same matching than the one that it was made for.
    sigma : "median" or float, optional
        Of a store: another bandwidth of the RBF kernel.

    Returns
    -------
    RSM
        Of a store, a `simplugins.rsm.stored_rsm.StoredRSM`: ``rsm[rows, columns]`` reads no more than it needs.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If it is not an RSM, is damaged, or comes from a later version of the format; or if the run is not finished,
        and then it says how much is done.
    """
    if Path(path).is_dir():
        from simplugins.rsm.stored_rsm import open_rsm

        return open_rsm(path, measure=measure, sigma=sigma)
    if measure is not None or sigma is not None:
        raise ValueError(f"{path}: measure and sigma can be chosen for the store of a run; this is a file of one RSM")
    arrays, header = filesystem.read_npz(path)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is no RSM saved by simplugins: it holds {', '.join(sorted(arrays)) or 'nothing'}")
    try:
        filesystem.check_version(header["format_version"], _FORMAT_VERSION)
        if missing := set(header["arrays"]) - set(arrays):
            raise ValueError(f"its arrays {sorted(missing)} are missing")
        return RSM(made=dict(header["made"]), **arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an RSM: {error}") from error


def is_rsm(path: str | PathLike[str]) -> bool:
    """Tell whether a file is an RSM that `RSM.save` wrote, a .npz file that says so, or a folder is the store of a run.

    Raises
    ------
    FileNotFoundError
        If it ends in .npz, and there is no such file.
    ValueError
        If it ends in .npz, and is damaged.
    """
    if Path(path).is_dir():
        from simplugins._common.filesystem import is_store

        return is_store(path)
    return Path(path).suffix == ".npz" and filesystem.read_header(path).get("format") == _FORMAT
