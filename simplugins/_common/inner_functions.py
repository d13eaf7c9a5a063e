# SPDX-License-Identifier: Apache-2.0
"""Compilation of functions that only compiled functions call, as a part of these.

Numba optimises each function by itself and turns it into machine code, and then optimises the function that calls it
with all it consists of. If only compiled functions call it, the first is wasted work: leaving it out saves a quarter of
the time.

Numba also counts references to arrays: a function counts each array of a tuple that it receives up and down again, with
atomic operations, though its caller keeps them alive. Functions that neither allocate nor return arrays do without,
which saves a tenth of the time to compile, and up to half of the time to solve a small problem.

This replaces internals of Numba. With a version of it that was not tested, functions are compiled as usual.
"""

from __future__ import annotations

from typing import Any

import numba

_TESTED = (0, 62), (0, 69)
"""The first version of Numba with which this was tested, and the one after the last."""


def inner_options() -> dict[str, Any]:
    """Return the options of `numba.njit` for functions that only compiled functions call."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **in_place_options()}
    if _is_tested():
        options["pipeline_class"] = _inner_compiler()
    return options


def in_place_options() -> dict[str, Any]:
    """Return the options of `numba.njit` for functions that neither allocate nor return arrays."""
    return {"_nrt": False} if _is_tested() else {}


def refuse_returned_arrays(dispatcher: Any) -> Any:
    """Let a dispatcher refuse to compile a function that returns an array, whose memory would be freed too early."""
    add = dispatcher.add_overload

    def add_checked(result: Any) -> None:
        returned = result.signature.return_type
        if result.target_context.data_model_manager[returned].contains_nrt_meminfo():
            raise TypeError(f"{dispatcher.py_func.__qualname__} returns {returned}, but must not return an array")
        add(result)

    dispatcher.add_overload = add_checked
    return dispatcher


def _is_tested() -> bool:
    return _TESTED[0] <= tuple(numba.version_info[:2]) < _TESTED[1]


def _inner_compiler() -> Any:
    """Return a compiler class whose functions have no machine code of their own."""
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import Compiler

    class InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
        """Code that is optimised only in the libraries that it is linked into."""

        @property
        def codegen(self) -> Any:
            return _CodegenWithoutEnvironments(self._codegen)

        def _optimize_final_module(self) -> None:
            pass

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            """Return no address: Python never calls the function."""
            return 0

    class InnerCompiler(Compiler):  # type: ignore[misc]
        """Numba's compiler, writing into an `InnerLibrary`."""

        def __init__(
            self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
        ) -> None:
            library = library or InnerLibrary(targetctx.codegen(), "inner")
            super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    return InnerCompiler


class _CodegenWithoutEnvironments:
    """Numba's code generator, without the step that needs the machine code of a function."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        """Set nothing: functions that neither print nor call Python use no environment."""
