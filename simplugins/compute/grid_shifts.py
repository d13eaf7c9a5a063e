# SPDX-License-Identifier: Apache-2.0
"""Inner products of two responses under all translations of their grid, by the fast Fourier transform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.job import check_channels

Padding = Literal["circular", "zeros"]


@dataclass(frozen=True)
class GridShifts:
    """All translations of a grid.

    Attributes
    ----------
    grid : tuple of int
        Sizes of the dimensions of positions.
    padding : {"circular", "zeros"}
        Whether positions that leave the grid come back at the opposite side, or match nothing. With "zeros", only
        translations that leave some position inside are considered.
    """

    grid: tuple[int, ...]
    padding: Padding

    @classmethod
    def of(cls, x: Activations, y: Activations, padding: Padding) -> GridShifts:
        """Return the translations of the grid that two sets of inputs share.

        Raises
        ------
        ValueError
            If channels or grids differ, or there is no grid.
        """
        check_channels(x, y)
        for side in (x, y):
            if side.grid is None:
                reason = (
                    "lists of sets have none"
                    if side.layout == "ragged"
                    else "a mask or drop_tokens= left positions out, or a mapping changed them"
                )
                raise ValueError(
                    f"shifts translate the whole grid of positions, but these activations have no whole grid "
                    f"({reason}): pass whole maps or token grids, or use a semantic measure"
                )
        if x.grid != y.grid:
            raise ValueError(
                f"shifts translate a grid that all inputs share, but activations have the grid {x.grid} and the other "
                f"ones {y.grid}: use a semantic measure, or resample the maps to one grid"
            )
        return cls(x.grid or (1,), padding)

    @property
    def padded(self) -> tuple[int, ...]:
        """Sizes of the transforms: of the grid, or large enough that nothing comes back."""
        if self.padding == "circular":
            return self.grid
        return tuple(int(fft.next_fast_len(2 * size - 1, real=True)) for size in self.grid)

    @property
    def frequencies(self) -> int:
        """Number of complex numbers per channel of a spectrum."""
        return math.prod(self.padded[:-1]) * (self.padded[-1] // 2 + 1)

    def spectra(self, block: Block) -> NDArray[np.complex128]:
        """Return the (frequencies, inputs, channels) Fourier transforms of a block of inputs."""
        count, channels = len(block.offsets) - 1, block.vectors.shape[1]
        spectra = np.empty((self.frequencies, count, channels), np.complex128)
        axes = tuple(range(len(self.grid)))
        for i, vectors in enumerate(block.vectors.reshape(count, *self.grid, channels)):
            spectrum = fft.rfftn(vectors.astype(np.float64, copy=False), s=self.padded, axes=axes, workers=1)
            spectra[:, i] = spectrum.reshape(self.frequencies, channels)
        return spectra

    def products(self, rows: NDArray[np.complex128], columns: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return the inner products under all translations, (rows, columns, translations).

        Parameters
        ----------
        rows, columns : complex128 arrays
            The conjugate spectra of the inputs in rows, and the spectra of those in columns.
        """
        by_frequency = rows @ columns.transpose(0, 2, 1)
        pairs = by_frequency.shape[1:]
        half = *self.padded[:-1], self.padded[-1] // 2 + 1
        spectra = np.ascontiguousarray(by_frequency.transpose(1, 2, 0)).reshape(*pairs, *half)
        axes = tuple(range(2, 2 + len(self.grid)))
        products = fft.irfftn(spectra, s=self.padded, axes=axes, workers=1, overwrite_x=True)
        for axis, offsets in zip(axes, self._places(), strict=True):
            if len(offsets) < products.shape[axis]:
                products = products.take(offsets, axis=axis)
        result: NDArray[np.float64] = products.reshape(*pairs, -1)
        return result

    def _places(self) -> list[NDArray[np.int64]]:
        """Return, per dimension, where the considered translations are in an inverse transform."""
        return [offsets % size for offsets, size in zip(self.offsets(), self.padded, strict=True)]

    def offsets(self) -> list[NDArray[np.int64]]:
        """Return the translations along each dimension, in the order of `products`: 0, 1, ... and then negative."""
        signed = []
        for size in self.grid:
            positive = np.arange(size if self.padding == "zeros" else (size + 1) // 2 + (size % 2 == 0))
            total = 2 * size - 1 if self.padding == "zeros" else size
            signed.append(np.concatenate([positive, np.arange(len(positive) - total, 0)]))
        return signed


def check_padding(padding: str) -> None:
    """Raise a ValueError if a padding is unknown."""
    if padding not in get_args(Padding):
        expected = ", ".join(map(repr, get_args(Padding)))
        raise ValueError(f"padding: expected one of {expected}, got {padding!r}")
