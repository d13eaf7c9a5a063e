# SPDX-License-Identifier: Apache-2.0
"""Plugin objects: errors that name them, checks of the arrays they return, and their settings."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.arrays import is_torch, small_numpy
from simplugins._common.validation import error_prefix


@contextmanager
def calling(plugin: str) -> Iterator[None]:
    """Name a plugin in the errors that it raises: as a prefix of a ValueError or TypeError, else in a note.

    Examples
    --------
    >>> with calling("measure 'mine'"):
    ...     np.ones(2) @ np.ones(3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: measure 'mine': matmul: Input operand 1 has a mismatch in its core dimension 0...
    """
    try:
        with error_prefix(plugin):
            yield
    except (ValueError, TypeError):
        raise
    except Exception as error:
        error.add_note(f"raised by {plugin}")
        raise


def returned_array(value: Any, plugin: str, expected: str) -> NDArray[Any]:
    """Convert the array that a plugin returned, from any library, to a NumPy array of booleans or real numbers.

    Parameters
    ----------
    value : array
        A NumPy, Torch or CuPy array, a number, or nested lists of numbers.
    plugin, expected : str
        Used in errors, for example "measure 'mine'" and "real numbers".

    Raises
    ------
    TypeError
        If the value is not such an array, or has masked values.

    Examples
    --------
    >>> returned_array((row for row in np.eye(2)), "measure 'mine'", "real numbers")
    Traceback (most recent call last):
    TypeError: measure 'mine' must return real numbers, got generator
    """
    got = type(value).__name__
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise TypeError(f"{plugin} must return {expected}, got an array with masked values: fill them")
        value = value.data
    if is_torch(value) and str(value.dtype) == "torch.bfloat16":
        value = value.float()
    try:
        array = small_numpy(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{plugin} must return {expected}, got {got} that is not an array: {error}") from error
    if array.dtype.kind not in "biuf":
        kind = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else got
        raise TypeError(f"{plugin} must return {expected}, got {kind}")
    return array


def settings_of(plugin: Any) -> dict[str, Any]:
    """Return the settings, by name, that distinguish a plugin object from others with the same name.

    These are the fields of a dataclass, the attributes of any other instance, the arguments of a `functools.partial`,
    the settings of the instance to which a method is bound, and the variables over which a function closes.

    Examples
    --------
    >>> settings_of(functools.partial(round, ndigits=2))
    {'ndigits': 2}
    """
    if dataclasses.is_dataclass(plugin):
        return {field.name: getattr(plugin, field.name) for field in dataclasses.fields(plugin)}
    if isinstance(plugin, functools.partial):
        arguments = {str(place): argument for place, argument in enumerate(plugin.args)}
        return {**settings_of(plugin.func), **arguments, **plugin.keywords}
    if inspect.ismethod(plugin):
        return settings_of(plugin.__self__)
    if inspect.isfunction(plugin):
        return dict(inspect.getclosurevars(plugin).nonlocals)
    is_named = hasattr(plugin, "__name__")  # a class, or a compiled function
    return {} if is_named else dict(getattr(plugin, "__dict__", {}))


def as_json(value: Any) -> Any:
    """Return a setting as JSON types; objects without such a form by their module and name, or their repr."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): as_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"{value.__module__}.{name}"
