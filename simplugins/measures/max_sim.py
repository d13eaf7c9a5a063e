# SPDX-License-Identifier: Apache-2.0
"""MaxSim: each position of an input is compared with the position of the other input that is most like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import Affinity, BestAffinities
from simplugins.compute.engines import check_engine, check_precision
from simplugins.compute.job import Job, TileResult, check_channels
from simplugins.measures.measure import Measure, Options, Similarities, refuse_options
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma

Direction = Literal["auto", "both", "queries"]
_EFFECTS = {"rotation": "none", "linear": "other", "positions": "none"}
"""Effects on the RSMs of all three measures; see `Measure`."""


@dataclass(frozen=True)
class BestMatches:
    """Find each position's best match in each pair of inputs.

    Attributes
    ----------
    best : BestAffinities
    measure : str
        The name of the measure, which its stores have to belong to.
    engine, precision
        As for `simplugins.measures.semantic.MatchedPairs`.
    """

    best: BestAffinities
    measure: str
    engine: str = "auto"
    precision: str | None = None
    certify = False

    @property
    def symmetric(self) -> bool:
        """Whether both directions are averaged."""
        return self.best.both

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if channels differ."""
        check_channels(x, y)

    @property
    def resolved_engine(self) -> str:
        """The engine that computes on this machine: "cpu", or one for a GPU."""
        return ("cpu" if gpu.why_unusable() else "cuda") if self.engine == "auto" else self.engine

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the values of all pairs: similarities, or squared distances for the RBF kernel.

        Raises
        ------
        ValueError
            If the engine or precision cannot be used here.
        """
        if self.engine != "auto":
            check_engine(self.engine)
        engine = self.resolved_engine
        if self.precision is not None:
            check_precision(self.precision, engine, x, x if y is None else y)
        if engine == "cpu":
            from simplugins.compute.engines.best_matches import best_matches

            return best_matches(x, y, self.best, threads=threads, progress=progress)
        from simplugins.compute.engines.cuda.best_matches_engine import best_matches as best_matches_on_gpu
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice

        device = CupyDevice(x.gpu if x.gpu is not None or y is None else y.gpu)
        return best_matches_on_gpu(x, y, self.best, device=device, precision=self.precision, progress=progress)

    def warm_up(self) -> None:
        """Compare a pair of single positions."""
        one = Activations.from_array(np.ones((1, 1, 1), np.float32))
        self.compute(one, one, threads=1)

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of a thread's other arrays."""
        rows, columns = int(x.positions.max()), int(y.positions.max())
        entry = int(np.result_type(x.dtype, y.dtype).itemsize)
        return rows * columns * entry, (rows + 3 * columns) * entry

    def copies(self, x: Activations, y: Activations) -> int:
        """Return how many copies of a block the engine makes: of unit vectors, scaled, or of another type."""
        converted = self.best.convert is not None or x.dtype != y.dtype
        return 2 if converted or x.exponents.any() or y.exponents.any() else 0

    def check_tiles(self) -> None:
        """Accept any job: every pair is compared on its own."""

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "measure": self.measure,
            "measure_options": {"direction": "both" if self.best.both else "queries"},
            "matching": None,
            "matching_options": {},
            "certify": False,
            **({"values": "squared distances"} if self.best.affinity == "distance" else {}),
        }


