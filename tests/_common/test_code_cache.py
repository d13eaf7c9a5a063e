# SPDX-License-Identifier: Apache-2.0
"""The machine code on disk, of a small package that consists of the real `_common` and of two compiled stages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simplugins

INNER = """
from simplugins._common.compiled import compiled_inner

@compiled_inner
def step(x):
    return x + {step}
"""

OUTER = """
from simplugins._common.compiled import compiled
from simplugins.matching.inner_stage import step

@compiled
def run(x):
    return step(x)
"""

CALL = """
import json, tempfile

def refuse(*arguments, **options):
    raise PermissionError("read-only")

if {read_only}:
    tempfile.TemporaryFile = refuse  # Numba's test of a folder
from simplugins.matching.outer import run
print(json.dumps([run(1), sum(run.stats.cache_hits.values()), run.stats.cache_path]))
"""


@pytest.fixture
def package(tmp_path):
    package = tmp_path / "simplugins"
    shutil.copytree(Path(simplugins.__file__).parent / "_common", package / "_common")
    (package / "matching").mkdir()
    for folder in (package, package / "matching"):
        (folder / "__init__.py").touch()
    (package / "matching" / "inner_stage.py").write_text(INNER.format(step=1))
    (package / "matching" / "outer.py").write_text(OUTER)
    return package


def call(package, *, read_only=False, **environment):
    """Return the result of a call in a new process, how often machine code was loaded, and the folder for new one."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", CALL.format(read_only=read_only)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=package.parent)
    return json.loads(done.stdout)


def test_machine_code_is_loaded_by_the_next_process(package):
    first, again = call(package, NUMBA_CACHE_DIR=""), call(package, NUMBA_CACHE_DIR="")
    folder = str(package / "matching" / "__pycache__")
    assert (first, again) == ([2, 0, folder], [2, 1, folder])


def test_machine_code_is_replaced_after_a_change_of_an_inner_stage(package):
    assert call(package)[0] == 2
    (package / "matching" / "inner_stage.py").write_text(INNER.format(step=5))
    assert call(package)[:2] == [6, 0]
    assert call(package)[:2] == [6, 1]


def test_a_read_only_folder_that_was_filled_beforehand_is_used(package, tmp_path):
    for folder in ("", str(tmp_path / "filled")):
        call(package, NUMBA_CACHE_DIR=folder)
        files = sorted(tmp_path.rglob("*.nb?"))
        assert call(package, read_only=True, NUMBA_CACHE_DIR=folder) == [2, 1, None]
        assert sorted(tmp_path.rglob("*.nb?")) == files


def test_machine_code_of_an_older_version_in_a_read_only_folder_is_not_used(package):
    call(package, NUMBA_CACHE_DIR="")
    (package / "matching" / "inner_stage.py").write_text(INNER.format(step=5))
    assert call(package, read_only=True, NUMBA_CACHE_DIR="") == [6, 0, None]


def test_without_a_writable_folder_each_process_compiles_for_itself(package):
    assert call(package, read_only=True) == [2, 0, None]
    assert call(package, read_only=True) == [2, 0, None]
