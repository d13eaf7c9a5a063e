# SPDX-License-Identifier: Apache-2.0
"""Matrices derived from similarities: distances, centred values, eigenvalues and features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.labels import as_labels, comparable
from simplugins.rsm.constructors import NEGATIVE
from simplugins.rsm.matrices import centred

_ROUNDING_OF_VALUES = 2.0**-45
"""Bound on the relative rounding error of values of unknown origin, from sums in float64."""

_ROUNDINGS = 16
"""Eigenvalues within this many roundings of the largest count as 0."""

_DISTANCE_ROUNDING = 1e-5
"""Negative squared distance, relative to the squared norms, that is attributed to the rounding of float32."""


class Algebra:
    """The methods of an `RSM` that derive matrices from its values."""

    measure: str
    kernel: str | None
    squared_norms: NDArray[np.float64]
    other_squared_norms: NDArray[np.float64] | None
    labels: NDArray[Any] | None
    metadata: Mapping[str, Any]

    def _permuted(self, order: NDArray[np.int64]) -> Self:
        """Return the inputs in another order."""
        raise NotImplementedError

    @property
    def values(self) -> NDArray[np.float64]:
        """All values."""
        raise NotImplementedError

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same inputs."""
        return self.other_squared_norms is None

    def rdm(self, *, squared: bool = False) -> NDArray[np.float64]:
        """Return dissimilarities: the distance that belongs to the kernel.

        Parameters
        ----------
        squared : bool, default False
            Whether to return squared distances.

        Returns
        -------
        (N, N) or (N, M) float64 array
            ``sqrt(k(i, i) + k(j, j) - 2 k(i, j))``; exactly 0 where equal responses are matched, since squares within
            the rounding error of ``k(i, i) + k(j, j)`` count as 0. For the linear kernel this is the smallest distance
            of two responses over all matchings of their positions; with exact matching it behaves as a metric. For an
            RSM of inputs with themselves it is exactly symmetric with a diagonal of exactly 0. Squared distances are
            negative where two inputs are more similar to each other than to themselves on average, as cross-validated
            estimates may be. NaN where the similarity is.

        Raises
        ------
        ValueError
            If the similarity of inputs to themselves is unknown: other inputs, and a measure without a kernel. If a
            squared distance is negative beyond rounding, and its root is asked for.
        """
        rows, columns = self._self_similarities()
        distances = rows[:, None] + columns[None, :] - 2 * self.values
        sizes = np.abs(rows)[:, None] + np.abs(columns)
        distances[np.abs(distances) <= self._rounding() * sizes] = 0
        if self.symmetric:
            distances = np.maximum(distances, distances.T)
            np.fill_diagonal(distances, 0)
        if (distances < 0).any() and NEGATIVE not in self.metadata:
            distances[(distances < 0) & (distances >= -_DISTANCE_ROUNDING * sizes)] = 0
        if squared:
            return distances
        if (distances < 0).any():
            i, j = np.argwhere(distances < 0)[0]
            raise ValueError(
                f"the squared distance of inputs {i} and {j} is {distances[i, j]:.6g}, so it has no square root: pass "
                f"squared=True (dissimilarity='squared-distance' in to_tool)"
            )
        return np.sqrt(distances)

    def _rounding(self) -> float:
        """Return a bound on the rounding error of values, relative to the mean of the two self-similarities."""
        if self.kernel == "rbf":  # applied to squared distances that are 0 within rounding already
            return 0.0
        known = self.metadata.get("rounding") if self.kernel else None
        return _ROUNDING_OF_VALUES if known is None else float(known)

    def _self_similarities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return k(i, i) of rows and of columns."""
        norms = self.squared_norms
        other_norms = norms if self.other_squared_norms is None else self.other_squared_norms
        if self.kernel is None:
            if not self.symmetric:
                raise ValueError(f"distances need the self-similarities of measure {self.measure!r}, which are unknown")
            return self.values.diagonal(), self.values.diagonal()
        if self.kernel == "linear":
            return norms, other_norms
        if self.kernel == "cosine":  # 0 for a response of zero
            return (norms > 0).astype(np.float64), (other_norms > 0).astype(np.float64)
        return np.ones_like(norms), np.ones_like(other_norms)

    def centred(self) -> NDArray[np.float64]:
        """Return the doubly centred values: ``H K H``, with ``H = I - 1 / N``.

        Returns
        -------
        (N, N) float64 array
            Exactly symmetric; rows and columns sum to 0.

        Raises
        ------
        ValueError
            If the RSM compares inputs with other inputs.

        Examples
        --------
        >>> from simplugins import RSM
        >>> RSM.from_similarities([[2.0, 0.0], [0.0, 2.0]]).centred()
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        values = self._symmetrised("centred values")
        return centred(values, np.ones(len(values)))

    def _symmetrised(self, purpose: str) -> NDArray[np.float64]:
        if not self.symmetric:
            raise ValueError(f"{purpose} need an RSM of inputs with themselves; this one has other inputs as columns")
        if missing := np.count_nonzero(np.isnan(self.values)):
            raise ValueError(f"{purpose} need all pairs, but {missing} values are missing (NaN)")
        return (self.values + self.values.T) / 2

    def indefiniteness(self) -> float:
        """Return how far the RSM is from positive semi-definite.

        Returns
        -------
        float
            By how much the smallest eigenvalue lies below 0, relative to the largest in magnitude; 0 within rounding.

        Raises
        ------
        ValueError
            If the RSM compares inputs with other inputs.

        Notes
        -----
        O(N^3).

        Examples
        --------
        >>> from simplugins import RSM
        >>> RSM.from_similarities([[3.0, 2.0], [2.0, 0.0]]).indefiniteness()  # its eigenvalues are 4 and -1
        0.25
        """
        return self._indefiniteness(np.linalg.eigvalsh(self._symmetrised("eigenvalues")))

    def _indefiniteness(self, eigenvalues: NDArray[np.floating]) -> float:
        deficit = -float(eigenvalues[0]) / (float(np.abs(eigenvalues).max()) or 1.0)
        rounding = _ROUNDINGS * float(np.finfo(self.metadata.get("dtype") or np.float64).eps)
        return deficit if deficit > rounding else 0.0

    def features(self, *, shift: bool = False) -> NDArray[np.float64]:
        """Return vectors whose inner products are the values, for tools that only take features.

        Parameters
        ----------
        shift : bool, default False
            Whether to make an indefinite RSM positive semi-definite by adding the smallest sufficient number to its
            diagonal. Only the debiased CKA of Song et al., which ignores the diagonal, is unaffected.

        Returns
        -------
        (N, R) float64 array
            X with ``X X' = K``, or ``X X' = K + shift I``; R is the rank.

        Raises
        ------
        ValueError
            If the RSM compares inputs with other inputs, or is not positive semi-definite beyond rounding and no shift
            is allowed: then no such vectors exist.

        Notes
        -----
        O(N^3).

        Examples
        --------
        >>> from simplugins import RSM
        >>> rsm = RSM.from_similarities([[2.0, 1.0], [1.0, 2.0]])
        >>> x = rsm.features()
        >>> (x @ x.T).round(6)
        array([[2., 1.],
               [1., 2.]])
        """
        eigenvalues, vectors = np.linalg.eigh(self._symmetrised("features"))
        indefiniteness = self._indefiniteness(eigenvalues)
        if indefiniteness and not shift:
            raise ValueError(
                f"the RSM is not positive semi-definite, so it is not a matrix of inner products of any features: its "
                f"smallest eigenvalue is {eigenvalues[0]:.4g}, or -{indefiniteness:.2%} of the largest. With "
                f"shift=True the features are exact for the debiased CKA of Song et al. only"
            )
        if indefiniteness:
            eigenvalues = eigenvalues - eigenvalues[0]
        positive = eigenvalues > _ROUNDINGS * np.finfo(np.float64).eps * np.abs(eigenvalues).max()
        return vectors[:, positive] * np.sqrt(eigenvalues[positive])  # type: ignore[no-any-return]

    def in_order(self, labels: Any) -> Self:
        """Return the RSM with its inputs in another order.

        Parameters
        ----------
        labels : (N,) array of str or int
            The labels of all inputs in the order requested; 1 and "1" are the same label. Each label must name one
            input, unless the order is already that of the RSM.

        Returns
        -------
        RSM
            Rows, and columns if they are the same inputs, in that order.

        Raises
        ------
        ValueError
            If the RSM has no labels, the labels differ from those requested, or one of them names several inputs; or
            if the order differs and an input has no label.

        Examples
        --------
        >>> from simplugins import RSM
        >>> RSM.from_similarities([[1.0, 0.2], [0.2, 3.0]], labels=["a", "b"]).in_order(["b", "a"]).values
        array([[3. , 0.2],
               [0.2, 1. ]])
        """
        if self.labels is None:
            raise ValueError("the RSM has no labels to order its inputs by")
        requested, present = (values.tolist() for values in comparable(as_labels(labels), self.labels))
        if requested == present:
            return self
        for name, values in (("the labels requested", requested), ("the RSM", present)):
            if "" in values:
                raise ValueError(
                    f"input {values.index('')} of {name} has no label, so inputs cannot be ordered by labels"
                )
        places = {label: place for place, label in enumerate(present)}
        if missing := [label for label in requested if label not in places]:
            raise ValueError(f"{len(missing)} of the labels requested are missing, the first is {missing[0]!r}")
        distinct = set(requested)
        if extra := [label for label in present if label not in distinct]:
            raise ValueError(f"{len(extra)} labels of the RSM are not among those requested, the first is {extra[0]!r}")
        label, times = Counter([*requested, *present]).most_common(1)[0]
        if times > 2:
            raise ValueError(f"label {label!r} names more than one input, so the order is ambiguous")
        return self._permuted(np.array([places[label] for label in requested]))
