# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of kernels.cu as programs, which test the emulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emulation.device import EmulatedDevice

SOURCE = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
INTEGERS = {"int": np.int32, "uint32": np.uint32, "uint64": np.uint64}
NUMBERS = INTEGERS | {"int64": np.int64, "float": np.float32, "double": np.float64}


@dataclass(frozen=True)
class Program:
    source: str
    functions: tuple[str, ...]


def program(*functions: str, definitions: str = "") -> Program:
    return Program(f'{definitions}\n#line 1 "kernels.cu"\n{SOURCE}', functions)


KERNELS = program(
    *("block_sums", "lasts", "block_votes", "votes", "parts_of_warp", "absent_lane", "bits", "casts", "vectors"),
    *("roundings_float", "roundings_double", "atomic_sums", "arrivals", "spin", "leavers", "assumption"),
    *("deadlock", "divergent_warp", "divergent_masks", "divergent_barriers", "lane_not_in_mask", "odd_width"),
    *("write_shared", "write_global", "find_in_shared", "read_shared", "read_static", "copy_global"),
    *(f"atomics_{name}" for name in INTEGERS),
    *(f"shuffles_{name}" for name in NUMBERS),
)
REDUCTIONS = program("reductions_int", "reductions_uint32")


def outputs(device: EmulatedDevice, dtype: DTypeLike, count: int, size: int) -> list[NDArray[Any]]:
    return [device.empty(size, dtype) for _ in range(count)]
