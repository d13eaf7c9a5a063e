# SPDX-License-Identifier: Apache-2.0
"""Brain-Score's metric, computed by a similarity of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from brainscore_core.metrics import Metric, Score
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from numpy.typing import NDArray

from simplugins_adapters.brain_score import responses_in

_ESTIMATORS = {"cka": "biased (HSIC of Gretton et al.)", "cka-debiased": "unbiased (HSIC of Song et al.)"}


class SimilarityMetric(Metric):
    """How similar two assemblies are, by a similarity of networks.

    Parameters
    ----------
    similarity : callable
        Of the activations of two networks.
    name : str
        What it is called.
    grid : sequence of str, optional
        As for `simplugins_adapters.brain_score.responses_in`.
    """

    def __init__(self, similarity: Callable[..., float], name: str, grid: Sequence[str] | None) -> None:
        self._similarity, self._name, self._grid = similarity, name, grid

    def __call__(self, assembly1: NeuroidAssembly, assembly2: NeuroidAssembly) -> Score:
        """Compare two assemblies of presentations by neuroids.

        Parameters
        ----------
        assembly1, assembly2 : NeuroidAssembly
            Of the same stimuli, each presented once, in any order.

        Returns
        -------
        Score
            A number, with attributes that say what it is.

        Raises
        ------
        TypeError, ValueError
            If stimuli differ or repeat, neuroids do not fill their grid, or values are NaN.
        """
        one, other = (responses_in(assembly, self._grid).in_order() for assembly in (assembly1, assembly2))
        _check_same("first", one.stimuli, "second", other.stimuli)
        _check_same("second", other.stimuli, "first", one.stimuli)
        value = self._similarity(one.activations, other.activations)
        return Score(value, attrs={**self._told(), "grid": (one.grid, other.grid)})

    def _told(self) -> dict[str, Any]:
        """Return what there is to say about the similarity."""
        told = {name: getattr(self._similarity, name, None) for name in ("measure", "method")}
        told = {"similarity": self._name, **told, "estimator": _ESTIMATORS.get(str(told["method"]))}
        return {name: value for name, value in told.items() if value is not None}


def _check_same(which: str, stimuli: NDArray[Any], whose: str, others: NDArray[Any]) -> None:
    """Check that stimuli of one assembly are in the other."""
    known = set(others.tolist())
    missing = [stimulus for stimulus in stimuli.tolist() if stimulus not in known]
    if missing:
        raise ValueError(
            f"assemblies are of different stimuli: {missing[0]!r} and {len(missing) - 1} more of the {which} are not "
            f"in the {whose}"
        )
