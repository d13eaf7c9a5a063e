# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: for each tile of pairs, a matrix product and launches of the matching kernels on it.

A tile is the product of two blocks of inputs: it contains the affinities of all pairs, and the CUDA kernels read them
in place. See `simplugins.compute.engines.cuda.tile_run` for the order of work and the use of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device, Precision
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock, sorted_by_norm
from simplugins.compute.engines.cuda.operands import default_precision
from simplugins.compute.engines.cuda.pair_problems import Part, TilePairs, parts_of
from simplugins.compute.engines.cuda.pair_results import Tile
from simplugins.compute.engines.cuda.tasks import check_matcher, floor_of, largest_number
from simplugins.compute.engines.cuda.tile_run import ROUNDING, TileRun
from simplugins.compute.job import TileResult, check_pair
from simplugins.matching.matcher import Matcher
from simplugins.matching.norm_windows import norm_windows

_POSITIONWISE_COPIES = 3
"""Memory of a block of float32 vectors that are multiplied in float64, as a multiple of the vectors' memory."""


def aligned_products(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    device: Device,
    precision: Precision | None = None,
    certify: bool = False,
    keep: bool = False,
    progress: bool | str = False,
) -> TileResult:
    """Compute the aligned inner products of all pairs of inputs on a GPU.

    Parameters
    ----------
    x, y, matcher, certify, progress
        As for `simplugins.compute.engines.cpu.aligned_products`. The matcher must have a CUDA kernel or be
        positionwise, and inputs have at most `programs.LARGEST` positions.
    device : Device
    precision : {"float32", "float16x3"}, optional
        Precision of the affinities of float32 activations; those of float64 activations are computed in float64. By
        default "float16x3" where it is faster than "float32", which is equally accurate.
    keep : bool
        Whether results stay in the memory of the device until they are used, if they fit.

    Returns
    -------
    TileResult
        (N, M). Optimal matchings are certified to within 2^-18 (4e-6) of the magnitude of the matched affinities.

    Raises
    ------
    ValueError
        If the inputs cannot be matched with each other, or the GPU cannot compute the matching.
    DeviceMemoryError
        If even a single pair of inputs does not fit the free memory of the GPU.
    """
    run = make_run(x, y, matcher, device=device, precision=precision, certify=certify)
    with device:
        run.run(progress)
        return run.result(run.rounding, keep=keep, **run.metadata, device=device.name)


def make_run(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    device: Device,
    precision: Precision | None,
    certify: bool,
) -> Run:
    """Return the computation of `aligned_products`, after checking its arguments."""
    check_pair(x, x if y is None else y, matcher)
    check_matcher(matcher)
    if precision == "float16x3" and not matcher.invariant_to_scaling:
        raise ValueError(
            f"matching {matcher.name!r} depends on the scale of the activations, but precision='float16x3' scales each "
            f"input: use precision='float32'"
        )
    if precision == "float16x3" and matcher.cuda_kernel == "assignment-share":
        raise ValueError(
            f"matching {matcher.name!r} with a share lengthens the concept vectors on a GPU, so that "
            f"precision='float16x3' would be less accurate: use precision='float32'"
        )
    if precision is None:
        precision = matching_precision(device, matcher, x.channels)
    with device:
        if matcher.cuda_kernel == "assignment-share":
            from simplugins.compute.engines.cuda.partial_run import PartialRun

            return PartialRun(x, y, matcher, device=device, precision=precision, certify=certify)
        return Run(x, y, matcher, device=device, precision=precision, certify=certify)


def matching_precision(device: Device, matcher: Matcher, channels: int) -> Precision:
    """Return the precision of the affinities of float32 activations: the faster one that suits the matcher."""
    scaled = matcher.invariant_to_scaling and not (matcher.positionwise or matcher.partial)
    return default_precision(device, channels) if scaled else "float32"


