# SPDX-License-Identifier: Apache-2.0
"""Masks of the inputs' tokens, such as attention masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.positions import as_booleans
from simplugins.recording.batch_fields import named_values

_DEFAULT = ("attention_mask", "decoder_attention_mask")


class TokenMasks:
    """Reads the mask of each batch.

    Parameters
    ----------
    mask : None, False, str, callable or array
        As for `simplugins.recording.record`.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or an array of anything but booleans, or 0 and 1.
    """

    def __init__(self, mask: Any = None) -> None:
        self.is_default = mask is None
        self._keys = list(_DEFAULT) if mask is None else [mask] if isinstance(mask, str) else []
        self._function: Callable[[Any], Any] | None = mask if callable(mask) else None
        self._rows: NDArray[np.bool_] | None = None
        self._inputs = 0
        if not self._keys and self._function is None and mask is not False:
            self._rows = _read_rows(mask)
        if isinstance(mask, str) and "padding_mask" in mask:
            raise ValueError(
                f"mask: {mask!r} is usually True at padding; pass a function that returns True for the positions that "
                f"count, such as mask=lambda batch: ~batch[{mask!r}]"
            )

    @property
    def own_keys(self) -> list[str]:
        """Names of masks in the batch that are not arguments of the model."""
        return [key for key in self._keys if key not in _DEFAULT]

    def read(self, batch: Any, size: int) -> dict[str, NDArray[np.bool_]]:
        """Return the masks of a batch by name, True for positions that count.

        Parameters
        ----------
        batch : object
            As it came from the caller.
        size : int
            Number of inputs in the batch.

        Raises
        ------
        ValueError
            If a requested mask is missing, or a mask does not fit the inputs.
        """
        start, self._inputs = self._inputs, self._inputs + size
        if self._rows is not None:
            if len(self._rows) < self._inputs:
                raise ValueError(f"mask: expected one row per input, got {len(self._rows)} for at least {self._inputs}")
            return {"mask": self._rows[start : self._inputs]}
        if self._function is not None:
            return {"mask": _read_mask(self._function(batch), size, "mask")}
        named = named_values(batch)
        missing = [key for key in self._keys if named.get(key) is None]
        if missing and not self.is_default:
            raise ValueError(
                f"mask: the batch has no {missing[0]!r}; it has {', '.join(map(str, named)) or 'no names'}"
            )
        return {key: _read_mask(named[key], size, key) for key in self._keys if key not in missing}

    def finish(self) -> None:
        """Raise a ValueError if an array does not have exactly one row per input."""
        if self._rows is not None and len(self._rows) != self._inputs:
            raise ValueError(f"mask: expected one row per input, got {len(self._rows)} for {self._inputs}")


def _read_rows(mask: Any) -> NDArray[np.bool_]:
    if isinstance(mask, bool | np.bool_ | int | float):
        raise TypeError(
            f"mask: expected the name of the mask in each batch, an array with one row per input, a function of a "
            f"batch, or False to count all positions; got {mask!r}"
        )
    rows = as_booleans(mask)
    if rows.ndim < 2:
        raise ValueError(f"mask: expected an array of shape (inputs, tokens), got shape {rows.shape}")
    return rows


def _read_mask(values: Any, size: int, name: str) -> NDArray[np.bool_]:
    try:
        mask = as_booleans(values, name)
        if mask.ndim < 2 or len(mask) != size or (name != "mask" and mask.ndim > 2):
            raise ValueError(f"{name}: expected shape ({size}, tokens), got {mask.shape}")
    except ValueError as error:
        remedy = "; or pass mask=False to count all positions" if name in _DEFAULT else ""
        raise ValueError(f"{error}{remedy}") from None
    return mask
