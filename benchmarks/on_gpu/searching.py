# SPDX-License-Identifier: Apache-2.0
"""The step that times exact search, and its section of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from runs import ratio

import simplugins
from on_gpu.cells import COUNT, SHARE, SMALL, Rows, Steps, cell, rate
from on_gpu.checks import DisagreementError
from on_gpu.context import Context, Step
from on_gpu.inputs import Case, Plan, load
from on_gpu.timing import take_turns, timed
from on_gpu.whole_calls import FLOAT32, ON_GPU, on_gpu
from simplugins.compute.affinities import ROUNDING
from simplugins.evaluation.searching.neighbours import Neighbours

CPU, ALL_PAIRS = "CPU", "all pairs, on the GPU"


def searching(context: Context, case: Case) -> dict[str, Any]:
    """Time a search on the GPU, one on the CPU with fewer queries, and all pairs on the GPU; first check the former.

    The first inputs of the case are the queries, the others the gallery.
    """
    plan, gpu, vectors = context.plan, context.gpu, load(case)
    queries, few, gallery = vectors[: plan.queries], vectors[: case.cpu_inputs], vectors[plan.queries :]
    with gpu.device as device, gpu.engine():
        array, _ = on_gpu(device, case, context.emulated)
        moved = array[: plan.queries], array[plan.queries :]
        works: dict[str, Callable[[], Any]] = {
            ON_GPU: partial(_search, *moved, plan.neighbours, "cuda"),
            FLOAT32: partial(_search, queries, gallery, plan.neighbours, "cuda"),
            CPU: partial(_search, few, gallery, plan.neighbours, "cpu"),
        }
        found = {name: work() for name, work in works.items()}
        checked = [compare(found[name], found[CPU]) for name in (ON_GPU, FLOAT32)]
        works[ALL_PAIRS] = partial(simplugins.compute_rsm, moved[0], other=moved[1], engine="cuda")
        turns = take_turns({name: timed(gpu, work) for name, work in works.items()}, context.budget)
    numbers = {name: len(few if name == CPU else queries) for name in works}
    seconds = {name: [turn / numbers[name] for turn in of_work] for name, of_work in turns.items()}
    return {
        "gallery": len(gallery),
        "queries": numbers,
        "k": plan.neighbours,
        "rounds": len(turns[CPU]),
        "precision": found[ON_GPU].metadata["precision"],
        "formed": {name: result.share_formed for name, result in found.items()},
        "solved": {name: result.share_solved for name, result in found.items()},
        **{key: worst(result[key] for result in checked) for key, worst in (("difference", max), ("equal", min))},
        "seconds_a_query": {name: median(of_work) for name, of_work in seconds.items()},
        "times_as_fast_as_cpu": ratio(seconds[CPU], seconds[FLOAT32]),
        "times_as_fast_as_all_pairs": ratio(seconds[ALL_PAIRS], seconds[ON_GPU]),
    }


def _search(queries: Any, gallery: Any, k: int, engine: str) -> Neighbours:
    return simplugins.search(queries, other=gallery, k=k, engine=engine)


def compare(found: Neighbours, expected: Neighbours) -> dict[str, float]:
    """Return the largest difference of cosines from those of the CPU, and the share of equal neighbours.

    Raises
    ------
    DisagreementError
        If cosines differ by more than rounding.
    """
    count = len(expected.indices)
    difference = float(np.abs(found.similarities[:count] - expected.similarities).max())
    allowed = 2 * ROUNDING[np.dtype(expected.metadata["dtype"])]
    if not difference <= allowed:
        raise DisagreementError(f"cosines of neighbours differ by {difference:.2g}, more than {allowed:.2g}")
    return {"difference": difference, "equal": float((found.indices[:count] == expected.indices).mean())}


def search_step(case: Case) -> Step:
    """Return the step of a search."""
    return Step("search", case)


def searches(steps: Steps, plan: Plan) -> Rows:
    """Return queries and pairs per second, the shares of pairs that are computed, and the agreement with the CPU."""

    def row(text: Callable[[Any], str], *path: str) -> list[str]:
        return [cell(steps, text, search_step(case), *path) for case in plan.searches]

    names = ON_GPU, FLOAT32, CPU
    return {
        "inputs in the gallery": row(COUNT, "gallery"),
        **{f"{name}: queries per second": row(rate, "seconds_a_query", name) for name in (*names, ALL_PAIRS)},
        **{f"{name}: affinities of pairs": row(SHARE, "formed", name) for name in (ON_GPU, CPU)},
        **{f"{name}: matched pairs": row(SHARE, "solved", name) for name in (ON_GPU, CPU)},
        "difference of cosines from the CPU": row(SMALL, "difference"),
        "neighbours equal to those of the CPU": row(SHARE, "equal"),
    }
