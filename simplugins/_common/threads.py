# SPDX-License-Identifier: Apache-2.0
"""A thread pool for computations that can be interrupted and during which BLAS uses a single thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np

from simplugins._common.progress import progress_counter


def usable_cores() -> int:
    """Return the number of CPU cores available to this process, where its affinity mask is respected."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Task(Protocol):
    """A unit of work for one thread."""

    @property
    def pairs(self) -> int:
        """Number of pairs of inputs, for the progress bar."""


T = TypeVar("T", bound=Task)


def check_threads(threads: int | None) -> int:
    """Return the number of threads to use: `threads`, or the number of usable cores if it is None.

    Raises
    ------
    ValueError
        If it is not a whole number of at least 1.
    """
    if threads is None:
        return usable_cores()
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, got {threads!r}")
    return int(threads)


class _SingleThreadedBlas:
    """Re-entrant, thread-safe context manager that limits BLAS to one thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entered = 0
        self.limiter: Any = None

    def __enter__(self) -> None:
        with self.lock:
            if self.entered == 0:
                self.limiter = _blas().limit(limits=1)
            self.entered += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.entered -= 1
            if self.entered == 0:
                self.limiter.restore_original_limits()


_single_threaded_blas = _SingleThreadedBlas()


@cache
def _blas() -> Any:
    """Return a controller of the loaded BLAS libraries; cached, since finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def in_threads(
    work: Callable[[T], None], tasks: Iterable[T], *, pairs: int, threads: int, progress: bool | str, title: str
) -> None:
    """Run tasks in a pool of threads; after an error or an interrupt, no thread starts another task.

    Parameters
    ----------
    work : callable
        Called with each task.
    tasks : iterable of Task
        Consumed lazily and in order.
    pairs : int
        Total number of pairs of all tasks, for the progress bar.
    threads : int
    progress : bool or str
        Show a progress bar on standard error; a string replaces the title.
    title : str
        Title of the progress bar.
    """
    stop, lock = threading.Event(), threading.Lock()
    remaining = iter(tasks)
    pairs_done = [0] * threads

    def worker(number: int) -> None:
        while not stop.is_set():
            with lock:
                task = next(remaining, None)
            if task is None:
                return
            work(task)
            pairs_done[number] += task.pairs

    with (
        _single_threaded_blas,
        progress_counter(pairs, progress, title=title, unit="pair") if progress else nullcontext() as show,
        ThreadPoolExecutor(threads, thread_name_prefix="simplugins") as pool,
    ):
        try:
            running = {pool.submit(worker, number) for number in range(threads)}
            while running:
                finished, running = wait(running, timeout=0.1, return_when="FIRST_EXCEPTION")
                if show is not None:
                    show(sum(pairs_done))
                for future in finished:
                    future.result()
        finally:
            stop.set()
