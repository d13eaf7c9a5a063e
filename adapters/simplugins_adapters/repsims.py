# SPDX-License-Identifier: Apache-2.0
"""Which of the packages named repsim is installed: three projects import under that name, and pip confuses them."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from typing import Literal

_OWN_MODULES = {"resi": "repsim.measures", "wrongu": "repsim.metrics"}
"""What only one of them has."""

_NAMES = {
    "resi": "ReSi (mklabunde/resi)",
    "wrongu": "wrongu/repsim",
    "pypi": "Kisung You's repsim, the one on PyPI",
    "other": "of another project",
}


def which_repsim() -> str | None:
    """Tell which package named repsim would be imported, without importing it.

    Returns
    -------
    {"resi", "wrongu", "pypi", "other"} or None
        mklabunde/resi, wrongu/repsim, Kisung You's on PyPI, another; None if there is none. A mere folder of that name,
        such as a checkout around the package, is none.
    """
    found = find_spec("repsim")
    if found is None or found.origin is None:
        return None
    for name, module in _OWN_MODULES.items():
        if PathFinder.find_spec(module, found.submodule_search_locations or []):
            return name
    return "pypi" if _is_by("Kisung You") else "other"


def check(wanted: Literal["resi", "wrongu"]) -> str | None:
    """Return why the installed package repsim is not the one wanted, or None."""
    found = which_repsim()
    if found == wanted:
        return None
    if found is None:
        return f"{_NAMES[wanted]} is not installed"
    return (
        f"the package repsim that is installed is {_NAMES[found]}, not {_NAMES[wanted]}; both have the same name, so "
        f"they need environments of their own"
    )


def _is_by(author: str) -> bool:
    """Tell whether the installed distribution repsim is by an author."""
    try:
        told = metadata("repsim")
    except PackageNotFoundError:
        return False
    return any(author in text for key in ("Author", "Author-email") for text in told.get_all(key) or ())
