# SPDX-License-Identifier: Apache-2.0
"""A third party's measures for the tests of comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def _means(x):
    return np.stack([vectors.mean(0) for vectors in x.sets()])


def pooled(x, y=None):
    """Inner products of mean concept vectors."""
    return _means(x) @ _means(x if y is None else y).T


pooled.symmetric = True
pooled.effects = {"rotation": "none", "scaling": "scaling", "positions": "none", "translation": "translation"}


@dataclass(frozen=True)
class Scaled:
    """The same to a scale: a measure with an option that declares no effects."""

    scale: float = 1.0
    name = "scaled"

    def __call__(self, x, y=None):
        return self.scale * pooled(x, y)


def standardised(x, y=None):
    """Inner products of means after subtracting the mean of all inputs: not pairwise."""
    means = _means(x)
    return (means - means.mean(0)) @ (means - means.mean(0)).T


standardised.pairwise = False
