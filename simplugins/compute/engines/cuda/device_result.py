# SPDX-License-Identifier: Apache-2.0
"""Results that stay in the memory of a GPU until they are needed, and similarities computed there."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.engines.cuda.pair_programs import launch
from simplugins.compute.engines.cuda.pair_results import PairResults
from simplugins.compute.job import TileResult

_OUTPUT_BYTES = 2**28
"""Size of the similarities that are computed on the device at a time."""

_DIGIT_BITS = 11
_SHIFTS = (52, 41, 30, 19, 8, 0)
"""Position of the digits of a float64 without sign, by which `median` selects; the last has 8 bits."""

_COUNTING_BLOCKS = 1024
_FLOAT, _WORD = np.dtype(np.float64), np.dtype(np.uint64)


class DeviceResult(TileResult):
    """The results of all pairs, in the memory of a GPU; `values` and `gap` are downloaded when first used.

    Parameters
    ----------
    results : PairResults
        Of all pairs.
    rounding, metadata
        As for `TileResult`.
    """

    on_device = True
    results: PairResults

    def __init__(self, results: PairResults, rounding: float, metadata: dict[str, str]) -> None:
        self.__dict__.update(results=results, rounding=rounding, metadata=metadata)

    def __reduce__(self) -> Any:
        return TileResult, (self.values, self.rounding, self.gap, self.metadata)

    def on_host(self) -> TileResult:
        """Return the results in host memory."""
        return TileResult(self.values, self.rounding, self.gap, self.metadata)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Aligned inner products, or the values of a measure."""
        return self._downloaded(self.results.values)

    @cached_property
    def gap(self) -> NDArray[np.float64] | None:
        """Proven relative optimality gaps, if requested."""
        return None if self.results.bounds is None else self._downloaded(self.results.bounds)

    def products(self) -> NDArray[np.float64]:
        """Return the values as a new array."""
        return self._downloaded(self.results.values)

    def ran_out(self, error: Exception) -> bool:
        """Whether an error of the methods below means that memory ran out; if so, free what is cached."""
        ran_out = self.results.device.ran_out(error)
        if ran_out:
            with self.results.device as device:
                device.release()
        return ran_out

    def _downloaded(self, array: Any) -> NDArray[np.float64]:
        with self.results.device as device:
            values = np.empty(array.shape)
            device.fetch(array, values)
            return values

    def cosines(self, norms: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the cosine similarities, given the squared norms of rows and columns; see `simplugins.rsm.kernels`."""
        return self._similarities("cosines", norms, [])

    def rbf(
        self, norms: tuple[NDArray[np.float64], NDArray[np.float64]], sigma: float, equal: float
    ) -> NDArray[np.float64]:
        """Return the RBF similarities; norms differ by rounding up to a relative difference of `equal`."""
        return self._similarities("rbf", norms, [np.float64(self.rounding), np.float64(equal), np.float64(sigma)])

    def _similarities(
        self, function: str, norms: tuple[NDArray[np.float64], NDArray[np.float64]], options: list[np.generic]
    ) -> NDArray[np.float64]:
        rows, columns = self.results.region.shape
        similarities = np.empty((rows, columns))
        step = max(1, min(rows, _OUTPUT_BYTES // (8 * columns)))
        with self.results.device as device:
            uploaded = [device.upload(side) for side in norms]
            out = device.empty((step, columns), _FLOAT)
            for first in range(0, rows, step):
                count = min(step, rows - first)
                place = np.int64(columns), np.int64(first), np.int64(count)
                launch(
                    device, function, count * columns, [self.results.values, *place, *uploaded, *options, out[:count]]
                )
                device.fetch(out[:count], similarities[first : first + count])
            device.retire()
        return similarities

    def median(self, norms: tuple[NDArray[np.float64], NDArray[np.float64]], equal: float, *, symmetric: bool) -> float:
        """Return the median of all positive squared distances, the lower of two middle ones; 0 if there are none."""
        rows, columns = self.results.region.shape
        with self.results.device as device:
            uploaded = [device.upload(side) for side in norms]
            state = device.upload(np.zeros(3, _WORD))
            counts = device.upload(np.zeros(2**_DIGIT_BITS, _WORD))
            known_from = 63
            for shift in _SHIFTS:
                sizes = np.int64(rows), np.int64(columns)
                options = np.float64(self.rounding), np.float64(equal), np.int32(symmetric)
                bits = np.int32(shift), np.int32(known_from)
                arguments = [self.results.values, *sizes, *uploaded, *options, *bits, state, counts]
                launch(device, "count_digits", rows * columns, arguments, most_blocks=_COUNTING_BLOCKS)
                launch(device, "select_digit", 1, [counts, state, np.int32(known_from - shift)])
                known_from = shift
            words = np.empty(3, _WORD)
            device.fetch(state, words)
            device.retire()
        return float(words[:1].view(np.float64)[0])
