# SPDX-License-Identifier: Apache-2.0
"""A thread pool for computations that can be interrupted and during which BLAS uses a single thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache, lru_cache
from typing import Any, Generic, Protocol, TypeVar

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
        self.original: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self.lock:
            if self.entered == 0:
                self.original = [(library, library.num_threads) for library in _blas()]
                for library, _ in self.original:
                    library.set_num_threads(1)
            self.entered += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.entered -= 1
            if self.entered == 0:
                for library, count in self.original:
                    library.set_num_threads(count)


_single_threaded_blas = _SingleThreadedBlas()


def _blas() -> list[Any]:
    """Return controllers of the BLAS libraries that are loaded."""
    return _blas_beside(len(sys.modules))


@lru_cache(maxsize=1)
def _blas_beside(modules: int) -> list[Any]:
    """Return controllers of the BLAS libraries, which take milliseconds to find; kept until a module is imported."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


_MOST_THREADS = 2**15
"""Limit of the number of threads of the pool: calls within calls and in several threads never wait for each other."""


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the pool of this process, whose threads wait for the next call; it starts one only if none is idle."""
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="simplugins")


_starting = threading.Lock()


def _start(run: Callable[[int], None], threads: int) -> list[Future[None]]:
    """Have threads of the pool call `run` with 0, 1, 2 and so on."""
    with _starting:
        pool = _pool()
        try:
            return [pool.submit(run, number) for number in range(threads)]
        except BaseException:  # an interrupted pool may not know a thread it has started, and would never end it
            _pool.cache_clear()
            pool.shutdown(wait=False)
            raise


def _after_fork() -> None:
    """Forget the threads of the parent process, which a child does not have."""
    global _starting
    _pool.cache_clear()
    _single_threaded_blas.lock, _starting = threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
    call = _Call(work, tasks, threads)
    with (
        _single_threaded_blas,
        progress_counter(pairs, progress, title=title, unit="pair") if progress else nullcontext() as show,
    ):
        try:
            running = set(_start(call.run, threads))
            while running:
                finished, running = wait(running, timeout=0.1, return_when="FIRST_EXCEPTION")
                if show is not None:
                    show(sum(call.pairs_done))
                for future in finished:
                    future.result()
        finally:
            call.end()  # a task that has begun still writes its results, and BLAS must keep its limit


class _Call(Generic[T]):
    """The tasks of a call, which its threads take one by one."""

    def __init__(self, work: Callable[[T], None], tasks: Iterable[T], threads: int) -> None:
        self.work, self.remaining = work, iter(tasks)
        self.ended, self.working, self.changed = False, 0, threading.Condition()
        self.pairs_done = [0] * threads

    def run(self, number: int) -> None:
        """Work on tasks until there are no more."""
        while (task := self._next()) is not None:
            try:
                self.work(task)
            finally:
                with self.changed:
                    self.working -= 1
                    self.changed.notify()
            self.pairs_done[number] += task.pairs

    def _next(self) -> T | None:
        """Return the next task, which is worked on from now on, or None if there are no more."""
        with self.changed:
            task = None if self.ended else next(self.remaining, None)
            self.working += task is not None
            return task

    def end(self) -> None:
        """Give out no more tasks, wait for those that have begun, and release everything that they refer to.

        Threads of the pool forget the call only a moment after it.
        """
        with self.changed:
            self.ended = True
            self.changed.wait_for(lambda: self.working == 0)
        del self.work, self.remaining
