"""Measures: two sets of activations to an array of similarities."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def pooled_cosine(x, y=None):
    """Return the cosine similarity of average-pooled responses, as an (N, M) array."""
    first, second = (np.array([vectors.mean(axis=0) for vectors in side.sets()]) for side in (x, y))
    norms = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    return first @ second.T / norms


# Facts that the measure declares; simplugins.testing.check_measure verifies them. All of them are optional.
pooled_cosine.symmetric = True  # value (j, i) equals value (i, j), so half of the pairs are computed
pooled_cosine.positive_semidefinite = True
pooled_cosine.effects = {"rotation": "none", "scaling": "none", "positions": "none"}


@dataclass(frozen=True)
class Polynomial:
    """The polynomial kernel of flattened responses; a field of the dataclass is an option of the measure."""

    degree: int = 2
    symmetric: ClassVar[bool] = True

    def __call__(self, x, y=None):
        """Return an (N, M) array; all inputs must have the same number of positions, or ``array`` raises an error."""
        first, second = (side.array().reshape(len(side), -1) for side in (x, y))
        return (1 + first @ second.T / first.shape[1]) ** self.degree
