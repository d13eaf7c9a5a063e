# SPDX-License-Identifier: Apache-2.0
"""Creation of plugin instances from options, with helpful errors for unknown options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def instantiate(cls: type, description: str, options: Mapping[str, Any]) -> Any:
    """Create an instance of a class from options, which are the parameters of its constructor.

    Parameters
    ----------
    cls : type
    description : str
        The class in error messages, such as ``"method 'cka'"``.
    options : mapping
        Values by name.

    Raises
    ------
    TypeError
        If the class has no option of that name (the error suggests the nearest one), or cannot be created.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Overlap:
    ...     power: float = 1.0
    >>> instantiate(Overlap, "method 'overlap'", {"powr": 2.0})
    Traceback (most recent call last):
    TypeError: method 'overlap' has no option 'powr' (its options: power); did you mean 'power'?
    """
    parameters = _parameters(cls)
    for option in options:
        if parameters is not None and option not in parameters:
            nearest = get_close_matches(option, parameters, 1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            known = ", ".join(parameters) or "none"
            raise TypeError(f"{description} has no option {option!r} (its options: {known}){hint}")
    try:
        return cls(**options)
    except TypeError as error:
        raise TypeError(f"{description} could not be created: {error}") from error


def _parameters(cls: type) -> list[str] | None:
    """Return the names of a class's parameters; None if it accepts any, or has no signature."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
