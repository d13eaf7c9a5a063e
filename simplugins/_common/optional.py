# SPDX-License-Identifier: Apache-2.0
"""Optional packages: imported only where they are used, with one line that says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say which extra of simplugins brings it.

    Parameters
    ----------
    module : str
        Name of the module to import, such as ``"torch"``.
    extra : str
        The extra of simplugins that installs it.
    purpose : str
        What needs it, in a few words, such as ``"reading .pt files"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the import fails, whatever the cause, which is chained.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {module}, which could not be imported ({error}); "
            f"install it with: pip install 'simplugins[{extra}]'"
        ) from error
