# SPDX-License-Identifier: Apache-2.0
"""Tools that are not on PyPI: a checkout of the tool, if ``--checkout`` names one, or else our double of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

DOUBLES = Path(__file__).parent / "doubles"


def tool_on_path(request, monkeypatch, tool, modules):
    """Make a tool importable for one test; what a fixture yields from.

    Parameters
    ----------
    request, monkeypatch
        The fixtures.
    tool : str
        What ``--checkout`` calls it, and its folder in ``doubles``.
    modules : sequence of str
        What is imported anew, with all that is below: first the tool's package, then what holds classes of it, such as
        ``simplugins_adapters.subclasses.netrep``.

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
    given = dict(option.partition("=")[::2] for option in config.getoption("--checkout"))
    return Path(given[tool]).resolve() if tool in given else None


def _importable(checkout, package):
    """Return the folder of a checkout that its package is imported from."""
    for folder in (checkout / "src", checkout):
        if (folder / package).is_dir():
            return folder
    raise pytest.UsageError(f"--checkout: {checkout} holds no package {package}, nor does its folder src")


def _forget(modules):
    """Remove modules, and all that is below them, from those that are imported."""
    for name in [*sys.modules]:
        if any(name == module or name.startswith(f"{module}.") for module in modules):
            del sys.modules[name]
            package, _, child = name.rpartition(".")
            if package in sys.modules:
                vars(sys.modules[package]).pop(child, None)
