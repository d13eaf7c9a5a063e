# SPDX-License-Identifier: Apache-2.0
"""Memory that is kept between calls on a GPU."""

from __future__ import annotations

import sys


def free_gpu_memory() -> None:
    """Free the memory that calls on a GPU keep for later ones: that of CuPy's pools, and page-locked host memory.

    Calls keep up to an eighth of a GPU's memory, since allocations take longer than small computations. They free it
    themselves if they run out of memory, but Torch and other programs cannot use it. Does nothing if no GPU was used.

    Examples
    --------
    >>> import simplugins
    >>> simplugins.free_gpu_memory()
    """
    cupy = sys.modules.get("cupy")
    device = sys.modules.get("simplugins.compute.engines.cuda.cupy_device")
    if cupy is None or device is None:
        return
    device.forget()
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
