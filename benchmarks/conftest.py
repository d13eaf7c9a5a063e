# SPDX-License-Identifier: Apache-2.0
"""The option and the fixture that all benchmarks share."""

from __future__ import annotations

import pytest

from simplugins._common.threads import usable_cores

collect_ignore_glob = ["paper/*", "networks.py", "make_demo_data.py"]
"""What needs pretrained networks and photographs, and holds no benchmarks."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--threads``."""
    parser.addoption(
        "--threads", type=int, default=usable_cores(), help="threads a competitor may use (default: all cores)"
    )


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> int:
    """Return how many threads a competitor may use."""
    return int(request.config.getoption("--threads"))
