# SPDX-License-Identifier: Apache-2.0
"""The plugin template of the docs: its wheel is built and installed, and its own tests pass."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

TEMPLATE = Path(__file__).parents[2] / "docs" / "plugin-template"


def run(site, *arguments):
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_tests_pass_once_it_is_installed(template_site, tmp_path):
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", tmp_path]
    assert "8 passed" in run(template_site, "pytest", *options, TEMPLATE / "test_plugins.py")


def test_its_plugins_are_listed(template_site):
    listed = run(template_site, "simplugins", "plugins")
    for name in (
        "pooled-cosine",
        "polynomial",
        "in-order-of-norm",
        "mean-absolute-difference",
        "nested-lists",
        "mean-distance",
    ):
        assert name in listed
    assert "my-plugins 0.1.0" in listed


def test_its_first_measure_has_ten_lines_at_most(third_party):
    measure = import_module("my_plugins.measures").pooled_cosine
    assert len(inspect.getsource(measure).splitlines()) <= 10
