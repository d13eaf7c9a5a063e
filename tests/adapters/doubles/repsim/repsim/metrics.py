# SPDX-License-Identifier: Apache-2.0
import math
import warnings
from abc import ABC, abstractmethod

import torch


class RepresentationMetricSpace(ABC):
    def __init__(self, *, dim, shape):
        self.dim = dim
        self.shape = shape

    @property
    def ambient(self):
        return math.prod(self.shape)

    @property
    def m(self):
        return self.shape[0]

    @abstractmethod
    def neural_data_to_point(self, x): ...

    @abstractmethod
    def string_id(self): ...

    @property
    @abstractmethod
    def is_spherical(self): ...

    @abstractmethod
    def _project_impl(self, pt): ...

    @abstractmethod
    def _contains_impl(self, pt, atol=1e-6): ...

    @abstractmethod
    def _length_impl(self, pt_a, pt_b): ...

    def contains(self, pt, atol=1e-6):
        return tuple(pt.shape) == tuple(self.shape) and self._contains_impl(pt, atol)

    def project(self, pt):
        return pt.clone() if self.contains(pt) else self._project_impl(pt)

    def length(self, pt_a, pt_b):
        points = []
        for name, point in (("pt_a", pt_a), ("pt_b", pt_b)):
            if not self.contains(point):
                warnings.warn(f"{name} is not on the manifold - trying to project", stacklevel=2)
                point = self._project_impl(point)
            points.append(point)
        return self._length_impl(*points)


class Stress(RepresentationMetricSpace):
    def __init__(self, m):
        super().__init__(dim=m * (m - 1) / 2, shape=(m, m))

    def neural_data_to_point(self, x):
        gram = torch.einsum("n...,m...->nm", x, x)
        squares = gram.diagonal()
        return (squares[:, None] + squares - 2 * gram).clip(min=0).sqrt()

    def string_id(self):
        return f"Stress.Linear.{self.m}"

    @property
    def is_spherical(self):
        return False

    def _project_impl(self, pt):
        hollow = ((pt + pt.T) / 2).clip(min=0)
        return hollow - torch.diag(hollow.diagonal())

    def _contains_impl(self, pt, atol=1e-6):
        return bool((pt >= 0).all()) and torch.allclose(pt, pt.T) and bool((pt.diagonal().abs() <= atol).all())

    def _length_impl(self, pt_a, pt_b):
        i, j = torch.triu_indices(self.m, self.m, offset=1)
        return (pt_a - pt_b)[i, j].square().mean().sqrt()
