# SPDX-License-Identifier: Apache-2.0
"""The machine and the versions of packages that benchmarks run on."""

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
    """Return the versions of Python and of the packages involved."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def environment(threads: int) -> dict[str, Any]:
    """Return the description shared by all benchmarks of a run."""
    return {"threads": threads, "cpu": cpu_model(), "cores": usable_cores(), "versions": versions()}
