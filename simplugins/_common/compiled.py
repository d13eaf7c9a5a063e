# SPDX-License-Identifier: Apache-2.0
"""Settings for functions compiled by Numba.

``nogil`` lets threads run compiled functions in parallel. The machine code is kept on disk (see `code_cache`), next to
the package or in the user's cache folder, so that only the first call after installation compiles. Fast-math is off:
assignment runs on integers, and floats are scanned by explicit vector code (see `simplugins.matching.vector_scans`).

Compile times are the first thing that users notice. Three rules keep them short:

- Functions that only compiled functions call are `compiled_inner`: the wrappers that let Python call a function, and a
  copy of it in the cache, take longer to make than a short function itself.
- Loops instead of array expressions, copies of slices and reductions (``a[:n] = b``, ``a.min()``). One of them brings
  in Numba's formatting of text for an error about shapes, which takes a quarter as long as the whole solver.
- Literal arguments have types of their own. ``np.int64(0)`` rather than ``0`` avoids a second copy of the callee.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from simplugins._common.code_cache import CodeCache
from simplugins._common.inner_functions import in_place_options, inner_options, refuse_returned_arrays

CACHES: list[CodeCache] = []
"""The machine code of all functions that have been defined so far."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, and cache the machine code if a folder for it is writable."""
    return _cached(function, {})


def compiled_in_place(function: Callable[..., Any]) -> Any:
    """Compile like `compiled` a function that neither allocates nor returns arrays; see `inner_functions`."""
    return refuse_returned_arrays(_cached(function, in_place_options()))


def _cached(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    dispatcher = numba.njit(nogil=True, **options)(function)
    dispatcher._cache = CodeCache(function)
    dispatcher.compile = _with_few_collections(dispatcher.compile)
    CACHES.append(dispatcher._cache)
    return dispatcher


def _with_few_collections(compile_signature: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let Python search for garbage less often, which takes up to a tenth of the time to compile."""

    def compile_quickly(signature: Any) -> Any:
        with global_compiler_lock:
            thresholds = gc.get_threshold()
            if thresholds[0] > 0:  # not switched off
                gc.set_threshold(*map(max, thresholds, _RARE_COLLECTIONS))
            try:
                return compile_signature(signature)
            finally:
                gc.set_threshold(*thresholds)

    return compile_quickly


def compiled_inner(function: Callable[..., Any]) -> Any:
    """Compile a function as a part of the compiled functions that call it; Python cannot call it.

    It must neither allocate nor return arrays; see `inner_functions`.
    """
    dispatcher = numba.njit(nogil=True, **_INNER_OPTIONS)(function)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise TypeError(f"only compiled functions can call {function.__qualname__}, because it is compiled_inner")

    # Without a wrapper, a call from Python would end the process.
    dispatcher._insert = lambda *overload: None
    dispatcher._compile_for_args = refuse
    return refuse_returned_arrays(dispatcher)


_INNER_OPTIONS = inner_options()

_RARE_COLLECTIONS = 100_000, 50, 100
"""Thresholds of the garbage collector (see `gc.set_threshold`) while a function is compiled; 8 MB more memory."""
