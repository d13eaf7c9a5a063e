# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wheels import build_project, pip_install

from simplugins import plugins

TEMPLATE = Path(__file__).parents[2] / "docs" / "plugin-template"


@pytest.fixture(scope="session")
def template_site(tmp_path_factory):
    """A folder into which the wheel of the plugin template is installed."""
    folder = tmp_path_factory.mktemp("template")
    subprocess.run(pip_install(folder / "site", build_project(TEMPLATE, folder)), check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def third_party(template_site):
    """The distribution of the plugin template, installed for this module's tests."""
    sys.path.insert(0, str(template_site))
    plugins.refresh()
    yield
    sys.path.remove(str(template_site))
    plugins.refresh()
