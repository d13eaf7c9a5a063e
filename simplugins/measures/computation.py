# SPDX-License-Identifier: Apache-2.0
"""Activations to an RSM: `compute_rsm`, and the steps that it shares with `compute_rsms`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from numpy.typing import DTypeLike

from simplugins._common import arrays, gpu
from simplugins._common.progress import compilation_shown
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Center, Normalize, Preparation
from simplugins.activations.reading import read
from simplugins.activations.sources import check_channel_order
from simplugins.compute.engines import check_engine, check_names
from simplugins.compute.job import Job, Operation, TileResult
from simplugins.compute.run import Resources, compute_matrix
from simplugins.matching.matcher import Matcher
from simplugins.measures.measure import Measure, Options, named_measure, resolve_measure
from simplugins.rsm.kernels import Sigma, check_sigma
from simplugins.rsm.rsm import RSM, DenseValues

DEFAULT = "semantic-cosine"


def compute_rsm(
    activations: Any,
    measure: Any = DEFAULT,
    *,
    other: Any = None,
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    labels: Any = None,
    other_labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    measure_options: Mapping[str, Any] | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    certify: bool = False,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    store: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
    tile_size: int | None = None,
    progress: bool | str = False,
) -> RSM:
    """Compute the representational similarity matrix of N inputs.

    A *semantic* measure solves a linear assignment problem for each pair of inputs: it finds the permutation of
    positions under which the concept vectors of one input best match those of the other (the largest sum of inner
    products), and compares the responses so aligned. Where things are in the image does not matter. A *spatio-semantic*
    measure compares each position with the same position.

    Parameters
    ----------
    activations : array, path, list of arrays, or Activations
        Responses of a network to N inputs: a NumPy, Torch or CuPy array; an array on disk, which is read in blocks (a
        NumPy memmap, Zarr array, HDF5 dataset or Dask array); the path of a file of one array (see
        `read_activations`), or of a folder of one layer that `record` wrote; or a list of N arrays (S_i, C).
    measure : str or measure, default "semantic-cosine"
        {semantic, spatio-semantic, mean-pooled, max-pooled, second-order, max-sim, shift}-{linear, cosine, rbf},
        another plugin of the group ``simplugins.measures``, or a measure itself: a function of two `Activations` that
        returns an (N, M) array, or a dataclass with such a ``__call__``.
    other : as activations, optional
        M other inputs with equal channels. The result is then N × M.
    layout : str, default "auto"
        The meaning of the dimensions, one letter each, such as "nhwc" or "nct" (see `simplugins.parse_layout`); "auto"
        reads two, three and four of them as "nd", "ntd" and "nchw".
    mask, other_mask : (N, S) and (M, S) bool arrays, optional
        True for positions that count; for maps also (N, H, W). Masked positions are ignored and may be NaN.
    labels, other_labels : sequences of str or int, or `partial_labels`, optional
        Labels of the inputs.
    drop_tokens : int or sequence of int, default 0
        Tokens to leave out: the first n, or those at the given places (1 drops a class token).
    dtype : float32 or float64, optional
        The type to compute in: by default float64 for float64 activations, else float32. float32 becomes float64 if
        inputs share so much, such as a large mean, that float32 would lose their differences; ``metadata`` says so.
        Similarities are float64.
    center : {None, "channel", "input", "position"}, or a tuple of these, default None
        Centring of the concept vectors before they are compared, under any measure. "channel" subtracts the mean
        concept vector of all positions of all inputs (also of `other`); "input" subtracts from the concept vectors of
        each input their own mean, so that it includes "channel"; "position" subtracts from each concept vector the mean
        of its channels, and combines with either, as in ``("channel", "position")``.
    normalize : {None, "position", "matched", "mass"}, or a tuple of these, default None
        "position" divides each concept vector by its norm, after centring; zero vectors remain. For sets of unequal
        size, "matched" takes the cosine with the norms of matched positions only, and "mass" compares sets that each
        weigh 1, by optimal transport; see Notes.
    measure_options : mapping, optional
        Options of the measure, if it has any: the fields of its dataclass.
    matching : str or Matcher, optional
        Matching of a semantic measure: "optimal" (the default), "auction", "batch-optimal", "greedy", "topk-greedy",
        "identity", another plugin of the group ``simplugins.matchings``, or a matcher such as
        ``simplugins.BatchOptimal(window=64)``.
    matching_options : mapping, optional
        Options of a matching given by name, such as ``{"window": 64}``.
    certify : bool, default False
        Whether to bound for each pair how far its aligned inner product may be below the optimum: see `RSM.gap`. This
        takes a tenth to a third longer for "optimal" and "auction"; other matchings need all affinities and an auction
        per pair.
    sigma : "median" or float, default "median"
        Bandwidth of the RBF kernel ``exp(-d^2 / (2 sigma^2))``; "median" is the square root of the median of the
        non-zero squared distances of this RSM.
    engine : {"auto", "cpu", "cuda", "cuda:all"}, default "auto"
        Where affinities and matchings are computed: on the CPU, on a GPU through CuPy, or on all GPUs of this machine.
        "auto" uses a GPU if CuPy finds one and the matching has a GPU implementation. Torch and CuPy arrays on a GPU
        are used in place.
    precision : {"float32", "float16x3"}, optional
        How a GPU computes the affinities of float32 activations: in float32, or as three float16 products on tensor
        cores, which are as accurate. By default whichever is faster.
    threads : int, optional
        CPU threads; by default one per core that this process may use, and one per task with `scheduler`.
    subset : int or sequence of int, optional
        Use only n inputs drawn at random, or those with the given numbers, in this order; others are not read. Without
        labels, the numbers become labels. `other` is not affected.
    seed : int, default 0
        Seed of the random draw.
    memory : int or str, optional
        Limit of the memory of this process, in bytes or as "2GB" or "512MiB". Reads, caches and tiles are sized to fit;
        if the limit is too low, an error is raised before anything is computed. It does not cover a GPU's memory.
    store : path, optional
        A Zarr folder for finished tiles. The same call continues where an interrupted one ended; a different call on
        the same store is an error. Aligned inner products are stored, so kernel and sigma may differ. Needs the extra
        ``zarr``.
    scheduler : dask.distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler: its workers compute the tiles, each with the engine
        available to it. They read activations on disk directly; those in memory are sent to them once. Needs the extra
        ``dask``.
    tile_size : int, optional
        Inputs on each side of a tile of pairs, for `memory`, `store` and `scheduler`; by default chosen to fit them.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    RSM
        N × N, or N × M. With `store`, its values stay there and are read on access: see `load_rsm`.

    Raises
    ------
    ValueError
        If values are NaN or infinite; dimensions do not fit the layout; there are fewer than two inputs (one, with
        `other`); labels or masks do not fit; channels differ or, for spatio-semantic measures, numbers of positions; a
        name is unknown; an option does not apply to the measure; a store belongs to another call; memory does not
        suffice.
    OSError
        If a store cannot be written to. What it holds stays intact.
    TypeError
        If values are not real numbers, or a measure or matching does not have an option.

    Notes
    -----
    The optimal matching is exact, up to the solver's quantisation: O(S^3) per pair at worst; on real activations, time
    grows as S^2 up to 800 positions and as S^2.7 up to 3,136; plus 2 S^2 C for the affinities. Greedy matchings take
    O(S^2) in addition to the affinities; windows of k positions O(S k^2) at worst, and 2 S k C for their affinities.

    Memory in addition to input and result: about 256 MiB of converted inputs, 8 MiB (or one pair) of affinities per
    thread, and three matrices of the size of the result while a kernel is applied. 2,000 inputs of 196 positions and
    112 channels took 455 MiB. Certificates take one more matrix. With `store` there is no matrix of the size of the
    result.

    A response of zero has cosine 0 to everything. If all responses are equal, RBF is 1. If two sets differ in size, the
    smaller one is matched into the larger, and unmatched positions count as matched to zero vectors, so that norms,
    cosine and distance keep their meaning: ``d^2 = |X|^2 + |Y|^2 - 2 m``. A cosine then depends on the sizes; if these
    explain most of it, a RuntimeWarning is issued. With ``normalize="matched"``, the cosine is m divided by the norms
    of the matched positions. With "mass", m is replaced by the largest ``sum_st T_st <x_s, y_t>`` over plans T with row
    sums 1 / S and column sums 1 / T, exact optimal transport, and squared norms by their means over positions. Both
    equal the plain cosine if sizes are equal; both run on the CPU. Without `other`, the diagonal is that of the
    identity, which is optimal; with `other`, an approximate matching may miss it even for equal inputs.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.normal(size=(4, 8, 5, 5))  # 4 inputs, 8 channels, 5 x 5 positions
    >>> moved = np.roll(maps, 2, axis=3)  # the same content at other positions
    >>> rsm = simplugins.compute_rsm(maps, "semantic-cosine", other=moved)
    >>> np.allclose(np.diag(rsm), 1)
    True
    >>> bool(np.diag(simplugins.compute_rsm(maps, "spatio-semantic-cosine", other=moved)).max() < 0.5)
    True
    """
    preparation = None if center is None and normalize is None else Preparation.checked(center, normalize)
    options = Options(matching, matching_options, certify, sigma, engine, precision, other is not None)
    by_name = isinstance(measure, str) and not measure_options
    resolved = named_measure(measure) if by_name else resolve_measure(measure, measure_options)
    if preparation is not None and preparation.of_sets is not None:
        resolved = resolved.normalized(preparation.of_sets)
    resources = Resources(threads, memory, scheduler, tile_size)
    check_early(options, resources, store)
    if gpu.why_unusable() is None and (subset, store) == (None, None):
        activations, other = on_device([resolved], options, resources, activations, other)
    x, y = read_inputs(
        activations, other, layout, (mask, other_mask), (labels, other_labels), drop_tokens, dtype, subset, seed
    )
    if preparation is not None:
        x, y = preparation.apply(x, y)
    return compute([resolved], x, y, options, resources, store, progress)[resolved.name]


def check_early(options: Options, resources: Resources, store: str | os.PathLike[str] | None) -> None:
    """Check, before activations are read, everything that does not depend on them."""
    check_sigma(options.sigma)
    if resources.scheduler is None:
        if (options.engine, options.precision) != ("auto", None):
            check_engine(options.engine, options.precision)
    else:
        from simplugins.compute.executors.dask_cluster import connected

        check_names(options.engine, options.precision)
        with connected(resources.scheduler):
            pass
    if store is not None:
        from simplugins.compute.sinks.zarr_store import check_storable

        check_storable(store)


def on_device(
    measures: Sequence[Measure], options: Options, resources: Resources, activations: Any, other: Any
) -> tuple[Any, Any]:
    """Return arrays on the GPU if it computes all measures of a plain call; others unchanged."""
    if options.engine == "cpu" or resources.scheduler is not None or resources.memory is not None:
        return activations, other
    from simplugins.measures.placement import placed

    return placed([measure.operation(options) for measure in measures], activations, other)


def read_inputs(
    activations: Any,
    other: Any,
    layout: str,
    masks: tuple[Any, Any],
    labels: tuple[Any, Any],
    drop_tokens: int | Sequence[int],
    dtype: DTypeLike | None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
) -> tuple[Activations, Activations | None]:
    """Read and check the inputs and, if there are any, the other inputs; masks and labels are pairs, one per side."""
    common: dict[str, Any] = {"layout": layout, "dtype": dtype, "drop_tokens": drop_tokens}
    if isinstance(activations, str | os.PathLike):
        activations = read(activations)
    x = Activations.from_array(activations, mask=masks[0], labels=labels[0], subset=subset, seed=seed, **common)
    if other is not None:
        with error_prefix("other"):
            other = read(other)
            if not (arrays.is_plain(activations) or arrays.is_plain(other)):
                check_channel_order(activations, other, layout)
            return x, Activations.from_array(other, mask=masks[1], labels=labels[1], **common)
    if masks[1] is not None or labels[1] is not None:
        raise ValueError("other_mask and other_labels need other=, which is missing")
    if len(x) < 2:
        raise ValueError(f"an RSM needs at least 2 inputs, got {len(x)}")
    return x, None


def compute(
    measures: Sequence[Measure],
    x: Activations,
    y: Activations | None,
    options: Options,
    resources: Resources,
    store: str | os.PathLike[str] | None,
    progress: bool | str,
) -> dict[str, RSM]:
    """Compute the RSMs of several measures, each distinct operation once."""
    operations = [measure.operation(options) for measure in measures]
    with compilation_shown(progress) if progress else nullcontext():
        if store is not None:
            rsms = _stored(measures, operations, x, y, options, resources, store, progress)
        else:
            rsms = _in_memory(measures, operations, x, y, options, resources, progress)
    for rsm in rsms.values():
        if rsm.kernel == "cosine":
            _check_sizes(rsm, x, x if y is None else y)
    return rsms


def _in_memory(
    measures: Sequence[Measure],
    operations: Sequence[Operation],
    x: Activations,
    y: Activations | None,
    options: Options,
    resources: Resources,
    progress: bool | str,
) -> dict[str, RSM]:
    """Compute the RSMs in memory."""
    results: list[tuple[Operation, Job, TileResult]] = []
    rsms = {}
    for measure, operation in zip(measures, operations, strict=True):
        job, result = next(((job, result) for known, job, result in results if known == operation), (None, None))
        if job is None or result is None:
            job = measure.job(x, y, operation, resources)
            result = compute_matrix(job, resources, progress=progress)
            results.append((operation, job, result))
        rsms[measure.name] = _rsm(measure, job, result, options.sigma)
    return rsms


def _rsm(measure: Measure, job: Job, result: TileResult, sigma: Sigma) -> RSM:
    x, y = job.measured
    similarities = measure.similarities(result, x, y, sigma)
    return RSM(
        source=DenseValues(similarities.values, result.gap),
        measure=measure.name,
        squared_norms=x.squared_norms,
        other_squared_norms=None if y is None else y.squared_norms,
        labels=x.labels,
        other_labels=None if y is None else y.labels,
        kernel=similarities.kernel,
        matching=job.operation.describe()["matching"],
        sigma=similarities.sigma,
        metadata={
            "sigma_rule": similarities.sigma_rule,
            **job.description(),
            **({} if similarities.kernel is None else {"rounding": result.rounding}),
            **result.metadata,
        },
    )


def _check_sizes(rsm: RSM, x: Activations, y: Activations) -> None:
    """Warn if similarities are mostly a function of the sizes of the sets."""
    size = x.positions[0]
    if not ((x.positions == size).all() and (y.positions == size).all()):
        from simplugins.measures.size_effects import warn_of_sizes

        warn_of_sizes(rsm, x.positions, y.positions)


def _stored(
    measures: Sequence[Measure],
    operations: Sequence[Operation],
    x: Activations,
    y: Activations | None,
    options: Options,
    resources: Resources,
    path: str | os.PathLike[str],
    progress: bool | str,
) -> dict[str, RSM]:
    """Compute into a store, or continue with one, and return the RSMs that lie in it."""
    from simplugins.compute.sinks.zarr_sink import compute_into
    from simplugins.rsm.stored_values import stored_rsm

    if any(operation != operations[0] for operation in operations):
        names = ", ".join(repr(measure.name) for measure in measures)
        raise ValueError(f"a store holds one matching, and measures {names} have several: use one store per matching")
    job = measures[0].job(x, y, operations[0], resources)
    description = {
        "measure": measures[0].name,
        "sigma": options.sigma if options.sigma == "median" else float(options.sigma),
        "metadata": job.description(),
    }
    store = compute_into(path, job, resources, description=description, progress=progress)
    return {measure.name: stored_rsm(store, measure.name, measure.kernel, options.sigma) for measure in measures}
