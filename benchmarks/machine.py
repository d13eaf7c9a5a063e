# SPDX-License-Identifier: Apache-2.0
"""What a benchmark ran on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simplugins._common.threads import usable_cores

PACKAGES = ("simplugins", "numpy", "scipy", "lapx", "numba")


@cache
def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are measured."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def surroundings(threads: int) -> dict[str, Any]:
    """Return what is the same for all benchmarks of a run."""
    return {"threads": threads, "cpu": cpu_model(), "cores": usable_cores(), "versions": versions()}
