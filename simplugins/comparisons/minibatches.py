# SPDX-License-Identifier: Apache-2.0
"""CKA of the RSMs of minibatches, where an RSM of all inputs would be too large.

The unbiased HSIC of Song et al. (2012) is an average over inputs, to which each input contributes a share. The shares
of the inputs of a batch average to the HSIC of the batch, and those of all batches to the estimate; how much they vary
determines its confidence interval (see `cka_estimates`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins.comparisons.cka import cka_debiased, u_centred
from simplugins.comparisons.inputs import check_same_inputs, symmetric_similarities_of
from simplugins.comparisons.vectors import unit
from simplugins.rsm.matrices import Vector, off_diagonal


def minibatch_cka(batches: Iterable[tuple[Any, Any]]) -> float:
    """Compute CKA from the RSMs of minibatches, for more inputs than fit into one RSM.

    The unbiased HSIC of the two RSMs of each batch, and of each RSM with itself, is averaged over batches; CKA is the
    ratio of these averages (Nguyen et al. 2021). The averages are unbiased for any batch size, so with many batches the
    result has the same limit as `cka_debiased` of many inputs. It differs from `cka_debiased` of all inputs because
    pairs of inputs from different batches are not used. Batches should be drawn at random, and the kernel should be the
    same for all: an RBF kernel needs a fixed sigma. `estimate_cka` draws batches, and returns a confidence interval.

    Parameters
    ----------
    batches : iterable of pairs of (B, B) arrays or RSMs
        The two RSMs of each batch of at least 4 inputs; B may vary. Only one batch is held at a time.

    Returns
    -------
    float
        From -1 to 1. NaN, with a RuntimeWarning, if RSMs are constant in every batch.

    Raises
    ------
    TypeError, ValueError
        If there is no batch, a matrix is not symmetric and finite, or the two RSMs of a batch have different inputs.

    References
    ----------
    Nguyen et al. 2021, "Do wide and deep networks learn the same things?", arXiv:2010.15327.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(8, 16, 5))  # 8 batches of 16 inputs with 5 features
    >>> rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    >>> round(minibatch_cka((x @ x.T, (x @ rotation) @ (x @ rotation).T) for x in features), 9)
    1.0
    """
    hsics = [hsic_shares(f"batch {number}", a, b).mean(0) for number, (a, b) in enumerate(batches)]
    if not hsics:
        raise ValueError("batches: expected at least one, got none")
    return cka_of(np.mean(hsics, axis=0))


def hsic_shares(batch: str, a: Any, b: Any) -> NDArray[np.float64]:
    """Return each input's share in three unbiased HSICs: of two matrices, of the first with itself, of the second.

    Parameters
    ----------
    batch : str
        The name of the batch in errors.
    a, b : (B, B) arrays or RSMs

    Returns
    -------
    (B, 3) float64 array
        The mean over inputs is the HSIC.
    """
    items = [(f"{batch}, first RSM", a), (f"{batch}, second RSM", b)]
    count = check_same_inputs(items, cka_debiased.least_inputs, "minibatch CKA")
    u, v = (_centred(name, matrix) for name, matrix in items)
    return np.stack([squareform(products).sum(1) for products in (u * v, u * u, v * v)], axis=1) / (count - 3)


def cka_of(hsics: NDArray[np.float64]) -> float:
    """Return CKA from three HSICs; NaN, with a warning, if a matrix has an HSIC of 0 with itself."""
    cross, hsic_a, hsic_b = hsics
    if hsic_a <= 0 or hsic_b <= 0:
        warnings.warn("minibatch CKA is NaN: RSMs are constant in every batch", RuntimeWarning, stacklevel=3)
        return float("nan")
    return float(np.clip(cross / np.sqrt(hsic_a) / np.sqrt(hsic_b), -1, 1))  # beyond only by rounding


def _centred(name: str, matrix: Any) -> Vector:
    """Return U-centred entries; zeros if the matrix is constant up to rounding."""
    symmetric = symmetric_similarities_of(name, matrix, missing=None)
    centred = u_centred(symmetric, np.ones(len(symmetric)))
    constant = np.isnan(unit(centred, off_diagonal(symmetric))).all()
    return np.zeros_like(centred) if constant else centred
