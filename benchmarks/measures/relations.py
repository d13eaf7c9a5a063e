# SPDX-License-Identifier: Apache-2.0
"""How well values separate pairs of networks that should be similar from pairs that should not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resamples:
    """Resamples of networks: how often each of them occurs.

    Attributes
    ----------
    ordinary : (B, R) float64 array
    others : (B, X) float64 array
    """

    ordinary: Array
    others: Array

    @cached_property
    def pairs(self) -> Array:
        """(B, R, R) weights of pairs of different ordinary networks."""
        weights = self.ordinary[:, :, None] * self.ordinary[:, None, :]
        weights[:, np.arange(weights.shape[1]), np.arange(weights.shape[1])] = 0
        return weights


def draw_resamples(ordinary: int, others: int, count: int, seed: int) -> Resamples:
    """Draw networks of both kinds with replacement; the first of 1 + `count` resamples has each network once.

    Resamples of a single ordinary network, which has no pair, are drawn again.
    """
    rng = np.random.default_rng(seed)
    first = rng.multinomial(ordinary, np.full(ordinary, 1 / ordinary), count)
    while (alone := first.max(1) == ordinary).any():
        first[alone] = rng.multinomial(ordinary, np.full(ordinary, 1 / ordinary), alone.sum())
    second = rng.multinomial(others, np.full(others, 1 / others), count)
    return Resamples(
        np.vstack([np.ones(ordinary), first]).astype(np.float64),
        np.vstack([np.ones(others), second]).astype(np.float64),
    )


def separation(similar: Array, dissimilar: Array, resamples: Resamples, *, across: bool = False) -> Array:
    """Return the probability that a pair that should be similar has the larger value (AUROC), by resample.

    Parameters
    ----------
    similar : (R, R) array
        Values of pairs of ordinary networks.  With `across`, (R, X) values of ordinary networks with other ones.
    dissimilar : (R, X) array
        Values of ordinary networks with those of another kind.
    resamples : Resamples
        Pairs of a network with itself are left out.

    Returns
    -------
    (1 + B,) array
        0.5 is chance; the first is the estimate. Ties count half. All pairs that share an ordinary network or not are
        compared.

    Examples
    --------
    >>> resamples = draw_resamples(3, 2, 0, seed=0)
    >>> separation(np.full((3, 3), 0.9), np.array([[0.1, 0.2], [0.95, 0.2], [0.1, 0.9]]), resamples).round(4)
    array([0.75])
    """
    wins = (similar.reshape(-1, 1) > dissimilar.reshape(1, -1)) + 0.5 * (similar.reshape(-1, 1) == dissimilar.ravel())
    negative = resamples.ordinary[:, :, None] * resamples.others[:, None, :]
    positive = negative if across else resamples.pairs
    flat = [weights.reshape(len(weights), -1) for weights in (positive, negative)]
    total = flat[0].sum(1) * flat[1].sum(1)
    values: Array = np.einsum("bp,bp->b", flat[0] @ wins, flat[1]) / total
    return values


def identified(values: Array, resamples: Resamples) -> Array:
    """Return how often the most similar layer of another network is the corresponding one, by resample.

    Parameters
    ----------
    values : (R, L, R, L) array
        Comparisons of each layer of each ordinary network with each layer of each other one.
    resamples : Resamples

    Returns
    -------
    (1 + B,) array
        1 / L is chance.
    """
    layers = values.shape[1]
    right = (values.argmax(3) == np.arange(layers)[None, :, None]).mean(1)
    shares: Array = np.einsum("bij,ij->b", resamples.pairs, right) / resamples.pairs.sum((1, 2))
    return shares


def recognised(similarities: Array) -> float:
    """Return the probability that an input's changed version is more similar to it than that of another input (AUROC).

    Parameters
    ----------
    similarities : (N, N) array
        Inputs in rows, and their changed versions, in the same order, in columns.

    Examples
    --------
    >>> recognised(np.eye(3)), recognised(np.ones((3, 3)))
    (1.0, 0.5)
    """
    own = similarities.diagonal()[:, None]
    wins = (own > similarities) + 0.5 * (own == similarities)
    count = len(similarities)
    return float((wins.sum() - wins.trace()) / (count * (count - 1)))


def estimate(values: Array) -> dict[str, float]:
    """Return the first of the values, and the interval of the others.

    Examples
    --------
    >>> estimate(np.array([0.5, 0.25, 0.75]))["estimate"]
    0.5
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail]) if len(values) > 1 else (np.nan, np.nan)
    return {"estimate": float(values[0]), "low": float(low), "high": float(high)}
