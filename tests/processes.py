# SPDX-License-Identifier: Apache-2.0
"""Processes that tests start, interrupt and end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

_INTERRUPTIBLE = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""Without this, a process whose parent ignores SIGINT, as shells have background jobs do, ignores it as well."""


@contextmanager
def running(code: str, *arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that runs Python code and that SIGINT interrupts; on exit, kill it if it is still running.

    Parameters
    ----------
    code : str
    *arguments : str or path
        The code finds them in ``sys.argv[1:]``.
    **options
        As for `subprocess.Popen`.
    """
    command = [sys.executable, "-c", _INTERRUPTIBLE + dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait for a condition, as long as a process is running.

    Raises
    ------
    AssertionError
        If the process ends first, or after some time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended early"
        assert time.monotonic() < deadline, f"waited {seconds} seconds"
        time.sleep(0.005)
