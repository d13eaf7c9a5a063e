# SPDX-License-Identifier: Apache-2.0
"""Output similarity: whether inputs that an RSM finds similar are classified alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simplugins.activations.named_orders import check_same_places, index_along
from simplugins.comparisons.inference import BootstrapInterval, bootstrap_interval
from simplugins.comparisons.inputs import labels_of
from simplugins.rsm.matrices import matrix_of
from simplugins.rsm.rsm import RSM, DenseValues

_ROWS = 16
"""Rows computed at a time; Ctrl-C takes effect in between."""

_TOLERANCE = 0.01
"""Accepted distance of a sum of probabilities from 1: float16 and many classes round."""


@dataclass(frozen=True, eq=False, repr=False)
class OutputCorrelation:
    """Correlation of an RSM with the predictions of a network.

    Attributes
    ----------
    pearson, spearman : BootstrapInterval
        Correlation of similarities and divergences over all pairs of inputs, with an interval over inputs. The more
        negative, the more alike are the predictions for similar inputs.
    divergences : (N, N) float64 array
        Jensen-Shannon divergences of the predictions, in nats.
    """

    pearson: BootstrapInterval
    spearman: BootstrapInterval
    divergences: NDArray[np.float64]

    def __repr__(self) -> str:
        correlations = (
            f"{name} {interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
            for name, interval in (("Pearson", self.pearson), ("Spearman", self.spearman))
        )
        return f"OutputCorrelation over {len(self.divergences)} inputs: {', '.join(correlations)}"


def output_correlation(
    rsm: Any,
    probabilities: Any,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    progress: bool | str = False,
) -> OutputCorrelation:
    """Correlate the similarities of an RSM with the divergences of predicted class probabilities, over all pairs.

    Parameters
    ----------
    rsm : RSM or (N, N) array
        Symmetric.
    probabilities : (N, classes) array
        Predictions of the network for each input.
    confidence : float, default 0.95
        Confidence level of the intervals.
    resamples : int, default 1000
        Bootstrap resamples of the inputs for the intervals.
    groups : sequence or "labels", optional
        As for `simplugins.bootstrap_interval`: inputs of one group are drawn together.
    seed : int or Generator, default 0
        Seed of the random draws.
    progress : bool or str, default False
        Show progress bars on standard error.

    Returns
    -------
    OutputCorrelation

    Raises
    ------
    TypeError, ValueError
        As for `simplugins.bootstrap_interval` and `jensen_shannon`; also if the numbers of inputs differ.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107).

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> rsm = simplugins.compute_rsm(photos["block15"])
    >>> correlation = output_correlation(rsm, photos["probabilities"], resamples=100)
    >>> correlation.pearson.high < 0  # similar inputs are classified alike
    True
    """
    other = divergence_rsm(probabilities, labels_of("rsm", rsm))
    pearson, spearman = (
        bootstrap_interval(
            rsm,
            other,
            method,
            confidence=confidence,
            resamples=resamples,
            groups=groups,
            seed=seed,
            progress=progress,
        )
        for method in ("rsa-pearson", "rsa-spearman")
    )
    return OutputCorrelation(pearson, spearman, other.values)


def divergence_rsm(probabilities: Any, labels: Any) -> RSM:
    """Return the divergences of predictions as an RSM that is compared as it is, with the labels of another RSM.

    Raises
    ------
    TypeError, ValueError
        As `jensen_shannon`; also if an index shows that the predictions are in another order than the labels.
    """
    divergences = jensen_shannon(probabilities)
    if labels is not None:
        message = "probabilities: inputs are in another order than in the RSM"
        check_same_places(list(map(str, labels)), index_along(probabilities, 0), message)
        labels = labels if len(labels) == len(divergences) else None
    return RSM(DenseValues(divergences), "jensen-shannon", np.zeros(len(divergences)), labels=labels)


def jensen_shannon(probabilities: Any) -> NDArray[np.float64]:
    """Compute the Jensen-Shannon divergences of all pairs of predictions.

    ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``: the square of SciPy's `jensenshannon`.

    Parameters
    ----------
    probabilities : (N, classes) array
        Non-negative; each row sums to 1 up to the rounding of float16. Rows are normalised to sum to 1.

    Returns
    -------
    (N, N) float64 array
        In nats, from 0 to log 2; exactly symmetric, 0 on the diagonal.

    Raises
    ------
    TypeError
        If `probabilities` is not an array of real numbers.
    ValueError
        If a value is negative, NaN or infinite, or a row does not sum to 1.

    Notes
    -----
    O(N^2 classes), by SciPy's `cdist`.

    Examples
    --------
    >>> (jensen_shannon([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]) / np.log(2)).round(4)
    array([[0.    , 1.    , 0.3113],
           [1.    , 0.    , 0.3113],
           [0.3113, 0.3113, 0.    ]])
    """
    p = _normalised(matrix_of("probabilities", probabilities))
    divergences = np.zeros((len(p), len(p)))
    for start in range(0, len(p), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = cdist(p[rows], p[start:], "jensenshannon")
        divergences[rows, start:] = np.nan_to_num(distances, nan=0.0) ** 2  # the root of a sum that rounding made < 0
    upper = np.triu(divergences, 1)
    return np.asarray(upper + upper.T)


def _normalised(p: NDArray[np.float64]) -> NDArray[np.float64]:
    if p.ndim != 2 or not p.size:
        raise ValueError(f"probabilities: expected shape (inputs, classes), got {p.shape}")
    if (p < 0).any():
        row, column = np.argwhere(p < 0)[0]
        raise ValueError(
            f"probabilities must not be negative, got {p[row, column]:.4g} for input {row}, class {column}; apply the "
            f"softmax to logits first"
        )
    sums = p.sum(1)
    distances = np.abs(sums - 1)
    if distances.max() > _TOLERANCE:
        row = int(distances.argmax())
        raise ValueError(f"probabilities: each row must sum to 1, got {sums[row]:.4g} for input {row}")
    normalised: NDArray[np.float64] = p / sums[:, None]
    return normalised
