# SPDX-License-Identifier: Apache-2.0
"""Measures under the best translation of the grid: between the same position and the best permutation of positions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.grid_shifts import GridShifts, Padding, check_padding
from simplugins.compute.job import Job, TileResult
from simplugins.measures.measure import Measure, Options, Similarities, refuse_options
from simplugins.measures.semantic import EFFECT_OF_SCALING, EFFECT_OF_TRANSLATION, kernel_similarities
from simplugins.rsm.kernels import Sigma


@dataclass(frozen=True)
class ShiftedPairs:
    """Find the best translation of each pair; the values are inner products under it.

    Attributes
    ----------
    padding : {"circular", "zeros"}
    """

    padding: Padding
    certify = False
    symmetric = True

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if channels or grids differ, or there is no grid."""
        GridShifts.of(x, y, self.padding)

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the inner products of all pairs under their best translations."""
        from simplugins.compute.engines.translations import best_translations

        return best_translations(x, y, self.padding, threads=threads, progress=progress)

    def warm_up(self) -> None:
        """Compare a pair of single positions."""
        one = Activations.from_array(np.ones((1, 1, 1), np.float32))
        self.compute(one, one, threads=1)

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of a pair's arrays, and zero for the working memory, since there is no other."""
        from simplugins.compute.engines.translations import pair_bytes

        return pair_bytes(GridShifts.of(x, y, self.padding)), 0

    def copies(self, x: Activations, y: Activations) -> int:
        """Return the size of the spectra of a block of rows (twice) and one of columns, as a multiple of a block."""
        from simplugins.compute.engines.translations import spectrum_bytes

        spectrum = spectrum_bytes(GridShifts.of(x, y, self.padding), x.channels)
        return 3 * math.ceil(spectrum / max(x.input_bytes, y.input_bytes))

    def check_tiles(self) -> None:
        """Accept any job: every pair is compared on its own."""

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "measure_options": {"padding": self.padding},
            "matching": "shift",
            "matching_options": {},
            "certify": False,
        }


@dataclass(frozen=True)
class Shift(Measure):
    """A kernel on inner products under the best translation; the base of the three measures.

    For responses x and y on one grid, ``m = max over shifts of sum_s <x_s, y_(s + shift)>``. The kernels are those of
    the semantic measures: m, ``m / (|x| |y|)`` or ``exp(-d^2 / (2 sigma^2))`` with ``d^2 = |x|^2 + |y|^2 - 2 m``. m is
    computed by the fast Fourier transform in float64, in O(S log S + S C) per pair.

    Circular shifts are permutations of the positions, so m lies between that of the spatio-semantic and that of the
    semantic measure, for all data. With zeros, it is never below the spatio-semantic one, and never above the semantic
    one if no affinity is negative, as after a ReLU (the optimal matching has to match all positions, a shift need not).

    Attributes
    ----------
    padding : {"circular", "zeros"}
        Whether positions that leave the grid come back at the opposite side (the default), or match nothing.

    Notes
    -----
    All inputs need one whole grid: maps, volumes, or sequences of tokens, for which the shift is one in time. Masks and
    dropped tokens leave no whole grid and are errors. Computed on the CPU.
    """

    padding: Padding = "circular"
    symmetric: bool = field(default=True, init=False, repr=False)
    pairwise: bool = field(default=True, init=False, repr=False)
    positive_semidefinite: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_padding(self.padding)

    def __call__(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the similarities of all inputs of x to those of y, or of x itself, as an (N, M) float64 array."""
        result = Job(x, y, self.operation(Options())).compute(threads=None)
        return self.similarities(result, x, y, "median").values

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return self.effects_with(None, "median")

    def effects_with(self, matcher: Any, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a bandwidth."""
        assert self.kernel is not None
        effects = {
            "rotation": "none",
            "scaling": EFFECT_OF_SCALING[self.kernel],
            "linear": "other",
            "positions": "other",
        }
        if self.kernel == "rbf" and sigma != "median":
            effects["scaling"] = "other"
        effects["translation"] = EFFECT_OF_TRANSLATION[self.kernel] if self.padding == "circular" else "other"
        return effects

    def operation(self, options: Options) -> ShiftedPairs:
        """Return the search for the best translations.

        Raises
        ------
        ValueError
            If an option of measures with a matching is set, or a GPU is asked for.
        """
        reason = "compares all translations of the grid, and has no other matching"
        refuse_options(self.name, options, "matching", "matching_options", "certify", reason=reason)
        reason = "is computed on the CPU, in float64"
        refuse_options(self.name, options, "precision", reason=reason)
        if options.engine != "cpu":
            refuse_options(self.name, options, "engine", reason=reason)
        return ShiftedPairs(self.padding)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel to inner products under the best translations."""
        assert self.kernel is not None
        return kernel_similarities(self.kernel, result, x, y, sigma)


@dataclass(frozen=True)
class ShiftLinear(Shift):
    """The inner product under the best translation of the grid; see `Shift`.

    Parameters
    ----------
    padding : {"circular", "zeros"}, default "circular"

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5))  # 2 inputs, 3 channels, 4 x 5 positions
    >>> moved = np.roll(maps, (1, 2), axis=(2, 3))
    >>> rsm = simplugins.compute_rsm(maps, ShiftLinear(), other=moved)
    >>> np.allclose(np.diag(rsm), (maps**2).sum((1, 2, 3)))
    True
    """

    name: str = field(default="shift-linear", init=False, repr=False)
    kernel: str = field(default="linear", init=False, repr=False)


@dataclass(frozen=True)
class ShiftCosine(Shift):
    """The cosine of two responses under the best translation of the grid; see `Shift`.

    Parameters
    ----------
    padding : {"circular", "zeros"}, default "circular"

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import Activations
    >>> x = Activations.from_array(np.array([[[1.0], [0.0], [2.0]], [[2.0], [1.0], [0.0]]]))  # 2 sequences of 3 tokens
    >>> ShiftCosine()(x)  # the second is the first, moved by one
    array([[1., 1.],
           [1., 1.]])
    >>> ShiftCosine(padding="zeros")(x)  # only the 2 can meet the 2
    array([[1. , 0.8],
           [0.8, 1. ]])
    """

    name: str = field(default="shift-cosine", init=False, repr=False)
    kernel: str = field(default="cosine", init=False, repr=False)


@dataclass(frozen=True)
class ShiftRbf(Shift):
    """The RBF kernel of the distance under the best translation of the grid; see `Shift`.

    Parameters
    ----------
    padding : {"circular", "zeros"}, default "circular"

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> sequences = np.array([[[1.0], [0.0], [2.0]], [[2.0], [1.0], [0.0]], [[0.0], [0.0], [0.0]]])
    >>> simplugins.compute_rsm(sequences, ShiftRbf(), sigma=2.0).values.round(4)
    array([[1.    , 1.    , 0.5353],
           [1.    , 1.    , 0.5353],
           [0.5353, 0.5353, 1.    ]])
    """

    name: str = field(default="shift-rbf", init=False, repr=False)
    kernel: str = field(default="rbf", init=False, repr=False)
