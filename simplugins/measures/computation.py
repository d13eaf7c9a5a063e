# SPDX-License-Identifier: Apache-2.0
"""Measures: activations to RSMs. A measure is a kernel and a matching."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from simplugins import __version__, plugins
from simplugins._common.validation import naming
from simplugins.activations.activations import Activations
from simplugins.activations.reading import read
from simplugins.compute.engines import AlignedProducts, aligned_products, check_engine, check_names
from simplugins.compute.job import Pairing
from simplugins.compute.resources import Resources
from simplugins.compute.sinks.zarr_store import check_storable
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import matcher_options, resolve_matcher
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.rsm import RSM

GROUP = "simplugins.measures"

_MATRICES = 4
"""How many matrices of the result's size there are at once, while a kernel is applied."""


@dataclass(frozen=True)
class Measure:
    """A kernel on aligned inner products, and the matching that aligns them.

    Called with activations, it returns their RSM; so it is a plugin of the group ``simplugins.measures``, as is any
    ``callable(activations, *, other=None, **options) -> RSM``.

    Attributes
    ----------
    name : str
    kernel : {"linear", "cosine", "rbf"}
    matching : str
        Name of the matching it uses by default.
    """

    name: str
    kernel: str
    matching: str

    def __call__(self, activations: Any, *, other: Any = None, **options: Any) -> RSM:
        """Compute the RSM of activations; see `compute_rsm` for the options."""
        return _compute([self], activations, other=other, **options)[self.name]

    def check_matcher(self, matcher: Matcher) -> None:
        """Check that a matcher fits the measure.

        Raises
        ------
        ValueError
            If the measure is spatio-semantic, and the matcher is not the identity.
        """
        if self.matching == "identity" and not matcher.positionwise:
            raise ValueError(
                f"measure {self.name!r} is spatio-semantic: it takes no matching but the identity, got "
                f"{matcher.name!r}; use 'semantic-{self.kernel}'"
            )


semantic_linear = Measure("semantic-linear", "linear", "optimal")
semantic_cosine = Measure("semantic-cosine", "cosine", "optimal")
semantic_rbf = Measure("semantic-rbf", "rbf", "optimal")
spatio_semantic_linear = Measure("spatio-semantic-linear", "linear", "identity")
spatio_semantic_cosine = Measure("spatio-semantic-cosine", "cosine", "identity")
spatio_semantic_rbf = Measure("spatio-semantic-rbf", "rbf", "identity")


