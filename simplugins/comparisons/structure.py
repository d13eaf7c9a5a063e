# SPDX-License-Identifier: Apache-2.0
"""Structure within inputs: whether two networks relate the positions of one input to each other in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common.progress import progress_bar
from simplugins._common.validation import error_prefix
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.inputs import check_agreement
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from simplugins.activations.activations import Activations

_GRAM_BYTES = 2**28
"""Memory of the Gram matrices of one network's inputs that are held at a time, unless one input needs more."""


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """How alike two networks relate the positions of the same input; `structure` computes it.

    Attributes
    ----------
    values : (N, N) float64 array
        Entry (i, j) compares the Gram matrix of the positions of input i in the first network with that of input j in
        the second one. NaN where the method is not defined, as for an input whose concept vectors are all equal.
    method : str
        Name of the method that compares Gram matrices.
    positions : int
        Number of positions that are compared.
    grid : tuple of int, or None
        The grid to which both networks' positions were averaged, None if they were compared as they are.
    """

    values: NDArray[np.float64]
    method: str
    positions: int
    grid: tuple[int, ...] | None

    @property
    def per_input(self) -> NDArray[np.float64]:
        """The (N,) comparisons of each input with itself."""
        return self.values.diagonal()

    @property
    def value(self) -> float:
        """The mean over inputs of `per_input`; NaN if one of them is."""
        return float(self.per_input.mean())

    @property
    def chance(self) -> float:
        """The mean over pairs of different inputs: what inputs have in common, such as that neighbours are alike.

        NaN if there is a single input.
        """
        count = len(self.values)
        if count == 1:
            return float("nan")
        return float((self.values.sum() - self.values.trace()) / (count * (count - 1)))

    def __repr__(self) -> str:
        count = f"{len(self.values)} input{'' if len(self.values) == 1 else 's'}"
        pooled = "" if self.grid is None else f", averaged to {' x '.join(map(str, self.grid))}"
        return (
            f"Structure {self.method} {self.value:.4g}: {count}, {self.positions} positions{pooled}; "
            f"different inputs {self.chance:.4g}"
        )


