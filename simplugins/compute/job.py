# SPDX-License-Identifier: Apache-2.0
"""What is computed for each pair of inputs, and how: the same for all tiles of a run, wherever they are computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simplugins import __version__
from simplugins.activations.activations import Activations
from simplugins.compute.engines import AlignedProducts, aligned_products, check_engine
from simplugins.matching.matcher import Matcher


@dataclass(frozen=True)
class Pairing:
    """How the inputs of a tile are paired; it is sent to whoever computes one.

    Attributes
    ----------
    matcher : Matcher
    certify : bool
    engine, precision
        As for `simplugins.compute.engines.aligned_products`.
    version : str
        Of simplugins.
    """

    matcher: Matcher
    certify: bool = False
    engine: str = "auto"
    precision: str | None = None
    version: str = __version__

    def compute(self, rows: Activations, columns: Activations | None, threads: int) -> AlignedProducts:
        """Compute the aligned inner products of a tile; of a block with itself, if there are no columns.

        Raises
        ------
        ValueError
            If this is another version of simplugins than the one that asks, or the engine cannot be used here.
        """
        if self.version != __version__:
            raise ValueError(f"the run is by simplugins {self.version}, here simplugins {__version__} is installed")
        check_engine(self.engine, self.precision)
        return aligned_products(
            rows,
            columns,
            self.matcher,
            engine=self.engine,
            precision=self.precision,
            threads=threads,
            certify=self.certify,
        )

    def warm_up(self) -> None:
        """Load all that a tile needs beside its inputs, so that the memory which that takes is seen."""
        smallest = Activations.from_array(np.ones((2, 1, 1), np.float32))
        self.compute(smallest.part(0, 1), smallest.part(1, 2), threads=1)
