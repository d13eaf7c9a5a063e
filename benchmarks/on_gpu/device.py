# SPDX-License-Identifier: Apache-2.0
"""The measured GPU: the engine's device, with descriptions and limits for benchmarks.

The emulator of the tests runs through the same code, so that no code runs for the first time on a GPU.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import numpy as np

from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device
from simplugins.compute.engines.cuda.cupy_device import CupyDevice
from simplugins.compute.engines.cuda.device import Device

TESTS = Path(__file__).resolve().parents[2] / "tests"


@dataclass
class Peak:
    """Peak of allocated memory."""

    bytes: int = 0


class Gpu(Protocol):
    """A device, real or emulated."""

    @property
    def device(self) -> Device:
        """The device for the engine."""

    def describe(self) -> dict[str, Any]:
        """Return its name, its resources, and the versions of driver and libraries."""

    def synchronize(self) -> None:
        """Wait for all work."""

    def engine(self) -> AbstractContextManager[object]:
        """Make simplugins use this GPU."""

    def all_devices(self) -> list[Any]:
        """Return all devices that the machine has."""

    def limited_memory(self, limit: int) -> AbstractContextManager[Peak]:
        """Limit device memory to `limit` bytes, and record the peak."""


@cache
def open_gpu(emulated: bool) -> Gpu:
    """Open the GPU of this process."""
    return EmulatedGpu() if emulated else RealGpu()


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

    def engine(self) -> AbstractContextManager[object]:
        """See `Gpu`."""
        return nullcontext()

    def all_devices(self) -> list[Any]:
        """See `Gpu`."""
        return list(cupy_device.all_devices())

    @contextmanager
    def limited_memory(self, limit: int) -> Iterator[Peak]:
        """See `Gpu`. Limits CuPy's pool; the peak is that of the pool's size."""
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
    versions = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return versions[0] if versions else "unknown"


class EmulatedGpu:
    """The emulator, whose times are meaningless."""

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
    def engine(self) -> Iterator[None]:
        """See `Gpu`."""
        with (
            mock.patch.object(gpu, "why_unusable", return_value=None),
            mock.patch.object(cupy_device, "CupyDevice", return_value=self.device),
        ):
            yield

    def all_devices(self) -> list[Any]:
        """See `Gpu`."""
        return [self.device, type(self.device)()]

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
