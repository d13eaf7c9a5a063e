# SPDX-License-Identifier: Apache-2.0
"""A double of repsim (github.com/wrongu/repsim): the part of its interface that our adapter uses."""

from repsim import kernels
from repsim.metrics import RepresentationMetricSpace, Stress

__all__ = ["RepresentationMetricSpace", "Stress", "compare", "kernels"]


def compare(x, y, method="stress", **kwargs):
    if method == "stress":
        method = Stress(m=len(x), **kwargs)
    if not isinstance(method, RepresentationMetricSpace):
        raise ValueError(f"expected a metric or its name, got {type(method)}")
    return method.length(*map(method.neural_data_to_point, (x, y)))
