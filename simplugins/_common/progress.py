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


class StepBar:
    """A progress bar of named steps, which appears once their number is known."""

    def __init__(self, progress: bool | str) -> None:
        self._is_shown = bool(progress) and sys.stderr is not None
        self._title = _title(progress, "")
        self._bar: Any = None
        self._begun = 0

    def plan(self, total: int) -> None:
        """Show the bar, for this number of steps."""
        if self._is_shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._title, unit="step")
            self._begun = 0

    def begin(self, name: str) -> None:
        """Show the name of a step that begins; the one before is complete."""
        if self._bar is not None:
            self._bar.set_postfix_str(printable(name), refresh=False)
            self._bar.update(min(self._begun, self._bar.total) - self._bar.n)
            self._bar.refresh()
        self._begun += 1

    def finish(self) -> None:
        """Complete the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.total = self._bar.n = self._begun
            self._bar.refresh()


@contextmanager
def step_bar(progress: bool | str) -> Iterator[StepBar]:
    """Yield a progress bar of named steps, and close it on exit."""
    bar = StepBar(progress)
    try:
        yield bar
    finally:
        if bar._bar is not None:
            bar._bar.close()


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
