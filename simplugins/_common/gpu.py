# SPDX-License-Identifier: Apache-2.0
"""Checks whether CuPy can use a GPU on this machine. The first check imports CuPy, if it is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib import import_module
from types import ModuleType

INSTALL = "pip install 'simplugins[cuda12]' (or 'simplugins[cuda13]' for a CUDA 13 driver)"


@cache
def why_unusable() -> str | None:
    """Return why CuPy cannot use a GPU, with advice; None if it can. The result is cached."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: {INSTALL}"
    try:
        if cupy().cuda.runtime.getDeviceCount() == 0:
            return "CuPy finds no GPU"
        cupy().cuda.device.get_cublas_handle()
        cupy().RawModule(code='extern "C" __global__ void probe() {}').get_function("probe")
    except Exception as error:  # a missing driver or library can raise almost anything
        return (
            f"CuPy cannot use a GPU ({' '.join(str(error).split())}); for details, run "
            f"`python -c 'import cupy; cupy.show_config()'`. To install CuPy with its libraries: {INSTALL}"
        )
    return None


@cache
def cupy() -> ModuleType:
    """Import CuPy and return it."""
    return import_module("cupy")
