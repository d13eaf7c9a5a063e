# SPDX-License-Identifier: Apache-2.0
"""Matrices and methods for the tests of comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import simplugins
from simplugins.comparisons.cka import angular_cka, cka, cka_debiased
from simplugins.comparisons.kendall import tau_a, tau_b
from simplugins.comparisons.norm_difference import norm_difference
from simplugins.comparisons.rsa import rsa_cosine, rsa_pearson, rsa_spearman
from simplugins.rsm.rsm import DenseValues

METHODS = [cka, cka_debiased, angular_cka, rsa_pearson, rsa_spearman, tau_a, tau_b, rsa_cosine, norm_difference]


def method_name(method):
    """Return the id of a method in parametrised tests."""
    return getattr(method, "name", None) or getattr(method, "__name__", str(method))


def gram(features):
    return features @ features.T


def related_features():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 7))
    return a, 0.6 * a @ rng.normal(size=(7, 9)) + rng.normal(size=(12, 9))


def related_grams():
    a, b = related_features()
    return gram(a), gram(b)


def indefinite(seed, inputs=9):
    """Return symmetric similarities that are not positive semi-definite, with a positive diagonal."""
    matrix = np.random.default_rng(seed).normal(size=(inputs, inputs))
    return np.triu(matrix, 1) + np.triu(matrix, 1).T + np.diag(1 + np.abs(matrix.diagonal()))


def unchecked(matrix):
    """Return any matrix as an RSM, even if it holds dissimilarities."""
    return simplugins.RSM(DenseValues(matrix), "any", np.zeros(len(matrix)))


def squared_distances(matrix):
    diagonal = matrix.diagonal()
    return diagonal[:, None] + diagonal - 2 * matrix


def stacks(inputs=9):
    return [indefinite(seed, inputs) for seed in range(3)], [indefinite(seed, inputs) for seed in range(10, 14)]


def looped(method, a, b):
    """Compare each matrix with each of a second set, one call per pair."""
    return np.array([[method(row, column) for column in b] for row in a])


def relabelled(rsm, labels):
    """Return an RSM with other labels."""
    return simplugins.RSM.from_similarities(rsm.values, labels=labels, measure=rsm.measure)


def reordered(rsm, order):
    """Return an RSM with its inputs and labels in another order."""
    return relabelled(simplugins.RSM.from_similarities(rsm.values[np.ix_(order, order)]), rsm.labels[order])


@dataclass(frozen=True)
class Closeness:
    """A third party's method with an option: minus the largest difference, raised to a power."""

    power: float = 1.0
    name = "closeness"
    larger_is_more_similar = True
    range = (-np.inf, 0.0)
    least_inputs = 3
    is_symmetric = True
    invariances = ("constant",)

    def __call__(self, a, b):
        return -(np.ptp(a - b) ** self.power)
