# SPDX-License-Identifier: Apache-2.0
"""A progress bar of compilation."""

from __future__ import annotations

from typing import Any

from numba.core.event import Event, Listener
from tqdm import tqdm

_PACKAGES = ("simplugins.", "simplugins_adapters.")


class CompilationListener(Listener):  # type: ignore[misc]
    """Shows a bar from the start of a function's compilation to its end, unless that takes less than half a second.

    Functions compile those that they call. Numba's lock lets one thread compile at a time.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.depth = self.done = 0

    def on_start(self, event: Event) -> None:
        """Show the bar, if this is the outermost function."""
        if not _is_ours(event):
            return
        self.depth += 1
        if self.bar is None:
            self.bar = tqdm(
                initial=self.done,
                desc="compiling, once per installation",
                bar_format="{desc}: {n_fmt} functions done [{elapsed}]",
                leave=False,
                delay=0.5,
                miniters=1,
            )

    def on_end(self, event: Event) -> None:
        """Count the function, and remove the bar if it was the outermost one."""
        if self.bar is None or not _is_ours(event):
            return
        self.depth -= 1
        self.done += 1
        self.bar.update()
        if self.depth == 0:
            self.bar.close()
            self.bar = None


def _is_ours(event: Event) -> bool:
    """Return whether the function is one of this package, not one of a plugin or another library."""
    return str(event.data["dispatcher"].py_func.__module__).startswith(_PACKAGES)
