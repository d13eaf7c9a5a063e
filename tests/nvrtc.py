# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's run-time compiler from its wheels, which needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {"CUDA 12": "nvidia.cuda_nvrtc", "CUDA 13": "nvidia.cu13"}

CUPY_OPTIONS = ["-ftz=true", "--device-as-default-execution-space"]
"""Options that CuPy adds to every compilation."""


@dataclass(frozen=True)
class Compiled:
    """Compiler statistics of a CUDA kernel's machine code."""

    registers: int
    spilled_bytes: int
    warnings: list[str]


@cache
def library(cuda: str) -> ctypes.CDLL:
    spec = find_spec(PACKAGES[cuda])
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    (path,) = (file for file in Path(folder, "lib").glob("libnvrtc.so.*") if "alt" not in file.name)
    return ctypes.CDLL(str(path))


def compile_kernel(source: str, architecture: str, cuda: str) -> Compiled:
    """Compile to machine code for an architecture, such as "sm_90"."""
    log, _ = _compile(source, architecture, cuda, "--ptxas-options=-v")
    spilled = sum(int(size) for size in re.findall(r"(\d+) bytes (?:stack frame|spill)", log))
    warnings = [line for line in log.splitlines() if "warning" in line.lower()]
    registers = re.search(r"Used (\d+) registers", log)
    assert registers is not None, log
    return Compiled(int(registers[1]), spilled, warnings)


def machine_code(source: str, architecture: str, cuda: str, *options: str) -> bytes:
    """Return the machine code for an architecture."""
    return _compile(source, architecture, cuda, *options)[1]


def _compile(source: str, architecture: str, cuda: str, *options: str) -> tuple[str, bytes]:
    """Return the compiler's log, and the machine code."""
    nvrtc, program = library(cuda), ctypes.c_void_p()
    options = (f"--gpu-architecture={architecture}", *CUPY_OPTIONS, "--std=c++17", *options)
    encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(options), encoded)
        log = _log(nvrtc, program)
        assert not failed, log
        size = ctypes.c_size_t()
        assert nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
        code = ctypes.create_string_buffer(size.value)
        assert nvrtc.nvrtcGetCUBIN(program, code) == 0
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log, code.raw


def _log(nvrtc: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    assert nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetProgramLog(program, log) == 0
    return log.value.decode()
