# SPDX-License-Identifier: Apache-2.0
"""Jobs (two sets of activations and the operation on each pair of inputs) and their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins import __version__
from simplugins.activations.activations import Activations
from simplugins.compute.tiling import mirror
from simplugins.matching.matcher import Matcher


@dataclass(frozen=True)
class TileResult:
    """The results of all pairs of a job, or of one tile.

    Attributes
    ----------
    values : (n, m) float64 array
        Aligned inner products, or the values of a measure that has its own computation.
    rounding : float
        Bound on the rounding error of an aligned inner product, relative to the mean of the two squared norms.
    gap : (n, m) float64 array or None
        Proven relative optimality gaps, if requested: see `simplugins.RSM.gap`.
    metadata : dict of str to str
        How the values were computed: the "engine", the "precision" of the affinities, and the "device" if it is a GPU.
    on_device : bool
        Whether the values are in the memory of a GPU until they are used: see
        `simplugins.compute.engines.cuda.device_result`.
    """

    values: NDArray[np.float64]
    rounding: float = 0.0
    gap: NDArray[np.float64] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    on_device: ClassVar[bool] = False


class Operation(Protocol):
    """The computation for each pair of inputs; immutable, and pickled for the workers of a cluster."""

    @property
    def symmetric(self) -> bool:
        """Whether the order of the two inputs is irrelevant, so that half the pairs suffice."""

    @property
    def certify(self) -> bool:
        """Whether results have gaps."""

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if inputs of the two sets cannot be compared."""

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute all pairs of x and y, or of x with itself if y is None."""

    def warm_up(self) -> None:
        """Load the libraries and the compiled code that a tile needs."""

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of one thread's working memory for that pair."""

    def copies(self, x: Activations, y: Activations) -> int:
        """Return the number of copies of a block of inputs that the operation makes."""

    def check_tiles(self) -> None:
        """Raise a ValueError if the pairs cannot be computed tile by tile."""

    def describe(self) -> Mapping[str, Any]:
        """Return everything that the values depend on except the activations, as JSON types."""


Sides = tuple[Activations, Activations | None]
"""Rows and columns of a job; None for the rows themselves."""


