# SPDX-License-Identifier: Apache-2.0
"""Centred kernel alignment: the cosine of two RSMs after centring, biased, debiased, as an angle, and of minibatches.

The estimators differ in how they treat the diagonal, and so in what chance does to them. The biased one centres the
whole matrix; of N random inputs with many features, it comes near 1 whatever these are. The debiased one leaves the
diagonal out, and is 0 on average if features are independent. A third one, which centres first and leaves the diagonal
out then (Lange et al. 2023), is not offered here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.contract import Method
from simplugins.comparisons.inputs import check_same_inputs
from simplugins.comparisons.pairs import cosines, pair_counts, scaled, unit, weighted, with_diagonal
from simplugins.matrices import Matrix, Vector, centred, off_diagonal, row_sums, symmetric_matrix_of


def u_centred(matrix: Matrix, counts: Vector) -> Vector:
    """Return the entries off the diagonal minus their best fit by ``r_i + r_j``, in the least squares.

    Where every input occurs once, this is U-centring (Székely and Rizzo 2014), and inner products of the results are
    the unbiased HSIC of Song et al. (2012), times ``N (N - 3) / 2``. In a resample, pairs of different inputs count as
    often as they occur, and pairs of an input with itself do not; so the inner product is 0 on average, if features are
    independent, there too.

    Parameters
    ----------
    matrix : (N, N) array
        Symmetric; its diagonal does not matter.
    counts : (N,) array
        How often each input occurs.

    Returns
    -------
    (N (N - 1) / 2,) float64 array
        Times the square roots of how often each pair occurs.

    Examples
    --------
    >>> u_centred(np.add.outer(np.arange(4.0), np.arange(4.0)), np.ones(4)).round(12)
    array([0., 0., 0., 0., 0., 0.])
    """
    sums = row_sums(matrix, counts) - matrix.diagonal() * counts
    free = counts.sum() - 2 * counts
    if free.all():
        total = (counts @ (sums / free)) / (1 + counts @ (1 / free))
        fit = (sums - total) / free
    else:  # one input is half of the resample
        fit = np.linalg.solve(np.diag(free) + counts, sums)
    residuals = matrix - fit[:, None]
    residuals -= fit
    return weighted(off_diagonal(residuals), pair_counts(counts))


def angles(u: Vector, v: Vector) -> Matrix:
    """Return the angles between unit vectors, in radians, (A, D) and (B, D) to (A, B)."""
    return np.arccos(cosines(u, v))


def _embed_centred(matrix: Matrix, counts: Vector) -> Vector:
    values = scaled(matrix)
    return unit(with_diagonal(centred(values, counts), counts), of=values)


def _embed_u_centred(matrix: Matrix, counts: Vector) -> Vector:
    hollow = matrix.copy()
    np.fill_diagonal(hollow, 0)
    values = scaled(hollow)
    return unit(u_centred(values, counts), of=values)


cka = Method(
    name="cka",
    embed=_embed_centred,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "translation"}),
    reference="Kornblith et al. 2019, arXiv:1905.00414; Cortes et al. 2012",
)
"""CKA with the biased HSIC of Gretton et al. (2005): ``<HKH, HLH> / (|HKH| |HLH|)``.

At least 0 for positive semi-definite matrices; RSMs of matched positions need not be. CKA of squared distances
``K_ii + K_jj - 2 K_ij`` is CKA of the RSMs.
"""

cka_debiased = Method(
    name="cka-debiased",
    embed=_embed_u_centred,
    relate=cosines,
    larger_is_more_similar=True,
    is_metric=False,
    range=(-1.0, 1.0),
    invariances=frozenset({"scaling", "constant", "translation", "diagonal"}),
    reference="Nguyen et al. 2021, arXiv:2010.15327; Song et al. 2012",
    least_inputs=4,
)
"""CKA with the unbiased HSIC of Song et al. (2012), for RSMs as for any kernel; it may be negative."""

angular_cka = Method(
    name="angular-cka",
    embed=_embed_centred,
    relate=angles,
    larger_is_more_similar=False,
    is_metric=True,
    range=(0.0, float(np.pi)),
    invariances=cka.invariances,
    reference="Williams et al. 2021, arXiv:2110.14739",
)
"""The arc cosine of (biased) CKA, in radians: the angle between centred matrices.

A metric on all symmetric matrices, as every angle between vectors is; on positive semi-definite ones it is at most
pi / 2, on others up to pi. CKA within 1e-13 of 1 counts as 1, so angles below 4.5e-7 are 0.
"""


def minibatch_cka(batches: Iterable[tuple[Any, Any]]) -> float:
    """Compute CKA from minibatches, for more inputs than an RSM has room for.

    The unbiased HSIC of the two RSMs of each batch, and of each with itself, is averaged over batches; CKA is the
    ratio of these averages (Nguyen et al. 2021). Averages are unbiased whatever the size of the batches, so with many
    batches this comes near what `cka_debiased` comes near with many inputs. It differs from `cka_debiased` of all
    inputs, since pairs of inputs from different batches are never seen; and it may exceed 1, if batches are few.
    Batches are to be drawn at random, and kernels to be the same for all: an RBF kernel needs a fixed sigma.

    Parameters
    ----------
    batches : iterable of pairs of (B, B) arrays or RSMs
        The two RSMs of each batch, of at least 4 inputs; the number may vary. Only one batch is held at a time.

    Returns
    -------
    float
        NaN, with a RuntimeWarning, if RSMs are constant in every batch.

    Raises
    ------
    TypeError, ValueError
        If there is no batch, or a matrix is not symmetric, finite and of the same inputs as the other one.

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
    sums = np.zeros(3)
    number = -1
    for number, (a, b) in enumerate(batches):
        sums += _hsics(f"batch {number}", a, b)
    if number < 0:
        raise ValueError("batches: expected at least one, got none")
    both, of_a, of_b = sums
    if of_a <= 0 or of_b <= 0:
        warnings.warn("minibatch CKA is NaN: RSMs are constant in every batch", RuntimeWarning, stacklevel=2)
        return float("nan")
    return float(both / np.sqrt(of_a) / np.sqrt(of_b))


def _hsics(batch: str, a: Any, b: Any) -> NDArray[np.float64]:
    """Return the unbiased HSIC of two matrices, of the first with itself, and of the second with itself."""
    items = [(f"{batch}, first RSM", a), (f"{batch}, second RSM", b)]
    count = check_same_inputs(items, cka_debiased.least_inputs, "minibatch CKA")
    u, v = (u_centred(symmetric_matrix_of(*item), np.ones(count)) for item in items)
    return np.array([u @ v, u @ u, v @ v]) * 2 / (count * (count - 3))
