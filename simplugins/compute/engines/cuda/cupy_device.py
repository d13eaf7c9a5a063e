# SPDX-License-Identifier: Apache-2.0
"""A GPU accessed through CuPy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu
from simplugins.compute.engines.cuda import streams, transfers
from simplugins.compute.engines.cuda.device import Precision, Source
from simplugins.compute.engines.cuda.streams import Lane, Streams, lanes_of, new_lane
from simplugins.compute.engines.cuda.transfers import transfers_of

_ALLOCATION_FAILED = {"CUDARuntimeError": 2, "CUDADriverError": 2, "CUBLASError": 3}
"""Status codes of out-of-memory errors of the libraries that CuPy uses."""

_FAST_TENSOR_CORES = {(7, 0), (7, 5), (8, 0), (9, 0), (10, 0), (10, 3)}
"""Compute capabilities of GPUs whose tensor cores are more than three times as fast as their float32 units."""

KEPT_SHARE = 1 / 8
"""Share of the device's memory that CuPy's pool may keep for later calls."""


class CupyDevice:
    """A GPU; see `device.Device`. Uses the current stream of Torch if Torch uses the GPU, otherwise that of CuPy.

    Uploads use page-locked memory and a separate stream, so that they overlap with computations. CuPy's memory pools,
    the page-locked memory and our own streams are kept for later calls; `simplugins.free_gpu_memory` frees them.

    Parameters
    ----------
    ordinal : int, optional
        The current device by default.
    """

    def __init__(self, ordinal: int | None = None) -> None:
        cupy = self._cupy = gpu.cupy()
        self._device = cupy.cuda.Device(ordinal)
        self.ordinal = int(self._device.id)
        properties = cupy.cuda.runtime.getDeviceProperties(self.ordinal)
        self.name = properties["name"].decode()
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        self.tensor_cores = (int(properties["major"]), int(properties["minor"])) in _FAST_TENSOR_CORES
        with self._device:
            self._main = _torch_stream(cupy, self.ordinal) or cupy.cuda.get_current_stream()
            self._transfers = transfers_of(self.ordinal)
            self._streams = Streams(Lane(self._main), self._transfers.stream, lanes_of(self.ordinal), new_lane)
            cupy.cuda.device.get_cublas_handle()  # allocates memory, so before free memory is measured
        self._inside: list[ExitStack] = []

    def __enter__(self) -> Self:
        """Make the device and its stream current, after pending work of the caller's stream."""
        inside = ExitStack()
        inside.enter_context(self._device)
        self._main.wait_event(self._cupy.cuda.get_current_stream().record())
        inside.enter_context(self._main)
        self._inside.append(inside)
        return self

    def __exit__(self, *exception: object) -> None:
        """Restore the previous device and stream; later work there waits for this device's work."""
        done = self._main.record()
        self._inside.pop().close()
        with self._device:
            self._cupy.cuda.get_current_stream().wait_event(done)

    def lane(self, number: int) -> AbstractContextManager[None]:
        """Make a lane, an additional stream, current."""
        return self._streams.lane(number)

    def free_bytes(self) -> int:
        """Return the free memory of the driver and of CuPy's pool, up to the pool's limit, if any."""
        pool = self._cupy.get_default_memory_pool()
        free = int(self._cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
        limit = int(pool.get_limit())
        return min(free, max(0, limit - int(pool.used_bytes()))) if limit else free

    def ran_out(self, error: Exception) -> bool:
        """Whether an error of CuPy, Torch or an underlying library means that memory ran out."""
        status = getattr(error, "status", None)
        known = status is not None and _ALLOCATION_FAILED.get(type(error).__name__) == status
        return known or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return a new array."""
        return self._cupy.empty(shape, dtype)

    def upload(self, array: Any) -> Any:
        """Return a host array copied to the device."""
        if isinstance(array, self._cupy.ndarray):
            return self._on_this_device(array)
        with self._streams.uploads:
            uploaded = self.empty(array.shape, array.dtype)
        if array.size:
            self._streams.wait_for_upload(self._transfers.upload(array, uploaded))
        return uploaded

    def _on_this_device(self, array: Any) -> Any:
        """Return a CuPy array as a contiguous array on this device."""
        if int(array.device.id) == self.ordinal:
            return self._cupy.ascontiguousarray(array)
        with array.device:
            host = array.get()
        return self.upload(host)

    def retire(self) -> None:
        """Make later uploads, and later work outside of lanes, wait for all work queued so far."""
        self._streams.join()

    def settle(self) -> None:
        """Keep cached memory for later calls, unless it exceeds a share of the device's memory."""
        self.retire()
        pool = self._cupy.get_default_memory_pool()
        if pool.free_bytes() > KEPT_SHARE * self._cupy.cuda.runtime.memGetInfo()[1]:
            self._streams.synchronize()
            pool.free_all_blocks()

    def release(self) -> None:
        """Wait for all work, and free the page-locked memory and that of CuPy's pools."""
        self._streams.synchronize()
        self._transfers.release()
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def download(self, array: Any) -> Callable[[], NDArray[Any]]:
        """Queue a copy of an array to the host."""
        host = self._page_locked(array.shape, array.dtype)
        runtime = self._cupy.cuda.runtime
        stream = self._streams.current.stream
        runtime.memcpyAsync(host.ctypes.data, array.data.ptr, host.nbytes, runtime.memcpyDeviceToHost, stream.ptr)
        done = stream.record()

        def fetch() -> NDArray[Any]:
            done.synchronize()
            return host.copy()  # so that the page-locked memory returns to its pool

        return fetch

    def fetch(self, array: Any, into: NDArray[Any]) -> None:
        """Copy an array to a host array, after the work of the current lane or stream."""
        self._transfers.fetch(array, into, self._streams.current.stream)

    def _page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        from cupyx import empty_pinned

        return empty_pinned(shape, dtype)  # type: ignore[no-any-return]

    def raise_to(self, array: Any, floor: float) -> None:
        """Raise all numbers of an array to a floor, in place."""
        self._cupy.maximum(array, array.dtype.type(floor), out=array)

    def multiply(self, rows: Any, columns: Any, out: Any, precision: Precision) -> None:
        """Multiply by cuBLAS with an explicit compute type, which CuPy's environment variables cannot override."""
        cublas, runtime = self._cupy.cuda.cublas, self._cupy.cuda.runtime
        factor, product, compute = {
            "float16x3": (runtime.CUDA_R_16F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "float32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "float64": (runtime.CUDA_R_64F, runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
        }[precision]
        scalar = np.float64 if precision == "float64" else np.float32
        one, zero = np.array(1, scalar), np.array(0, scalar)
        length = rows.shape[1]
        # cuBLAS is column-major, so it computes the transpose of the product.
        cublas.gemmEx(
            self._streams.current.handle or self._cupy.cuda.device.get_cublas_handle(),
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

    def sum_squares(self, matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64], out: Any) -> None:
        """Sum by products with matrices of zeros and ones, which hold a one for each row or column of a block."""
        cupy = self._cupy
        cupy.multiply(matrix, matrix, out=matrix)
        cupy.matmul(cupy.matmul(self._members(rows), matrix), self._members(columns).T, out=out)

    def _members(self, bounds: NDArray[np.int64]) -> Any:
        """Return an (n, T) matrix whose row i has ones from ``bounds[i]`` to ``bounds[i + 1]``."""
        starts, stops, places = (
            self._cupy.asarray(bounds[:-1]),
            self._cupy.asarray(bounds[1:]),
            self._cupy.arange(bounds[-1]),
        )
        return ((places >= starts[:, None]) & (places < stops[:, None])).astype(np.float64)

    def launch(
        self,
        program: Source,
        function: str,
        grid: int,
        block: int,
        arguments: Sequence[Any],
        *,
        shared: int,
    ) -> None:
        """Start a CUDA kernel; CuPy compiles it at the first launch, and caches the machine code on disk."""
        kernel = _kernel(program, function)
        if shared:
            kernel.max_dynamic_shared_size_bytes = shared  # opt-in, as static memory counts towards the default limit
        kernel((grid,), (block,), tuple(arguments), shared_mem=shared)


def all_devices() -> list[CupyDevice]:
    """Return all GPUs that this process can use."""
    return [CupyDevice(number) for number in range(gpu.cupy().cuda.runtime.getDeviceCount())]


def forget() -> None:
    """Free this thread's page-locked buffers, upload streams and lanes, after all work on them."""
    transfers.forget()
    streams.forget()


@cache
def _kernel(program: Source, function: str) -> Any:
    """Return a CUDA kernel that CuPy compiles when it is first launched on a device."""
    return _module(program).get_function(function)


@cache
def _module(program: Source) -> Any:
    """Return the CUDA kernels of a program."""
    return gpu.cupy().RawModule(code=program.source, options=("--std=c++17",))


class _Stream:
    """Another library's stream, exposed by CUDA's stream protocol."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def _torch_stream(cupy: ModuleType, ordinal: int) -> Any:
    """Return Torch's current stream if Torch uses the GPU in this process, otherwise None."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    pointer = torch.cuda.current_stream(ordinal).cuda_stream
    if not pointer:
        return cupy.cuda.Stream.null
    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_Stream(pointer))
    return cupy.cuda.ExternalStream(pointer, ordinal)
