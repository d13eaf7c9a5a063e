# SPDX-License-Identifier: Apache-2.0
"""Special tokens of texts: [CLS], [SEP], beginning, end and padding."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.positions import as_booleans
from simplugins.recording.batch_fields import named_values
from simplugins.recording.token_sources import DECODER

if TYPE_CHECKING:
    from torch.nn import Module

SPECIAL = "special"
"""The value of `drop_tokens` for special tokens."""
SPECIAL_TOKENS_MASK = "special_tokens_mask"
_IDS = "input_ids"
_NAMES = ("bos", "eos", "cls", "sep")
_ASK = "pass the tokenizer's special_tokens_mask with each batch: tokenizer(..., return_special_tokens_mask=True)"
_WRONG_CLIP_END = 2
"""The end token in early CLIP configurations, which differs from the one that its tokenizer uses."""


def special_indices(special: NDArray[np.bool_] | None) -> list[int]:
    """Return the indices of special tokens; negative indices for those at the end.

    Parameters
    ----------
    special : (S,) bool array or None
        None for no special tokens.

    Examples
    --------
    >>> special_indices(np.array([True, False, False, True, True]))
    [0, -2, -1]
    """
    if special is None:
        return []
    last = int(np.flatnonzero(~special)[-1])
    return [int(index) if index < last else int(index) - len(special) for index in np.flatnonzero(special)]


class TextSpecialTokens:
    """Finds the special tokens of texts, from the batch or the token ids in the model's configuration.

    Parameters
    ----------
    model : torch.nn.Module
    """

    def __init__(self, model: Module) -> None:
        self._config = _text_config(model)
        self._has_warned = False
        self.were_found = False
        """Whether any text had special tokens."""

    def read(self, batch: Any, size: int) -> dict[str, NDArray[np.bool_]]:
        """Return the (n, T) masks of special tokens (True): texts under "", the decoder's texts under "decoder_".

        Parameters
        ----------
        batch : object
            As it came from the caller.
        size : int
            Number of inputs.

        Raises
        ------
        ValueError
            If neither the batch nor the model's configuration says which tokens are special.
        """
        texts = {side: self._special(batch, size, side) for side in ("", DECODER)}
        special = {side: values for side, values in texts.items() if values is not None}
        self.were_found = self.were_found or any(values.any() for values in special.values())
        return special

    def _special(self, batch: Any, size: int, side: str) -> NDArray[np.bool_] | None:
        named, ids = named_values(batch), _ids(batch, f"{side}{_IDS}")
        key = f"{side}{SPECIAL_TOKENS_MASK}"
        if named.get(key) is not None:
            special = as_booleans(named[key], key)
        elif ids is None:
            return None
        else:
            special = np.isin(ids, self._special_ids(side))
        expected = (size, *special.shape[1:]) if ids is None else ids.shape
        if special.ndim != 2 or special.shape != expected:
            raise ValueError(f"{key}: expected shape {expected}, got {special.shape}")
        return special

    def warn_of_padding(self, batch: Any) -> None:
        """Warn once if texts without a mask begin or end with the padding token of the model's configuration."""
        ids, pad = _ids(batch, _IDS), getattr(self._config, "pad_token_id", None)
        others = [getattr(self._config, f"{name}_token_id", None) for name in _NAMES]
        if self._has_warned or ids is None or ids.size == 0 or pad is None or pad in others:
            return
        if (ids[:, [0, -1]] == pad).any():
            self._has_warned = True
            warnings.warn(
                f"texts begin or end with the padding token {pad}, and the batch has no attention_mask, so padding "
                f"counts as positions: pass the tokenizer's attention_mask, or mask=False if this is intended",
                UserWarning,
                stacklevel=3,
            )

    def _special_ids(self, side: str) -> list[int]:
        names = (*_NAMES, "pad", *(["decoder_start"] if side else []))
        ids = {name: getattr(self._config, f"{name}_token_id", None) for name in names}
        is_wrong = "clip" in str(getattr(self._config, "model_type", "")) and ids["eos"] == _WRONG_CLIP_END
        if is_wrong or all(ids[name] is None for name in _NAMES):
            raise ValueError(f"drop_tokens='special': the model's configuration names no special tokens; {_ASK}")
        return [int(number) for each in ids.values() if each is not None for number in np.atleast_1d(each)]


def _text_config(model: Module) -> Any:
    """Return the configuration of a text model or of the first of its parts that has one; None if there is none."""
    configs = (getattr(module, "config", None) for module in model.modules())
    config = next((each for each in configs if each is not None), None)
    return getattr(config, "text_config", None) or config


def _ids(batch: Any, key: str) -> NDArray[Any] | None:
    """Return the ids of the tokens of a batch, (n, T); None if it has none."""
    named = named_values(batch)
    first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    values = named.get(key) if named or key != _IDS else first
    if values is None or not (arrays.is_torch(values) or isinstance(values, np.ndarray)):
        return None
    ids = arrays.small_numpy(values) if arrays.number_kind(values) == "integer" else None
    return ids if ids is not None and ids.ndim == 2 else None
