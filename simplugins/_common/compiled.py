# SPDX-License-Identifier: Apache-2.0
"""Settings for functions compiled by Numba.

``nogil`` lets threads run compiled functions in parallel. ``cache`` keeps the machine code on disk, next to the package
or in the user's cache folder, so that only the first call after installation compiles. Fast-math is off: assignment
runs on integers, and floats are scanned by explicit vector code (see `simplugins.matching.vector_scans`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, and cache the machine code if a folder for it is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable folder: each process compiles for itself
        return numba.njit(nogil=True)(function)
