# SPDX-License-Identifier: Apache-2.0
"""Names, labels and metadata of RSMs and comparisons for tools with labelled data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Comparison, partial_labels

PARTIAL = "partial_labels"
"""The name of the attribute that is True if some inputs have no label."""


def labels_or_numbers(rsm: RSM) -> NDArray[Any]:
    """Return a copy of the labels of rows, or the row numbers if there are none: (N,) str or int64."""
    return np.arange(len(rsm)) if rsm.labels is None else plain_labels(rsm.labels)


def common_labels(rsms: Iterable[RSM]) -> NDArray[Any] | None:
    """Return the labels of the first RSM that has labels, of several RSMs of the same inputs."""
    return next((rsm.labels for rsm in rsms if rsm.labels is not None), None)


def plain_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of labels as a plain NumPy array, in which missing labels are empty texts."""
    return np.array(labels, subok=False)


def read_labels(labels: Any, attributes: Mapping[str, Any]) -> Any:
    """Return labels from a tool; some may be missing if the attributes say so."""
    return partial_labels(labels) if labels is not None and attributes.get(PARTIAL) else labels


def check_identified(rsm: RSM, tool: str) -> None:
    """Raise a ValueError if an input has no label although others have one."""
    if rsm.labels is not None and "" in rsm.labels.tolist():
        raise ValueError(
            f"{tool} identifies inputs by their labels, but input {rsm.labels.tolist().index('')} has none: label all "
            f"inputs, or remove the labels with dataclasses.replace(rsm, labels=None)"
        )


def axis_names(rsm: RSM) -> tuple[str, str]:
    """Return the names of the rows and columns of an RSM in tables."""
    return ("stimulus_i", "stimulus_j") if rsm.symmetric else ("stimulus", "other")


def attributes_of(rsm: RSM) -> dict[str, Any]:
    """Return the measure, kernel, matching, sigma and metadata of an RSM in one dict, without those that are None."""
    attributes = {"measure": rsm.measure, "kernel": rsm.kernel, "matching": rsm.matching, "sigma": rsm.sigma}
    sides = (labels.tolist() for labels in (rsm.labels, rsm.other_labels) if labels is not None)
    partial = {PARTIAL: True} if any("" in labels for labels in sides) else {}
    return {name: value for name, value in {**attributes, **rsm.metadata, **partial}.items() if value is not None}


def network_names(comparison: Comparison, names: Sequence[str] | None) -> tuple[str, str]:
    """Return the two names of the networks in rows and columns, by default "network" and "other network"."""
    if names is None:
        return "network", "network" if comparison.symmetric else "other network"
    if isinstance(names, str) or len(names) != 2:
        raise ValueError(f"names: expected the names of two networks, got {names!r}")
    return names[0], names[1]


def rsms_of(comparison: Comparison) -> str:
    """Return which RSMs a comparison compares, such as "semantic-cosine RSMs"."""
    measure = comparison.metadata["measure"]
    return f"{measure} RSMs" if isinstance(measure, str) else "RSMs of several measures"
