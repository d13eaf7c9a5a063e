# SPDX-License-Identifier: Apache-2.0
"""Check and time the GPU engine: ``python benchmarks/gpu.py [--quick] [--seconds 540] [--out benchmarks/results]``.

Writes ``<device>.md`` and ``<device>.json`` to the folder after each step, so that an interrupted run keeps its
results; the most telling steps are first. Needs nothing but CuPy and the dependencies of simplugins. With ``--quick``,
takes two minutes at most. With ``--emulated``, runs tiny sizes on the emulator.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from on_gpu import call_tables
from on_gpu.bounds import bandwidth, bounds, product
from on_gpu.checks import accuracy, agreement, check_gpu, environment
from on_gpu.context import Context, Step
from on_gpu.family_problems import family
from on_gpu.first_calls import first_calls
from on_gpu.inputs import FULL, QUICK, TINY, Plan
from on_gpu.peers import PEERS, peer
from on_gpu.searching import search_step, searching
from on_gpu.several_gpus import several
from on_gpu.table import ending, make_table
from on_gpu.throughput import large_run, long_run, throughput
from on_gpu.timing import Budget
from on_gpu.whole_calls import host_times, whole_call
from on_gpu.worker import DONE, SKIPPED, Outcome, Worker
from runs import FOLDER, write_text

from simplugins import BatchOptimal, Greedy, Identity, Matcher, Optimal

Work = Callable[[Context], dict[str, Any]]

SECONDS_TO_OPEN = 60
"""Maximum time to detect a GPU."""

QUICK_SECONDS = 115

LEAST_SECONDS = 5
"""Minimum remaining time to start a step."""

STEP_SHARE = 0.4
"""Maximum share of the total time for one step, in case a CUDA kernel never ends."""


def matchers(plan: Plan) -> tuple[Matcher, ...]:
    """Return the matchings that are checked."""
    return Optimal(), BatchOptimal(window=plan.window), Greedy(), Identity()


def make_steps(plan: Plan) -> dict[Step, Work]:
    """Return the functions of all steps, the most telling first."""
    return {
        Step("environment"): environment,
        **_checks(plan),
        **{
            call_tables.call_step(plan, number, measure): partial(whole_call, case=case, measure=measure)
            for number, case in enumerate(plan.calls)
            for measure in plan.measures
        },
        call_tables.HOST: host_times,
        Step("bandwidth"): bandwidth,
        **{Step("product", None, precision): partial(product, precision=precision) for precision in plan.precisions},
        **{
            Step("throughput", case, precision): partial(throughput, case=case, precision=precision)
            for precision in plan.precisions
            for case in plan.throughput
        },
        **{search_step(case): partial(searching, case=case) for case in plan.searches},
        **{
            call_tables.family_step(key, positions): partial(family, key=key, positions=positions)
            for positions, keys in plan.families.items()
            for key in keys
        },
        **{Step("several GPUs", case): partial(several, case=case) for case in plan.several},
        **{Step("peer", case, name): partial(peer, case=case, module=name) for case in plan.peers for name in PEERS},
        **({Step("first calls"): first_calls} if plan.first_calls else {}),
        **({Step("long run"): long_run} if plan.long_run else {}),
        **({Step("large run"): large_run} if plan.large_run else {}),
    }


def _checks(plan: Plan) -> dict[Step, Work]:
    return {
        **{
            Step("agreement", case, matcher.name): partial(agreement, case=case, matcher=matcher)
            for case in plan.checks
            for matcher in matchers(plan)
        },
        **{
            Step("accuracy", case, precision): partial(accuracy, case=case, precision=precision)
            for case in plan.checks
            for precision in (*plan.precisions, "float64")
        },
    }


def run_steps(plan: Plan, options: argparse.Namespace, worker: Worker, start: float) -> str:
    """Run all steps that time permits, printing and writing results after each; return the table."""
    table, steps = "", dict[str, Any]()
    context = Context(plan, options.emulated, Budget(start + options.seconds), {})
    for step, work in make_steps(plan).items():
        begun = time.time()
        outcome = run_step(worker, work, context, STEP_SHARE * options.seconds)
        key = "found" if outcome.state == DONE else "reason"
        steps[step.name] = {"state": outcome.state, "seconds": time.time() - begun, key: outcome.result}
        if outcome.state == DONE:
            context.results[step.name] = outcome.result
        print(f"{time.time() - start:5.1f} s  {step.name}: {ending(steps[step.name])}", flush=True)
        run = {**describe_run(options, time.time() - start), "steps": steps, "bounds": bounds(context)}
        table = make_table(run, plan, [matcher.name for matcher in matchers(plan)])
        write_run(run, table, options.out)
    return table


def describe_run(options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Return command, date and duration of a run."""
    flags = " --quick" * options.quick + " --emulated" * options.emulated
    command = f"python benchmarks/gpu.py --seconds {options.seconds:g}{flags}"
    date = datetime.now(UTC).date().isoformat()
    return {"command": command, "date": date, "emulated": options.emulated, "seconds": seconds}


def run_step(worker: Worker, work: Work, context: Context, most_seconds: float) -> Outcome:
    """Run a step if time permits."""
    left = context.budget.left()
    if left < LEAST_SECONDS:
        return Outcome(SKIPPED, "no time left")
    return worker.run(work, context, seconds=min(left, most_seconds))


def write_run(run: Mapping[str, Any], table: str, folder: Path) -> None:
    """Write a run's numbers and its table to files named after the device, each of them atomically."""
    device = run["steps"]["environment"].get("found", {"name": "unknown device"})["name"]
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{slug}.json", json.dumps(run, indent=1) + "\n")
    write_text(folder / f"{slug}.md", table)


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, help="time budget of the run (default: 540, or 115 with --quick)")
    parser.add_argument("--quick", action="store_true", help="only the most telling steps, in two minutes")
    parser.add_argument("--out", type=Path, help="folder for the two files (default: benchmarks/results)")
    parser.add_argument("--emulated", action="store_true", help="run on the emulator; needs --out")
    options = parser.parse_args()
    if options.emulated and options.out is None:
        parser.error("--emulated needs --out, because its times are not results")
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else 540)
    options.out = options.out or FOLDER / "results"
    return options


def main() -> None:
    """Run all steps if there is a GPU, and print their table."""
    start, options, worker = time.time(), read_options(), Worker()
    try:
        if not options.emulated:
            usable = worker.run(check_gpu, seconds=SECONDS_TO_OPEN)
            if usable.state != DONE:
                raise SystemExit(usable.result)
        plan = TINY if options.emulated else QUICK if options.quick else FULL
        print("\n" + run_steps(plan, options, worker, start))
    finally:
        worker.stop()


if __name__ == "__main__":
    main()
