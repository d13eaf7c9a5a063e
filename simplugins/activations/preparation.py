# SPDX-License-Identifier: Apache-2.0
"""Preparation of activations before a measure sees them: centring and normalisation of concept vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block, chunks
from simplugins.activations.mapped import mapped
from simplugins.activations.pooling import MeanPooling

Centring = Literal["channel", "input", "position"]
Center = Centring | Sequence[Centring]
Normalisation = Literal["position", "matched", "mass"]
Normalize = Normalisation | Sequence[Normalisation]

CENTRINGS: tuple[Centring, ...] = ("channel", "input", "position")
NORMALISATIONS: tuple[Normalisation, ...] = ("position", "matched", "mass")

_Name = TypeVar("_Name", bound=str)

_EQUAL = 2.0**-40
"""Size of a centred concept vector, relative to the original one, that is attributed to rounding."""


@dataclass(frozen=True)
class Preparation:
    """How activations are prepared, and sets normalised: the options `center` and `normalize` of `compute_rsm`.

    Attributes
    ----------
    center : tuple of {"channel", "input", "position"}
    normalize : tuple of {"position", "matched", "mass"}

    Examples
    --------
    >>> preparation = Preparation.checked(None, "position")
    >>> x, _ = preparation.apply(Activations.from_array(np.array([[3.0, 4.0], [0.0, 0.0]])))
    >>> x.array()
    array([[[0.6, 0.8]],
    <BLANKLINE>
           [[0. , 0. ]]])
    """

    center: tuple[Centring, ...] = ()
    normalize: tuple[Normalisation, ...] = ()

    @classmethod
    def checked(cls, center: Any, normalize: Any) -> Preparation:
        """Read the options as users pass them.

        Raises
        ------
        TypeError
            If they are neither names nor sequences of names.
        ValueError
            If a name is unknown, or two names exclude each other.
        """
        centrings = _selected("center", center, CENTRINGS)
        if {"channel", "input"} <= {*centrings}:
            raise ValueError("center: 'input' also removes what 'channel' subtracts from all inputs; use one of them")
        normalisations = _selected("normalize", normalize, NORMALISATIONS)
        if {"matched", "mass"} <= {*normalisations}:
            raise ValueError("normalize: 'matched' and 'mass' are two ways to normalise sets of unequal size; use one")
        return cls(centrings, normalisations)

    @property
    def of_sets(self) -> Normalisation | None:
        """The normalisation of whole sets, "matched" or "mass", that a measure has to know."""
        return next((name for name in self.normalize if name != "position"), None)

    def of_vectors(self) -> Preparation:
        """Return the preparation without a normalisation of whole sets."""
        return replace(self, normalize=tuple(name for name in self.normalize if name == "position"))

    def apply(self, x: Activations, y: Activations | None = None) -> tuple[Activations, Activations | None]:
        """Return prepared activations, whose values are computed block by block as they are read.

        With "channel", all values are read once to compute the mean over both sides; all values are read once to check
        the result.

        Parameters
        ----------
        x : Activations
        y : Activations, optional
            The other inputs; the same vector is subtracted from both sides.

        Raises
        ------
        ValueError
            If the channels differ, so that there is no common mean.
        """
        mean = None
        if "channel" in self.center:
            if y is not None and x.channels != y.channels:
                raise ValueError(f"other: expected {x.channels} channels, as in activations, got {y.channels}")
            mean = mean_vector(x) if y is None else mean_vector(x, y)
        mapping = _Mapping(
            mean,
            by_input="input" in self.center,
            by_position="position" in self.center,
            unit="position" in self.normalize,
            mass="mass" in self.normalize,
        )
        return self._mapped(x, mapping), None if y is None else self._mapped(y, mapping)

    def _mapped(self, activations: Activations, mapping: _Mapping) -> Activations:
        changed = activations if mapping.is_identity else mapped(activations, mapping)
        before = {name: np.atleast_1d(names).tolist() for name, names in activations.prepared.items()}
        return replace(changed, prepared=self._after(**before).describe())

    def _after(self, center: Sequence[str] = (), normalize: Sequence[str] = ()) -> Preparation:
        """Return this preparation together with an earlier one."""
        return Preparation(
            tuple(name for name in CENTRINGS if name in {*center, *self.center}),
            tuple(name for name in NORMALISATIONS if name in {*normalize, *self.normalize}),
        )

    def describe(self) -> dict[str, Any]:
        """Return the options that are set, as metadata of activations and RSMs."""
        options = {"center": self.center, "normalize": self.normalize}
        return {name: names[0] if len(names) == 1 else list(names) for name, names in options.items() if names}


def _selected(option: str, value: Any, names: tuple[_Name, ...]) -> tuple[_Name, ...]:
    """Return those of the names that an option selects, in the order of `names`."""
    *first, last = map(repr, names)
    expected = f"{option}: expected None, {', '.join(first)} or {last}"
    selected = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(selected, list | tuple) or not all(isinstance(name, str) for name in selected):
        raise TypeError(f"{expected}, or several of these as a tuple, got {value!r}")
    if unknown := [name for name in selected if name not in names]:
        raise ValueError(f"{expected}, got {unknown[0]!r}")
    return tuple(name for name in names if name in selected)


def mean_vector(*sides: Activations) -> NDArray[np.float64]:
    """Return the (C,) mean of all concept vectors of all inputs, each of equal weight, in float64; reads them once.

    Examples
    --------
    >>> mean_vector(Activations.from_sets([np.zeros((1, 2)), np.full((3, 2), 4.0)]))
    array([3., 3.])
    """
    sums = []
    for side in sides:
        with arrays.on_gpu(side.gpu):
            for start, stop in chunks(side.positions, side.channels):
                vectors = side._reader(start, stop).vectors
                columns = arrays.namespace(vectors).ascontiguousarray(vectors.T, dtype=np.float64)
                sums.append(arrays.small_numpy(columns.sum(1)))  # along contiguous memory, sums are pairwise
    count = sum(int(side.positions.sum()) for side in sides)
    return np.asarray(np.ascontiguousarray(np.array(sums).T).sum(1) / count, np.float64)


@dataclass(frozen=True, eq=False)
class _Mapping:
    """Prepares the concept vectors of a block.

    Attributes
    ----------
    mean : (C,) float64 array or None
        Subtracted from each vector.
    by_input : bool
        Whether to subtract from each vector the mean vector of its input.
    by_position : bool
        Whether to subtract from each vector its own mean.
    unit : bool
        Whether to divide each vector by its norm.
    mass : bool
        Whether to divide each input by the root of its number of positions.
    """

    mean: NDArray[np.float64] | None
    by_input: bool
    by_position: bool
    unit: bool
    mass: bool

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return not (self.is_centred or self.unit or self.mass)

    @property
    def is_centred(self) -> bool:
        """Whether anything is subtracted."""
        return self.mean is not None or self.by_input or self.by_position

    def __call__(self, block: Block) -> Block:
        """Return the prepared block."""
        xp = arrays.namespace(block.vectors)
        vectors = block.vectors.copy()
        if self.mean is not None:
            vectors -= xp.asarray(self.mean)
        if self.by_input:
            vectors -= _means(block)
        if self.by_position:
            vectors -= vectors.mean(1, keepdims=True)
        if self.is_centred:
            vectors[_sizes(vectors) <= _EQUAL * _sizes(block.vectors)] = 0
        if self.unit:
            _divide(vectors, _sizes(vectors))  # first, since squares of very small or large values are not finite
            _divide(vectors, xp.sqrt(xp.einsum("ij,ij->i", vectors, vectors)))
        if self.mass:
            counts = np.diff(block.offsets)
            _divide(vectors, xp.asarray(np.repeat(np.sqrt(counts), counts)))
        return Block(vectors, block.offsets)


def _means(block: Block) -> Any:
    """Return for each concept vector the mean concept vector of its input."""
    counts, means = np.diff(block.offsets), MeanPooling()(block).vectors
    return means[arrays.namespace(means).asarray(np.repeat(np.arange(len(counts)), counts))]


def _sizes(vectors: Any) -> Any:
    """Return the largest absolute value of each vector."""
    return arrays.namespace(vectors).maximum(vectors.max(1), -vectors.min(1))


def _divide(vectors: Any, sizes: Any) -> None:
    """Divide each vector by its size, in place; vectors of size 0 remain."""
    vectors /= arrays.namespace(vectors).where(sizes > 0, sizes, 1)[:, None]
