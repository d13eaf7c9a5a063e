# SPDX-License-Identifier: Apache-2.0
"""How similar two networks are semantically, under shifts, spatio-semantically, and in the structure of each input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_between, check_count, error_prefix
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.differences import PairedDifference, difference_of
from simplugins.comparisons.groups import first_labels, group_count, read_groups
from simplugins.comparisons.inference import warn_of_repeated_inputs
from simplugins.comparisons.inputs import check_agreement
from simplugins.comparisons.method import ComparisonMethod, Orders, method_label, without_chance_warning
from simplugins.comparisons.null_calibration import Calibration, calibrated, check_calibration, warn_of_few
from simplugins.comparisons.resampling import draw, drawn_orders, draws_all, interval_over_inputs
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.comparisons.structure import Structure, structure, why_no_structure

if TYPE_CHECKING:
    from simplugins.activations.activations import Activations
    from simplugins.activations.preparation import Center, Normalize
    from simplugins.rsm.kernels import Sigma

LADDER = ("semantic", "shift", "spatio-semantic")
"""How the positions of two inputs are aligned, from the freest way to none: by any permutation, by a shift, not."""

STRUCTURE = "structure"


@dataclass(frozen=True, eq=False, repr=False)
class Similarity:
    """The similarity of two networks in one respect.

    Attributes
    ----------
    value : float
    low, high : float
        The ends of the bootstrap interval.
    calibration : Calibration
        The value on a scale on which chance is 0, and its p-value.
    """

    value: float
    low: float
    high: float
    calibration: Calibration

    def __repr__(self) -> str:
        return (
            f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}], calibrated "
            f"{_number(self.calibration.score)}, p = {self.calibration.p_value:.3g}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Decoupling:
    """How similar two networks are in several respects; `decouple` computes it.

    Attributes
    ----------
    similarities : mapping of str to Similarity
        "semantic", "shift", "spatio-semantic" and "structure".
    differences : mapping of (str, str) to PairedDifference
        The differences of the first three, which are the same method's comparisons of RSMs that only differ in how
        positions are aligned.
    unavailable : mapping of str to str
        For those of the four that these activations do not have, the reason.
    method : str
        Name of the method, followed by its options.
    kernel : str
    inputs : int
    """

    similarities: Mapping[str, Similarity]
    differences: Mapping[tuple[str, str], PairedDifference]
    unavailable: Mapping[str, str]
    method: str
    kernel: str
    inputs: int

    def __getitem__(self, name: str) -> Similarity:
        return self.similarities[name]

    def __repr__(self) -> str:
        lines = [f"Decoupling of {self.inputs} inputs by {self.method}, {self.kernel} kernel"]
        lines += [f"  {name:<16} {similarity!r}" for name, similarity in self.similarities.items()]
        for (first, second), difference in self.differences.items():
            interval = f"[{difference.low:.4g}, {difference.high:.4g}]"
            lines.append(f"  {first} - {second}: {difference.difference:.4g} {interval}, p = {difference.p_value:.3g}")
        lines += [f"  no {name}: {reason}" for name, reason in self.unavailable.items()]
        return "\n".join(lines)

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per similarity and difference, for data frames."""
        rows = [
            {
                "name": name,
                "value": similarity.value,
                "low": similarity.low,
                "high": similarity.high,
                "score": similarity.calibration.score,
                "p_value": similarity.calibration.p_value,
            }
            for name, similarity in self.similarities.items()
        ]
        return rows + [
            {
                "name": " - ".join(names),
                "value": difference.difference,
                "low": difference.low,
                "high": difference.high,
                "score": None,
                "p_value": difference.p_value,
            }
            for names, difference in self.differences.items()
        ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def decouple(
    a: Any,
    b: Any,
    *,
    kernel: str = "cosine",
    method: AnyMethod = "cka-debiased",
    method_options: Mapping[str, Any] | None = None,
    permutations: int = 200,
    alpha: float = 0.05,
    resamples: int = 1000,
    confidence: float = 0.95,
    groups: Any = None,
    layout: str = "auto",
    mask: Any = None,
    labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    sigma: Sigma = "median",
    engine: str = "auto",
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Decoupling:
    """Compare two networks by what they respond to, and by where.

    Four numbers, each with an interval, a calibrated score and a p-value: the comparison of the networks' *semantic*
    RSMs, for which positions are matched; of RSMs under the best *shift* of each pair of inputs; of their
    *spatio-semantic* RSMs, which compare position with position; and the *structure* within inputs (see `structure`).
    The differences of the first three show how much of what the networks share depends on locations.

    Parameters
    ----------
    a, b : arrays, paths, lists of arrays, or Activations
        Responses of the two networks to the same N inputs, in the same order; see `compute_rsm`. Channels and positions
        may differ.
    kernel : {"linear", "cosine", "rbf"}, default "cosine"
        The kernel of the RSMs.
    method : str or callable, default "cka-debiased"
        Compares the RSMs, and the Gram matrices of each input; as for `compare`.
    method_options : mapping, optional
        As for `compare`.
    permutations, alpha
        As for `calibrate`; all four use the same permutations.
    resamples, confidence
        As for `bootstrap_interval`; all four use the same resamples of the inputs.
    groups : sequence or "labels", optional
        As for `bootstrap_interval` and `calibrate`: inputs with equal entries, such as the crops of one photograph, are
        drawn and permuted together. Groups must be of equal size.
    layout, mask, labels, drop_tokens, dtype, center, normalize, sigma, engine, threads, subset
        As for `compute_rsm`; for both networks.
    seed : int, default 0
        Seed of the permutations, of the resamples, and of a random subset.
    progress : bool, default False
        Show progress bars on standard error.

    Returns
    -------
    Decoupling
        Those of the four that the activations allow; `Decoupling.unavailable` has the reasons for the others.

    Raises
    ------
    TypeError, ValueError
        As `compute_rsm`, `compare`, `calibrate` and `bootstrap_interval`.

    Notes
    -----
    For a pair of inputs, the spatio-semantic inner product is at most that under the best shift, and this at most the
    semantic one. There is no such order of the comparisons of two networks, because both networks' RSMs change.

    A permutation exchanges the inputs of the second network. For "structure", chance is therefore the similarity of the
    two networks' structure for different inputs, which is usually not 0: neighbouring positions are alike in any image.

    The cost is that of the RSMs of both networks, and of `structure`.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.normal(size=(20, 8, 6, 6))
    >>> scattered = np.stack([x.reshape(8, 36)[:, rng.permutation(36)].reshape(8, 6, 6) for x in maps])
    >>> result = simplugins.decouple(maps, scattered, permutations=99, resamples=100)  # each input in its own order
    >>> [round(result[name].calibration.score, 1) for name in ("semantic", "spatio-semantic", "structure")]
    [1.0, 0.0, 0.0]
    """
    options = RsmOptions.among(locals())
    resolved = without_chance_warning(resolve_method(method, method_options))
    check_calibration(permutations, alpha)
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    sides = {}
    for name, activations in (("a", a), ("b", b)):
        with error_prefix(name):
            sides[name] = options.read(activations)
    count = check_agreement([(name, len(side), side.labels) for name, side in sides.items()])
    numbers = read_groups(groups, first_labels([side.labels for side in sides.values()]), count)
    unavailable = {name: reason for name in _NAMES if (reason := _why_unavailable(name, sides, resolved))}
    aspects = {
        name: _aspect(name, sides, options, resolved, kernel, numbers) for name in _NAMES if name not in unavailable
    }
    orders = drawn_orders(count, permutations, np.random.default_rng(seed), numbers)
    exact = draws_all(group_count(numbers, count), permutations)
    calibrations = _calibrations(aspects, resolved, orders, alpha, exact=exact)
    warn_of_repeated_inputs(resolved)
    distributions = _resampled(aspects, _draws(count, resolved, numbers, resamples, seed), progress)

    def ends(distribution: NDArray[np.float64]) -> tuple[float, float]:
        return interval_over_inputs(distribution, confidence, resolved, count, numbers)

    similarities = {
        name: Similarity(aspect.value, *ends(distributions[name]), calibrations[name])
        for name, aspect in aspects.items()
    }
    differences = {}
    for pair in combinations([name for name in LADDER if name in aspects], 2):
        distribution = distributions[pair[0]] - distributions[pair[1]]
        values = [aspects[name].value for name in pair]
        differences[pair] = difference_of(pair, values, distribution, ends(distribution), resolved.name, confidence)
    return Decoupling(similarities, differences, unavailable, _label(resolved), kernel, count)


_NAMES = (*LADDER, STRUCTURE)


@dataclass(frozen=True)
class _Aspect:
    """A similarity of two networks, and functions of permuted and resampled inputs."""

    value: float
    permuted: Callable[[Orders], NDArray[np.float64]]
    resampled: Callable[[NDArray[np.int64]], float]


def _label(method: ComparisonMethod) -> str:
    return method_label(method.name, method.options)


def _calibrations(
    aspects: Mapping[str, _Aspect], method: ComparisonMethod, orders: Orders, alpha: float, *, exact: bool
) -> dict[str, Calibration]:
    warn_of_few(len(orders), alpha, exact=exact, stacklevel=4)
    return {
        name: calibrated(aspect.value, aspect.permuted(orders), method, alpha, exact=exact)
        for name, aspect in aspects.items()
    }


def _draws(
    count: int, method: ComparisonMethod, groups: NDArray[np.int64] | None, resamples: int, seed: int
) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [draw(rng, count, method.least_different, groups) for _ in range(resamples)]


def _resampled(
    aspects: Mapping[str, _Aspect], counts: Sequence[NDArray[np.int64]], progress: bool | str
) -> dict[str, NDArray[np.float64]]:
    """Return the values of each similarity in all resamples, given how often each input occurs in each of them."""
    with progress_bar(counts, progress, title="resampling") as steps:
        rows = [[aspect.resampled(count) for aspect in aspects.values()] for count in steps]
    return dict(zip(aspects, np.array(rows).T, strict=True))


def _why_unavailable(name: str, sides: Mapping[str, Activations], method: ComparisonMethod) -> str | None:
    """Return why a similarity does not exist for these activations; None if it does."""
    for side_name, side in sides.items():
        if name != "semantic" and (side.shape[1] is None or not side.same_positions):
            return f"the inputs of {side_name} differ in their positions"
        if name == "shift" and side.grid is None:
            return f"the positions of {side_name} have no grid"
    return why_no_structure(sides["a"], sides["b"], method.least_inputs) if name == STRUCTURE else None


def _aspect(
    name: str,
    sides: Mapping[str, Activations],
    options: RsmOptions,
    method: ComparisonMethod,
    kernel: str,
    groups: NDArray[np.int64] | None,
) -> _Aspect:
    if name == STRUCTURE:
        return _aspect_of_structure(structure(sides["a"], sides["b"], method, progress=options.progress))
    measure = f"{name}-{kernel}"
    titled = replace(options, measure=measure, progress=measure if options.progress else False)
    a, b = (method.matrix(side_name, titled.compute(side)) for side_name, side in sides.items())
    return _Aspect(
        value=float(method.compare_all({"a": a}, {"b": b})[0, 0]),
        permuted=lambda orders: method.permuted_all([a], [b], orders)[:, 0, 0],
        resampled=method.resampled(a, b, groups),
    )


def _aspect_of_structure(result: Structure) -> _Aspect:
    inputs = np.arange(len(result.values))
    return _Aspect(
        value=result.value,
        permuted=lambda orders: result.values[inputs, orders].mean(1),
        resampled=lambda counts: float(counts @ result.per_input / counts.sum()),
    )
