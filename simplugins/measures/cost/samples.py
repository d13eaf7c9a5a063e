# SPDX-License-Identifier: Apache-2.0
"""Samples of given activations: only the inputs drawn are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins._common import arrays, ondisk
from simplugins.activations.activations import Activations
from simplugins.activations.layouts import layout_of
from simplugins.activations.reading import read
from simplugins.activations.sources import read_source
from simplugins.measures.cost.planned import Opener

_PROBED = 8
"""Inputs that are read to learn their sizes."""


@dataclass(frozen=True)
class Source:
    """Activations of which a random sample is read."""

    array: Any
    options: Mapping[str, Any]
    count: int

    @classmethod
    def open(cls, activations: Any, options: Mapping[str, Any]) -> Source:
        """Open activations, without reading them if they are on disk."""
        array = read(activations)
        if not isinstance(array, Activations) and not arrays.is_plain(array):
            array, layout, mask, labels = read_source(array, options["layout"], options["mask"])
            options = {**options, "layout": layout, "mask": mask, "labels": labels}
        count = _count(array, options["layout"])
        if count == 0:
            raise ValueError("expected at least one input, got none")
        return cls(array, options, count)

    def sample(self, count: int) -> Opener:
        """Return a function that reads `count` inputs, repeating them if there are fewer."""
        drawn = np.random.default_rng(0).permutation(self.count)[:count]

        def read_drawn() -> Activations:
            sample = Activations.from_array(self.array, subset=drawn, **self.options)
            return sample if count <= len(drawn) else sample.chosen(np.resize(np.arange(len(drawn)), count))

        return read_drawn

    def probe(self) -> Activations:
        """Read a few inputs, to learn their sizes."""
        return self.sample(min(_PROBED, self.count))()

    def bytes_in_memory(self, count: int, probe: Activations) -> int:
        """Return the bytes of `count` inputs before conversion, estimated from a few; 0 if they stay on disk."""
        if _stays_on_disk(self.array):
            return 0
        nbytes = getattr(self.array, "nbytes", None)
        return count * (probe.input_bytes if nbytes is None else math.ceil(int(nbytes) / self.count))


def _count(array: Any, layout: str) -> int:
    """Return the number of inputs."""
    if isinstance(array, Activations | list | tuple):
        return len(array)
    array = arrays.as_array(array)
    return int(array.shape[layout_of(array.shape, layout).inputs])


def _stays_on_disk(array: Any) -> bool:
    """Whether the engine reads an array from disk block by block."""
    if isinstance(array, Activations):
        return array.is_on_disk
    return arrays.is_lazy(array) or ondisk.address_of(array) is not None
