# SPDX-License-Identifier: Apache-2.0
"""The Dask executor: each tile is a task on a worker of a cluster.

Workers read activations on disk themselves; other activations are sent to the cluster block by block, once each. If a
worker is lost, another one repeats its tiles.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import uuid4

from simplugins._common.optional import import_extra
from simplugins.activations.activations import Activations
from simplugins.compute.job import Job, Operation, TileResult
from simplugins.compute.tiling import Tile, Tiling

_ADDRESS = re.compile(r"\w+://\S+|[\w.-]+:\d+")

WORKER_TIMEOUT = 60
"""Seconds to wait for the first worker of a cluster."""

_SEND_ATTEMPTS, _RETRY_SECONDS = 20, 0.5
"""Attempts to send a block, and seconds between them; these give the scheduler time to notice a lost worker."""

_TILES_IN_FLIGHT = 3
"""Tiles in flight per thread of the cluster."""


@contextmanager
def connected(scheduler: Any) -> Iterator[Any]:
    """Yield a client of a cluster: `scheduler` if it is one, or a new one for its address, which is closed on exit.

    Raises
    ------
    TypeError
        If `scheduler` is neither a synchronous client nor an address.
    ConnectionError
        If no scheduler answers there.
    """
    distributed = import_extra("distributed", extra="dask", purpose="scheduler=")
    if isinstance(scheduler, distributed.Client):
        if scheduler.asynchronous:
            raise TypeError("scheduler must be a synchronous Client; this one is asynchronous")
        if scheduler.status != "running":
            raise ConnectionError(f"scheduler is a client that is {scheduler.status}")
        yield scheduler
        return
    if not isinstance(scheduler, str) or not _ADDRESS.fullmatch(scheduler):
        raise TypeError(
            f"scheduler must be a dask.distributed Client, or the address of a scheduler such as "
            f"'tcp://10.0.0.1:8786', got {scheduler if isinstance(scheduler, str) else type(scheduler).__name__!r}"
        )
    try:
        client = distributed.Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {scheduler!r}: {error}") from error
    with client:
        yield client


def threads_of(scheduler: Any) -> int:
    """Return the total number of threads of a cluster's workers, after waiting for the first worker.

    Raises
    ------
    ConnectionError
        As `connected`; and if no worker joins.
    """
    with connected(scheduler) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_TIMEOUT)
        except TimeoutError:
            raise ConnectionError(
                f"the cluster has no workers, and none joined within {WORKER_TIMEOUT} seconds: start some, or call "
                f"client.wait_for_workers(1) first"
            ) from None
        return max(1, sum(map(int, client.nthreads().values())))


def compute_on_cluster(
    job: Job, tiling: Tiling, tiles: Iterable[Tile], *, client: Any, threads: int, cached_blocks: int
) -> Iterator[tuple[Tile, TileResult]]:
    """Compute tiles on a cluster, and yield them in order of completion.

    Parameters
    ----------
    job, tiling, tiles
        As for `simplugins.compute.executors.local.compute_locally`.
    client : dask.distributed.Client
    threads : int
        Threads of each task; Dask runs as many tasks at once as a worker has threads.
    cached_blocks : int
        Number of blocks read from disk that each worker caches.

    Raises
    ------
    TypeError
        If the measure or matching cannot be sent to other processes.
    """
    _check_sendable(job.operation)
    tasks = _Tasks(job, tiling, client, threads=threads, cached_blocks=cached_blocks)
    waiting, completed = iter(tiles), import_module("distributed").as_completed(loop=client.loop)
    try:
        for _ in range(_TILES_IN_FLIGHT * threads_of(client)):
            tasks.submit_next(waiting, completed)
        for future in completed:
            tile = tasks.started.pop(future)
            try:
                result = future.result()
            except CancelledError:  # a block was lost with its worker
                tasks.send_again(tile)
                completed.add(tasks.submit(tile))
                continue
            tasks.submit_next(waiting, completed)
            yield tile, result
    finally:
        client.cancel(list(tasks.started), force=True)


def _check_sendable(operation: Operation) -> None:
    """Raise a TypeError if an operation cannot be pickled, as Dask does."""
    try:
        import_module("distributed.protocol.pickle").dumps(operation)
    except Exception as error:
        description = operation.describe()
        what = (
            f"measure {description['measure']!r}"
            if "measure" in description
            else f"matching {description['matching']!r}"
        )
        raise TypeError(
            f"{what} cannot be sent to the workers of a cluster ({error}): define it at the top level of a module, "
            f"without attributes such as locks and open files"
        ) from error


class _BlockCache:
    """A cache of a worker's most recently used blocks, shared by its threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks: OrderedDict[Hashable, Activations] = OrderedDict()

    def load(self, key: Hashable, block: Activations, size: int) -> Activations:
        """Return a block in memory, and cache it; evict blocks beyond `size`."""
        with self.lock:
            if key in self.blocks:
                self.blocks.move_to_end(key)
                return self.blocks[key]
        loaded = block.in_memory()
        with self.lock:
            self.blocks[key] = loaded
            while len(self.blocks) > size:
                self.blocks.popitem(last=False)
        return loaded


