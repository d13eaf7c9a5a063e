# SPDX-License-Identifier: Apache-2.0
"""The step that times a matrix that all GPUs of the machine share."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

import numpy as np

from on_gpu.context import Context
from on_gpu.inputs import Case, count_pairs, load
from on_gpu.timing import SkippedError, take_turns, timed
from simplugins import Activations, Optimal
from simplugins.compute.engines.cuda.several_devices import aligned_products_on_all


def several(context: Context, case: Case) -> dict[str, Any]:
    """Time matching on one GPU, on two, on four, and so on, and on all, from a NumPy array, in turns."""
    devices = context.gpu.all_devices()
    if len(devices) < 2:
        raise SkippedError("there is one GPU")
    counts = sorted({2**k for k in range(len(devices).bit_length())} | {len(devices)})
    vectors = load(case)
    compute = {str(count): partial(_match, vectors, devices[:count]) for count in counts if count <= len(devices)}
    first, *others = (work().values for work in compute.values())
    turns = take_turns({name: timed(context.gpu, work) for name, work in compute.items()}, context.budget)
    return {
        "inputs": case.inputs,
        "pairs": count_pairs(case.inputs),
        "equal": all(np.array_equal(first, other) for other in others),
        "seconds": {name: median(seconds) for name, seconds in turns.items()},
    }


def _match(vectors: Any, devices: Any) -> Any:
    return aligned_products_on_all(Activations.from_array(vectors), None, Optimal(), devices=devices)
