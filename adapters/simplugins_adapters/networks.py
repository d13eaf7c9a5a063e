# SPDX-License-Identifier: Apache-2.0
"""What adapters of tools that compare networks share: centred Gram matrices, distances, and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Comparison, NetworkSimilarity
from simplugins_adapters.shared import check_square

Distance = Literal["angle", "complement"]
"""How a similarity of networks becomes a distance: its arc cosine, in radians, which obeys the triangle inequality
where the similarity is a cosine, as CKA and correlations are; or 1 minus it."""

_ROUNDING = 1e-9


def centred_gram(rsm: RSM, tool: str) -> NDArray[np.float64]:
    """Return H K H of an RSM K of inputs with themselves, with H = I - 1 / N; exactly symmetric, (N, N)."""
    check_square(rsm, tool)
    return rsm.centred()


def check_distance(similarity: NetworkSimilarity, kind: Distance) -> None:
    """Check that a similarity of networks can be told as a distance.

    Raises
    ------
    ValueError
        If there is no such kind, or it is not known whether larger values mean more similar.
    """
    if kind not in get_args(Distance):
        raise ValueError(f"distance: expected one of {', '.join(get_args(Distance))}, got {kind!r}")
    if similarity.larger_is_more_similar is None:
        raise ValueError(
            f"it is not known whether larger values of {similarity.method!r} mean more similar, so they are no "
            f"distances, and cannot be made such"
        )


def distance_of(value: float, similarity: NetworkSimilarity, kind: Distance) -> float:
    """Return a value of a similarity of networks as a distance; that of a distance stays as it is.

    Raises
    ------
    ValueError
        As `check_distance`; and if an arc cosine is asked for of a value outside -1 to 1.
    """
    check_distance(similarity, kind)
    if not similarity.larger_is_more_similar:
        return value
    if kind == "complement":
        return 1 - value
    if abs(value) > 1 + _ROUNDING:
        raise ValueError(
            f"{similarity.name} is {value:.6g}, and only values from -1 to 1 are cosines of angles: say "
            f"distance='complement'"
        )
    return float(np.arccos(np.clip(value, -1, 1)))


def network_names(comparison: Comparison, names: Sequence[str] | None) -> tuple[str, str]:
    """Return what the networks of rows and columns are called: two names, or "network" and "other network".

    Raises
    ------
    ValueError
        If names are not two.
    """
    if names is None:
        return "network", "network" if comparison.symmetric else "other network"
    if isinstance(names, str) or len(names) != 2:
        raise ValueError(f"names: expected those of two networks, got {names!r}")
    return names[0], names[1]


def rsms_of(comparison: Comparison) -> str:
    """Return of what RSMs a comparison is, such as "semantic-cosine RSMs"."""
    measure = comparison.metadata["measure"]
    return f"{measure} RSMs" if isinstance(measure, str) else "RSMs of several measures"
