# SPDX-License-Identifier: Apache-2.0
import numpy as np


def convolve_metric(metric, X, Y):  # noqa: N803
    if X.shape != Y.shape and not (metric.zero_pad and X.shape[:-1] == Y.shape[:-1]):
        raise ValueError(f"shapes differ: {X.shape} and {Y.shape}")
    channels = max(X.shape[-1], Y.shape[-1])
    padded = [np.pad(maps, [(0, 0)] * 3 + [(0, channels - maps.shape[-1])]) for maps in (X, Y)]
    _, height, width, _ = X.shape
    found = np.empty((height, width))
    for i, j in np.ndindex(height, width):
        one = np.roll(padded[0], (i - height // 2, j - width // 2), (1, 2)).reshape(-1, channels)
        other = padded[1].reshape(-1, channels)
        metric.fit(one, other)
        found[i, j] = metric.score(one, other)
    return found
