# SPDX-License-Identifier: Apache-2.0
"""Which package named repsim is installed: three projects share that name, and pip cannot tell them apart."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from typing import Literal

_MODULES = {"resi": "repsim.measures", "wrongu": "repsim.metrics"}
"""Modules that only one of the projects has."""

_NAMES = {
    "resi": "ReSi (mklabunde/resi)",
    "wrongu": "wrongu/repsim",
    "pypi": "Kisung You's repsim from PyPI",
    "other": "another project's",
}


def installed_repsim() -> str | None:
    """Return which package named repsim would be imported, without importing it.

    Returns
    -------
    {"resi", "wrongu", "pypi", "other"} or None
        mklabunde/resi, wrongu/repsim, Kisung You's on PyPI, or another; None if there is none. A plain folder of that
        name, such as a checkout around the package, does not count.
    """
    spec = find_spec("repsim")
    if spec is None or spec.origin is None:
        return None
    for name, module in _MODULES.items():
        if PathFinder.find_spec(module, spec.submodule_search_locations or []):
            return name
    return "pypi" if _is_by("Kisung You") else "other"


def check_repsim(project: Literal["resi", "wrongu"]) -> str | None:
    """Return why the installed package repsim is not that of a project, or None if it is."""
    installed = installed_repsim()
    if installed == project:
        return None
    if installed is None:
        return f"{_NAMES[project]} is not installed"
    return (
        f"the installed package repsim is {_NAMES[installed]}, not {_NAMES[project]}; both have the same name, so "
        f"they need separate environments"
    )


def _is_by(author: str) -> bool:
    """Return whether the installed distribution repsim is by an author."""
    try:
        fields = metadata("repsim")
    except PackageNotFoundError:
        return False
    return any(author in text for key in ("Author", "Author-email") for text in fields.get_all(key) or ())
