# SPDX-License-Identifier: Apache-2.0
"""Tests of comparisons use random matrices, whose biased CKA is near chance; test_chance.py tests the warning."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:.*expected by chance:RuntimeWarning"))
