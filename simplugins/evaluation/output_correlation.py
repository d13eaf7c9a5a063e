# SPDX-License-Identifier: Apache-2.0
"""Output similarity: whether inputs that an RSM finds similar are classified alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simplugins.comparisons.inference import BootstrapInterval, bootstrap_interval
from simplugins.rsm.matrices import matrix_of

ROWS = 16
"""So many rows are computed at a time, between which an interrupt is seen."""

_OFF = 0.01
"""How far from 1 probabilities may sum up to: those of float16 and of many classes are rounded."""


@dataclass(frozen=True, eq=False)
class OutputCorrelation:
    """How an RSM correlates with what a network predicts.

    Attributes
    ----------
    pearson, spearman : BootstrapInterval
        Of similarities and divergences over all pairs of inputs, with an interval over inputs. The more negative, the
        more alike are the predictions for inputs that are similar.
    divergences : (N, N) float64 array
        Jensen-Shannon divergences of the predictions, in nats.
    """

    pearson: BootstrapInterval
    spearman: BootstrapInterval
    divergences: NDArray[np.float64]

    def __repr__(self) -> str:
        told = (
            f"{name} {found.estimate:.4f} ({found.low:.4f} to {found.high:.4f})"
            for name, found in (("Pearson", self.pearson), ("Spearman", self.spearman))
        )
        return f"OutputCorrelation over {len(self.divergences)} inputs: {', '.join(told)}"


def output_correlation(
    rsm: Any,
    probabilities: Any,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool | str = False,
) -> OutputCorrelation:
    """Correlate the similarities of an RSM with the divergences of predicted class probabilities, over all pairs.

    Parameters
    ----------
    rsm : RSM or (N, N) array
        Symmetric.
    probabilities : (N, classes) array
        What the network predicts for each input.
    confidence : float, default 0.95
        Of the intervals.
    resamples : int, default 1000
        How often inputs are drawn with replacement for the intervals.
    seed : int, default 0
    progress : bool or str, default False
        Show progress bars on standard error.

    Returns
    -------
    OutputCorrelation

    Raises
    ------
    TypeError, ValueError
        As `simplugins.bootstrap_interval` and `jensen_shannon`; also if the numbers of inputs differ.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107).

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> rsm = simplugins.compute_rsm(photos["block15"])
    >>> found = output_correlation(rsm, photos["probabilities"], resamples=100)
    >>> found.pearson.high < 0  # what is similar is classified alike
    True
    """
    divergences = jensen_shannon(probabilities)
    how: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed, "progress": progress}
    pearson, spearman = (bootstrap_interval(rsm, divergences, method, **how) for method in METHODS)
    return OutputCorrelation(pearson, spearman, divergences)


METHODS = ("rsa-pearson", "rsa-spearman")


def jensen_shannon(probabilities: Any) -> NDArray[np.float64]:
    """Compute the Jensen-Shannon divergences of all pairs of predictions.

    ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``: the square of SciPy's `jensenshannon`.

    Parameters
    ----------
    probabilities : (N, classes) array
        At least 0; each row sums up to 1, within the rounding of float16. Rows are scaled to sum up to 1.

    Returns
    -------
    (N, N) float64 array
        In nats, from 0 to log 2; exactly symmetric, 0 on the diagonal.

    Raises
    ------
    TypeError
        If they are no array of real numbers.
    ValueError
        If a value is negative, NaN or infinite, or a row does not sum up to 1.

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
    p = _checked(matrix_of("probabilities", probabilities))
    found = np.zeros((len(p), len(p)))
    for start in range(0, len(p), ROWS):
        rows = slice(start, start + ROWS)
        found[rows, start:] = cdist(p[rows], p[start:], "jensenshannon") ** 2
    upper = np.triu(found, 1)
    return np.asarray(upper + upper.T)


def _checked(p: NDArray[np.float64]) -> NDArray[np.float64]:
    if p.ndim != 2 or not p.size:
        raise ValueError(f"probabilities: expected shape (inputs, classes), got {p.shape}")
    if (p < 0).any():
        row, column = np.argwhere(p < 0)[0]
        raise ValueError(
            f"probabilities: expected none below 0, got {p[row, column]:.4g} for input {row}, class {column}; of "
            f"logits, take the softmax"
        )
    sums = p.sum(1)
    off = np.abs(sums - 1)
    if off.max() > _OFF:
        row = int(off.argmax())
        raise ValueError(f"probabilities: expected rows that sum up to 1, got {sums[row]:.4g} for input {row}")
    scaled: NDArray[np.float64] = p / sums[:, None]
    return scaled
