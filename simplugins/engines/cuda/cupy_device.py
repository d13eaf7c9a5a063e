# SPDX-License-Identifier: Apache-2.0
"""A GPU through CuPy: the only room, beside `simplugins.arrays`, that knows CuPy."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simplugins.engines.cuda.device import DeviceMemoryError, Precision
from simplugins.engines.cuda.programs import Program

_PLAIN_SHARED_BYTES = 48 * 1024
"""Kernels may use so much shared memory without having asked for it."""

_SPLIT_EXPONENT = 4
"""Numbers that are split into two of 16 bits are scaled to lie below two to this power."""

INSTALL = "pip install 'simplugins[cuda12]' (or 'simplugins[cuda13]' where the driver is for CUDA 13)"


def why_unusable() -> str | None:
    """Return why no GPU can be used here, and what to do; None if one can."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: {INSTALL}"
    try:
        count = _cupy().cuda.runtime.getDeviceCount()
    except Exception as error:  # import and first call fail in many ways, all for want of a driver or a library
        return f"CuPy finds no GPU that it can use ({error}); `python -c 'import cupy; cupy.show_config()'` tells more"
    return None if count else "CuPy finds no GPU"


@cache
def _cupy() -> ModuleType:
    import cupy

    return cupy  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Split:
    """Vectors as three matrices of 16-bit floats side by side, times two to a power."""

    parts: Any
    exponent: int


