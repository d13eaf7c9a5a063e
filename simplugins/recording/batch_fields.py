# SPDX-License-Identifier: Apache-2.0
"""Named or numbered fields of batches: mappings, dataclasses, named tuples, tuples and lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from simplugins._common import arrays


class NoFieldError(ValueError):
    """A batch has no field of this name or number."""


def is_array(value: Any) -> bool:
    """Return whether a value is a tensor, a NumPy array, or something that converts to one and can be sliced."""
    return arrays.is_torch(value) or arrays.is_lazy(value) or (hasattr(value, "__array__") and hasattr(value, "shape"))


def named_fields(batch: Any) -> Mapping[str, Any] | None:
    """Return the fields of a mapping, dataclass or named tuple, by name; None for other objects."""
    if isinstance(batch, Mapping):
        return batch
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return {entry.name: getattr(batch, entry.name) for entry in dataclasses.fields(batch)}
    if isinstance(batch, tuple) and hasattr(batch, "_asdict"):
        return dict(batch._asdict())
    if not is_array(batch) and all(hasattr(batch, name) for name in ("keys", "items", "__getitem__")):
        return dict(batch.items())  # such as tensordict's TensorDict
    return None


def named_values(batch: Any) -> Mapping[str, Any]:
    """Return the named fields of a batch, or of the first element of a tuple or list; an empty mapping if none."""
    named = named_fields(batch)
    if named is None and isinstance(batch, tuple | list) and batch:
        named = named_fields(batch[0])
    return {} if named is None else named


def field(batch: Any, key: str | int) -> Any:
    """Return a field of a batch.

    Parameters
    ----------
    batch : mapping, dataclass, tuple or list
    key : str or int
        The name of a field of the batch, or of the first element of a tuple or list; or the number of an element.

    Raises
    ------
    NoFieldError
        If there is none.
    """
    named = named_values(batch)
    is_sequence = isinstance(batch, tuple | list)
    if is_sequence and isinstance(key, int | np.integer):
        if -len(batch) <= key < len(batch):
            return batch[key]
    elif key in named:
        return named[key]  # type: ignore[index]
    if named:
        has = ", ".join(map(str, named))
    elif is_sequence:
        has = f"{len(batch)} elements without names"
    else:
        has = "no fields"
    raise NoFieldError(f"the batch, a {type(batch).__name__}, has no {key!r}; it has {has}")