@dataclass(frozen=True)
class MaxSim(Measure):
    """The base of the three measures; see `MaxSimLinear`, `MaxSimCosine` and `MaxSimRbf`.

    Attributes
    ----------
    direction : {"auto", "both", "queries"}
        "both" is the mean of both directions, and symmetric. "queries" is one direction: the positions of the input in
        the row look for their best matches among those of the input in the column. "auto" is "queries" for an RSM with
        `other` inputs, whose rows are then queries and whose columns are documents, and "both" for an RSM of inputs
        with themselves.
    """

    direction: Direction = "auto"
    affinity: ClassVar[Affinity]
    pairwise: bool = field(default=True, init=False, repr=False)
    positive_semidefinite: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            expected = ", ".join(map(repr, get_args(Direction)))
            raise ValueError(f"direction: expected one of {expected}, got {self.direction!r}")

    def __call__(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the similarities of all inputs of x to those of y, or of x itself, as an (N, M) float64 array."""
        result = Job(x, y, self.operation(Options(other=y is not None))).compute(threads=None)
        return self.similarities(result, x, y, "median").values

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether value (j, i) equals value (i, j) in an RSM of inputs with themselves."""
        return self.direction != "queries"

    def operation(self, options: Options) -> BestMatches:
        """Return the search for best matches.

        Raises
        ------
        ValueError
            If an option of measures with a matching is set.
        """
        refuse_options(self.name, options, "matching", "matching_options", "certify", reason="has no matching")
        both = self.direction == "both" or (self.direction == "auto" and not options.other)
        return BestMatches(BestAffinities(self.affinity, both), self.name, options.engine, options.precision)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Return the values as the engine computed them."""
        return Similarities(result.values)


@dataclass(frozen=True)
class MaxSimLinear(MaxSim):
    """MaxSim of inner products: ``sum_s max_t <x_s, y_t>``, the late interaction of ColBERT.

    The value of an input with itself follows the same definition: it is at least the squared norm of the response, and
    more if a concept vector has a larger inner product with another one than with itself. In sets of unequal size, it
    grows with the number of positions of the query.

    Parameters
    ----------
    direction : {"auto", "both", "queries"}, default "auto"
        See `MaxSim`.

    References
    ----------
    O. Khattab and M. Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
    BERT" (SIGIR 2020, arXiv:2004.12832), equation 3. Their vectors are of unit length: see `MaxSimCosine`.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import Activations
    >>> query = Activations.from_array(np.array([[[1.0, 0.0], [0.0, 2.0]]]))
    >>> document = Activations.from_array(np.array([[[3.0, 0.0], [1.0, 1.0], [0.0, 0.5]]]))
    >>> MaxSimLinear()(query, document)  # 1 * 3 + 2 * 1
    array([[5.]])
    >>> MaxSimLinear(direction="both")(query, document)  # the other direction is 3 + 2 + 1
    array([[5.5]])
    """

    name: str = field(default="max-sim-linear", init=False, repr=False)
    affinity: ClassVar[Affinity] = "product"
    kernel: None = field(default=None, init=False, repr=False)

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return {**_EFFECTS, "scaling": "scaling", "translation": "other"}


@dataclass(frozen=True)
class MaxSimCosine(MaxSim):
    """MaxSim of cosines: ``mean_s max_t cos(x_s, y_t)``, with concept vectors of unit length.

    Between -1 and 1; 1 for an input with itself, unless it has concept vectors of zero, whose cosine is 0 with
    everything. The mean over positions makes sets of unequal size comparable.

    Parameters
    ----------
    direction : {"auto", "both", "queries"}, default "auto"
        See `MaxSim`.

    References
    ----------
    As for `MaxSimLinear`, whose sum is S times this mean, for queries of S concept vectors of unit length.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import Activations
    >>> query = Activations.from_array(np.array([[[1.0, 0.0], [0.0, 2.0]]]))
    >>> document = Activations.from_array(np.array([[[3.0, 0.0], [1.0, 1.0]]]))
    >>> MaxSimCosine()(query, document).round(4)  # the mean of 1 and sqrt(1/2)
    array([[0.8536]])
    """

    name: str = field(default="max-sim-cosine", init=False, repr=False)
    affinity: ClassVar[Affinity] = "cosine"
    kernel: None = field(default=None, init=False, repr=False)

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return {**_EFFECTS, "scaling": "none", "translation": "other"}


@dataclass(frozen=True)
class MaxSimRbf(MaxSim):
    """The RBF kernel of the Chamfer distance: ``exp(-d^2 / (2 sigma^2))`` with ``d^2 = sum_s min_t |x_s - y_t|^2``.

    With both directions, d^2 is the mean of theirs. It is 0, and the similarity 1, if each concept vector of one input
    is among those of the other, however often: unlike distances after matching, it does not count them.

    Parameters
    ----------
    direction : {"auto", "both", "queries"}, default "auto"
        See `MaxSim`.

    Notes
    -----
    The bandwidth sigma is that of `simplugins.compute_rsm`: by default, the square root of the median of the non-zero
    d^2 of the RSM. Squared distances within the rounding of the inner products count as 0.

    References
    ----------
    H. Fan, H. Su and L. Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single Image"
    (CVPR 2017, arXiv:1612.00603), section 4.1, for the Chamfer distance.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> sets = [np.array([[0.0], [1.0]]), np.array([[1.0], [0.0], [0.0]]), np.array([[2.0], [1.0]])]
    >>> simplugins.compute_rsm(sets, MaxSimRbf(), sigma=1.0).values.round(4)  # d^2 of both directions: 0, 1, 1.5
    array([[1.    , 1.    , 0.6065],
           [1.    , 1.    , 0.4724],
           [0.6065, 0.4724, 1.    ]])
    """

    name: str = field(default="max-sim-rbf", init=False, repr=False)
    affinity: ClassVar[Affinity] = "distance"
    kernel: str = field(default="rbf", init=False, repr=False)

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return {**_EFFECTS, "scaling": "none", "translation": "none"}

    def effects_with(self, matcher: Any, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a bandwidth."""
        return self.effects if sigma == "median" else {**self.effects, "scaling": "other"}

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel to squared distances."""
        norms = x.squared_norms, (x if y is None else y).squared_norms
        if sigma == "median":
            bandwidth = kernels.median_sigma(result.values, symmetric=y is None and self.symmetric)
            kernels.warn_of_rounding(bandwidth, *norms, rounding=result.rounding)
        else:
            bandwidth = float(sigma)
            kernels.warn_of_unresolved(result.values, bandwidth, *norms, rounding=result.rounding)
        rule = "median" if sigma == "median" else "given"
        return Similarities(kernels.rbf(result.values, bandwidth), self.kernel, bandwidth, rule)
