# SPDX-License-Identifier: Apache-2.0
"""Warnings and errors about layers whose outputs depend on more than their own input."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simplugins._common.texts import listed

if TYPE_CHECKING:
    from simplugins.recording.batch_effects import Effect

    Effects = Mapping[str, Effect | None]


_TEXTS = {
    "random": "depend on random numbers that the model draws in evaluation mode, so no two recordings are equal",
    "batch": "depend on which inputs share a batch",
    "padding": "contain packed sequences padded to the longest of a batch, and padding counts as positions (see mask)",
}


def warn_of_effects(effects: Effects, *, are_masked: bool) -> None:
    """Warn of outputs that depend on more than their input.

    Parameters
    ----------
    effects : mapping of str to Effect or None
        By output.
    are_masked : bool
        Whether there is a mask of the inputs' tokens, so that no warning of padding is needed.
    """
    for kind, text in _TEXTS.items():
        names = _named(effects, kind)
        if names and not (kind == "padding" and are_masked):
            warnings.warn(f"layers {text}: {names}", UserWarning, stacklevel=4)


def check_effects(effects: Effects) -> None:
    """Raise a ValueError if outputs depend on the other inputs of their batch."""
    if names := _named(effects, "batch"):
        raise ValueError(
            f"layers depend on which inputs share a batch, so recording in several batches would change them: "
            f"{names}. Pass all inputs in one batch (batch_size), or record earlier layers"
        )


def _named(effects: Effects, kind: str) -> str:
    return listed([f"{name} (by {each.operation})" for name, each in effects.items() if each and each.kind == kind])
