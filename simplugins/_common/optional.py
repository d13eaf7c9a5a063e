# SPDX-License-Identifier: Apache-2.0
"""Imports of optional packages, with an error that names the extra to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or raise an error that names the extra to install.

    Parameters
    ----------
    module : str
        Name of the module to import, such as ``"torch"``.
    extra : str
        The extra of simplugins that installs it.
    purpose : str
        The feature that needs it, such as ``"reading .pt files"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the import fails for any reason; the cause is chained.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {module}, which could not be imported ({error}); "
            f"install it with: pip install 'simplugins[{extra}]'"
        ) from error
