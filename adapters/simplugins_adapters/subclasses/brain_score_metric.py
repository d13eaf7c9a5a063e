# SPDX-License-Identifier: Apache-2.0
"""Brain-Score's metric, computed by a similarity of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brainscore_core.metrics import Metric, Score
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from numpy.typing import NDArray

from simplugins_adapters.brain_score_assemblies import responses_in
from simplugins_adapters.similarities import Similarity, compare_networks

_ESTIMATORS = {"cka": "biased (HSIC of Gretton et al.)", "cka-debiased": "unbiased (HSIC of Song et al.)"}


class SimilarityMetric(Metric):
    """Score of two assemblies by a similarity of networks.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    name : str
    grid : sequence of str, optional
        As for `simplugins_adapters.brain_score_assemblies.responses_in`.
    """

    def __init__(self, similarity: Similarity, name: str, grid: Sequence[str] | None) -> None:
        self._similarity, self._name, self._grid = similarity, name, grid

    def __call__(self, assembly1: NeuroidAssembly, assembly2: NeuroidAssembly) -> Score:
        """Compare two assemblies of presentations by neuroids.

        Parameters
        ----------
        assembly1, assembly2 : NeuroidAssembly
            With the same stimuli, one presentation each, in any order.

        Returns
        -------
        Score
            With attributes that describe it.

        Raises
        ------
        TypeError, ValueError
            If stimuli differ or repeat, neuroids do not fill their grid, or values are NaN.
        """
        one, other = (responses_in(assembly, self._grid).in_order() for assembly in (assembly1, assembly2))
        _check_included("assembly1", one.stimuli, "assembly2", other.stimuli)
        _check_included("assembly2", other.stimuli, "assembly1", one.stimuli)
        value = compare_networks(self._similarity, one.activations, other.activations)
        return Score(value, attrs={**self._attributes(), "grid": (one.grid, other.grid)})

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes that describe the similarity."""
        facts = {name: getattr(self._similarity, name, None) for name in ("measure", "method")}
        attributes = {"similarity": self._name, **facts, "estimator": _ESTIMATORS.get(str(facts["method"]))}
        return {name: value for name, value in attributes.items() if value is not None}


def _check_included(name: str, stimuli: NDArray[Any], other_name: str, other_stimuli: NDArray[Any]) -> None:
    """Check that all stimuli of one assembly are in the other."""
    known = set(other_stimuli.tolist())
    if missing := [stimulus for stimulus in stimuli.tolist() if stimulus not in known]:
        raise ValueError(
            f"assemblies must have the same stimuli: {missing[0]!r} and {len(missing) - 1} more of {name} are not in "
            f"{other_name}"
        )