class Run(TileRun):
    """One computation of aligned inner products."""

    def __init__(
        self,
        x: Activations,
        y: Activations | None,
        matcher: Matcher,
        *,
        device: Device,
        precision: Precision,
        certify: bool,
        added: tuple[int, int] = (0, 0),
    ) -> None:
        other = x if y is None else y
        self.matcher, self.floor = matcher, floor_of(matcher)
        self.with_diagonal = matcher.partial
        super().__init__(
            device,
            x,
            other,
            symmetric=y is None,
            precision=precision,
            copies=_POSITIONWISE_COPIES if matcher.positionwise else None,
            convert=sorted_by_norm if matcher.by_norm else None,
            certify=certify,
            added=added,
            multiplied=matcher.positionwise and not certify,
        )
        largest = max(int(x.positions.max()), int(other.positions.max()))
        uniform = bool((x.positions == largest).all() and (other.positions == largest).all())
        window = largest if certify or matcher.window is None else min(matcher.window, largest)
        self.windowed = uniform and window < largest
        self.parts = [Part("optimal")] if self.windowed else parts_of(matcher, largest, certify=certify)
        if self.parts:
            launcher.check_size(device, window, self.dtype)

    @property
    def metadata(self) -> dict[str, str]:
        """The engine, and the precision of products."""
        return {"engine": "cuda", "precision": "float64" if self.matcher.positionwise else self.precision}

    @property
    def rounding(self) -> float:
        """Bound on the rounding error of the results; see `TileResult`."""
        return ROUNDING[self.metadata["precision"]]

    def prepare(self, pairs: TilePairs) -> None:
        """Convert inputs to operands, but not windows of them, which only their tile uses."""
        if self.matcher.positionwise:
            self._flat_operands(pairs)
        for transposed in () if self.windowed else self._transpositions(pairs):
            self.operands(pairs.rows, pairs.columns, transposed=transposed)

    def start(self, tile: Tile, pairs: TilePairs) -> Callable[[], bool]:
        """Start a tile; return a function that waits for it, and returns False if it must be computed in float64."""
        rows, columns = pairs.rows, pairs.columns
        products = list(self._windows(rows, columns)) if self.windowed else [(rows, columns)]
        counts = self.device.empty((1 + 2 * len(products) * len(self.parts),), np.dtype(np.int32))
        pairs.area.clear(counts)
        if self.matcher.positionwise:
            self._multiply(pairs)
        real = np.dtype(np.float64) if self.is_coarse(tile) else self.dtype
        remaining = iter(range(len(counts)))
        for factors in products if pairs.count else ():
            self._solve(pairs.of(*factors), counts, remaining, real)
        fetch, capacity = self.device.download(counts), pairs.capacity
        return lambda: int(fetch().max()) <= capacity

    def _multiply(self, pairs: TilePairs) -> None:
        """Add the product of flattened inputs."""
        product = self.device.empty(pairs.area.tile.shape, np.dtype(np.float64))
        rows, columns = self._flat_operands(pairs)
        self.device.multiply(rows, columns, product, "float64")
        pairs.area.add(product)

    def _flat_operands(self, pairs: TilePairs) -> list[Any]:
        return [side.flat.operand("float64", columns=False) for side in (pairs.rows, pairs.columns)]

    def _solve(self, pairs: TilePairs, counts: Any, remaining: Iterator[int], real: np.dtype[np.floating]) -> None:
        """Start all problems on one product of vectors, for each orientation that they have."""
        for transposed in self._transpositions(pairs):
            affinities = self.affinities(pairs.rows, pairs.columns, transposed)
            for part in self.parts:
                for orientation in pairs.orientations(part):
                    if (orientation == 1) == transposed:
                        number = next(remaining)
                        coarse = counts[number : number + 1]
                        pairs.solve(part, orientation, affinities, coarse, real=real, floor=self.floor)

    def _transpositions(self, pairs: TilePairs) -> list[bool]:
        """Return whether the problems' rows are those of the pairs, their columns, or both, as for `affinities`."""
        return sorted({orientation == 1 for part in self.parts for orientation in pairs.orientations(part)})

    def _windows(self, rows: DeviceBlock, columns: DeviceBlock) -> Iterator[tuple[DeviceBlock, DeviceBlock]]:
        """Cut inputs of equal size into windows, so that affinities between windows are not computed."""
        assert self.matcher.window is not None
        for first, second in norm_windows(rows.bounds[1], columns.bounds[1], self.matcher.window):
            yield self._window(rows, first), self._window(columns, second)

    def _window(self, block: DeviceBlock, window: slice) -> DeviceBlock:
        count, size = len(block), window.stop - window.start
        sets = block.vectors.reshape(count, -1, block.vectors.shape[1])[:, window]
        vectors = self.device.empty((count * size, sets.shape[2]), self.dtype)
        vectors.reshape(sets.shape)[:] = sets
        return DeviceBlock(vectors, np.arange(count + 1) * size)

    def affinities(self, rows: DeviceBlock, columns: DeviceBlock, transposed: bool) -> Any:
        """Return the affinities of two blocks, raised to the floor, valid until the next call."""
        affinities = super().affinities(rows, columns, transposed)
        if self.floor > -np.inf:
            self.device.raise_to(affinities, largest_number(self.floor, self.dtype))
        return affinities
