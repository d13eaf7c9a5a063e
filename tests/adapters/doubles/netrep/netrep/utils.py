# SPDX-License-Identifier: Apache-2.0
import numpy as np
from sklearn.metrics.pairwise import pairwise_kernels


def angular_distance(X, Y):  # noqa: N803
    cosine = np.vdot(X, Y) / np.sqrt(np.vdot(X, X) * np.vdot(Y, Y))
    return np.arccos(min(max(cosine, -1.0), 1.0))


def centered_kernel(*args, **kwargs):
    kernel = pairwise_kernels(*args, **kwargs)
    return kernel - kernel.mean(0, keepdims=True) - kernel.mean(1, keepdims=True) + kernel.mean()
