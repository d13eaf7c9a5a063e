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


def _title(progress: bool | str, title: str) -> str:
    return printable(progress) if isinstance(progress, str) else title
