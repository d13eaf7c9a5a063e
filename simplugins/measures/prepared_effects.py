# SPDX-License-Identifier: Apache-2.0
"""Effects of changes of the activations on RSMs of prepared activations."""

from __future__ import annotations

from collections.abc import Mapping

from simplugins.activations.preparation import Preparation


def effects_after(preparation: Preparation, effects: Mapping[str, str]) -> dict[str, str]:
    """Return the effects of changes of the original activations, given those of changes of the prepared ones.

    Centring of channels or inputs removes translations. Centring of positions commutes with permutations of the
    channels, but not with rotations. Normalised positions do not depend on a factor, and turn translations and linear
    maps into something else.

    Parameters
    ----------
    preparation : Preparation
    effects : mapping of str to str
        See `simplugins.measures.measure.Measure`; missing ones are unknown, unless the preparation removes the change.

    Examples
    --------
    >>> effects_after(Preparation(("channel", "position")), {"rotation": "none", "translation": "other"})
    {'rotation': 'other', 'translation': 'none', 'channels': 'none'}
    """
    result = with_permutations(effects)
    if "position" in preparation.center:
        result |= dict.fromkeys({"rotation", "linear"} & result.keys(), "other")
    if "position" in preparation.normalize:
        result |= dict.fromkeys({"translation", "linear"} & result.keys(), "other")
        result["scaling"] = "none"
    if {"channel", "input"} & {*preparation.center}:
        result["translation"] = "none"
    return result


def with_permutations(effects: Mapping[str, str]) -> dict[str, str]:
    """Return effects, with that of permutations of the channels where rotations, which include them, have none."""
    return {**effects, **({"channels": "none"} if effects.get("rotation") == "none" else {})}
