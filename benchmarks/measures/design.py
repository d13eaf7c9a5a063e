# SPDX-License-Identifier: Apache-2.0
"""What is compared: measures, comparisons, and the relations between networks."""

from __future__ import annotations

from typing import Any, NamedTuple

from measures.hosted import Procrustes, RhoA, pooled_by_scikit_learn
from measures.networks import (
    COLOURS,
    COLOURS_MOVED,
    CORNER,
    MOVED,
    PERMUTED,
    PERMUTED_AT_HOME,
    RANDOM,
    SEEDS,
    SHUFFLED,
    TIED,
    UNTRAINED,
)

SEMANTIC, SPATIAL, STRUCTURE = "semantic", "spatio-semantic", "structure"
MEAN = "mean-pooled"
BY_SCIKIT_LEARN = "mean-pooled, scikit-learn"
OURS = {name: f"{name}-cosine" for name in (SEMANTIC, SPATIAL, "shift", MEAN, "max-pooled", "second-order", "max-sim")}
MEASURES: dict[str, Any] = {**OURS, BY_SCIKIT_LEARN: pooled_by_scikit_learn}
"""Measures by the name in tables; all are cosine similarities."""

DEBIASED, BIASED = "cka-debiased", "cka (biased)"
COMPARISONS: dict[str, Any] = {
    DEBIASED: DEBIASED,
    BIASED: "cka",
    "rsa-spearman": "rsa-spearman",
    "mutual-knn": "mutual-knn",
}
HOSTED: dict[str, Any] = {RhoA.name: RhoA(), Procrustes.name: Procrustes()}
"""Other packages' comparisons."""

HOSTED_FOR = (SEMANTIC, SPATIAL, MEAN)
"""The measures whose RSMs other packages compare."""

NEIGHBOURS = 10


class Condition(NamedTuple):
    """Pairs of networks that should be similar, and pairs that should not: an ordinary network and one of a view.

    Attributes
    ----------
    title : str
    similar, dissimilar : str
        The views of the second networks.
    """

    title: str
    similar: str
    dissimilar: str


TRAINING = tuple(Condition(kind, SEEDS, kind) for kind in (COLOURS, RANDOM, UNTRAINED))
PATCHES = (
    Condition("each image its own", SEEDS, SHUFFLED),
    Condition("all alike", SEEDS, PERMUTED),
    Condition("all alike, seen through", PERMUTED_AT_HOME, COLOURS),
)
SHORTCUTS = (Condition("colour", SEEDS, TIED), Condition("corner", SEEDS, CORNER))
MOVES = (Condition("networks", MOVED, COLOURS_MOVED),)
CONDITIONS = {"training": TRAINING, "moved": MOVES, "patches": PATCHES, "shortcuts": SHORTCUTS}
"""Relations by the key of their table."""

LAYER, INPUTS = "layers", "moved inputs"
"""Keys of the relations that are not between networks: corresponding layers, and inputs whose objects move."""


def pairings() -> list[tuple[str, str]]:
    """Return all measures with their comparisons, as in the rows of tables."""
    rows = [(measure, comparison) for measure in OURS for comparison in COMPARISONS]
    rows += [(BY_SCIKIT_LEARN, DEBIASED), (STRUCTURE, DEBIASED)]
    return rows + [(measure, comparison) for measure in HOSTED_FOR for comparison in HOSTED]
