"""Similarities of networks: the activations of two networks to a number."""

import numpy as np

import simplugins
from my_plugins.measures import pooled_cosine

pooled_cosine_cka_debiased = simplugins.similarity(pooled_cosine, "cka-debiased")


def mean_distance(x, y):
    """Return how much the distances of inputs differ between two networks, for two (inputs, features) arrays."""
    first, second = (np.linalg.norm(z[:, None] - z[None], axis=2) for z in (x, y))
    return float(np.abs(first - second).mean())


mean_distance.larger_is_more_similar = False
mean_distance.range = (0.0, np.inf)
mean_distance.is_symmetric = True
mean_distance.array_dimensions = (2,)
