# SPDX-License-Identifier: Apache-2.0
"""A GPU through CuPy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.engines.cuda.programs import Program

_ALLOCATION_FAILED = {"CUDARuntimeError": 2, "CUDADriverError": 2, "CUBLASError": 3}
"""Errors of the libraries under CuPy that mean a lack of memory, by their status."""


class CupyDevice:
    """A GPU, on the stream that is current in Torch, if Torch uses the GPU, or else in CuPy.

    Uploads go through page-locked memory and a stream of their own, so they overlap with kernels. See `device.Device`.

    Parameters
    ----------
    ordinal : int, optional
        By default the current device.
    """

    def __init__(self, ordinal: int | None = None) -> None:
        cupy = self._cupy = gpu.cupy()
        self._device = cupy.cuda.Device(ordinal)
        self.ordinal = int(self._device.id)
        properties = cupy.cuda.runtime.getDeviceProperties(self.ordinal)
        self.name = properties["name"].decode()
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        with self._device:
            self._stream = _torch_stream(cupy, self.ordinal) or cupy.cuda.get_current_stream()
            self._uploads = cupy.cuda.Stream(non_blocking=True)
            cupy.cuda.device.get_cublas_handle()  # takes memory, which must not count as free
        self._in_flight: list[tuple[Any, Any]] = []
        self._inside: list[ExitStack] = []

    def __enter__(self) -> Self:
        """Make device and stream the current ones; what the caller's stream has still to do comes first."""
        inside = ExitStack()
        inside.enter_context(self._device)
        self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
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

    def ran_out(self, error: Exception) -> bool:
        """Tell whether an error means that memory ran out: CuPy's, Torch's, or of a library below."""
        status = getattr(error, "status", None)
        known = status is not None and _ALLOCATION_FAILED.get(type(error).__name__) == status
        return known or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return a new array."""
        return self._cupy.empty(shape, dtype)

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
        if int(array.device.id) == self.ordinal:
            return self._cupy.ascontiguousarray(array)
        with array.device:
            host = array.get()
        return self.upload(host)

    def retire(self) -> None:
        """Have later uploads wait for all work so far."""
        self._uploads.wait_event(self._stream.record())

    def release(self) -> None:
        """Wait for all work, and empty CuPy's pools."""
        self._uploads.synchronize()
        self._stream.synchronize()
        self._in_flight.clear()
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

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

    def multiply(self, rows: Any, columns: Any, out: Any, precision: Precision) -> None:
        """Multiply by cuBLAS, which is told what to compute in: environment variables of CuPy's do not change it."""
        cublas, runtime = self._cupy.cuda.cublas, self._cupy.cuda.runtime
        factor, product, compute = {
            "float16x3": (runtime.CUDA_R_16F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "float32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "tf32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32),
            "float64": (runtime.CUDA_R_64F, runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
        }[precision]
        scalar = np.float64 if precision == "float64" else np.float32
        one, zero = np.array(1, scalar), np.array(0, scalar)
        length = rows.shape[1]
        # cuBLAS counts by columns: it computes the transpose of the product.
        cublas.gemmEx(
            self._cupy.cuda.device.get_cublas_handle(),
            cublas.CUBLAS_OP_T,
            cublas.CUBLAS_OP_N,
            len(columns),
            len(rows),
            length,
            one.ctypes.data,
            columns.data.ptr,
            factor,
            length,
            rows.data.ptr,
            factor,
            length,
            zero.ctypes.data,
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
        kernel = _kernel(program, function)
        kernel.max_dynamic_shared_size_bytes = shared  # asked for, since static memory counts towards the plain limit
        kernel((grid,), (block,), tuple(arguments), shared_mem=shared)


@cache
def _kernel(program: Program, function: str) -> Any:
    """Return a kernel that CuPy compiles for each device on which it is first launched."""
    return gpu.cupy().RawModule(code=program.source, options=("--std=c++17",)).get_function(function)


class _Stream:
    """A stream of another library's, by CUDA's protocol for streams."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def _torch_stream(cupy: ModuleType, ordinal: int) -> Any:
    """Return Torch's current stream, if Torch uses the GPU in this process."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    pointer = torch.cuda.current_stream(ordinal).cuda_stream
    if not pointer:
        return cupy.cuda.Stream.null
    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_Stream(pointer))
    return cupy.cuda.ExternalStream(pointer, ordinal)
