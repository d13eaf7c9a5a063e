# SPDX-License-Identifier: Apache-2.0
"""Samples of activations that there are: only the inputs that are drawn are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins._common import arrays, ondisk
from simplugins.activations.activations import Activations
from simplugins.activations.reading import read
from simplugins.measures.cost.calibration import Opener

_LOOKED_AT = 8
"""So many inputs are looked at for what they are like."""


@dataclass(frozen=True)
class Source:
    """Activations of which some inputs are read, drawn at random."""

    array: Any
    how: Mapping[str, Any]
    count: int

    @classmethod
    def of(cls, activations: Any, **how: Any) -> Source:
        """Open activations, without reading them if they are on disk."""
        found = read(activations)
        try:
            count = len(found)
        except TypeError as error:
            raise TypeError(f"expected activations, got {type(found).__name__}: {error}") from error
        if count == 0:
            raise ValueError("expected at least one input, got none")
        return cls(found, how, count)

    def sample(self, count: int) -> Opener:
        """Return what reads so many inputs; the same ones again, if there are not so many."""
        drawn = np.random.default_rng(0).permutation(self.count)[:count]

        def read_drawn() -> Activations:
            found = Activations.from_array(self.array, subset=drawn, **self.how)
            return found if count <= len(drawn) else found.chosen(np.resize(np.arange(len(drawn)), count))

        return read_drawn

    def some(self) -> Activations:
        """Read a few inputs, to see what they are like."""
        return self.sample(min(_LOOKED_AT, self.count))()

    def bytes_in_memory(self, count: int, some: Activations) -> int:
        """Return the bytes that so many inputs take as they are given, like some of them; none if they stay on disk."""
        if _stays_on_disk(self.array):
            return 0
        nbytes = getattr(self.array, "nbytes", None)
        return count * (some.input_bytes if nbytes is None else math.ceil(int(nbytes) / self.count))


def _stays_on_disk(array: Any) -> bool:
    """Whether the engine reads an array from disk, block by block."""
    if isinstance(array, Activations):
        return array.is_on_disk
    return arrays.is_lazy(array) or ondisk.address_of(array) is not None
