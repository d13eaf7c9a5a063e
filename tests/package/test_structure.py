# SPDX-License-Identifier: Apache-2.0
"""Structure: few entries at the top, unique file names, short files and functions, few files per call."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import simplugins

PACKAGE = Path(simplugins.__file__).parent
ROOT = PACKAGE.parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "adapters").rglob("*.py")])
TOP = sorted(
    entry.name
    for entry in PACKAGE.iterdir()
    if not entry.name.startswith("__") and entry.name != "py.typed" and (entry.suffix == ".py" or entry.is_dir())
)


def test_the_top_of_the_package_has_at_most_15_entries():
    assert len(TOP) <= 15, TOP


def test_the_layers_of_import_linter_name_every_entry():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {module.strip() for layer in layers for module in layer.split("|")}
    assert named == {"simplugins_adapters", *(f"simplugins.{entry.removesuffix('.py')}" for entry in TOP)}


def test_file_names_are_unique():
    names = Counter(path.name for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    tree = ast.parse(text)
    assert {node.name: lines for node in ast.walk(tree) if is_function(node) and (lines := length(node)) > 60} == {}


def is_function(node):
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def length(function):
    """Return the number of lines of a function without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


FILES = """
import json, sys, threading
from pathlib import Path
import numpy as np
import simplugins

files = set()
def note(frame, event, argument):
    files.add(frame.f_code.co_filename)

array = np.random.default_rng(0).normal(size=(6, 5, 4))
simplugins.compute_rsm(array{first})
sys.setprofile(note)
simplugins.compute_rsm(array{second})
sys.setprofile(None)
package = str(Path(simplugins.__file__).parent)
print(json.dumps(sorted(name for name in files if name.startswith(package))))
"""


def files_passed_through(first="", second=""):
    """Return the files of the package of which the second call runs a function in the calling thread."""
    code = FILES.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_plain_call_passes_through_at_most_13_files():
    files = files_passed_through()
    assert len(files) <= 13, files


def test_a_call_with_a_store_passes_through_at_most_18_files(tmp_path):
    first, second = (f", store={str(tmp_path / name)!r}" for name in ("first.zarr", "second.zarr"))
    files = files_passed_through(first, second)
    assert len(files) <= 18, files


def test_comparisons_load_no_engine_executor_recording_or_adapter():
    code = (
        "import sys, numpy as np, simplugins.comparisons\n"
        "simplugins.compare(np.eye(4), np.eye(4) + 1)\n"
        "print('\\n'.join(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "simplugins.comparisons.cka" in loaded
    unwanted = ("simplugins.compute", "simplugins.recording", "simplugins_adapters")
    assert [name for name in loaded if name.startswith(unwanted)] == []
