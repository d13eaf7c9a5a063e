# SPDX-License-Identifier: Apache-2.0
"""Optional progress bars on standard error: `progress` is False, True, or a string that replaces the title."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from simplugins._common.texts import printable


@contextmanager
def progress_counter(
    total: int, progress: bool | str, *, title: str, unit: str, done: int = 0
) -> Iterator[Callable[[int], object]]:
    """Yield a function that sets the number of completed units, starting with `done` of `total`."""
    if not progress or sys.stderr is None:
        yield lambda done: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, desc=_title(progress, title), unit=unit, unit_scale=True) as bar:
        yield lambda done: bar.update(done - bar.n)  # tqdm counts increments


@contextmanager
def progress_bar(
    steps: Iterable[Any], progress: bool | str, *, title: str, unit: str = "it", total: int | None = None
) -> Iterator[Iterable[Any]]:
    """Yield an iterable of the steps that advances the bar."""
    if not progress or sys.stderr is None:
        yield steps
        return
    from tqdm import tqdm

    with tqdm(steps, desc=_title(progress, title), unit=unit, total=total) as bar:
        yield bar


@contextmanager
def compilation_shown(progress: bool | str) -> Iterator[None]:
    """Show that the package's functions are being compiled whenever it takes long, and how many of them are done.

    Nothing is shown for machine code that is loaded from disk.
    """
    if not progress or sys.stderr is None:
        yield
        return
    from numba.core.event import install_listener

    from simplugins._common.compilation_progress import CompilationListener

    with install_listener("numba:compile", CompilationListener()):
        yield


def _title(progress: bool | str, title: str) -> str:
    return printable(progress) if isinstance(progress, str) else title