@dataclass(frozen=True)
class Job:
    """A computation on all pairs of inputs, or on a part of them.

    Attributes
    ----------
    x : Activations
        N inputs.
    y : Activations or None
        M other inputs; None for x itself.
    operation : Operation
    version : str
        The version of simplugins that created the job.
    source : Sides or None
        The activations from which a measure prepared `x` and `y`, if they differ: they identify the job in stores.
    normed : Sides or None
        The activations whose squared norms are those of the measure, if they are neither `x` nor `y`.
    """

    x: Activations
    y: Activations | None
    operation: Operation
    version: str = __version__
    source: Sides | None = None
    normed: Sides | None = None

    @property
    def columns(self) -> Activations:
        """The inputs in columns: `y`, or `x` itself."""
        return self.x if self.y is None else self.y

    @property
    def sources(self) -> Sides:
        """The activations that were passed, before a measure prepared them."""
        return self.source or (self.x, self.y)

    @property
    def measured(self) -> Sides:
        """The activations whose squared norms are those of the measure."""
        return self.normed or (self.x, self.y)

    @property
    def norms(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The squared norms of rows and columns; None for the columns if they are the same inputs."""
        x, y = self.measured
        return x.squared_norms, None if y is None else y.squared_norms

    @property
    def symmetric(self) -> bool:
        """Whether entry (j, i) equals entry (i, j), so that tiles below the diagonal are not computed."""
        return self.y is None and self.operation.symmetric

    def part(self, rows: Activations, columns: Activations | None) -> Job:
        """Return the job for some rows and columns, or for rows with themselves if `columns` is None."""
        return Job(rows, columns, self.operation, self.version)

    def compute(self, threads: int | None, progress: bool | str = False) -> TileResult:
        """Compute all pairs.

        Raises
        ------
        ValueError
            If another version of simplugins created the job.
        """
        if self.version != __version__:
            raise ValueError(
                f"the job is from simplugins {self.version}, but simplugins {__version__} is installed here"
            )
        return self.operation.compute(self.x, self.y, threads=threads, progress=progress)

    def description(self) -> dict[str, Any]:
        """Return the metadata of the inputs and the operation as JSON types, the same for all executors."""
        x, y = self.sources
        sides = x, x if y is None else y
        fewest, *more = np.unique([(side.positions.min(), side.positions.max()) for side in sides]).tolist()
        operation = self.operation.describe()
        return {
            **({"measure_options": operation["measure_options"]} if operation.get("measure_options") else {}),
            "matching_options": operation["matching_options"],
            "dtype": str(np.result_type(*(side.dtype for side in sides))),
            **({"dtype_reason": "large common mean"} if any(side.widened for side in sides) else {}),
            **x.prepared,
            "layout": x.layout,
            "channels": x.channels,
            "positions": [fewest, more[-1]] if more else fewest,
            "simplugins": __version__,
        }


def check_channels(x: Activations, y: Activations) -> None:
    """Raise a ValueError if the concept vectors of two sets differ in length."""
    if x.channels != y.channels:
        raise ValueError(f"concept vectors must have equal channels to be compared: got {x.channels} and {y.channels}")


def check_pair(x: Activations, y: Activations, matcher: Matcher) -> None:
    """Check that the inputs of two sets can be matched.

    Raises
    ------
    ValueError
        If channels differ, or the matcher is positionwise and inputs have different positions, or the matching depends
        on the scale of activations that are too large or too small to be matched unscaled.
    """
    check_channels(x, y)
    if not matcher.invariant_to_scaling and (x.exponents.any() or y.exponents.any()):
        raise ValueError(
            f"matching {matcher.name!r} depends on the scale of the activations, but these are so large or so small "
            f"that they are scaled before matching: multiply them by a power of 10 that brings them near 1"
        )
    if matcher.positionwise:
        if not (x.same_positions and y.same_positions):
            raise ValueError(
                f"matching {matcher.name!r} pairs position s with position s, but a mask left out different positions "
                f"of different inputs; a semantic measure compares such sets"
            )
        counts = np.unique(np.concatenate([x.positions, y.positions]))
        if counts.size > 1:
            raise ValueError(
                f"matching {matcher.name!r} pairs position s with position s, so all inputs need the same number of "
                f"positions, got {counts[0]} to {counts[-1]}; a semantic measure compares sets of different sizes"
            )


def complete(
    x: Activations,
    y: Activations | None,
    values: NDArray[np.float64],
    gap: NDArray[np.float64] | None,
    rounding: float,
    with_diagonal: bool = False,
    /,
    **metadata: str,
) -> TileResult:
    """Undo the scaling of extreme inputs; if `y` is None, fill lower triangles, and diagonals if they are missing."""
    other = x if y is None else y
    if x.exponents.any() or other.exponents.any():
        values = np.ldexp(values, x.exponents[:, None] + other.exponents[None, :])
    if y is None:
        for matrix, diagonal in ((values, x.squared_norms), (gap, 0.0)):
            if matrix is not None:
                mirror(matrix)
                if not with_diagonal:
                    np.fill_diagonal(matrix, diagonal)
    return TileResult(values, rounding, gap, metadata)


def relative_gap(values: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(upper - value) / |upper|``, infinite where the bound is 0 and the value is not."""
    shortfall = np.maximum(upper - values, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shortfall == 0, 0.0, shortfall / np.abs(upper))


def provenance(result: TileResult) -> dict[str, Any]:
    """Return a tile's metadata and "rounding"."""
    return {"rounding": result.rounding, **result.metadata}


def check_consistent(computed: Mapping[str, Any], result: TileResult) -> None:
    """Raise a ValueError if a tile's `provenance` differs from that of earlier tiles; devices may differ."""
    for name, value in provenance(result).items():
        if name != "device" and value != computed.get(name):
            raise ValueError(
                f"some tiles were computed with {name} {computed.get(name)!r}, others with {value!r}: specify the "
                f"engine and the precision"
            )
