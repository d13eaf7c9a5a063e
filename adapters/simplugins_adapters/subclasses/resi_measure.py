# SPDX-License-Identifier: Apache-2.0
"""ReSi: similarities of networks as its measures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from repsim.measures.utils import RepresentationalSimilarityMeasure

from simplugins_adapters.similarities import Similarity, compare_networks


class NetworkMeasure(RepresentationalSimilarityMeasure):
    """A similarity of networks as a measure of ReSi.

    ReSi names a measure after its class, so each similarity has its own class, which `measure_of` creates.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    facts : mapping of str to bool or None
        Invariances and other facts, by ReSi's names.

    Attributes
    ----------
    failures : list of Exception
        Errors so far.
    """

    def __init__(self, similarity: Similarity, facts: Mapping[str, bool | None]) -> None:
        super().__init__(sim_func=similarity, **facts)
        self.failures: list[Exception] = []
        self._facts = dict(facts)

    def __call__(self, R: Any, Rp: Any, shape: Literal["nd", "ntd", "nchw"]) -> float:  # noqa: N803
        """Compare two networks' responses to the same inputs.

        Parameters
        ----------
        R, Rp : tensors or arrays
            Types, devices, channels and positions may differ.
        shape : {"nd", "ntd", "nchw"}
            Layout of both.

        Returns
        -------
        float

        Warns
        -----
        RuntimeWarning
            At the first failure: ReSi continues after any error, with NaN in its tables.
        """
        try:
            return compare_networks(self.sim_func, R, Rp, shape)
        except Exception as error:
            self.failures.append(error)
            if len(self.failures) == 1:
                warnings.warn(f"{self.name} failed, and ReSi records NaN: {error}", RuntimeWarning, stacklevel=2)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return measure_of, (self.name, self.sim_func, self._facts)


def measure_of(name: str, similarity: Similarity, facts: Mapping[str, bool | None]) -> NetworkMeasure:
    """Return a similarity of networks as the measure of that name."""
    subclass: type[NetworkMeasure] = type(name, (NetworkMeasure,), {"__module__": __name__})
    return subclass(similarity, facts)
