# SPDX-License-Identifier: Apache-2.0
"""Execution of a job: cuts it into tiles, has an executor compute them, and passes the results to a sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from simplugins._common.formatting import human_bytes
from simplugins._common.progress import progress_counter
from simplugins._common.threads import check_threads
from simplugins._common.validation import check_count
from simplugins.compute.executors.local import compute_locally
from simplugins.compute.job import Job, TileResult
from simplugins.compute.memory import Budget, Needs, kernel_bytes, minimum_bytes, parse_memory, plan, resident
from simplugins.compute.sinks.matrix import MatrixSink
from simplugins.compute.tiling import Tile, Tiling, block_size

_CACHED = 2**28
"""Size of the cache of blocks without a memory limit, and of that on each worker."""

_TILES_PER_THREAD = 32
"""Minimum number of tiles per thread of a cluster, so that all threads finish at about the same time."""

_GPU_SIZE = 8
"""Inputs on each side of a tile on a GPU, as a multiple of those for a CPU."""

_BLOCKS = 4
"""Number of blocks of inputs that should fit in memory; more, smaller blocks reduce re-reads."""


@dataclass(frozen=True)
class Resources:
    """Threads and memory of this process, or a cluster.

    Attributes
    ----------
    threads : int or None
        By default one per core that this process may use; 1 for a task on a cluster.
    memory : int, str or None
        Limit of this process's memory.
    scheduler : dask.distributed.Client, str or None
        The cluster to compute on; None for this process.
    tile_size : int or None
        Inputs on each side of a tile; by default chosen from the size of the inputs, the memory and the cluster.

    Raises
    ------
    ValueError
        If a value is invalid, or `memory` is combined with `scheduler`.
    """

    threads: int | None = None
    memory: int | str | None = None
    scheduler: Any = None
    tile_size: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_threads(self.threads)
        if self.tile_size is not None:
            check_count("tile_size", self.tile_size)
        if self.memory is not None:
            parse_memory(self.memory)
            if self.scheduler is not None:
                raise ValueError(
                    "memory= limits this process, but with scheduler= the workers compute: set Dask's memory_limit"
                )


class Sink(Protocol):
    """Receives the results of tiles."""

    tiling: Tiling

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        """Return the tiles that the sink does not have yet."""

    def add(self, tile: Tile, result: TileResult) -> None:
        """Add the result of a tile."""


def compute_matrix(job: Job, resources: Resources, *, progress: bool | str = False) -> TileResult:
    """Compute all pairs of a job in memory.

    Parameters
    ----------
    job : Job
    resources : Resources
    progress : bool or str
        Show a progress bar on standard error; a string replaces its title.
    """
    reserved = 0
    if resources.memory is not None:
        # The kernel is applied later: reserve memory for the one that needs most.
        reserved = kernel_bytes(len(job.x), len(job.columns), "rbf", certify=job.operation.certify)
    sink = MatrixSink(make_tiling(job, resources, reserved=reserved), certify=job.operation.certify)
    execute(job, sink, resources, reserved=reserved, progress=progress)
    return sink.result()


def execute(job: Job, sink: Sink, resources: Resources, *, reserved: int = 0, progress: bool | str = False) -> None:
    """Compute all tiles that a sink does not have yet, and add each as soon as it is complete.

    Parameters
    ----------
    job, resources, progress
        As for `compute_matrix`.
    sink : Sink
    reserved : int
        Bytes that the result will need in addition to the tiles.

    Raises
    ------
    ValueError
        If the two sets of inputs cannot be compared, or memory does not suffice.
    """
    tiling = sink.tiling
    job.operation.check(job.x, job.columns)
    # A single tile needs no blocks in memory, and its computation shows finer progress.
    if tiling.count == 1 and resources.scheduler is None and resources.memory is None:
        for tile in sink.missing(tiling.tiles()):
            sink.add(tile, job.compute(check_threads(resources.threads), progress))
        return
    job.operation.check_tiles()
    with ExitStack() as stack:
        if resources.scheduler is None:
            budget = _budget(job, tiling, resources, reserved)
            tiles = list(sink.missing(tiling.tiles(budget.blocks - 1)))
            results = compute_locally(job, tiling, tiles, budget)
        else:
            from simplugins.compute.executors.dask_cluster import compute_on_cluster, connected

            client = stack.enter_context(connected(resources.scheduler))
            cached = _cached_blocks(Needs.of(job, tiling.size))
            tiles = list(sink.missing(tiling.tiles(cached - 1)))
            threads = resources.threads or 1
            results = compute_on_cluster(job, tiling, tiles, client=client, threads=threads, cached_blocks=cached)
        done = tiling.total_pairs - sum(map(tiling.pairs, tiles))
        report = stack.enter_context(
            progress_counter(tiling.total_pairs, progress, title="matching", unit="pair", done=done)
        )
        for tile, result in results:
            sink.add(tile, result)
            report(done := done + tiling.pairs(tile))


def make_tiling(job: Job, resources: Resources, *, stored: bool = False, reserved: int = 0) -> Tiling:
    """Cut a job into tiles, small enough for memory and cluster; into a single tile if there is no limit."""
    x, y = job.x, job.columns
    limited = stored or resources.memory is not None or resources.scheduler is not None
    if resources.tile_size is not None or not limited:
        return Tiling(len(x), len(y), resources.tile_size or max(len(x), len(y)), symmetric=job.symmetric)
    size = block_size(max(int(x.positions.max()), int(y.positions.max())))
    size *= _GPU_SIZE if _on_gpu(job, resources) else 1
    tiling = Tiling(len(x), len(y), size, symmetric=job.symmetric)
    if resources.scheduler is not None:
        from simplugins.compute.executors.dask_cluster import threads_of

        threads = threads_of(resources.scheduler)
        while tiling.size > 1 and tiling.count < _TILES_PER_THREAD * threads:
            tiling = replace(tiling, size=tiling.size // 2)
    available = _available_bytes(job, resources)
    if available is not None:
        while tiling.size > 1 and minimum_bytes(Needs.of(job, tiling.size), blocks=_BLOCKS) > available - reserved:
            tiling = replace(tiling, size=tiling.size // 2)
    return tiling


def _on_gpu(job: Job, resources: Resources) -> bool:
    """Return whether tiles are computed on a GPU, as far as is known here."""
    if resources.scheduler is not None:
        return str(getattr(job.operation, "engine", "")).startswith("cuda")
    return str(getattr(job.operation, "resolved_engine", "")).startswith("cuda")


def _available_bytes(job: Job, resources: Resources) -> int | None:
    """Return the memory left under the limit after loading all libraries and compiled code; None without a limit."""
    if resources.memory is None:
        return None
    job.operation.warm_up()
    return parse_memory(resources.memory) - resident()


def _budget(job: Job, tiling: Tiling, resources: Resources, reserved: int) -> Budget:
    """Return the numbers of blocks and threads; raise a ValueError if memory does not suffice."""
    threads, available = check_threads(resources.threads), _available_bytes(job, resources)
    needs = Needs.of(job, tiling.size)
    if available is None:
        return Budget(_cached_blocks(needs), threads)
    budget = plan(needs, available - reserved, threads)
    if budget is None:
        results = f"{human_bytes(reserved)} for the results (none with store=), " if reserved else ""
        tiles = f"{human_bytes(minimum_bytes(needs))} for tiles of {tiling.size} x {tiling.size} inputs"
        raise ValueError(
            f"memory={resources.memory!r} is too little: the process occupies {human_bytes(resident())} already, and "
            f"the job needs {results}{tiles}"
        )
    return budget


def _cached_blocks(needs: Needs) -> int:
    """Return the number of blocks to cache in this process without a memory limit, or on each worker."""
    return max(2, _CACHED // max(1, needs.block))
