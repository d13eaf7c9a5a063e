# SPDX-License-Identifier: Apache-2.0
"""The option and the fixture shared by all benchmarks."""

from __future__ import annotations

import pytest

from simplugins._common.threads import usable_cores

collect_ignore_glob = ["paper/*", "measures/*", "networks.py", "make_demo_data.py"]
"""Modules without benchmarks, which need networks and photographs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--threads``."""
    parser.addoption(
        "--threads", type=int, default=usable_cores(), help="threads a competitor may use (default: all cores)"
    )


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> int:
    """Return the number of threads that a competitor may use."""
    return int(request.config.getoption("--threads"))
