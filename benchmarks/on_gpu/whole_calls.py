# SPDX-License-Identifier: Apache-2.0
"""Steps that time whole calls of `compute_rsm`, and what the host does in them; as a script, the latter's process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from host_share import host_seconds
from runs import FOLDER

import simplugins
from on_gpu.context import Context
from on_gpu.inputs import FULL, QUICK, TINY, Case, Plan, count_pairs, load
from on_gpu.timing import Timed, take_turns, timed

FLOAT32, FLOAT16, ON_GPU = "NumPy float32", "NumPy float16", "on the GPU"
SOURCES = ON_GPU, FLOAT32, FLOAT16
PLANS: Mapping[str, Plan] = {"full": FULL, "quick": QUICK, "tiny": TINY}
MOST_SECONDS = 90
ROUNDS = 4


@cache
def half(case: Case) -> Any:
    """Return the activations of a case in float16."""
    return load(case).astype(np.float16)


def whole_call(context: Context, case: Case, measure: str) -> dict[str, Any]:
    """Time `compute_rsm` from arrays on the GPU (Torch's, if there is Torch) and from NumPy arrays, in turns."""
    gpu = context.gpu
    with gpu.device as device, gpu.engine():
        array_on_gpu, library = on_gpu(device, case, context.emulated)
        arrays: dict[str, Callable[[], Any]] = {
            ON_GPU: lambda: array_on_gpu,
            FLOAT32: partial(load, case),
            FLOAT16: partial(half, case),
        }
        works: dict[str, Timed] = {
            source: timed(gpu, partial(_compute, array(), measure)) for source, array in arrays.items()
        }
        turns = take_turns(works, context.budget)
    return {
        "inputs": case.inputs,
        "pairs": count_pairs(case.inputs),
        "library": library,
        "rounds": len(turns[ON_GPU]),
        "seconds": {source: median(seconds) for source, seconds in turns.items()},
    }


def _compute(array: Any, measure: str) -> Any:
    return simplugins.compute_rsm(array, measure, engine="cuda")


def on_gpu(device: Any, case: Case, emulated: bool) -> tuple[Any, str]:
    """Return the activations on the GPU, and the library of the array."""
    if find_spec("torch") is None:
        return device.upload(load(case)), "NumPy, emulated" if emulated else "CuPy"
    tensor = import_module("torch").from_numpy(load(case))
    return (tensor, "Torch, emulated") if emulated else (tensor.cuda(device.ordinal), "Torch")


def host_times(context: Context) -> dict[str, Any]:
    """Time the same calls in a fresh process, with a GPU that does nothing: seconds by case, measure and source."""
    plan = next(name for name, plan in PLANS.items() if plan == context.plan)
    command = [sys.executable, "-m", "on_gpu.whole_calls", plan]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    seconds: dict[str, Any] = json.loads(done.stdout)
    return seconds


def time_hosts(plan: Plan) -> dict[str, dict[str, dict[str, float]]]:
    """Time all calls of a plan with a GPU that does nothing."""
    return {
        str(case.inputs): {
            measure: dict(zip(SOURCES, _seconds_of(case, measure), strict=True)) for measure in plan.measures
        }
        for case in plan.calls
    }


def _seconds_of(case: Case, measure: str) -> list[float]:
    from emulation.null_device import NullArray  # found through host_share

    arrays = NullArray(load(case).shape, np.float32), load(case), half(case)
    return [host_seconds(array, measure, clock=time.perf_counter, rounds=ROUNDS)[0] for array in arrays]


if __name__ == "__main__":
    print(json.dumps(time_hosts(PLANS[sys.argv[1]])))
