# SPDX-License-Identifier: Apache-2.0
"""Crossvalidation over inputs: a parameter is chosen with some inputs, and the comparison reported for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_count
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.groups import group_count, renumbered
from simplugins.comparisons.inference import groups_of
from simplugins.comparisons.inputs import all_aligned, one_or_several
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.resampling import drawn_orders
from simplugins.rsm.matrices import Matrix, Vector

Folds = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """Result of `crossvalidate`: a comparison whose parameter was chosen with other inputs.

    Attributes
    ----------
    parameters : tuple
        The V values of the parameter.
    folds : tuple of (n,) int64 arrays
        The inputs of each of F folds.
    training : (F, V) float64 array
        For each fold and value, the comparison of the inputs outside the fold; of different methods, divided by the
        standard deviation under permutations, after subtracting the mean.
    held_out : (F, V) float64 array
        For each fold and value, the comparison of the inputs of the fold.
    choice : object
        The value chosen with all inputs: the one to use from now on.
    larger_is_more_similar : bool
        Whether the largest training value is chosen rather than the smallest: not for one method that is a distance.
        (Training values of several methods are larger for greater similarity, also under distances.)
    """

    parameters: tuple[Any, ...]
    folds: Folds
    training: Matrix
    held_out: Matrix
    choice: Any
    larger_is_more_similar: bool

    @property
    def choices(self) -> tuple[Any, ...]:
        """The value chosen for each fold with the inputs outside it."""
        return tuple(self.parameters[k] for k in self._chosen)

    @property
    def per_fold(self) -> Vector:
        """The comparison of the held-out inputs of each fold with the value chosen for it, (F,)."""
        return self.held_out[np.arange(len(self.folds)), self._chosen]

    @property
    def value(self) -> float:
        """The mean over folds of `per_fold`."""
        return float(self.per_fold.mean())

    @property
    def _chosen(self) -> list[int]:
        sign = 1 if self.larger_is_more_similar else -1
        return [best(sign * row) for row in self.training]

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        chosen = ", ".join(dict.fromkeys(map(str, self.choices)))
        return (
            f"CrossValidation {self.value:.4g} for held-out inputs, {len(self.folds)} folds; chosen per fold: "
            f"{chosen}; with all inputs: {self.choice}"
        )


def crossvalidate(
    target: Any,
    candidates: Any,
    method: AnyMethod | Mapping[Any, AnyMethod] = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    folds: int | ArrayLike = 5,
    groups: Any = None,
    permutations: int = 99,
    seed: int | np.random.Generator = 0,
    align: bool = False,
    progress: bool | str = False,
) -> CrossValidation:
    """Choose a parameter of an RSM or of a method with some inputs, and compare the others with the chosen value.

    Choosing the best of several values with the inputs for which the comparison is reported makes it too high. Here the
    inputs are divided into folds: for each fold, the value is chosen with the inputs outside it, and the RSMs of the
    inputs within it are compared. Pairs of an input inside and one outside are not used.

    Parameters
    ----------
    target : RSM or (N, N) array, or a sequence or mapping of these
        As for `rank_models`: one or several targets.
    candidates : mapping of any value to RSM or (N, N) array; or one RSM
        The RSMs by the value of the parameter that they were computed with, such as the bandwidth of an RBF kernel, the
        share of a partial matching, or the layer. They must not depend on which inputs are held out: the similarity of
        a pair may only depend on that pair, so state a bandwidth rather than "median".
    method : str or callable, or mapping of any value to these, default "cka-debiased"
        As for `compare`. If it has the parameter, such as the number of neighbours, pass one RSM as `candidates`, and
        the methods by the value of the parameter.
    method_options : mapping, optional
        As for `compare`; for one method.
    folds : int or (N,) array, default 5
        The number of folds, of about equal size and drawn at random; or the fold of each input.
    groups : sequence or "labels", optional
        As for `bootstrap_interval`: inputs with equal entries, such as the crops of one photograph, are in one fold.
    permutations : int, default 99
        For several methods only: the number of permutations of the training inputs.
    seed : int or Generator, default 0
        Seed of folds and permutations.
    align : bool, default False
        Whether to reorder the inputs of all RSMs by the labels of the first target.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    CrossValidation
        Equal training values choose the first.

    Raises
    ------
    TypeError, ValueError
        As `compare`; also if both or none of `candidates` and `method` are mappings, if a fold or the inputs outside it
        are fewer than the method needs, or if groups are divided by folds.

    Notes
    -----
    As rsatoolbox's crossvalidation over patterns of a model that selects an RDM. The values of different methods are
    not on one scale (more neighbours share more by chance), so methods are chosen by their distance from the mean under
    permutations of the training inputs, in standard deviations; `held_out` has their values as they are. A number of
    neighbours means a larger share of the inputs of a fold than of all inputs.

    Folds have fewer inputs than the whole sample, which changes methods that depend on this number, such as "cka".

    References
    ----------
    Schütt et al. 2023, "Statistical inference on representational geometries", eLife 12:e82566.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(60, 3))
    >>> target = np.exp(-np.square(truth[:, None] - truth).sum(-1) / 4)
    >>> noisy = truth + 0.1 * rng.normal(size=truth.shape)
    >>> squared = np.square(noisy[:, None] - noisy).sum(-1)
    >>> result = crossvalidate(target, {s: np.exp(-squared / s) for s in (0.5, 4, 50)}, "rsa-pearson")
    >>> result.choices, result.choice
    ((4, 4, 4, 4, 4), 4)
    """
    models, methods = _options(candidates, method, method_options)
    check_count("permutations", permutations)
    targets = one_or_several(target, "target")
    if align:
        first = next(iter(targets.values()))
        models, targets = all_aligned(first, models), all_aligned(first, targets)
    sides = _matrices(models, targets, methods)
    rng = np.random.default_rng(seed)
    numbers = groups_of([*targets.values(), *models.values()], groups, len(sides[1][0]))
    parts = _parts(len(sides[1][0]), folds, numbers, rng)
    least = max(each.least_inputs for each in methods)
    _check_sizes(parts, len(sides[1][0]), least)
    everything = np.arange(len(sides[1][0]))
    training, held_out = np.empty((2, len(parts), max(len(models), len(methods))))
    with progress_bar(range(len(parts)), progress, title="crossvalidating", unit="fold") as steps:
        for k in steps:
            outside = np.setdiff1d(everything, parts[k])
            training[k] = _scores(sides, methods, outside, permutations, rng)
            held_out[k] = _means(sides, methods, parts[k])
    parameters = tuple(candidates if isinstance(candidates, Mapping) else method)  # type: ignore[arg-type]
    larger = methods[0].larger_is_more_similar is not False or len(methods) > 1
    scores = _scores(sides, methods, everything, permutations, rng)
    return CrossValidation(
        parameters=parameters,
        folds=parts,
        training=training,
        held_out=held_out,
        choice=parameters[best(scores if larger else -scores)],
        larger_is_more_similar=larger,
    )


def best(scores: Vector) -> int:
    """Return the index of the largest score, the first if several are; NaN are never chosen unless all are NaN.

    Examples
    --------
    >>> best(np.array([np.nan, 1.0, 2.0, 2.0]))
    2
    """
    return 0 if np.isnan(scores).all() else int(np.nanargmax(scores))


def _options(
    candidates: Any, method: Any, options: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[ComparisonMethod]]:
    """Return RSMs by name, and methods: one of each, or several of one."""
    if isinstance(candidates, Mapping) == isinstance(method, Mapping):
        raise TypeError(
            "expected the values of one parameter: either candidates as a mapping of values to RSMs, or method as a "
            "mapping of values to methods"
        )
    if isinstance(method, Mapping) and options:
        raise TypeError("method_options apply to one method; pass several methods as objects with their options")
    methods = list(method.values()) if isinstance(method, Mapping) else [method]
    is_several = isinstance(candidates, Mapping)
    models = {f"candidates[{k!r}]": rsm for k, rsm in candidates.items()} if is_several else {"candidates": candidates}
    if not methods or not models:
        raise ValueError("expected at least one value of the parameter, got none")
    return models, [resolve_method(each, options) for each in methods]


def _matrices(
    models: Mapping[str, Any], targets: Mapping[str, Any], methods: Sequence[ComparisonMethod]
) -> tuple[list[Matrix], list[Matrix]]:
    """Return the checked matrices of models and targets."""
    columns = {(name if len(targets) == 1 else f"target[{name!r}]"): rsm for name, rsm in targets.items()}
    for method in methods:
        method.compare_all(models, columns)
    rows, others = ([methods[0].matrix(*item) for item in side.items()] for side in (models, columns))
    return rows, others


def _parts(inputs: int, folds: int | ArrayLike, groups: NDArray[np.int64] | None, rng: np.random.Generator) -> Folds:
    """Return the inputs of each fold."""
    members = np.arange(inputs) if groups is None else groups
    if isinstance(folds, int | np.integer):
        check_count("folds", folds)
        units = group_count(groups, inputs)
        if not 2 <= folds <= units:
            noun = "inputs" if groups is None else "groups"
            raise ValueError(f"folds must be from 2 to {units}, the number of {noun}; got {folds}")
        return tuple(
            np.flatnonzero(np.isin(members, part)) for part in np.array_split(rng.permutation(units), int(folds))
        )
    array = np.asarray(folds)
    if array.shape != (inputs,):
        raise ValueError(f"folds: expected their number, or the fold of each of {inputs} inputs, got {array.shape}")
    numbers = renumbered(array)
    divided = [unit for unit in range(members.max() + 1) if len(set(numbers[members == unit].tolist())) > 1]
    if divided:
        first = int(np.flatnonzero(members == divided[0])[0])
        raise ValueError(f"folds divide {len(divided)} groups, such as that of input {first}")
    return tuple(np.flatnonzero(numbers == k) for k in range(numbers.max() + 1))


def _check_sizes(parts: Folds, inputs: int, least: int) -> None:
    for k, part in enumerate(parts):
        for count, place in ((len(part), "in"), (inputs - len(part), "outside")):
            if count < least:
                raise ValueError(
                    f"the method needs at least {least} inputs, but fold {k} has {count} {place} it: use fewer folds, "
                    f"or more inputs"
                )


def _means(sides: tuple[list[Matrix], list[Matrix]], methods: Sequence[ComparisonMethod], inputs: Any) -> Vector:
    """Return the mean comparison with the targets, for some inputs, of each candidate or with each method."""
    counts = np.zeros(len(sides[1][0]), np.int64)
    counts[inputs] = 1
    return np.concatenate([method.resampled_all(*sides)(counts).mean(1) for method in methods])


def _scores(
    sides: tuple[list[Matrix], list[Matrix]],
    methods: Sequence[ComparisonMethod],
    inputs: NDArray[np.int64],
    permutations: int,
    rng: np.random.Generator,
) -> Vector:
    """Return the values by which a parameter is chosen: comparisons, or standardised ones for several methods."""
    means = _means(sides, methods, inputs)
    if len(methods) == 1:
        return means
    index = np.ix_(inputs, inputs)
    models, targets = ([matrix[index] for matrix in side] for side in sides)
    orders = drawn_orders(len(inputs), permutations, rng)
    nulls = [method.permuted_all(models, targets, orders).mean(2)[:, 0] for method in methods]
    signs = np.array([-1 if method.larger_is_more_similar is False else 1 for method in methods])
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = signs * (means - [null.mean() for null in nulls]) / [null.std() for null in nulls]
    return np.where(np.isfinite(scores), scores, np.nan)
