# SPDX-License-Identifier: Apache-2.0
"""The GPU that is measured: the engine's device, and what a benchmark must know or do beside.

A CPU that plays a GPU, as in the tests, takes the same way through everything, so that no code runs for the first time
when a GPU is there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from simplugins.compute.engines.cuda.cupy_device import CupyDevice
from simplugins.compute.engines.cuda.device import Device

TESTS = Path(__file__).resolve().parents[2] / "tests"


@dataclass
class Peak:
    """The most memory that was allocated."""

    bytes: int = 0


class Gpu(Protocol):
    """A device, real or played."""

    @property
    def device(self) -> Device:
        """What the engine is given."""

    def describe(self) -> dict[str, Any]:
        """Return its name, what it has, and the versions of what drives it."""

    def synchronize(self) -> None:
        """Wait for all work."""

    def limited_memory(self, limit: int) -> AbstractContextManager[Peak]:
        """Allow no more than so many bytes, and see how many there are at most."""


@cache
def open_gpu(emulated: bool) -> Gpu:
    """Open the GPU of this process."""
    return PlayedGpu() if emulated else RealGpu()


class RealGpu:
    """CuPy's current device."""

    def __init__(self) -> None:
        self.device = CupyDevice()
        self._cupy = import_module("cupy")

    def describe(self) -> dict[str, Any]:
        """See `Gpu`."""
        runtime = self._cupy.cuda.runtime
        return {
            "name": self.device.name,
            "multiprocessors": self.device.multiprocessors,
            "clock_mhz": runtime.deviceGetAttribute(runtime.cudaDevAttrClockRate, self.device.ordinal) // 1000,
            "memory_bytes": int(runtime.memGetInfo()[1]),
            "driver": _driver(),
            "cuda": _version(runtime.runtimeGetVersion()),
            "cuda_of_driver": _version(runtime.driverGetVersion()),
            "cupy": self._cupy.__version__,
        }

    def synchronize(self) -> None:
        """See `Gpu`."""
        self._cupy.cuda.runtime.deviceSynchronize()

    @contextmanager
    def limited_memory(self, limit: int) -> Iterator[Peak]:
        """See `Gpu`; CuPy's pool is limited, and the pool's size is what counts."""
        pool, peak = self._cupy.get_default_memory_pool(), Peak()

        def allocate(size: int) -> Any:
            memory = pool.malloc(size)
            peak.bytes = max(peak.bytes, int(pool.total_bytes()))
            return memory

        before = pool.get_limit()
        pool.free_all_blocks()
        pool.set_limit(size=limit)
        try:
            with self._cupy.cuda.using_allocator(allocate):
                yield peak
        finally:
            pool.set_limit(size=before)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return "unknown"
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return told[0] if told else "unknown"


class PlayedGpu:
    """A CPU that plays a GPU: times mean nothing."""

    def __init__(self) -> None:
        sys.path.append(str(TESTS))
        self.device: Any = import_module("emulation.device").EmulatedDevice()

    def describe(self) -> dict[str, Any]:
        """See `Gpu`."""
        return {
            "name": self.device.name,
            "multiprocessors": self.device.multiprocessors,
            "clock_mhz": 0,
            "memory_bytes": self.device.memory,
            **dict.fromkeys(("driver", "cuda", "cuda_of_driver", "cupy"), "none"),
        }

    def synchronize(self) -> None:
        """See `Gpu`."""
        self.device.synchronize()

    @contextmanager
    def limited_memory(self, limit: int) -> Iterator[Peak]:
        """See `Gpu`."""
        device, peak = self.device, Peak()
        plain, before = device.empty, device.memory

        def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
            array = plain(shape, dtype)
            peak.bytes = max(peak.bytes, device.memory - device.free_bytes())
            return array

        device.empty, device.memory = empty, limit
        try:
            yield peak
        finally:
            device.empty, device.memory = plain, before