def compute_rsm(activations: Any, measure: str = "semantic-cosine", *, other: Any = None, **options: Any) -> RSM:
    """Compute the representational similarity matrix of N inputs.

    For each pair of inputs, a *semantic* measure finds the permutation of positions under which the concept vectors
    of one fit those of the other best (the largest sum of inner products), and compares the responses so aligned: it
    does not matter where things are. A *spatio-semantic* measure compares position with the same position.

    Parameters
    ----------
    activations : array, path, list of arrays, or Activations
        Responses of a network to N inputs: a NumPy, Torch or CuPy array; one on disk, which is read part by part: a
        NumPy memmap, Zarr array, HDF5 dataset or Dask array; the name of a file of one array (see `read_activations`),
        or of a folder of one layer that `record` wrote; or a list of N arrays (S_i, C).
    measure : str, default "semantic-cosine"
        {semantic, spatio-semantic}-{linear, cosine, rbf}, or any other plugin of the group
        ``simplugins.measures``.
    other : as activations, optional
        M other inputs, with as many channels. The result then is N × M.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        What the dimensions are; "auto" reads two, three and four of them as the first three.
    mask, other_mask : (N, S) and (M, S) bool arrays, optional
        True for positions that count; for maps also (N, H, W). The values of others are never looked at.
    labels, other_labels : sequences of str or int, optional
        What the inputs are called.
    drop_tokens : int or sequence of int, default 0
        Tokens to leave out: the first so many, or those at these places (1 for a class token).
    dtype : float32 or float64, optional
        What to compute in: by default float64 for float64 activations, else float32. Similarities are added up and
        returned in float64.
    matching : str or Matcher, optional
        Of a semantic measure: any plugin of the group ``simplugins.matchings``. "optimal" (the default); "auction",
        with the share that may be missing, ``tolerance=0.01``; the paper's "batch-optimal", with ``window=128``,
        "greedy", and "topk-greedy", with ``k=128``; "identity"; or another's. Further keyword options are its own.
    certify : bool, default False
        Whether to prove for each pair how far its aligned inner product may be below the optimum: see `RSM.gap`. That
        costs a tenth to a third for "optimal" and "auction"; others need all affinities, and an auction a pair.
    sigma : "median" or float, default "median"
        Bandwidth of the RBF kernel ``exp(-d^2 / (2 sigma^2))``; "median" is the square root of the median of the
        squared distances that are not zero, of this RSM.
    engine : {"auto", "cpu", "cuda"}, default "auto"
        What computes the affinities and matches: the CPU, or a GPU through CuPy, which is what "auto" takes where CuPy
        sees one (and the matching is one of ours). Arrays of Torch or CuPy on a GPU are not copied there.
    precision : {"float32", "float16x3", "tf32"}, optional
        How a GPU computes the affinities of float32 activations: in float32 (the default), in float16 three times over,
        which is about as accurate, or rounded to 11 bits.
    threads : int, optional
        Of the CPU; by default one for each core that this process may use, and with `scheduler` one for each task.
    subset : int or sequence of int, optional
        Only so many inputs, drawn at random, or those of these numbers, in this order; others are not read. Where there
        are no labels, the numbers become labels. `other` is taken whole.
    seed : int, default 0
        Of the random draw.
    memory : int or str, optional
        The most memory that the process may take, all included, in bytes or as "2GB" or "512MiB". What is read, kept
        and computed at once is cut to fit; too little for that is an error, before anything is computed. It does not
        hold for what a GPU has.
    store : path, optional
        A Zarr folder that finished tiles of pairs are written to. The same call again goes on where the last one
        ended, whatever ended it; another call on the same store is an error. What is stored are the aligned inner
        products, so kernel and sigma may differ. Needs the extra ``zarr``.
    scheduler : dask.distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler: its workers compute the tiles, each by the engine that it has.
        They read activations that are on disk from where they lie; others are sent to them, once. Needs the extra
        ``dask``.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    RSM
        N × N, symmetric, or N × M. With `store`, it lies there and is read where it is looked at: see `load_rsm`.

    Raises
    ------
    ValueError
        If the input has NaN or infinite values, dimensions that do not fit the layout, fewer than two inputs (one,
        with `other`), labels or masks that do not fit, unequal channels, or, for spatio-semantic measures, unequal
        numbers of positions; if a name is unknown; if a store is of another call; if memory does not suffice.
    OSError
        If a store cannot be written to. What was stored before stays as it was.
    TypeError
        If values are no real numbers, or an option is unknown.

    Notes
    -----
    The optimal matching is exact: O(S^3) for a pair at worst; on activations near S^2 up to some 800 positions and
    S^2.7 from there to 3,136; plus 2 S^2 C for the affinities. Greedy matchings are O(S^2) beside these; windows of k
    positions O(S k^2) at worst, with 2 S k C for their affinities.
    Memory beyond input and result: about 256 MiB of converted inputs, 8 MiB (or one pair) of affinities a thread, and,
    while a kernel is applied, three matrices of the result's size; 2,000 inputs of 196 positions and 112 channels took
    455 MiB. Certificates take one more matrix. With `store`, there is no matrix of the result's size.

    A response of zero has cosine 0 to everything. If all responses are equal, RBF is 1. Where two sets differ in
    size, the smaller is matched into the larger, and positions left over count as matched to zero vectors: so norms,
    cosine and distance keep their meaning, ``d^2 = |X|^2 + |Y|^2 - 2 m``. Without `other`, the
    diagonal is that of the identity, which is optimal; with `other`, an approximate matching may miss that even for
    equal inputs.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.normal(size=(4, 8, 5, 5))  # 4 inputs, 8 channels, 5 x 5 positions
    >>> moved = np.roll(maps, 2, axis=3)  # the same things at other places
    >>> rsm = simplugins.compute_rsm(maps, "semantic-cosine", other=moved)
    >>> np.allclose(np.diag(rsm), 1)
    True
    >>> bool(np.diag(simplugins.compute_rsm(maps, "spatio-semantic-cosine", other=moved)).max() < 0.5)
    True
    """
    if not isinstance(measure, str):
        raise TypeError(
            f"measure must be the name of a measure, got {type(measure).__name__}; other inputs are passed as other="
        )
    return compute_rsms(activations, [measure], other=other, **options)[measure]


