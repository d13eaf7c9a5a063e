# SPDX-License-Identifier: Apache-2.0
"""The sections of the table on whole calls, families of affinities, and several GPUs."""

from __future__ import annotations

from on_gpu.cells import SMALL, Rows, Steps, cell, rate, three_digits
from on_gpu.context import Step
from on_gpu.inputs import Plan
from on_gpu.whole_calls import SOURCES
from on_gpu.worker import DONE

HOST = Step("host")


def call_columns(plan: Plan) -> list[str]:
    """Return the columns of whole calls."""
    return [f"N = {case.inputs:,}: {text}" for case in plan.calls for text in ("seconds", "pairs per second", "host")]


def whole_calls(steps: Steps, plan: Plan) -> Rows:
    """Return the seconds of whole calls, the rates, and the host's share: its time if the GPU took none."""
    return {
        f"{measure}, {source}": [
            text for number in range(len(plan.calls)) for text in _call(steps, plan, number, measure, source)
        ]
        for measure in plan.measures
        for source in SOURCES
    }


def _call(steps: Steps, plan: Plan, number: int, measure: str, source: str) -> list[str]:
    case = plan.calls[number]
    step = call_step(plan, number, measure)
    seconds = cell(steps, three_digits, step, "seconds", source)
    outcome = steps.get(step.name, {"state": ""})
    if outcome["state"] != DONE:
        return [seconds, "", ""]
    result = outcome["found"]
    total = result["seconds"][source]
    host = cell(steps, lambda used: f"{used / total:.0%}", HOST, str(case.inputs), measure, source)
    return [seconds, rate(total / result["pairs"]), host]


def call_step(plan: Plan, number: int, measure: str) -> Step:
    """Return the step of whole calls of a case."""
    return Step("whole call", None, f"{measure}, N = {plan.calls[number].inputs:,}")


def family_step(key: str, positions: int) -> Step:
    """Return the step of a family of affinities."""
    return Step("family", None, f"{key}, S = {positions}")


def families(steps: Steps, plan: Plan) -> Rows:
    """Return problems per second by family and size, with the share that is solved again, and the largest gap."""
    keys = dict.fromkeys(key for names in plan.families.values() for key in names)
    return {
        key: [
            text
            for positions in plan.families
            for text in (
                cell(steps, rate, family_step(key, positions), "seconds_a_problem"),
                cell(steps, "{:.0%}".format, family_step(key, positions), "again"),
                cell(steps, SMALL, family_step(key, positions), "gap"),
            )
        ]
        for key in keys
    }


def family_columns(plan: Plan) -> list[str]:
    """Return the columns of families."""
    return [f"S = {size}{text}" for size in plan.families for text in ("", ": again", ": gap")]


def several_gpus(steps: Steps, plan: Plan) -> Rows:
    """Return the seconds on one GPU and on several, and whether results are equal."""
    rows = {}
    for case in plan.several:
        outcome = steps.get(Step("several GPUs", case).name, {"state": ""})
        if outcome["state"] != DONE:
            continue
        result = outcome["found"]
        seconds = ", ".join(f"{count}: {three_digits(used)}" for count, used in result["seconds"].items())
        first, *_, last = result["seconds"].values()
        rows[case.name] = [f"{result['inputs']:,}", seconds, f"{first / last:.2f}", "yes" if result["equal"] else "NO"]
    return rows
