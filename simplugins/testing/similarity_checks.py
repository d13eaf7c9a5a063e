# SPDX-License-Identifier: Apache-2.0
"""The check of similarities of networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins.testing.expectations import agree, changed_activations, check_repeatable, expect, failing, pickled

_CHANGES: Mapping[str, Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]] = {
    "invariant_to_ortho": lambda sets, rng: changed_activations("rotation", sets, rng),
    "invariant_to_permutation": lambda sets, rng: sets[..., rng.permutation(sets.shape[-1])],
    "invariant_to_isotropic_scaling": lambda sets, rng: changed_activations("scaling", sets, rng),
    "invariant_to_translation": lambda sets, rng: changed_activations("translation", sets, rng),
    "invariant_to_invertible_linear": lambda sets, rng: changed_activations("linear", sets, rng),
    "invariant_to_affine": lambda sets, rng: changed_activations("linear", sets, rng) + rng.normal(size=sets.shape[-1]),
    "invariant_to_position": lambda sets, rng: changed_activations("positions", sets, rng),
}
"""What each invariance does to the (N, S, C) activations of one network."""


def check_similarity(similarity: Any) -> None:
    """Check a similarity of two networks: the number it returns, and everything that it declares.

    Calls the similarity on activations of networks of different numbers of channels and positions; verifies its
    direction, symmetry and invariances as declared; and checks that it leaves activations unchanged, is deterministic,
    can be pickled, and can be called from several threads.

    Parameters
    ----------
    similarity : str or callable
        A plugin of the group ``simplugins.similarities``: a function of two (N, S, C) arrays that returns a number.

    Raises
    ------
    AssertionError
        If a check fails; the message says which.

    Examples
    --------
    >>> import simplugins
    >>> check_similarity(simplugins.similarity("semantic-linear", "cka"))
    """
    with failing("this is not a similarity of networks"):
        plugin = plugins.load("simplugins.similarities", similarity) if isinstance(similarity, str) else similarity
        expect(callable(plugin), f"a similarity of networks must be callable, got {type(plugin).__name__}")
    name = f"similarity {getattr(plugin, 'name', None) or getattr(plugin, '__name__', plugin)!r}"
    rng = np.random.default_rng(0)
    x, y = (np.maximum(rng.normal(0.3, 1, size=shape), 0) for shape in ((24, 6, 5), (24, 4, 7)))
    copies = x.copy(), y.copy()
    with failing(f"{name} fails on activations of shapes {x.shape} and {y.shape}"):
        result = plugin(x, y)
    value = np.asarray(result)
    is_number = value.ndim == 0 and isinstance(value.item(), Real)
    expect(is_number, f"{name} must return a number, got {type(result).__name__}")
    expect(np.isfinite(value), f"{name} returned {value} for random activations")
    unchanged = np.array_equal(x, copies[0]) and np.array_equal(y, copies[1])
    expect(unchanged, f"{name} changes activations in place")
    _check_facts(plugin, name, x, y, rng)
    check_repeatable(name, lambda: plugin(x, y), value)
    expect(agree(pickled(name, plugin)(x, y), value), f"{name} returns other values after pickling")


def _check_facts(
    plugin: Any, name: str, x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Check the direction, the symmetry and the invariances that a similarity declares."""
    value, larger = plugin(x, y), getattr(plugin, "larger_is_more_similar", None)
    if larger is not None:
        equal = plugin(x, x)
        expect(
            equal > value if larger else equal < value,
            f"{name} declares larger_is_more_similar = {larger}, but returned {equal:.6g} for equal networks and "
            f"{value:.6g} for unrelated ones",
        )
    if getattr(plugin, "is_symmetric", None):
        expect(
            agree(plugin(y, x), value),
            f"{name} declares is_symmetric = True, but its value depends on which network comes first",
        )
    for invariance, change in _CHANGES.items():
        if getattr(plugin, invariance, None):
            changed = plugin(x, change(y, rng))
            expect(
                agree(changed, value),
                f"{name} declares {invariance} = True, but the change turned {value:.6g} into {changed:.6g}",
            )
