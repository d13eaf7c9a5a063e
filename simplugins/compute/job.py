# SPDX-License-Identifier: Apache-2.0
"""A job: two sets of activations, and the operation on each pair of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins import __version__
from simplugins.activations.activations import Activations


@dataclass(frozen=True)
class TileResult:
    """The result of an operation on all pairs of a job, or of a tile of it.

    Attributes
    ----------
    values : (n, m) float64 array
        Aligned inner products, or the values of a measure that computes them itself.
    rounding : float
        Bound on the rounding error of an aligned inner product, relative to the mean of the two squared norms.
    gap : (n, m) float64 array or None
        Proven relative optimality gaps, if requested: see `simplugins.RSM.gap`.
    metadata : dict of str to str
        How the values were computed: the "engine", the "precision" of the affinities, and the "device" if it is a GPU.
    """

    values: NDArray[np.float64]
    rounding: float = 0.0
    gap: NDArray[np.float64] | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class Operation(Protocol):
    """What is computed for each pair of inputs; immutable, and pickled to reach the workers of a cluster."""

    @property
    def symmetric(self) -> bool:
        """Whether the order of the two inputs does not matter, so that half the pairs suffice."""

    @property
    def certify(self) -> bool:
        """Whether results have gaps."""

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if inputs of the two sets cannot be compared."""

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute all pairs of x and y; of x with itself if y is None."""

    def warm_up(self) -> None:
        """Load the libraries and the compiled code that a tile needs."""

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of the working memory that one thread needs for it."""

    def copies(self, x: Activations, y: Activations) -> int:
        """Return how many copies of a block of inputs the operation makes."""

    def check_tiles(self) -> None:
        """Raise a ValueError if the pairs cannot be computed tile by tile."""

    def describe(self) -> Mapping[str, Any]:
        """Return everything that the values depend on except the activations, as JSON types."""


@dataclass(frozen=True)
class Job:
    """One computation, or a part of it.

    Attributes
    ----------
    x : Activations
        N inputs.
    y : Activations or None
        M other inputs; None for x itself.
    operation : Operation
    version : str
        The version of simplugins that made the job.
    """

    x: Activations
    y: Activations | None
    operation: Operation
    version: str = __version__

    @property
    def columns(self) -> Activations:
        """The inputs in columns: `y`, or `x` itself."""
        return self.x if self.y is None else self.y

    @property
    def symmetric(self) -> bool:
        """Whether entry (j, i) equals entry (i, j), so that tiles below the diagonal are not computed."""
        return self.y is None and self.operation.symmetric

    def part(self, rows: Activations, columns: Activations | None) -> Job:
        """Return the job of some rows and columns; of a block of inputs with itself, if `columns` is None."""
        return Job(rows, columns, self.operation, self.version)

    def compute(self, threads: int | None, progress: bool | str = False) -> TileResult:
        """Compute all pairs.

        Raises
        ------
        ValueError
            If another version of simplugins made the job.
        """
        if self.version != __version__:
            raise ValueError(
                f"the job is from simplugins {self.version}, but simplugins {__version__} is installed here"
            )
        return self.operation.compute(self.x, self.y, threads=threads, progress=progress)
