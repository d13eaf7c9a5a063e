# SPDX-License-Identifier: Apache-2.0
"""Whether CuPy can use a GPU here. CuPy is imported when that is first asked, and only if it is installed."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

INSTALL = "pip install 'simplugins[cuda12]' (or 'simplugins[cuda13]' where the driver is for CUDA 13)"


@cache
def why_unusable() -> str | None:
    """Return why no GPU can be used, and what to do; None if one can, which is tried once."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: {INSTALL}"
    try:
        if cupy().cuda.runtime.getDeviceCount() == 0:
            return "CuPy finds no GPU"
        cupy().cuda.device.get_cublas_handle()
        cupy().RawModule(code='extern "C" __global__ void probe() {}').get_function("probe")
    except Exception as error:  # all of these fail in many ways, for want of a driver or a library
        return (
            f"CuPy cannot use a GPU ({' '.join(str(error).split())}); `python -c 'import cupy; cupy.show_config()'` "
            f"tells more. With the libraries that it needs: {INSTALL}"
        )
    return None


@cache
def cupy() -> ModuleType:
    """Return CuPy."""
    return import_module("cupy")


def current(number: int | None) -> AbstractContextManager[Any]:
    """Make a GPU the current one, if a number is given."""
    return nullcontext() if number is None else cupy().cuda.Device(number)
