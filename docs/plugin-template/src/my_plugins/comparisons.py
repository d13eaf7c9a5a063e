"""Comparisons: two RSMs of the same inputs to a number."""

import numpy as np


def mean_absolute_difference(a, b):
    """Return the mean absolute difference of two (N, N) arrays."""
    return float(np.abs(a - b).mean())


mean_absolute_difference.larger_is_more_similar = False
mean_absolute_difference.range = (0, float("inf"))
mean_absolute_difference.is_symmetric = True
mean_absolute_difference.is_metric = True