def compute_rsms(
    activations: Any, measures: Sequence[str] = ("semantic-linear", "semantic-cosine", "semantic-rbf"), **options: Any
) -> dict[str, RSM]:
    """Compute the RSMs of N inputs under several measures; those that share a matching cost one.

    Parameters
    ----------
    activations, **options
        As for `compute_rsm`.
    measures : sequence of str
        Names of measures; by default the three semantic ones.

    Returns
    -------
    dict of str to RSM
        By name, in the order asked for.

    Raises
    ------
    TypeError, ValueError
        As `compute_rsm`.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rsms = simplugins.compute_rsms(np.eye(3), ["semantic-linear", "spatio-semantic-linear"])
    >>> bool(np.array_equal(rsms["semantic-linear"], rsms["spatio-semantic-linear"]))  # one position: the same
    True
    """
    if isinstance(measures, str):
        measures = [measures]
    measures = list(measures)
    loaded = {name: plugins.load(GROUP, name) for name in measures}
    own = [measure for measure in loaded.values() if isinstance(measure, Measure)]
    computed = _compute(own, activations, **options) if own else {}
    for name, measure in loaded.items():
        if name not in computed:
            computed[name] = measure(activations, **options)
    return {name: computed[name] for name in measures}


def _compute(
    measures: Sequence[Measure],
    activations: Any,
    *,
    other: Any = None,
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    labels: Any = None,
    other_labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    matching: str | Matcher | None = None,
    certify: bool = False,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    subset: Any = None,
    seed: int = 0,
    memory: int | str | None = None,
    store: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
    progress: bool | str = False,
    **matcher_options: Any,
) -> dict[str, RSM]:
    """Compute the RSMs of several of our own measures, matching once for each matcher among them."""
    (check_engine if scheduler is None else check_names)(engine, precision)
    kernels.check_sigma(sigma)
    resources = Resources(threads, memory, scheduler)
    resources.check()
    if store is not None:
        check_storable(store)
    matchers = _matchers(measures, matching, matcher_options)
    how: dict[str, Any] = {"layout": layout, "dtype": dtype, "drop_tokens": drop_tokens}
    x = Activations.of(read(activations), mask=mask, labels=labels, subset=subset, seed=seed, **how)
    y = None
    if other is not None:
        with naming("other"):
            y = Activations.of(read(other), mask=other_mask, labels=other_labels, **how)
    if y is None:
        if other_labels is not None or other_mask is not None:
            raise ValueError("other_labels and other_mask go with other, which was not given")
        if len(x) < 2:
            raise ValueError(f"an RSM needs at least 2 inputs, got {len(x)}")
    pairings = {name: Pairing(matcher, certify, engine, precision) for name, matcher in matchers.items()}
    if store is not None:
        return _stored(measures, pairings, x, y, resources, store, sigma, progress)
    computed: dict[int, AlignedProducts] = {}
    rsms = {}
    for measure in measures:
        pairing = pairings[measure.name]
        key = id(pairing.matcher)
        if key not in computed:
            computed[key] = _products(pairing, x, y, resources, progress)
        rsms[measure.name] = _make_rsm(measure, pairing.matcher, x, y, computed[key], sigma)
    return rsms


def _products(
    pairing: Pairing, x: Activations, y: Activations | None, resources: Resources, progress: bool | str
) -> AlignedProducts:
    """Compute aligned inner products: all at once, or tile by tile where memory is limited or a cluster computes."""
    if not resources.are_given:
        how: dict[str, Any] = {"engine": pairing.engine, "precision": pairing.precision, "threads": resources.threads}
        return aligned_products(x, y, pairing.matcher, certify=pairing.certify, progress=progress, **how)
    from simplugins.compute.run import InMemory, compute_tiles, make_grid

    beside = 8 * len(x) * len(x if y is None else y) * (_MATRICES + pairing.certify)
    collector = InMemory(make_grid(pairing, x, y, resources, beside=beside), pairing.certify)
    compute_tiles(pairing, x, y, collector, resources, progress=progress, beside=beside)
    return collector.result()


