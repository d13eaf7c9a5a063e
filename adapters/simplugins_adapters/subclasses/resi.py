# SPDX-License-Identifier: Apache-2.0
"""ReSi: similarities of networks as its measures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

from repsim.measures.utils import RepresentationalSimilarityMeasure


class NetworkMeasure(RepresentationalSimilarityMeasure):
    """A similarity of networks, as a measure of ReSi.

    ReSi calls a measure by the name of its class, so each similarity has a class of its own; `measure_of` makes both.

    Parameters
    ----------
    similarity : callable
        Of the activations of two networks, and their layout.
    told : mapping of str to bool or None
        What it is invariant to, and so on, by the names that ReSi has for it.

    Attributes
    ----------
    failures : list of Exception
        What it raised so far.
    """

    def __init__(self, similarity: Callable[..., float], told: Mapping[str, bool | None]) -> None:
        super().__init__(sim_func=similarity, **told)
        self.failures: list[Exception] = []
        self._told = dict(told)

    def __call__(self, R: Any, Rp: Any, shape: Literal["nd", "ntd", "nchw"]) -> float:  # noqa: N803
        """Compare two networks' responses to the same inputs.

        Parameters
        ----------
        R, Rp : tensors or arrays
            Of type and device of their own; channels and positions may differ.
        shape : {"nd", "ntd", "nchw"}
            The layout of both.

        Returns
        -------
        float

        Warns
        -----
        RuntimeWarning
            If it fails for the first time: ReSi goes on after any error, with NaN in its tables.
        """
        try:
            return float(self.sim_func(R, Rp, shape))
        except Exception as error:
            self.failures.append(error)
            if len(self.failures) == 1:
                warnings.warn(f"{self.name} failed, and ReSi notes NaN: {error}", RuntimeWarning, stacklevel=2)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return measure_of, (self.name, self.sim_func, self._told)


def measure_of(name: str, similarity: Callable[..., float], told: Mapping[str, bool | None]) -> NetworkMeasure:
    """Return a similarity of networks as the measure of that name."""
    made: type[NetworkMeasure] = type(name, (NetworkMeasure,), {"__module__": __name__})
    return made(similarity, told)