_cache = _BlockCache()


@dataclass(frozen=True)
class _OnDisk:
    """A block of inputs that a worker reads itself.

    Attributes
    ----------
    key : tuple
        Identifier of the run, whether the block is of columns, and its number.
    block : Activations
    cached_blocks : int
        Number of blocks that the worker caches.
    """

    key: tuple[str, bool, int]
    block: Activations
    cached_blocks: int

    def load(self) -> Activations:
        """Return the block in memory."""
        return _cache.load(self.key, self.block, self.cached_blocks)


def _compute(
    operation: Operation, version: str, threads: int, rows: Activations | _OnDisk, columns: Activations | _OnDisk | None
) -> TileResult:
    """Compute a tile, on a worker."""
    x, y = (block.load() if isinstance(block, _OnDisk) else block for block in (rows, columns))
    assert x is not None
    return Job(x, y, operation, version).compute(threads)


class _Tasks:
    """Tiles in flight, and the blocks of inputs that they need."""

    def __init__(self, job: Job, tiling: Tiling, client: Any, *, threads: int, cached_blocks: int) -> None:
        self.job, self.tiling, self.client = job, tiling, client
        self.threads, self.cached_blocks = threads, cached_blocks
        self.run = uuid4().hex
        self.started: dict[Any, Tile] = {}
        self._sent: dict[tuple[bool, int], Any] = {}

    def submit_next(self, waiting: Iterator[Tile], completed: Any) -> None:
        """Start the next tile, if any is left."""
        tile = next(waiting, None)
        if tile is not None:
            completed.add(self.submit(tile))

    def submit(self, tile: Tile) -> Any:
        """Start a tile."""
        rows, columns = (None if key is None else self._block(*key) for key in self._keys(tile))
        job = self.job
        future = self.client.submit(_compute, job.operation, job.version, self.threads, rows, columns, pure=False)
        self.started[future] = tile
        return future

    def send_again(self, tile: Tile) -> None:
        """Drop the references to the blocks of a tile, so that the next `submit` sends them again."""
        for key in self._keys(tile):
            if key is not None:
                self._sent.pop(key, None)

    def _keys(self, tile: Tile) -> tuple[tuple[bool, int], tuple[bool, int] | None]:
        """Return the keys of a tile's blocks, as for `_block`; no columns if the tile is on the diagonal."""
        if self.tiling.on_diagonal(tile):
            return (False, tile.row), None
        return (False, tile.row), (self.job.y is not None, tile.column)

    def _block(self, of_columns: bool, number: int) -> Any:
        """Return a block of rows or columns: read by the worker if on disk, else a reference to data on the cluster."""
        source = self.job.columns if of_columns else self.job.x
        inputs = self.tiling.block(number, len(source))
        part = source.part(inputs.start, inputs.stop)
        if part.is_on_disk:
            return _OnDisk((self.run, of_columns, number), part, self.cached_blocks)
        key = of_columns, number
        if key not in self._sent:
            self._sent[key] = self._send(part.on_cpu())
        return self._sent[key]

    def _send(self, block: Activations) -> Any:
        """Send a block to the cluster, and retry if its worker has just been lost."""
        for _ in range(_SEND_ATTEMPTS):
            try:
                return self.client.scatter(block, hash=False)
            except OSError:
                time.sleep(_RETRY_SECONDS)
        return self.client.scatter(block, hash=False)
