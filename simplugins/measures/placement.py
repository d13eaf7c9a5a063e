# SPDX-License-Identifier: Apache-2.0
"""Arrays that a GPU will read are uploaded as they are, in one piece, before they are checked and measured there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.compute.job import Operation

PLACED_SHARE = 0.2
"""Largest share of the free memory of a GPU for arrays that are uploaded in one piece."""


def placed(operations: Sequence[Operation], activations: Any, other: Any) -> tuple[Any, Any]:
    """Return arrays of a call on the GPU that computes it; others unchanged.

    NumPy arrays and Torch tensors in host memory are uploaded with their own types, so that float16 and bfloat16 take
    half the time, if all of them together fit `PLACED_SHARE` of the GPU's free memory. Those on disk are not: they are
    read block by block.
    """
    sides = activations, other
    hosts = [_host_array(side) for side in sides]
    elsewhere = any(side is not None and host is None for side, host in zip(sides, hosts, strict=True))
    on_gpu = all(getattr(operation, "resolved_engine", "cpu") == "cuda" for operation in operations)
    if hosts[0] is None or elsewhere or not on_gpu:
        return sides
    from simplugins.compute.engines.cuda.cupy_device import CupyDevice

    device = CupyDevice(None)
    if sum(host.nbytes for host in hosts if host is not None) > PLACED_SHARE * device.free_bytes():
        return sides
    with device:
        try:
            x, y = (
                side if host is None else _decoded(device.upload(host), side)
                for side, host in zip(sides, hosts, strict=True)
            )
            return x, y
        except Exception as error:
            if not device.ran_out(error):
                raise
    device.release()
    return sides


def _host_array(array: Any) -> np.ndarray[Any, Any] | None:
    """Return a NumPy array or a Torch tensor in host memory as a NumPy array; None for anything else."""
    if arrays.is_torch(array) and str(array.device) == "cpu" and arrays.number_kind(array) != "other":
        tensor = array.detach()
        return _bits_of(tensor) if _is_bfloat16(array) else tensor.numpy()
    plain = type(array) is np.ndarray and array.dtype.kind in "fiu" and array.dtype.isnative and array.itemsize <= 8
    return array if plain and array.size else None


def _is_bfloat16(array: Any) -> bool:
    return str(array.dtype) == "torch.bfloat16"


def _bits_of(tensor: Any) -> np.ndarray[Any, Any]:
    """Return the bits of a bfloat16 tensor, which NumPy does not know, as integers."""
    return np.asarray(tensor.contiguous().view(sys.modules["torch"].int16).numpy()).view(np.uint16)


def _decoded(uploaded: Any, array: Any) -> Any:
    """Return the float32 values of uploaded bits of bfloat16; other arrays unchanged."""
    if not (arrays.is_torch(array) and _is_bfloat16(array)):
        return uploaded
    return (uploaded.astype(np.uint32) << 16).view(np.float32)
