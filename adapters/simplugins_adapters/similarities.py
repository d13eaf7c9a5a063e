# SPDX-License-Identifier: Apache-2.0
"""Finding, calling and describing similarities of networks, and converting their values to distances."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from simplugins import RSM, NetworkSimilarity, compute_rsm, plugins

GROUP = "simplugins.similarities"

Similarity = Callable[..., float]
"""A callable that compares the activations of two networks: ``f(one, other)``, or ``f(one, other, layout)``. It may
declare the facts that `simplugins.NetworkSimilarity` has as attributes, such as ``larger_is_more_similar``."""

Distance = Literal["angle", "complement"]
"""How a similarity becomes a distance: its arc cosine in radians, which obeys the triangle inequality if the similarity
is a cosine, as CKA and correlations are; or 1 minus the similarity."""

_ROUNDING = 1e-9


def resolve_similarity(similarity: str | Similarity) -> Similarity:
    """Return a similarity of networks by its name, or as it is; raise a ValueError for unknown names."""
    plugin = plugins.load(GROUP, similarity) if isinstance(similarity, str) else similarity
    if not callable(plugin):
        raise TypeError(f"similarity {similarity!r} must be callable, but is a {type(plugin).__name__}")
    return plugin


def all_similarities() -> dict[str, Similarity]:
    """Return all registered similarities of networks by name; those that fail to load are left out, with a warning."""
    similarities = {}
    for name in dict.fromkeys(plugin.name for plugin in plugins.available(GROUP)):
        try:
            similarities[name] = resolve_similarity(name)
        except (plugins.PluginError, TypeError) as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
    return similarities


def name_of(similarity: Similarity) -> str:
    """Return the name of a similarity: its attribute `name`, or that of the function or class."""
    name = getattr(similarity, "name", None) or getattr(similarity, "__name__", None)
    return str(name or type(similarity).__name__)


def fact(similarity: Similarity, name: str) -> bool | None:
    """Return a fact that a similarity declares, such as "larger_is_more_similar"; None if it does not."""
    value = getattr(similarity, name, None)
    return None if value is None else bool(value)


def compare_networks(similarity: Similarity, one: Any, other: Any, layout: str = "auto") -> float:
    """Compare the activations of two networks; the layout is passed on if the similarity takes one."""
    try:
        signature = inspect.signature(similarity)
        signature.bind(one, other, layout)
    except (TypeError, ValueError):  # ValueError: a compiled function without a signature
        return float(similarity(one, other))
    return float(similarity(one, other, layout))


def network_rsm(similarity: NetworkSimilarity, activations: Any, layout: str = "auto") -> RSM:
    """Return the RSM that a similarity computes of the activations of one network; an RSM is returned as it is."""
    if isinstance(activations, RSM):
        return activations
    return compute_rsm(activations, similarity.measure, layout=layout, **similarity.options)


def check_rsm_based(similarity: Similarity, tool: str) -> NetworkSimilarity:
    """Return a similarity that is made of a measure and a comparison; raise a TypeError for other callables."""
    if not isinstance(similarity, NetworkSimilarity):
        raise TypeError(
            f"{tool} compares RSMs, so it takes a similarity made of a measure and a comparison "
            f"(simplugins.similarity(...)); {name_of(similarity)!r} is a {type(similarity).__name__}"
        )
    return similarity


def check_choice(parameter: str, value: Any, choices: Any) -> None:
    """Raise a ValueError if a value is not among those of a Literal type."""
    if value not in get_args(choices):
        raise ValueError(f"{parameter}: expected one of {', '.join(get_args(choices))}, got {value!r}")


def check_distance(similarity: Similarity, distance: Distance) -> None:
    """Raise a ValueError if the values of a similarity cannot be expressed as such distances."""
    check_choice("distance", distance, Distance)
    if fact(similarity, "larger_is_more_similar") is None:
        raise ValueError(
            f"{name_of(similarity)!r} does not declare larger_is_more_similar, so its values cannot be expressed as "
            f"distances"
        )


def as_distance(value: float, similarity: Similarity, distance: Distance) -> float:
    """Return a value of a similarity as a distance; values that are distances already are returned as they are.

    Raises a ValueError as `check_distance`, and for the arc cosine of a value outside [-1, 1].
    """
    check_distance(similarity, distance)
    if not fact(similarity, "larger_is_more_similar"):
        return value
    if distance == "complement":
        return 1 - value
    if abs(value) > 1 + _ROUNDING:
        raise ValueError(
            f"{name_of(similarity)} is {value:.6g}, and only values from -1 to 1 are cosines of angles: use "
            f"distance='complement'"
        )
    return float(np.arccos(np.clip(value, -1, 1)))
