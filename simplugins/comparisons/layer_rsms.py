# SPDX-License-Identifier: Apache-2.0
"""The RSMs of a network's layers, computed where layers are given as activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from simplugins._common.validation import check_names, error_prefix
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.rsm.rsm import RSM


def layer_rsms(parameter: str, layers: Any, options: RsmOptions) -> dict[str, RSM]:
    """Return each layer's RSM, computed if it is given as activations.

    Raises
    ------
    TypeError
        If the layers are not a mapping; or as `compute_rsm`.
    ValueError
        If there are none, or two have the same name; or as `compute_rsm`.
    """
    if not isinstance(layers, Mapping):
        raise TypeError(f"{parameter}: expected a mapping of names to layers, got {type(layers).__name__}")
    if not layers:
        raise ValueError(f"{parameter}: expected at least one layer, got none")
    check_names(parameter, layers)
    if any(not isinstance(layer, RSM) for layer in layers.values()):
        options.resolved()
    rsms = {}
    for name, layer in layers.items():
        if isinstance(layer, RSM):
            rsms[str(name)] = layer
            continue
        with error_prefix(f"{parameter}[{name!r}]"):
            layer_options = replace(options, progress=str(name) if options.progress else False)
            rsms[str(name)] = layer_options.compute(options.read(layer))
    return rsms