class CupyDevice:
    """A GPU, on the stream that is current in Torch, if Torch uses the GPU, or else in CuPy.

    Uploads go through page-locked memory and a stream of their own, so they overlap with kernels. See `device.Device`.

    Parameters
    ----------
    ordinal : int, optional
        By default the current device.
    """

    def __init__(self, ordinal: int | None = None) -> None:
        cupy = self._cupy = _cupy()
        self._device = cupy.cuda.Device(ordinal)
        self.ordinal = int(self._device.id)
        properties = cupy.cuda.runtime.getDeviceProperties(self.ordinal)
        self.name = properties["name"].decode()
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        with self._device:
            self._stream = _torch_stream(cupy, self.ordinal) or cupy.cuda.get_current_stream()
            self._uploads = cupy.cuda.Stream(non_blocking=True)
        self._in_flight: list[tuple[Any, Any]] = []
        self._inside: list[ExitStack] = []

    def __enter__(self) -> Self:
        """Make device and stream the current ones."""
        inside = ExitStack()
        inside.enter_context(self._device)
        inside.enter_context(self._stream)
        self._inside.append(inside)
        return self

    def __exit__(self, *exception: object) -> None:
        """Go back to what was current."""
        self._inside.pop().close()

    def free_bytes(self) -> int:
        """Return what the driver has free and CuPy's pool holds unused, within the limit that the pool may have."""
        pool = self._cupy.get_default_memory_pool()
        free = int(self._cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
        limit = int(pool.get_limit())
        return min(free, max(0, limit - int(pool.used_bytes()))) if limit else free

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return a new array."""
        try:
            return self._cupy.empty(shape, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(str(error)) from error

    def upload(self, array: Any) -> Any:
        """Return an array of the host as one of the device."""
        if isinstance(array, self._cupy.ndarray):
            return self._own(array)
        host = self._page_locked(array.shape, array.dtype)
        np.copyto(host, array)
        with self._uploads:
            uploaded = self.empty(array.shape, array.dtype)
            self._copy(uploaded.data.ptr, host.ctypes.data, host.nbytes, "memcpyHostToDevice", self._uploads)
            done = self._uploads.record()
        self._stream.wait_event(done)
        self._in_flight = [(event, memory) for event, memory in self._in_flight if not event.done]
        self._in_flight.append((done, host))
        return uploaded

    def _own(self, array: Any) -> Any:
        """Return a CuPy array as a contiguous one of this device."""
        if int(array.device.id) != self.ordinal:
            return self.upload(array.get())
        try:
            return self._cupy.ascontiguousarray(array)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(str(error)) from error

    def retire(self) -> None:
        """Have later uploads wait for all work so far."""
        self._uploads.wait_event(self._stream.record())

    def release(self) -> None:
        """Wait for all work, and empty CuPy's pool."""
        self._uploads.synchronize()
        self._stream.synchronize()
        self._in_flight.clear()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def download(self, array: Any) -> Callable[[], NDArray[Any]]:
        """Have an array copied to the host as it is now."""
        host = self._page_locked(array.shape, array.dtype)
        self._copy(host.ctypes.data, array.data.ptr, host.nbytes, "memcpyDeviceToHost", self._stream)
        done = self._stream.record()

        def fetch() -> NDArray[Any]:
            done.synchronize()
            return host.copy()  # the page-locked memory goes back to its pool

        return fetch

    def _page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        from cupyx import empty_pinned

        return empty_pinned(shape, dtype)  # type: ignore[no-any-return]

    def _copy(self, into: int, source: int, size: int, kind: str, stream: Any) -> None:
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(into, source, size, getattr(runtime, kind), stream.ptr)

    def operand(self, vectors: Any, precision: Precision, *, columns: bool) -> Any:
        """Return vectors as `multiply` takes them."""
        cupy = self._cupy
        try:
            if precision == "float64":
                return vectors.astype(np.float64, copy=False)
            if precision != "float16x3":
                return vectors
            exponent = _SPLIT_EXPONENT - math.frexp(float(cupy.abs(vectors).max()))[1]
            scaled = cupy.ldexp(vectors, np.int32(exponent))
            high = scaled.astype(np.float16)
            low = (scaled - high).astype(np.float16)
            return _Split(cupy.concatenate([high, low, high] if columns else [high, high, low], axis=1), exponent)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(str(error)) from error

    def multiply(self, rows: Any, columns: Any, out: Any, precision: Precision) -> None:
        """Multiply by cuBLAS, which is told what to compute in: environment variables of CuPy's do not change it."""
        cublas, runtime = self._cupy.cuda.cublas, self._cupy.cuda.runtime
        exponent = 0
        if precision == "float16x3":
            exponent = rows.exponent + columns.exponent
            rows, columns = rows.parts, columns.parts
        kind = {
            "float16x3": (runtime.CUDA_R_16F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "float32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "tf32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32),
            "float64": (runtime.CUDA_R_64F, runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
        }
        factor, product, compute = kind[precision]
        scalar = np.float64 if precision == "float64" else np.float32
        alpha, beta = np.array(2.0**-exponent, scalar), np.array(0, scalar)
        channels = rows.shape[1]
        # cuBLAS counts by columns: it computes the transpose of the product.
        cublas.gemmEx(
            self._cupy.cuda.device.get_cublas_handle(),
            cublas.CUBLAS_OP_T,
            cublas.CUBLAS_OP_N,
            len(columns),
            len(rows),
            channels,
            alpha.ctypes.data,
            columns.data.ptr,
            factor,
            channels,
            rows.data.ptr,
            factor,
            channels,
            beta.ctypes.data,
            out.data.ptr,
            product,
            len(columns),
            compute,
            cublas.CUBLAS_GEMM_DEFAULT,
        )

    def launch(
        self,
        program: Program,
        function: str,
        grid: int,
        block: int,
        arguments: Sequence[Any],
        *,
        shared: int,
    ) -> None:
        """Start a kernel; the first time, it is compiled, and CuPy keeps the machine code on disk."""
        kernel = _kernel(program.source, function)
        if shared > _PLAIN_SHARED_BYTES:
            kernel.max_dynamic_shared_size_bytes = shared
        kernel((grid,), (block,), tuple(arguments), shared_mem=shared)


@cache
def _kernel(source: str, function: str) -> Any:
    """Return a kernel that CuPy compiles for each device on which it is first launched."""
    return _cupy().RawModule(code=source, options=("--std=c++17",)).get_function(function)


def _torch_stream(cupy: ModuleType, ordinal: int) -> Any:
    """Return Torch's current stream, if Torch uses the GPU in this process."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    pointer = torch.cuda.current_stream(ordinal).cuda_stream
    return cupy.cuda.ExternalStream(pointer, ordinal) if pointer else cupy.cuda.Stream.null
