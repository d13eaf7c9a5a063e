# SPDX-License-Identifier: Apache-2.0
"""Computes tiles on the workers of a Dask cluster, some ahead of what has been collected.

A task is a tile. Workers read activations from where they lie, if these are on disk; others are sent to the cluster
block by block, once. What a lost worker was at is computed again by another.
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
from simplugins.compute.engines import AlignedProducts
from simplugins.compute.job import Pairing
from simplugins.compute.tiling import Grid, Tile

_ADDRESS = re.compile(r"\w+://\S+|[\w.-]+:\d+")

PATIENCE = 60
"""Seconds to wait for a cluster's first worker."""

_TRIES, _BETWEEN_TRIES = 20, 0.5
"""How often, and after how many seconds, a block is sent again: by then the scheduler knows of a lost worker."""

_AHEAD = 3
"""Tiles that are on their way, for each thread of the cluster's."""


@contextmanager
def connected(scheduler: Any) -> Iterator[Any]:
    """Give a client of a cluster: the one given, or one of the scheduler at an address, which is closed in the end.

    Raises
    ------
    TypeError
        If it is neither a client nor an address, or an asynchronous client.
    ConnectionError
        If no scheduler answers there.
    """
    distributed = import_extra("distributed", extra="dask", purpose="scheduler=")
    if isinstance(scheduler, distributed.Client):
        if scheduler.asynchronous:
            raise TypeError("scheduler is an asynchronous client, whose results are awaited; a plain Client is needed")
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
    """Return how many threads the workers of a cluster have at present; the first is waited for.

    Raises
    ------
    ConnectionError
        As `connected`; and if no worker comes.
    """
    with connected(scheduler) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ConnectionError(
                f"the cluster has no workers, and none has come within {PATIENCE} seconds: start some, or wait for "
                f"them by client.wait_for_workers(1)"
            ) from None
        return max(1, sum(map(int, client.nthreads().values())))


def compute_there(
    pairing: Pairing,
    x: Activations,
    y: Activations | None,
    grid: Grid,
    tiles: Iterable[Tile],
    *,
    client: Any,
    threads: int,
    most: int,
) -> Iterator[tuple[Tile, AlignedProducts]]:
    """Compute tiles on a cluster, and give each as soon as it is there.

    Parameters
    ----------
    pairing, x, y, grid, tiles
        As for `simplugins.compute.executors.local.compute_here`.
    client : dask.distributed.Client
    threads : int
        Of each task; Dask runs as many tasks at once as a worker has threads.
    most : int
        How many blocks a worker keeps of those that it reads from disk.
    """
    tasks = _Tasks(pairing, x, y, grid, client, threads=threads, most=most)
    waiting, completed = iter(tiles), import_module("distributed").as_completed(loop=client.loop)
    try:
        for _ in range(_AHEAD * threads_of(client)):
            tasks.submit_next(waiting, completed)
        for future in completed:
            tile = tasks.started.pop(future)
            try:
                found = future.result()
            except CancelledError:  # a block was on a worker that is gone
                tasks.send_again(tile)
                completed.add(tasks.submit(tile))
                continue
            tasks.submit_next(waiting, completed)
            yield tile, found
    finally:
        client.cancel(list(tasks.started), force=True)


class _Kept:
    """The blocks that a worker has read last; the same for all of its threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks: OrderedDict[Hashable, Activations] = OrderedDict()

    def get(self, key: Hashable, block: Activations, most: int) -> Activations:
        """Return a block in memory, of which so many are kept."""
        with self.lock:
            if key in self.blocks:
                self.blocks.move_to_end(key)
                return self.blocks[key]
        found = block.in_memory()
        with self.lock:
            self.blocks[key] = found
            while len(self.blocks) > most:
                self.blocks.popitem(last=False)
        return found


_kept = _Kept()


@dataclass(frozen=True)
class _OnDisk:
    """A block of inputs that a worker reads itself.

    Attributes
    ----------
    key : tuple
        Of the block: which run, whether of columns, and its number.
    block : Activations
    most : int
        How many blocks the worker keeps.
    """

    key: tuple[str, bool, int]
    block: Activations
    most: int

    def load(self) -> Activations:
        """Return the block in memory."""
        return _kept.get(self.key, self.block, self.most)


def _compute(
    pairing: Pairing, rows: Activations | _OnDisk, columns: Activations | _OnDisk | None, threads: int
) -> AlignedProducts:
    """Compute a tile, on a worker."""
    loaded = (block.load() if isinstance(block, _OnDisk) else block for block in (rows, columns))
    own, others = loaded
    assert own is not None
    return pairing.compute(own, others, threads)


class _Tasks:
    """Tiles on their way, and the blocks of inputs that they are made of."""

    def __init__(
        self,
        pairing: Pairing,
        x: Activations,
        y: Activations | None,
        grid: Grid,
        client: Any,
        *,
        threads: int,
        most: int,
    ) -> None:
        self.pairing, self.grid, self.client, self.threads, self.most = pairing, grid, client, threads, most
        self.x, self.y = x, x if y is None else y
        self.run = uuid4().hex
        self.started: dict[Any, Tile] = {}
        self._sent: dict[tuple[bool, int], Any] = {}

    def submit_next(self, waiting: Iterator[Tile], completed: Any) -> None:
        """Start another tile, if there is one left."""
        tile = next(waiting, None)
        if tile is not None:
            completed.add(self.submit(tile))

    def submit(self, tile: Tile) -> Any:
        """Start a tile."""
        rows, columns = (None if key is None else self._block(*key) for key in self._keys(tile))
        future = self.client.submit(_compute, self.pairing, rows, columns, self.threads, pure=False)
        self.started[future] = tile
        return future

    def send_again(self, tile: Tile) -> None:
        """Forget where the blocks of a tile are, so that they are sent once more."""
        for key in self._keys(tile):
            if key is not None:
                self._sent.pop(key, None)

    def _keys(self, tile: Tile) -> tuple[tuple[bool, int], tuple[bool, int] | None]:
        """Return which blocks a tile is made of: whether of columns, and its number."""
        if self.grid.on_diagonal(tile):
            return (False, tile.row), None
        return (False, tile.row), (not self.grid.symmetric, tile.column)

    def _block(self, of_columns: bool, number: int) -> Any:
        """Return a block of inputs, or where in the cluster it is."""
        source = self.y if of_columns else self.x
        inputs = self.grid.block(number, len(source))
        part = source.part(inputs.start, inputs.stop)
        if part.is_on_disk:
            return _OnDisk((self.run, of_columns, number), part, self.most)
        key = of_columns, number
        if key not in self._sent:
            self._sent[key] = self._send(part.on_cpu())
        return self._sent[key]

    def _send(self, block: Activations) -> Any:
        """Send a block to the cluster; once more, if the worker that it was for has just been lost."""
        for _ in range(_TRIES):
            try:
                return self.client.scatter(block, hash=False)
            except OSError:
                time.sleep(_BETWEEN_TRIES)
        return self.client.scatter(block, hash=False)
