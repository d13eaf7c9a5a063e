# SPDX-License-Identifier: Apache-2.0
"""How the kernels are compiled, decided in one place.

``nogil`` lets the engine's threads run kernels side by side. ``cache`` keeps the machine code on disk, beside
the package or in the user's cache folder, so only the first call after installation pays for compilation.
Fast-math stays off: the search runs on integers, and float scans are written as vector code (see `scans`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the machine code if there is a place for it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written to: every process compiles for itself
        return numba.njit(nogil=True)(function)
