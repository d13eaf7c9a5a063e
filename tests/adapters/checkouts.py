# SPDX-License-Identifier: Apache-2.0
"""Tools that are not on PyPI: the checkout that ``--checkout`` names, otherwise our double of the tool."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

DOUBLES = Path(__file__).parent / "doubles"


def tool_on_path(request, monkeypatch, tool, modules):
    """Make a tool importable for one test; a generator for fixtures.

    Parameters
    ----------
    request, monkeypatch
        The fixtures.
    tool : str
        Its name for ``--checkout``, and its folder in ``doubles``.
    modules : sequence of str
        Modules to import afresh, with their submodules: first the tool's package, then modules with subclasses of its
        classes, such as ``simplugins_adapters.subclasses.netrep_metric``.

    Yields
    ------
    bool
        Whether it is the tool itself.
    """
    checkout = _checkout(request.config, tool)
    folder = DOUBLES / tool if checkout is None else _importable(checkout, modules[0])
    monkeypatch.syspath_prepend(str(folder))
    _forget(modules)
    importlib.invalidate_caches()
    yield checkout is not None
    _forget(modules)


def _checkout(config, tool):
    """Return the folder that ``--checkout`` gives for a tool, or None."""
    paths = dict(option.partition("=")[::2] for option in config.getoption("--checkout"))
    return Path(paths[tool]).resolve() if tool in paths else None


def _importable(checkout, package):
    """Return the folder of a checkout from which its package is imported."""
    for folder in (checkout / "src", checkout):
        if (folder / package).is_dir():
            return folder
    raise pytest.UsageError(f"--checkout: {checkout} holds no package {package}, nor does its folder src")


def _forget(modules):
    """Remove modules and their submodules from the imported ones."""
    for name in [*sys.modules]:
        if any(name == module or name.startswith(f"{module}.") for module in modules):
            del sys.modules[name]
            package, _, child = name.rpartition(".")
            if package in sys.modules:
                vars(sys.modules[package]).pop(child, None)
