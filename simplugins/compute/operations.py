# SPDX-License-Identifier: Apache-2.0
"""The operations on pairs of inputs: matching their positions, or a measure of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.engines import check_engine, choose_engine
from simplugins.compute.engines.pairs import check_pair
from simplugins.compute.job import TileResult
from simplugins.compute.memory import SOLVER_BYTES
from simplugins.compute.tiling import mirror
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import matcher_options

_ASYMMETRY = 1e-4
"""Largest difference of values (i, j) and (j, i) of a symmetric measure, relative to the largest value: rounding."""


@dataclass(frozen=True)
class MatchedPairs:
    """Match the positions of each pair; the values are aligned inner products.

    Attributes
    ----------
    matcher : Matcher
    certify : bool
    engine : {"auto", "cpu", "cuda"}
        "auto" is decided where a tile is computed.
    precision : {"float32", "float16x3", "tf32"} or None
        Precision of the affinities of float32 activations, on a GPU.
    """

    matcher: Matcher
    certify: bool = False
    engine: str = "auto"
    precision: str | None = None
    symmetric = True

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if inputs of the two sets cannot be matched."""
        check_pair(x, y, self.matcher)

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the aligned inner products of all pairs.

        Raises
        ------
        ValueError
            If the engine or precision cannot be used here.
        """
        check_engine(self.engine, self.precision)
        engine = choose_engine(self.engine, self.matcher)
        if self.precision is not None:
            self._check_precision(engine, x, x if y is None else y)
        if engine == "cpu":
            from simplugins.compute.engines import cpu

            return cpu.aligned_products(x, y, self.matcher, threads=threads, certify=self.certify, progress=progress)
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice
        from simplugins.compute.engines.cuda.engine import aligned_products

        device = CupyDevice(x.gpu if x.gpu is not None or y is None else y.gpu)
        precision: Any = self.precision or "float32"
        return aligned_products(
            x, y, self.matcher, device=device, precision=precision, certify=self.certify, progress=progress
        )

    def warm_up(self) -> None:
        """Match a pair of single positions."""
        one = Activations.from_array(np.ones((1, 1, 1), np.float32))
        self.compute(one, one, threads=1)

    def _check_precision(self, engine: str, *activations: Activations) -> None:
        if any(side.dtype == "float64" for side in activations):
            raise ValueError(
                f"precision={self.precision!r} is for float32 activations; these are computed in float64 (see dtype)"
            )
        if engine == "cpu" and self.precision != "float32":
            raise ValueError(f"precision={self.precision!r} needs engine='cuda'; the CPU computes in float32")

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of the solver's working memory for it."""
        if self.matcher.positionwise and not self.certify:
            return 0, 0
        columns = int(y.positions.max())
        if self.matcher.window is not None and not self.certify:
            columns = min(columns, self.matcher.window)
        entries = int(x.positions.max()) * columns
        return entries * int(np.result_type(x.dtype, y.dtype).itemsize), entries * SOLVER_BYTES

    def copies(self, x: Activations, y: Activations) -> int:
        """Return how many copies of a block the engine makes: in another order, scaled, or of another type."""
        return 2 if self.matcher.by_norm or x.exponents.any() or y.exponents.any() or x.dtype != y.dtype else 0

    def check_tiles(self) -> None:
        """Accept any job: every pair is matched on its own."""

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "matching": self.matcher.name,
            "matching_options": matcher_options(self.matcher),
            "certify": self.certify,
        }


@dataclass(frozen=True)
class MeasuredPairs:
    """Call a measure that computes its own values.

    Attributes
    ----------
    measure : callable(Activations, Activations) -> (n, m) array
    name : str
    options : mapping
    symmetric : bool
        Whether value (j, i) equals value (i, j).
    pairwise : bool
        Whether a value depends on its two inputs alone.
    """

    measure: Callable[[Activations, Activations], Any]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    symmetric: bool = False
    pairwise: bool = True
    certify = False

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if channels differ."""
        if x.channels != y.channels:
            raise ValueError(f"other: expected {x.channels} channels, as in activations, got {y.channels}")

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Call the measure, and check what it returns.

        Raises
        ------
        TypeError
            If the measure does not return real numbers.
        ValueError
            If it does not return one finite value per pair, or is not symmetric as declared.
        """
        columns = x if y is None else y
        values = np.asarray(self.measure(x, columns))
        if values.dtype.kind not in "biuf":
            raise TypeError(f"measure {self.name!r} must return real numbers, got an array of dtype {values.dtype}")
        if values.shape != (len(x), len(columns)):
            raise ValueError(
                f"measure {self.name!r} must return one value per pair, shape {(len(x), len(columns))}, got shape "
                f"{values.shape}"
            )
        if not np.isfinite(values).all():
            i, j = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(f"measure {self.name!r} returned {values[i, j]} for row {i}, column {j}")
        values = np.array(values, np.float64)
        if self.symmetric and y is None:
            self._check_symmetry(values)
            mirror(values)
        return TileResult(values, metadata={"engine": "cpu"})

    def _check_symmetry(self, values: NDArray[np.float64]) -> None:
        differences = np.abs(values - values.T)
        if differences.max() > _ASYMMETRY * np.abs(values).max():
            i, j = np.unravel_index(differences.argmax(), values.shape)
            raise ValueError(
                f"measure {self.name!r} declares symmetric=True, but its value for row {i}, column {j} is "
                f"{values[i, j]:.6g}, and for row {j}, column {i} {values[j, i]:.6g}"
            )

    def warm_up(self) -> None:
        """Do nothing: the measure may not accept any other inputs than those of the job."""

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return zeros: the memory that the measure needs is unknown."""
        return 0, 0

    def copies(self, x: Activations, y: Activations) -> int:
        """Return 2: the measure receives its own arrays of both blocks."""
        return 2

    def check_tiles(self) -> None:
        """Raise a ValueError if a value depends on more than its two inputs."""
        if not self.pairwise:
            raise ValueError(
                f"measure {self.name!r} declares pairwise=False: its values depend on all inputs, so they can neither "
                f"be computed in parts (memory, store, scheduler, tile_size) nor estimated from a sample"
            )

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "measure": self.name,
            "measure_options": {name: _plain(value) for name, value in self.options.items()},
            "matching": None,
            "matching_options": {},
            "certify": False,
        }


def _plain(value: Any) -> Any:
    """Return the value of an option as JSON types; objects without such a form by their module and name, or repr."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"{value.__module__}.{name}"
