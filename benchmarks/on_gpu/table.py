# SPDX-License-Identifier: Apache-2.0
"""The table of a run on a GPU, as far as the run has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runs import format_ratio

from on_gpu.context import Step
from on_gpu.first_calls import CACHES, START
from on_gpu.inputs import Plan
from on_gpu.peers import OWN, PEER, PEERS
from on_gpu.throughput import AFFINITIES, CPU_ENGINE, FROM_GPU, FROM_NUMPY, MATCHING, PLAIN, READING
from on_gpu.worker import DONE
from simplugins.compute.engines import PRECISIONS

GIB = 2**30
ALL_PRECISIONS = (*PRECISIONS, "float64")

SMALL, SHARE, COUNT = "{:.1e}".format, "{:.1%}".format, "{:,}".format

RUN_COLUMNS = "size", "inputs", "inputs wanted", "pairs", "seconds", "peak of memory, GiB"

Steps = Mapping[str, Mapping[str, Any]]
"""How each step ended, by its name: "state", "seconds", and what was "found", or a "reason" if nothing was."""

Rows = Mapping[str, Sequence[str]]


def make_table(run: Mapping[str, Any], plan: Plan, matchings: Iterable[str]) -> str:
    """Write a run as Markdown."""
    steps: Steps = run["steps"]
    checks, sizes, shared = ([case.name for case in cases] for cases in (plan.checks, plan.throughput, plan.peers))
    sections = [
        [f"# Exact matching on {cell(steps, str, Step('environment'), 'name')}"],
        ["**A CPU played the GPU: no time below means anything.**"] if run["emulated"] else [],
        [cell(steps, environment, Step("environment"))],
        [f"Made by `{run['command']}` in {run['seconds']:.0f} s, {run['date']}. `../README.md` says what is measured."],
        grid("Agreement", checks, agreement(steps, plan, matchings)),
        grid("First calls of a process, in seconds", [f"{cache} cache" for cache in CACHES], calls(steps, plan)),
        grid("Pairs a second", sizes, throughput(steps, plan)),
        grid("Other solvers, on the same affinities", shared, peers(steps, plan)),
        grid("Runs of many inputs", RUN_COLUMNS, runs(steps)),
        grid("What the device allows, in ns a pair", sizes, bounds(run["bounds"], plan)),
        grid("Its ceilings", ["measured"], ceilings(steps)),
        grid("Steps that found nothing", ["why", "seconds"], endings(steps)),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def grid(title: str, columns: Sequence[str], rows: Rows) -> list[str]:
    """Return the lines of a table under its title; none if it has no rows."""
    if not rows:
        return []
    lines = [f"## {title}", "", "| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    return [*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())]


def cell(steps: Steps, write: Callable[[Any], str], step: Step, *path: str) -> str:
    """Write one thing of what a step found, or how it ended if it found nothing."""
    outcome = steps.get(step.name, {"state": ""})
    return entry(write, outcome["found"], *path) if outcome["state"] == DONE else str(outcome["state"])


def entry(write: Callable[[Any], str], found: Any, *path: str) -> str:
    """Write one thing of what was found, or nothing if it is not there."""
    for key in path:
        if key not in found:
            return ""
        found = found[key]
    return write(found)


def endings(steps: Steps) -> Rows:
    """Return how steps ended that found nothing."""
    ended = {name: outcome for name, outcome in steps.items() if outcome["state"] != DONE}
    return {name: [ending(outcome).replace("|", "/"), f"{outcome['seconds']:.1f}"] for name, outcome in ended.items()}


def ending(outcome: Mapping[str, Any]) -> str:
    """Write how a step ended."""
    return f"{outcome['state']}: {outcome['reason']}" if "reason" in outcome else str(outcome["state"])


def three_digits(number: float) -> str:
    """Write a number to three digits.

    Examples
    --------
    >>> three_digits(123456), three_digits(1.2345)
    ('123,000', '1.23')
    """
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def rate(seconds: float) -> str:
    """Write how many there are a second."""
    return three_digits(1 / seconds)


def nanoseconds(seconds: float) -> str:
    """Write nanoseconds."""
    return three_digits(1e9 * seconds)


def environment(found: Mapping[str, Any]) -> str:
    """Write what a run was on."""
    clock = f", {found['clock_mhz']} MHz" if found["clock_mhz"] else ""
    return (
        f"{found['multiprocessors']} multiprocessors{clock}, {found['memory_bytes'] / GIB:.1f} GiB; driver "
        f"{found['driver']} for CUDA {found['cuda_of_driver']}, CUDA {found['cuda']}, CuPy {found['cupy']}. Host: "
        f"{found['cpu']}, {found['cores']} cores; Python {found['python']}, simplugins {found['simplugins']}, NumPy "
        f"{found['numpy']}, SciPy {found['scipy']}, Numba {found['numba']}."
    )


def agreement(steps: Steps, plan: Plan, matchings: Iterable[str]) -> Rows:
    """Return the largest differences, and the largest gaps."""

    def row(kind: str, option: str, what: str) -> list[str]:
        return [cell(steps, SMALL, Step(kind, case, option), what) for case in plan.checks]

    return {
        **{f"{name}: from the CPU engine": row("agreement", name, "difference") for name in matchings},
        **{f"optimal, {p}: from float64": row("accuracy", p, "difference") for p in ALL_PRECISIONS},
        **{f"optimal, {p}: gap left by proofs": row("accuracy", p, "gap") for p in ALL_PRECISIONS},
    }


def calls(steps: Steps, plan: Plan) -> Rows:
    """Return the times of first and second calls."""
    names = [START, *(case.name for case in plan.first_calls)]
    step = Step("first calls")
    return {name: [cell(steps, in_succession, step, cache, name) for cache in CACHES] for name in names}


def in_succession(seconds: Iterable[float]) -> str:
    """Write the times of successive calls."""
    return ", then ".join(map(three_digits, seconds))


def throughput(steps: Steps, plan: Plan) -> Rows:
    """Return pairs a second."""

    def row(write: Callable[[Any], str], precision: str, *path: str) -> list[str]:
        return [cell(steps, write, Step("throughput", case, precision), *path) for case in plan.throughput]

    return {
        "pairs": row(COUNT, PLAIN, "pairs", FROM_NUMPY),
        FROM_NUMPY: row(rate, PLAIN, "seconds_a_pair", FROM_NUMPY),
        **{f"{FROM_GPU}, {p}": row(rate, p, "seconds_a_pair", FROM_GPU) for p in PRECISIONS},
        READING: row(rate, PLAIN, "seconds_a_pair", READING),
        **{f"{AFFINITIES}, {p}": row(rate, p, "seconds_a_pair", AFFINITIES) for p in PRECISIONS},
        MATCHING: row(rate, PLAIN, "seconds_a_pair", MATCHING),
        CPU_ENGINE: row(rate, PLAIN, "seconds_a_pair", CPU_ENGINE),
        f"{FROM_NUMPY}, times as fast as the {CPU_ENGINE}": row(format_ratio, PLAIN, "times_as_fast_as_cpu"),
    }


def peers(steps: Steps, plan: Plan) -> Rows:
    """Return problems a second of each peer and of ours beside it, and how the values differ."""

    def row(write: Callable[[Any], str], module: str, *path: str) -> list[str]:
        return [cell(steps, write, Step("peer", case, module), *path) for case in plan.peers]

    rows = {}
    for module in PEERS:
        rows[f"{module}: version"] = row(str, module, "version")
        rows[f"{module}: problems at a time"] = row(COUNT, module, "problems")
        rows[f"{module}: values differ by"] = row(SMALL, module, "difference")
        rows[f"{module}: problems a second"] = row(rate, module, "seconds_a_problem", PEER)
        rows[f"{module}: {OWN} on the same"] = row(rate, module, "seconds_a_problem", OWN)
        rows[f"{module}: {OWN}, times as fast"] = row(format_ratio, module, "times_as_fast")
    return rows


def runs(steps: Steps) -> Rows:
    """Return what runs of many inputs took."""
    return {
        name: [
            cell(steps, str, Step(name), "case"),
            *(cell(steps, COUNT, Step(name), key) for key in ("inputs", "inputs_wanted", "pairs")),
            cell(steps, three_digits, Step(name), "seconds"),
            cell(steps, memory, Step(name)),
        ]
        for name in ("long run", "large run")
    }


def memory(found: Mapping[str, Any]) -> str:
    """Write how much of a limit was used, if there was one."""
    return (
        f"{three_digits(found['peak'] / GIB)} of {three_digits(found['memory_limit'] / GIB)}" if "peak" in found else ""
    )


def bounds(found: Mapping[str, Any], plan: Plan) -> Rows:
    """Return the least times that the device allows, and how near they were come to."""

    def row(write: Callable[[Any], str], *path: str) -> list[str]:
        return [entry(write, found, case.name, *path) for case in plan.throughput]

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
    """Return what the device reached in a copy and in large products."""
    copy = cell(steps, tera, Step("bandwidth"), "bytes_a_second")
    products = {p: cell(steps, tera, Step("product", None, p), "operations_a_second") for p in PRECISIONS}
    return {"copy, TB/s": [copy], **{f"product in {p}, TFLOP/s": [shown] for p, shown in products.items()}}


def tera(number: float) -> str:
    """Write a number in trillions."""
    return three_digits(number / 1e12)