def structure(
    a: Any,
    b: Any,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    drop_tokens: int | Sequence[int] = 0,
    labels: Any = None,
    dtype: DTypeLike | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    progress: bool | str = False,
) -> Structure:
    """Compare the structure within each input of two networks' responses.

    For each input, the Gram matrix of a network holds the inner products of the concept vectors of all its positions:
    which parts of the input the network regards as similar. It is compared with the other network's. The networks need
    no common channels.

    Parameters
    ----------
    a, b : arrays, paths, lists of arrays, or Activations
        Responses of the two networks to the same N inputs, in the same order, as for `compute_rsm`. If their grids
        differ, both are averaged to the smaller size in each dimension.
    method : str or callable, default "cka-debiased"
        Compares two Gram matrices, as `compare` does two RSMs: positions take the place of inputs.
    method_options : mapping, optional
        As for `compare`.
    layout, drop_tokens, labels, dtype, subset, seed
        As for `compute_rsm`; for both networks.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    Structure

    Raises
    ------
    ValueError
        If the inputs differ in number or labels, if positions differ in number and have no grid, or if there are too
        few positions for the method.

    Notes
    -----
    O(N S^2 C) for the Gram matrices, and O(N^2 S^2) for the comparisons of all pairs of inputs. The pairs of different
    inputs show what the number is by chance: both networks' Gram matrices usually share that neighbouring positions are
    alike in every input.

    References
    ----------
    Within-image structure of representations as a predictor of generation: Singh et al. 2025, "What matters for
    representation alignment: global information or spatial structure?" (iREPA).

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.random.default_rng(0).normal(size=(6, 8, 5, 5))
    >>> rotated = np.einsum("nchw,cd->ndhw", maps, np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0])
    >>> structure(maps, rotated).per_input.round(6)  # channels may be rotated
    array([1., 1., 1., 1., 1., 1.])
    >>> bool(structure(maps, maps[:, :, ::-1]).value < 0.1)  # but positions may not be permuted
    True
    """
    from simplugins.comparisons.rsm_options import RsmOptions  # reads activations as everything here does

    options = RsmOptions(layout=layout, drop_tokens=drop_tokens, labels=labels, dtype=dtype, subset=subset, seed=seed)
    resolved = resolve_method(method, method_options)
    sides = {}
    for name, activations in (("a", a), ("b", b)):
        with error_prefix(name):
            sides[name] = options.read(activations)
    check_agreement([(name, len(side), side.labels) for name, side in sides.items()])
    if reason := why_no_structure(sides["a"], sides["b"], resolved.least_inputs):
        raise ValueError(reason)
    maps, grid = _common_grid(sides["a"], sides["b"])
    size = int(sides["a"].positions[0]) if grid is None else int(np.prod(grid))
    values = np.empty((len(sides["a"]), len(sides["b"])))
    blocks = _blocks(len(values), max(1, _GRAM_BYTES // (8 * size**2)))
    with progress_bar(blocks, progress, title="comparing structure") as rows:
        for block in rows:
            first = _gram_matrices(sides["a"], block, maps[0])
            for columns in blocks:
                values[block, columns] = resolved.compare_all(first, _gram_matrices(sides["b"], columns, maps[1]))
    return Structure(values, resolved.name, size, grid)


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def why_no_structure(a: Activations, b: Activations, least: int) -> str | None:
    """Return why the structure of two networks cannot be compared; None if it can.

    Inputs of a network may differ in their positions, the networks' positions may have no relation, or there may be
    fewer than `least` of them.
    """
    for name, side in (("a", a), ("b", b)):
        if side.shape[1] is None or not side.same_positions:
            return (
                f"{name}: structure compares position with position, but the inputs differ in their positions "
                f"({side.describe_positions()})"
            )
    if not _same_positions(a, b) and (a.grid is None or b.grid is None or len(a.grid) != len(b.grid)):
        return (
            f"structure compares position with position, but a has {_described(a)} and b has {_described(b)}, which "
            f"cannot be averaged to a common grid"
        )
    grid = _common_grid(a, b)[1]
    positions = int(a.positions[0]) if grid is None else int(np.prod(grid))
    return f"structure: the method needs at least {least} positions, got {positions}" if positions < least else None


def _same_positions(a: Activations, b: Activations) -> bool:
    return a.shape[1] == b.shape[1] and (a.grid == b.grid or None in (a.grid, b.grid))


def _common_grid(a: Activations, b: Activations) -> tuple[list[NDArray[np.float64] | None], tuple[int, ...] | None]:
    """Return the common grid of two networks, and for each the matrix that averages its positions to it, or None."""
    if _same_positions(a, b) or a.grid is None or b.grid is None:
        return [None, None], None
    grid = tuple(map(min, a.grid, b.grid))
    return [_averaging(original, grid) for original in (a.grid, b.grid)], grid


def _described(side: Activations) -> str:
    return side.describe_positions() if side.grid is None else f"a grid of {' x '.join(map(str, side.grid))}"


def _averaging(grid: tuple[int, ...], smaller: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the (S', S) matrix that averages a grid to a smaller one; each new position covers the same share."""
    if grid == smaller:
        return None
    result: NDArray[Any] = np.ones((1, 1))
    for size, count in zip(grid, smaller, strict=True):
        result = np.kron(result, _averaging_of_axis(size, count))
    return result


def _averaging_of_axis(size: int, count: int) -> NDArray[np.float64]:
    """Return the (count, size) overlaps of `count` equal parts of an axis with its `size` positions, as shares of 1."""
    edges = np.linspace(0, size, count + 1)
    positions = np.arange(size)
    overlap = np.minimum(edges[1:, None], positions + 1) - np.maximum(edges[:-1, None], positions)
    return np.asarray(np.maximum(overlap, 0) * (count / size))


def _gram_matrices(activations: Activations, inputs: slice, averaging: NDArray[np.float64] | None) -> dict[str, RSM]:
    """Return the Gram matrices of the positions of some inputs, by a name for errors."""
    return {
        f"input {number}": RSM.from_similarities(vectors @ vectors.T)
        for number, vectors in enumerate(_averaged(activations, inputs, averaging), inputs.start)
    }


def _averaged(
    activations: Activations, inputs: slice, averaging: NDArray[np.float64] | None
) -> Iterator[NDArray[np.float64]]:
    for vectors in activations.part(inputs.start, inputs.stop).sets():
        wide = vectors.astype(np.float64)
        yield wide if averaging is None else averaging @ wide
