# SPDX-License-Identifier: Apache-2.0
"""The step that times first calls; as a script, the process that makes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from runs import FOLDER

from on_gpu.context import Context, match_on_gpu
from on_gpu.device import Gpu, open_gpu
from on_gpu.inputs import FULL, TINY, load
from on_gpu.timing import timed

CACHES = "empty", "filled"
START = "device and cuBLAS"
EMULATED = "--emulated"
MOST_SECONDS = 60


def first_calls(context: Context) -> dict[str, Any]:
    """Time calls in fresh processes, with an empty and with a filled cache of compiled CUDA kernels."""
    with tempfile.TemporaryDirectory() as folder:
        return {cache: _in_fresh_process(context, folder) for cache in CACHES}


def _in_fresh_process(context: Context, cache_folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "on_gpu.first_calls", *([EMULATED] if context.emulated else [])]
    environment = {**os.environ, "CUPY_CACHE_DIR": cache_folder}
    options: dict[str, Any] = {"cwd": FOLDER, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, timeout=MOST_SECONDS, check=False, **options)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    seconds: dict[str, Any] = json.loads(done.stdout)
    return seconds


def time_calls(emulated: bool) -> Mapping[str, list[float]]:
    """Time the initialisation of a process, and the first and second call at each size."""
    gpu, plan = open_gpu(emulated), TINY if emulated else FULL
    seconds = {START: [timed(gpu, partial(_start, gpu))()]}
    for case in plan.first_calls:
        call = timed(gpu, partial(match_on_gpu, gpu, load(case)))
        seconds[case.name] = [call(), call()]
    return seconds


def _start(gpu: Gpu) -> None:
    """Initialise the device and cuBLAS by a small product."""
    with gpu.device as device:
        unit = device.upload(np.eye(32, dtype=np.float32))
        device.multiply(unit, unit, device.empty(unit.shape, unit.dtype), "float32")


if __name__ == "__main__":
    print(json.dumps(time_calls(EMULATED in sys.argv)))
