# SPDX-License-Identifier: Apache-2.0
"""CKA from minibatches, where all pairs of inputs are too many: the number, and how sure it is.

The unbiased HSIC of Song et al. (2012) is an average over inputs: each has a share in it. Shares of a batch's inputs
average to the batch's HSIC, those of all batches to the estimate, and how they differ tells how sure that is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform
from scipy.special import stdtrit

from simplugins import __version__
from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_between, check_count, error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.reading import read
from simplugins.comparisons.cka import cka_debiased, u_centred
from simplugins.comparisons.inputs import check_same_inputs
from simplugins.comparisons.vectors import unit
from simplugins.measures.computation import compute_rsm
from simplugins.measures.measure import resolve_measure
from simplugins.rsm.matrices import Vector, off_diagonal, symmetric_matrix_of
from simplugins.rsm.rsm import RSM

_SIGMA_INPUTS = 128
"""How many inputs the bandwidth of an RBF kernel is found on."""

_ONE = 1e-13
"""How near 1 an estimate counts as 1."""

_READING = ("layout", "drop_tokens", "dtype")
_REFUSED = ("mask", "labels", "other", "other_mask", "other_labels", "subset", "store")

_Sides = tuple[Activations, Activations]


@dataclass(frozen=True, eq=False, repr=False)
class CkaEstimate:
    """What CKA is estimated to be from minibatches, and an interval; made by `estimate_cka`.

    Attributes
    ----------
    value : float
        From -1 to 1; NaN if an RSM is constant in every batch.
    low, high : float
        The interval's ends.
    level : float
        How often such an interval is to hold the CKA of the population that inputs were drawn from.
    batches, batch_size : int
    metadata : mapping
        "measure", "inputs" (N), "sigma_inputs" (how many inputs an RBF kernel's median was found on, else None), "a"
        and "b" (how the RSMs of each side were made, see `RSM`), "simplugins" (the version).
    """

    value: float
    low: float
    high: float
    level: float
    batches: int
    batch_size: int
    metadata: Mapping[str, Any]

    @property
    def pairs(self) -> int:
        """How many pairs of inputs were matched on each side, in all batches."""
        return self.batches * self.batch_size * (self.batch_size - 1) // 2

    @property
    def share(self) -> float:
        """That number, relative to the pairs that there are of all inputs; above 1 if batches were so many."""
        inputs = int(self.metadata["inputs"])
        return self.pairs / (inputs * (inputs - 1) / 2)

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return (
            f"CkaEstimate {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] at {100 * self.level:g} %, "
            f"{self.batches} batches of {self.batch_size}"
        )


def minibatch_cka(batches: Iterable[tuple[Any, Any]]) -> float:
    """Compute CKA from the RSMs of minibatches, for more inputs than an RSM has room for.

    The unbiased HSIC of the two RSMs of each batch, and of each with itself, is averaged over batches; CKA is the
    ratio of these averages (Nguyen et al. 2021). Averages are unbiased whatever the size of the batches, so with many
    batches this comes near what `cka_debiased` comes near with many inputs. It differs from `cka_debiased` of all
    inputs, since pairs of inputs from different batches are never seen. Batches are to be drawn at random, and kernels
    to be the same for all: an RBF kernel needs a fixed sigma. `estimate_cka` draws batches, and gives an interval.

    Parameters
    ----------
    batches : iterable of pairs of (B, B) arrays or RSMs
        The two RSMs of each batch, of at least 4 inputs; the number may vary. Only one batch is held at a time.

    Returns
    -------
    float
        From -1 to 1. NaN, with a RuntimeWarning, if RSMs are constant in every batch.

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
    hsics = [_shares(f"batch {number}", a, b).mean(0) for number, (a, b) in enumerate(batches)]
    if not hsics:
        raise ValueError("batches: expected at least one, got none")
    return _ratio(np.mean(hsics, axis=0))


def estimate_cka(
    a: Any,
    b: Any,
    *,
    measure: str = "semantic-cosine",
    batch_size: int = 64,
    batches: int = 50,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
    progress: bool | str = False,
    **options: Any,
) -> CkaEstimate:
    """Estimate the CKA of two layers or networks from minibatches, where all pairs of inputs are too many.

    Inputs are put in a random order and cut into batches, so each is seen once; if more batches are asked for, in
    another order again, and so on. What does not fill a batch is left out until then. For each batch both RSMs are
    computed, and the estimate is `minibatch_cka` of them. What it estimates is CKA of unlimited inputs, as debiased CKA
    of all inputs does: small batches do not bias the averages that it is a ratio of.

    Parameters
    ----------
    a, b : activations, as for `compute_rsm`
        Responses of both to the same N inputs in the same order: arrays, paths, lists of arrays, or `Activations`,
        which may have masks and labels. Channels and positions may differ. What is on disk is checked once, in chunks;
        after that, only the inputs of one batch are in memory.
    measure : str, default "semantic-cosine"
        Any plugin of the group ``simplugins.measures``.
    batch_size : int, default 64
        B, from 4 to N. For the same number of pairs, small batches see more inputs, and large ones are fewer to read.
    batches : int, default 50
        K. One batch of all inputs gives their debiased CKA; if B is N, there is no other.
    level : float, default 0.95
        How often the interval is to hold what is estimated.
    seed : int or Generator, default 0
        Of the batches. The same for any measure: so estimates of several are of the same batches.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.
    **options
        For both sides: ``layout``, ``drop_tokens`` and ``dtype``, and others of `compute_rsm`, such as ``matching``,
        ``engine`` and ``threads``. ``sigma="median"`` of an RBF kernel is found once for each side, on 128 inputs drawn
        at random (all, if they are fewer), and is the same for all batches; the interval takes it as given.

    Returns
    -------
    CkaEstimate
        NaN, with a RuntimeWarning, if RSMs are constant in every batch.

    Raises
    ------
    TypeError, ValueError
        For bad input, as `compute_rsm`; if `a` and `b` differ in the number of inputs or in labels, where both have
        them; if there are fewer than 4 inputs, or options have impossible values.

    Notes
    -----
    Each side is matched K B (B - 1) / 2 times, in place of N (N - 1) / 2; RBF adds at most 8,128 for a median. Memory:
    the inputs of a batch, some matrices of B x B, and 32 bytes for each input of each batch.

    The interval is for the CKA of the population that the N inputs were drawn from, independently. It holds the
    debiased CKA of these N inputs more often than its level, since they are part of what varies. It is that of the
    jackknife over inputs, on the scale of Fisher's z, by Student's t (of the infinitesimal jackknife: what an input
    adds to an HSIC is, to first order, twice its share). As inputs are taken to vary, not batches, it also holds where
    an input is in several batches: more passes over N inputs make no interval shorter than N inputs allow. (In four
    passes, intervals from the variance over batches, as if these were independent, held 0.6 to 0.75 in place of 0.95.)

    How often intervals of 95 % held the population's CKA, in 1,000 simulations each (500 of 3,200 inputs and of matched
    RSMs), for CKA from 0 to 0.995, 1 to 100 batches of 8 to 64, in one pass or several: with 320 to 3,200 inputs, 0.93
    to 0.995 for normal and clustered features under a linear kernel, 0.96 to 0.99 for matched RSMs under cosine and
    RBF, and 0.91 to 0.95 for heavy tails (Student's t with 5 degrees of freedom). With 64 to 200 inputs, 0.91 to 0.995,
    and 0.88 to 0.93 for heavy tails. The jackknife counts twice what variance comes from pairs alone: so near CKA 0,
    where there is little other, intervals are up to 1.45 times as wide as they need be.

    References
    ----------
    Nguyen et al. 2021, "Do wide and deep networks learn the same things?", arXiv:2010.15327; Song et al. 2012, "Feature
    selection via dependence maximization"; Efron and Stein 1981, "The jackknife estimate of variance".

    Examples
    --------
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> early = rng.normal(size=(400, 3, 3, 3))  # 400 inputs, 3 channels, 3 x 3 positions
    >>> late = early[:, :, ::-1] + 0.3 * rng.normal(size=early.shape)
    >>> found = simplugins.estimate_cka(early, late, batch_size=20, batches=20)
    >>> found.low < float(found) < found.high
    True
    >>> found.pairs, round(found.share, 3)
    (3800, 0.048)
    """
    check_count("batches", batches)
    check_count("batch_size", batch_size)
    check_between("level", level, 0, 1)
    takes_median = _takes_median(measure, options)
    sides, how = _read_sides(a, b, options)
    inputs = len(sides[0])
    _check_batches(batches, batch_size, inputs)
    rng = np.random.default_rng(seed)
    drawn = _draw(rng, inputs, batch_size, batches)
    hows = _with_medians(sides, measure, how, rng) if takes_median else (how, how)
    shares = np.empty((batches, batch_size, 3))
    with progress_bar(range(batches), progress, title="comparing", unit="batch") as numbers:
        for k in numbers:
            rsms = _rsms(sides, drawn[k], measure, hows)
            shares[k] = _shares(f"batch {k}", *(rsm.values for rsm in rsms))
    value = _ratio(shares.mean((0, 1)))
    low, high = _interval(value, _influences(value, shares, drawn), level)
    made = {
        "measure": measure,
        "inputs": inputs,
        "sigma_inputs": min(inputs, _SIGMA_INPUTS) if takes_median else None,
        "a": rsms[0].metadata,
        "b": rsms[1].metadata,
        "simplugins": __version__,
    }
    return CkaEstimate(value, low, high, level, batches, batch_size, made)


def _takes_median(measure: str, options: Mapping[str, Any]) -> bool:
    """Whether RSMs under a measure have a bandwidth that depends on which inputs they are of."""
    return resolve_measure(measure).kernel == "rbf" and options.get("sigma", "median") == "median"


def _read_sides(a: Any, b: Any, options: Mapping[str, Any]) -> tuple[_Sides, dict[str, Any]]:
    """Return the activations of both sides, checked to be of the same inputs, and the options that are left."""
    for name in _REFUSED:
        if name in options:
            raise TypeError(f"estimate_cka takes no option {name!r}: masks, labels and subsets come with Activations")
    reading = {name: options[name] for name in _READING if name in options}
    with error_prefix("a"):
        first = Activations.from_array(read(a), **reading)
    with error_prefix("b"):
        second = Activations.from_array(read(b), **reading)
    _check_same_inputs(first, second)
    return (first, second), {name: value for name, value in options.items() if name not in reading}


def _check_same_inputs(a: Activations, b: Activations) -> None:
    if len(a) != len(b):
        raise ValueError(f"networks can be compared if inputs are the same: a has {len(a)}, b {len(b)}")
    if a.labels is None or b.labels is None:
        return
    for i, (one, other) in enumerate(zip(a.labels.tolist(), b.labels.tolist(), strict=True)):
        if one != other:
            raise ValueError(f"labels differ: input {i} is {one!r} in a, {other!r} in b")


def _check_batches(batches: int, batch_size: int, inputs: int) -> None:
    least = cka_debiased.least_inputs
    if not least <= batch_size <= inputs:
        raise ValueError(f"batch_size must be from {least} to {inputs}, the number of inputs; got {batch_size}")
    if batch_size == inputs and batches > 1:
        raise ValueError(
            f"each of {batches} batches would be all {inputs} inputs: ask for batches=1, which is their debiased CKA, "
            f"or for a smaller batch_size"
        )


def _draw(rng: np.random.Generator, inputs: int, batch_size: int, batches: int) -> NDArray[np.int64]:
    """Return the (K, B) inputs of batches, each at most once in a pass; sorted in a batch, as files are read fastest.

    Examples
    --------
    >>> _draw(np.random.default_rng(0), 9, 4, 3).shape  # two passes: an input is left out of the first one
    (3, 4)
    """
    whole = inputs // batch_size
    passes = [rng.permutation(inputs)[: whole * batch_size].reshape(whole, -1) for _ in range(-(-batches // whole))]
    return np.sort(np.concatenate(passes)[:batches], axis=1)


def _with_medians(
    sides: _Sides, measure: str, how: Mapping[str, Any], rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of each side, with a bandwidth found on some inputs."""
    count = len(sides[0])
    inputs = np.sort(rng.choice(count, min(count, _SIGMA_INPUTS), replace=False))
    sigma_a, sigma_b = (rsm.sigma for rsm in _rsms(sides, inputs, measure, (how, how)))
    if sigma_a == 0 or sigma_b == 0:
        raise ValueError(
            f"the median distance of {len(inputs)} inputs drawn at random is 0 in {'b' if sigma_a else 'a'}: their "
            f"responses are equal; give sigma a number"
        )
    return {**how, "sigma": sigma_a}, {**how, "sigma": sigma_b}


def _rsms(
    sides: _Sides, inputs: NDArray[np.int64], measure: str, hows: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> tuple[RSM, RSM]:
    """Compute the RSMs of some inputs; a file is read once."""
    a, b = (compute_rsm(side.chosen(inputs).in_memory(), measure, **how) for side, how in zip(sides, hows, strict=True))
    return a, b


def _shares(batch: str, a: Any, b: Any) -> NDArray[np.float64]:
    """Return each input's share in three unbiased HSICs: of two matrices, of the first with itself, of the second.

    Parameters
    ----------
    batch : str
        What errors call it.
    a, b : (B, B) arrays or RSMs

    Returns
    -------
    (B, 3) float64 array
        Its mean over inputs are the HSICs.
    """
    items = [(f"{batch}, first RSM", a), (f"{batch}, second RSM", b)]
    count = check_same_inputs(items, cka_debiased.least_inputs, "minibatch CKA")
    u, v = (_centred(name, matrix, count) for name, matrix in items)
    return np.stack([squareform(products).sum(1) for products in (u * v, u * u, v * v)], axis=1) / (count - 3)


def _centred(name: str, given: Any, count: int) -> Vector:
    """Return U-centred entries; zeros, if nothing but rounding is left of a constant matrix."""
    matrix = symmetric_matrix_of(name, given)
    centred = u_centred(matrix, np.ones(count))
    rounding = np.isnan(unit(centred, of=off_diagonal(matrix))).all()
    return np.zeros_like(centred) if rounding else centred


def _ratio(hsics: NDArray[np.float64]) -> float:
    """Return CKA from HSICs; NaN, with a warning, if one of a matrix with itself is 0."""
    both, of_a, of_b = hsics
    if of_a <= 0 or of_b <= 0:
        warnings.warn("minibatch CKA is NaN: RSMs are constant in every batch", RuntimeWarning, stacklevel=3)
        return float("nan")
    return float(both / np.sqrt(of_a) / np.sqrt(of_b))


def _influences(value: float, shares: NDArray[np.float64], drawn: NDArray[np.int64]) -> Vector:
    """Return how far each input that was drawn moves the estimate, to first order; they add up to 0.

    Centring adds nothing to first order: what it subtracts is 0 on average for every input.
    """
    _, of_a, of_b = shares.mean((0, 1))
    if np.isnan(value):
        return np.full(2, np.nan)
    gradient = np.array([1 / np.sqrt(of_a) / np.sqrt(of_b), -value / 2 / of_a, -value / 2 / of_b])
    of_inputs = np.asarray(np.bincount(drawn.ravel(), (shares @ gradient).ravel()), np.float64)
    return 2 * of_inputs[np.unique(drawn)] / drawn.size


def _interval(value: float, influences: Vector, level: float) -> tuple[float, float]:
    """Return the ends of an interval that is symmetric on the scale of Fisher's z.

    Examples
    --------
    >>> low, high = _interval(0.9, np.array([0.01, -0.01] * 50), 0.95)
    >>> round(low, 3), round(high, 3)
    (0.399, 0.987)
    """
    if 1 - abs(value) < _ONE:
        return value, value
    inputs = len(influences)
    error = np.sqrt(np.square(influences).sum() * inputs / (inputs - 1)) / (1 - value**2)
    reach = stdtrit(inputs - 1, (1 + level) / 2) * error
    middle = np.arctanh(value)
    return float(np.tanh(middle - reach)), float(np.tanh(middle + reach))
