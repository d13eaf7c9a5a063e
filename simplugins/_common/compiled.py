# SPDX-License-Identifier: Apache-2.0
"""Options of Numba for all compiled loops.

``nogil`` lets the engine's threads run them in parallel. ``cache`` keeps the machine code on disk, next to the package
or in the user's cache folder, so that only the first call after installation compiles. Fast-math stays off: the search
runs on integers, and scans of floats are written as vector code (see `simplugins.matching.scans`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, and cache the machine code if a folder is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no cache folder is writable: each process compiles anew
        return numba.njit(nogil=True)(function)
