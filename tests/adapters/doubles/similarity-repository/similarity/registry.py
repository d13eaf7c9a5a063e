# SPDX-License-Identifier: Apache-2.0
import numpy as np

from similarity.registration import register


@register("netrep/LinearCKA")
def angular_cka(x, y):
    """Return the angle of linear CKA of features (N, C)."""
    a, b = (x - x.mean(0), y - y.mean(0))
    return np.arccos(np.sum((a.T @ b) ** 2) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b))


register("postprocessing/cos", np.cos)
register("measure/netrep/cka-kernel=linear-hsic=gretton-distance=angular", angular_cka)
register("measure/netrep/cka-kernel=linear-hsic=gretton-score", angular_cka, postprocessing=["cos"])
