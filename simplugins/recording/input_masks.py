# SPDX-License-Identifier: Apache-2.0
"""Masks of the tokens of each batch that count: no padding and, if requested, no special tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.recording.special_tokens import SPECIAL, SPECIAL_TOKENS_MASK, TextSpecialTokens
from simplugins.recording.token_masks import TokenMasks
from simplugins.recording.token_sources import DECODER

if TYPE_CHECKING:
    from torch.nn import Module


class InputMasks:
    """Reads the masks of the tokens of each batch that count.

    Parameters
    ----------
    model : torch.nn.Module
    mask, drop_tokens
        As for `simplugins.recording.record`.
    """

    def __init__(self, model: Module, mask: Any, drop_tokens: Any) -> None:
        self._masks, self._texts = TokenMasks(mask), TextSpecialTokens(model)
        self._without_special = isinstance(drop_tokens, str) and drop_tokens == SPECIAL

    @property
    def keys(self) -> tuple[str, ...]:
        """Fields of batches that are not arguments of the model."""
        return (*self._masks.own_keys, SPECIAL_TOKENS_MASK, f"{DECODER}{SPECIAL_TOKENS_MASK}")

    def read(self, batch: Any, size: int) -> dict[str, NDArray[np.bool_]]:
        """Return masks of the tokens of a batch that count, by name; without a mask, all tokens count.

        Parameters
        ----------
        batch : object
            As it came from the caller.
        size : int
            Number of inputs in the batch.

        Raises
        ------
        ValueError
            If a mask does not fit the inputs, or the special tokens are not known.

        Warns
        -----
        UserWarning
            If there is no mask, but texts begin or end with padding.
        """
        masks = self._masks.read(batch, size)
        if self._without_special:
            return _without(masks, self._texts.read(batch, size))
        if self._masks.is_default and not masks:
            self._texts.warn_of_padding(batch)
        return masks

    def finish(self, *, has_special_layers: bool) -> None:
        """Check that an array of masks has one row per input, and that there were special tokens if they are dropped.

        Parameters
        ----------
        has_special_layers : bool
            Whether a layer has tokens from the model's parameters.
        """
        self._masks.finish()
        if self._without_special and not (has_special_layers or self._texts.were_found):
            raise ValueError(f"drop_tokens={SPECIAL!r}: no layer has special tokens")


def _without(
    masks: dict[str, NDArray[np.bool_]], special: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.bool_]]:
    """Return masks that also exclude special tokens, given as (n, T) masks under "" and "decoder_"."""
    result = dict(masks)
    for side, values in special.items():
        same = [name for name in masks if name.startswith(DECODER) == bool(side) and masks[name].shape == values.shape]
        result |= {name: masks[name] & ~values for name in same} or {f"{side}{SPECIAL}": ~values}
    return result
