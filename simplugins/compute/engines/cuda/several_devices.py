# SPDX-License-Identifier: Apache-2.0
"""One computation on several GPUs: a thread per GPU, which takes region after region of the matrix."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simplugins._common.threads import in_threads
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError, Precision
from simplugins.compute.engines.cuda.engine import Run, aligned_products, make_run
from simplugins.compute.engines.cuda.pair_results import Tile
from simplugins.compute.engines.cuda.tile_cuts import regions, tiles_of
from simplugins.compute.job import TileResult
from simplugins.matching.matcher import Matcher

_WIDTH = 8
"""Number of tiles in a region."""


def aligned_products_on_all(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    devices: Sequence[Device],
    precision: Precision | None = None,
    certify: bool = False,
    progress: bool | str = False,
) -> TileResult:
    """Compute the aligned inner products of all pairs of inputs on several GPUs.

    Each GPU keeps the blocks of inputs that it needs, and downloads its results. If a GPU runs out of memory, others
    compute its pairs.

    Parameters
    ----------
    x, y, matcher, precision, certify, progress
        As for `simplugins.compute.engines.cuda.engine.aligned_products`.
    devices : sequence of Device
        At least one; each only once.

    Returns
    -------
    TileResult
        Equal to that of one device.

    Raises
    ------
    ValueError
        As for `aligned_products`.
    DeviceMemoryError
        If a pair fits none of the GPUs.
    """
    if precision is None and not all(device.tensor_cores for device in devices):
        precision = "float32"
    options = {"precision": precision, "certify": certify}
    runs = [make_run(x, y, matcher, device=device, **options) for device in devices]  # type: ignore[arg-type]
    tasks = list(_tasks(runs))
    if len(runs) == 1 or len(tasks) == 1:
        return aligned_products(x, y, matcher, device=devices[0], progress=progress, **options)  # type: ignore[arg-type]
    team = _Team(runs)
    complete = False
    try:
        pairs = sum(task.pairs for task in tasks)
        in_threads(team.work, tasks, pairs=pairs, threads=len(runs), progress=progress, title="matching")
        complete = True
    finally:
        for run in runs:
            run.results = None
            with run.device:
                run.finish() if complete else run.release()
    names = ", ".join(dict.fromkeys(device.name for device in devices))
    first = runs[0]
    first.host = team.host
    return first.result(first.rounding, keep=False, **first.metadata, device=f"{len(runs)} x {names}")


@dataclass(frozen=True)
class _Task:
    """A region of the matrix.

    Attributes
    ----------
    region : Tile
    pairs : int
    """

    region: Tile
    pairs: int


def _tasks(runs: Sequence[Run]) -> Iterator[_Task]:
    """Cut the matrix into regions, of the smallest device's tiles."""
    first = runs[0]
    size = min(run.block_size for run in runs)
    even = -(-max(first.shape) // len(runs))
    size = min(size, even)
    for run in runs:
        run.block_size = size
    for region in regions(first.shape, size, _WIDTH * size**2, symmetric=first.symmetric):
        tiles = tiles_of(region, size, symmetric=first.symmetric)
        yield _Task(region, sum(map(first.count_pairs, tiles)))


class _Team:
    """Computations on several devices, of which each works on one region at a time."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.host = runs[0].host_results()
        self.idle: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self.lock, self.left = threading.Lock(), len(runs)
        for run in runs:
            self.idle.put(run)

    def work(self, task: _Task) -> None:
        """Compute a region on the next device that is idle and has enough memory."""
        while True:
            run = self.idle.get()
            if run is None:  # no device is left
                self.idle.put(None)
                return
            try:
                run.compute(task.region, self.host)
            except BaseException as error:
                if not isinstance(error, DeviceMemoryError) or self._is_last():
                    self.idle.put(None)  # other threads shall not wait
                    raise
            else:
                self.idle.put(run)
                return

    def _is_last(self) -> bool:
        """Count a device as lost; return whether it was the last."""
        with self.lock:
            self.left -= 1
            return self.left == 0
