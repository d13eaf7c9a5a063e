# SPDX-License-Identifier: Apache-2.0
"""Brain-Score needs an environment of its own, which run.sh makes; elsewhere its tests are not collected."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("brainscore_vision") else ["test_brain_score.py"]


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore:xarray subclass Score should:FutureWarning")  # as it is imported
