# SPDX-License-Identifier: Apache-2.0
"""Settings for functions compiled by Numba.

``nogil`` lets the engine's threads run compiled functions in parallel. ``cache`` keeps the machine code on disk, next
to the package or in the user's cache folder, so that only the first call after installation pays for compilation.
Fast-math stays off: assignment runs on integers, and scans of floats are written as vector code (see
`simplugins.matching.vector_scans`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call, and cache the machine code if there is a writable folder for it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable folder: each process compiles for itself
        return numba.njit(nogil=True)(function)