def _stored(
    measures: Sequence[Measure],
    pairings: Mapping[str, Pairing],
    x: Activations,
    y: Activations | None,
    resources: Resources,
    path: str | os.PathLike[str],
    sigma: Sigma,
    progress: bool | str,
) -> dict[str, RSM]:
    """Compute aligned inner products into a store, or go on with that, and return the RSMs that lie in it."""
    from simplugins.compute.sinks.zarr_sink import compute_into
    from simplugins.rsm.stored_rsm import StoredRSM

    if len({id(pairing.matcher) for pairing in pairings.values()}) > 1:
        raise ValueError(
            f"a store holds one matching, and measures {', '.join(map(repr, pairings))} have several: use a store each"
        )
    pairing = pairings[measures[0].name]
    bandwidth = sigma if sigma == "median" else float(sigma)
    told = {"measure": measures[0].name, "sigma": bandwidth, "made": _describe(pairing.matcher, x, y)}
    stored = compute_into(path, pairing, x, y, resources, told=told, progress=progress)
    return {m.name: StoredRSM.of_store(stored, m.name, m.kernel, sigma) for m in measures}


def _matchers(
    measures: Sequence[Measure], matching: str | Matcher | None, options: dict[str, Any]
) -> dict[str, Matcher]:
    """Return the matcher of each measure, by the measure's name: one object for all that share it."""
    if matching is None:
        created = {name: resolve_matcher(name, options) for name in dict.fromkeys(m.matching for m in measures)}
        matchers = {measure.name: created[measure.matching] for measure in measures}
    else:
        matchers = dict.fromkeys((measure.name for measure in measures), resolve_matcher(matching, options))
    for measure in measures:
        measure.check_matcher(matchers[measure.name])
    return matchers


def _make_rsm(
    measure: Measure,
    matcher: Matcher,
    x: Activations,
    y: Activations | None,
    products: AlignedProducts,
    sigma: Sigma,
) -> RSM:
    norms = x.squared_norms, (x if y is None else y).squared_norms
    bandwidth = None
    if measure.kernel == "rbf":
        bandwidth = float(sigma) if sigma != "median" else _median_sigma(products, norms, symmetric=y is None)
    how: dict[str, Any] = {"rounding": products.rounding, "sigma": bandwidth}
    return RSM(
        values=kernels.similarities(measure.kernel, products.values, *norms, **how),
        made={
            "measure": measure.name,
            "kernel": measure.kernel,
            "sigma": bandwidth,
            "sigma_rule": ("median" if sigma == "median" else "given") if measure.kernel == "rbf" else None,
            **_describe(matcher, x, y),
            **products.made,
        },
        squared_norms=x.squared_norms,
        other_squared_norms=None if y is None else y.squared_norms,
        gap=products.gap,
        labels=x.labels,
        other_labels=None if y is None else y.labels,
    )


def _median_sigma(products: AlignedProducts, norms: tuple[Any, Any], *, symmetric: bool) -> float:
    distances = kernels.squared_distances(products.values, *norms, rounding=products.rounding)
    return kernels.median_sigma(distances, symmetric=symmetric)


def _describe(matcher: Matcher, x: Activations, y: Activations | None) -> dict[str, Any]:
    """Return what is told of how an RSM was made, whatever computed it."""
    other = x if y is None else y
    return {
        "matching": matcher.name,
        "matching_options": matcher_options(matcher),
        "dtype": str(np.result_type(x.dtype, other.dtype)),
        "layout": x.layout,
        "channels": x.channels,
        "positions": _span(np.concatenate([x.positions, other.positions])),
        "simplugins": __version__,
    }


def _span(counts: Any) -> int | list[int]:
    least, most = int(counts.min()), int(counts.max())
    return least if least == most else [least, most]
