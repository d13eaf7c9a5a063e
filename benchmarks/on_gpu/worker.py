# SPDX-License-Identifier: Apache-2.0
"""Steps in a separate process, since a failing or blocking CUDA kernel makes a GPU unusable for its whole process."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from on_gpu.timing import SkippedError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"

SECONDS_TO_END = 5
MOST_LETTERS = 300


class Outcome(NamedTuple):
    """How a step ended: its state, and its result or the reason for having none."""

    state: str
    result: Any


class Worker:
    """A process that runs one function after the other, replaced after a failure."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Any = None

    def run(self, work: Callable[..., Any], *arguments: Any, seconds: float) -> Outcome:
        """Run a function for at most `seconds` seconds."""
        if self._process is None:
            self._start()
        self._pipe.send((work, arguments))
        outcome = self._wait(seconds)
        if outcome.state == FAILED:
            self.stop()
        return outcome

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,))
        self._process.start()
        other_end.close()

    def _wait(self, seconds: float) -> Outcome:
        if not self._pipe.poll(seconds):
            self._process.kill()
            return Outcome(FAILED, f"stopped after {seconds:.0f} s")
        try:
            return Outcome(*self._pipe.recv())
        except EOFError:
            self._process.join(SECONDS_TO_END)
            return Outcome(FAILED, f"the process ended with exit code {self._process.exitcode}")

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._pipe.close()
        self._process.join(SECONDS_TO_END)
        self._process.kill()
        self._process.join()
        self._process = None


def _serve(pipe: Connection) -> None:
    while True:
        try:
            work, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(work, arguments))


def _outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    try:
        return Outcome(DONE, work(*arguments))
    except SkippedError as reason:
        return Outcome(SKIPPED, str(reason))
    except Exception as error:  # reported, so that other steps go on
        traceback.print_exc()
        return Outcome(FAILED, f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_LETTERS]}")
