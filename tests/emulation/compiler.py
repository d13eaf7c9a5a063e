# SPDX-License-Identifier: Apache-2.0
"""Compiles CUDA C++ programs, prefixed with the shim, to CPU libraries."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = (
    "-O2",
    "-std=c++17",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-strict-aliasing",  # CUDA kernels reinterpret shared memory as several types
    "-fvisibility=hidden",  # otherwise programs would share the emulator's state
    f"-I{HERE}",
)
CHECKS = ("-fsanitize=thread", "-DCHECKED")
"""Calls before memory accesses, which the shim answers; the library is linked without the compiler's run-time."""


class CompilationError(RuntimeError):
    """A program does not compile, or there is no compiler."""


def find_compiler() -> tuple[str, ...]:
    if os.environ.get("CXX"):
        return tuple(shlex.split(os.environ["CXX"]))
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return (path,)
    if importlib.util.find_spec("ziglang"):
        # The shim needs no C++ standard library, which Zig would build for a minute.
        return (sys.executable, "-m", "ziglang", "c++", "-nostdlib++")
    raise CompilationError("no C++ compiler: set CXX, install g++ or clang++, or `pip install ziglang`")


@cache
def library_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="emulation-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def translation_unit(source: str, functions: tuple[str, ...]) -> str:
    exports = "\n".join(f"EXPORT_KERNEL({name})" for name in functions)
    # An anonymous namespace gives inline functions internal linkage, which their shared variables require.
    return f'#include "shim.h"\nnamespace {{\n#line 1 "kernel.cu"\n{source}\n}}\n{exports}\n'


def build(text: str, arch: int, *, checked: bool) -> Path:
    options = (*OPTIONS, *(CHECKS if checked else ()), f"-D__CUDA_ARCH__={arch}")
    digest = hashlib.sha256("\0".join((text, *options)).encode()).hexdigest()[:32]
    library = library_folder() / f"{digest}.so"
    source, unlinked = library.with_suffix(".cpp"), library.with_suffix(".o")
    source.write_text(text, encoding="utf-8")
    _run(*find_compiler(), *options, "-c", str(source), "-o", str(unlinked))
    _run(*find_compiler(), "-shared", str(unlinked), "-o", str(library), "-lm")
    return library


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilationError(f"{shlex.join(command)}\n{done.stderr}")


@cache
def load(source: str, functions: tuple[str, ...], arch: int, *, checked: bool = False) -> ctypes.PyDLL:
    """Return a program's library, which exports `launch_<function>` and `signature_<function>` per function.

    In a `checked` library, accesses outside of a block's dynamic shared memory and of the arrays that are arguments are
    errors, and so are reads of shared or global memory that nothing has written; it is several times as slow.
    """
    # PyDLL holds the GIL during calls, because a library supports one launch at a time.
    library = ctypes.PyDLL(str(build(translation_unit(source, functions), arch, checked=checked)))
    library.emulation_error.restype = ctypes.c_char_p
    library.emulation_arrays.argtypes = ctypes.c_void_p, ctypes.c_uint
    for name in functions:
        getattr(library, f"signature_{name}").restype = ctypes.c_char_p
        getattr(library, f"launch_{name}").argtypes = (
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_ulonglong,
            ctypes.c_void_p,
            ctypes.c_ulonglong,
        )
    return library
