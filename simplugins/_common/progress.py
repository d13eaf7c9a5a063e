# SPDX-License-Identifier: Apache-2.0
"""Progress bars, on standard error, for those who ask for one. A string in place of True is the bar's title."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def counted(
    total: int, progress: bool | str, *, title: str, unit: str, done: int = 0
) -> Iterator[Callable[[int], object]]:
    """Give a function that shows how much of a total is done; `done` is what was done before."""
    if not progress:
        yield lambda done: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, desc=_title(progress, title), unit=unit, unit_scale=True) as bar:
        yield lambda done: bar.update(done - bar.n)


@contextmanager
def shown(steps: Iterable[Any], progress: bool | str, *, title: str, unit: str = "it") -> Iterator[Iterable[Any]]:
    """Give the steps, to be gone through once, and show how many are done."""
    if not progress:
        yield steps
        return
    from tqdm import tqdm

    with tqdm(steps, desc=_title(progress, title), unit=unit) as bar:
        yield bar


def _title(progress: bool | str, otherwise: str) -> str:
    return progress if isinstance(progress, str) else otherwise
