# SPDX-License-Identifier: Apache-2.0
"""The Markdown table of a complete or partial run on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runs import format_ratio

from on_gpu import call_tables
from on_gpu.cells import COUNT, SHARE, SMALL, Rows, Steps, cell, entry, grid, nanoseconds, rate, three_digits
from on_gpu.context import Step
from on_gpu.first_calls import CACHES, START
from on_gpu.inputs import Plan
from on_gpu.peers import OURS, PEER, PEERS
from on_gpu.searching import searches
from on_gpu.throughput import AFFINITIES, CPU_ENGINE, FROM_GPU, FROM_NUMPY, MATCHING, PLAIN, READING, TWO_LANES
from on_gpu.worker import DONE
from simplugins.compute.engines import PRECISIONS

GIB = 2**30
ALL_PRECISIONS = (*PRECISIONS, "float64")

CACHE_COLUMNS = [f"{cache} cache" for cache in CACHES]
SEVERAL_COLUMNS = "inputs", "seconds by number of GPUs", "times as fast", "equal results"
RUN_COLUMNS = "size", "inputs", "inputs requested", "pairs", "seconds", "peak of memory, GiB"


def make_table(run: Mapping[str, Any], plan: Plan, matchings: Iterable[str]) -> str:
    """Format a run as Markdown."""
    steps: Steps = run["steps"]
    checks, sizes, shared = ([case.name for case in cases] for cases in (plan.checks, plan.throughput, plan.peers))
    sections = [
        [f"# Optimal matching on {cell(steps, str, Step('environment'), 'name')}"],
        ["**Run on the emulator: all times are meaningless.**"] if run["emulated"] else [],
        [cell(steps, environment, Step("environment"))],
        [
            f"Made by `{run['command']}` in {run['seconds']:.0f} s, {run['date']}. `../README.md` explains the "
            f"measurements."
        ],
        grid("Agreement", checks, agreement(steps, plan, matchings)),
        grid("First calls of a process, in seconds", CACHE_COLUMNS, calls(steps, plan)),
        grid("Whole calls of compute_rsm", call_tables.call_columns(plan), call_tables.whole_calls(steps, plan)),
        grid("Pairs per second", sizes, throughput(steps, plan)),
        grid("Exact search", [case.name for case in plan.searches], searches(steps, plan)),
        grid("Families of affinities", call_tables.family_columns(plan), call_tables.families(steps, plan)),
        grid("Several GPUs, in seconds", SEVERAL_COLUMNS, call_tables.several_gpus(steps, plan)),
        grid("Other solvers, on the same affinities", shared, peers(steps, plan)),
        grid("Runs of many inputs", RUN_COLUMNS, runs(steps)),
        grid("Limits of the device, in ns per pair", sizes, bounds(run["bounds"], plan)),
        grid("Ceilings of the device", ["measured"], ceilings(steps)),
        grid("Steps without results", ["why", "seconds"], endings(steps)),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def endings(steps: Steps) -> Rows:
    """Return the steps without results."""
    ended = {name: outcome for name, outcome in steps.items() if outcome["state"] != DONE}
    return {name: [ending(outcome).replace("|", "/"), f"{outcome['seconds']:.1f}"] for name, outcome in ended.items()}


def ending(outcome: Mapping[str, Any]) -> str:
    """Format how a step ended."""
    return f"{outcome['state']}: {outcome['reason']}" if "reason" in outcome else str(outcome["state"])


def environment(info: Mapping[str, Any]) -> str:
    """Format hardware and versions."""
    clock = f", {info['clock_mhz']} MHz" if info["clock_mhz"] else ""
    return (
        f"{info['multiprocessors']} multiprocessors{clock}, {info['memory_bytes'] / GIB:.1f} GiB; driver "
        f"{info['driver']} for CUDA {info['cuda_of_driver']}, CUDA {info['cuda']}, CuPy {info['cupy']}. Host: "
        f"{info['cpu']}, {info['cores']} cores; Python {info['python']}, simplugins {info['simplugins']}, NumPy "
        f"{info['numpy']}, SciPy {info['scipy']}, Numba {info['numba']}."
    )


def agreement(steps: Steps, plan: Plan, matchings: Iterable[str]) -> Rows:
    """Return the largest differences and gaps."""

    def row(kind: str, option: str, key: str) -> list[str]:
        return [cell(steps, SMALL, Step(kind, case, option), key) for case in plan.checks]

    return {
        **{f"{name}: difference from the CPU engine": row("agreement", name, "difference") for name in matchings},
        **{f"optimal, {p}: difference from float64": row("accuracy", p, "difference") for p in ALL_PRECISIONS},
        **{f"optimal, {p}: certified gap": row("accuracy", p, "gap") for p in ALL_PRECISIONS},
    }


def calls(steps: Steps, plan: Plan) -> Rows:
    """Return the times of first and second calls."""
    names = [START, *(case.name for case in plan.first_calls)]
    step = Step("first calls")
    return {name: [cell(steps, in_succession, step, cache, name) for cache in CACHES] for name in names}


def in_succession(seconds: Iterable[float]) -> str:
    """Format the times of successive calls."""
    return ", then ".join(map(three_digits, seconds))


def throughput(steps: Steps, plan: Plan) -> Rows:
    """Return pairs per second."""

    def row(text: Callable[[Any], str], precision: str, *path: str) -> list[str]:
        return [cell(steps, text, Step("throughput", case, precision), *path) for case in plan.throughput]

    return {
        "pairs": row(COUNT, PLAIN, "pairs", FROM_NUMPY),
        FROM_NUMPY: row(rate, PLAIN, "seconds_a_pair", FROM_NUMPY),
        **{f"{FROM_GPU}, {p}": row(rate, p, "seconds_a_pair", FROM_GPU) for p in PRECISIONS},
        **{f"{TWO_LANES}, {p}": row(rate, p, "seconds_a_pair", TWO_LANES) for p in PRECISIONS},
        READING: row(rate, PLAIN, "seconds_a_pair", READING),
        **{f"{AFFINITIES}, {p}": row(rate, p, "seconds_a_pair", AFFINITIES) for p in PRECISIONS},
        MATCHING: row(rate, PLAIN, "seconds_a_pair", MATCHING),
        CPU_ENGINE: row(rate, PLAIN, "seconds_a_pair", CPU_ENGINE),
        f"{FROM_NUMPY}, times as fast as the {CPU_ENGINE}": row(format_ratio, PLAIN, "times_as_fast_as_cpu"),
    }


def peers(steps: Steps, plan: Plan) -> Rows:
    """Return problems per second of each peer and of ours, and the differences of values."""

    def row(text: Callable[[Any], str], module: str, *path: str) -> list[str]:
        return [cell(steps, text, Step("peer", case, module), *path) for case in plan.peers]

    rows = {}
    for module in PEERS:
        rows[f"{module}: version"] = row(str, module, "version")
        rows[f"{module}: problems per batch"] = row(COUNT, module, "problems")
        rows[f"{module}: difference of values"] = row(SMALL, module, "difference")
        rows[f"{module}: problems per second"] = row(rate, module, "seconds_a_problem", PEER)
        rows[f"{module}: {OURS} on the same problems"] = row(rate, module, "seconds_a_problem", OURS)
        rows[f"{module}: {OURS}, times as fast"] = row(format_ratio, module, "times_as_fast")
    return rows


def runs(steps: Steps) -> Rows:
    """Return the times of runs of many inputs."""
    return {
        name: [
            cell(steps, str, Step(name), "case"),
            *(cell(steps, COUNT, Step(name), key) for key in ("inputs", "inputs_wanted", "pairs")),
            cell(steps, three_digits, Step(name), "seconds"),
            cell(steps, memory, Step(name)),
        ]
        for name in ("long run", "large run")
    }


def memory(run: Mapping[str, Any]) -> str:
    """Format the peak of memory and its limit, if there was one."""
    return f"{three_digits(run['peak'] / GIB)} of {three_digits(run['memory_limit'] / GIB)}" if "peak" in run else ""


def bounds(bounds_by_case: Mapping[str, Any], plan: Plan) -> Rows:
    """Return the minimum times that the device allows, and the shares reached."""

    def row(text: Callable[[Any], str], *path: str) -> list[str]:
        return [entry(text, bounds_by_case, case.name, *path) for case in plan.throughput]

    rows = {}
    for p in PRECISIONS:
        rows[f"affinities, {p}: to compute"] = row(nanoseconds, p, "computing")
        rows[f"affinities, {p}: to write"] = row(nanoseconds, p, "writing")
        rows[f"affinities, {p}: reached"] = row(SHARE, p, "reached")
    return {
        **rows,
        "matching: row visits": row(COUNT, MATCHING, "row_visits"),
        "matching: bytes": row(COUNT, MATCHING, "bytes"),
        "matching: to read": row(nanoseconds, MATCHING, "reading"),
        "matching: reached": row(SHARE, MATCHING, "reached"),
    }


def ceilings(steps: Steps) -> Rows:
    """Return the rates of a copy and of large products."""
    copy = cell(steps, tera, Step("bandwidth"), "bytes_a_second")
    products = {p: cell(steps, tera, Step("product", None, p), "operations_a_second") for p in PRECISIONS}
    return {"copy, TB/s": [copy], **{f"product in {p}, TFLOP/s": [shown] for p, shown in products.items()}}


def tera(number: float) -> str:
    """Format a number in trillions."""
    return three_digits(number / 1e12)
