# SPDX-License-Identifier: Apache-2.0
"""The check of adapters."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins.rsm.rsm import RSM
from simplugins.testing.expectations import agree, expect, failing

_PARTS = ("rsm", "rsms", "comparison", "similarity", "reader", "registry", "command")


def check_adapter(
    adapter: Any,
    *,
    options: Mapping[str, Any] | None = None,
    back_options: Mapping[str, Any] | None = None,
    round_trip: bool = True,
) -> None:
    """Check an adapter: what it declares, and, if its tool is installed, a round trip.

    Checks that the adapter names its tool and how to install it, does not import the tool before it is used, rejects
    unknown options by name, and leaves RSMs unchanged. If it carries RSMs both ways, the values must survive.

    Parameters
    ----------
    adapter : str or simplugins.Adapter
        A plugin of the group ``simplugins.adapters``.
    options, back_options : mapping, optional
        Options without which the adapter cannot carry an RSM to its tool, and back.
    round_trip : bool, default True
        Whether the adapter can read back what it makes of an RSM; set it to False if it reads something else, such as
        files that the tool wrote.

    Raises
    ------
    AssertionError
        If a check fails; the message says which.

    Examples
    --------
    >>> check_adapter("numpy", round_trip=False)
    """
    before = set(sys.modules)
    with failing("this is not an adapter"):
        plugin = plugins.load(plugins.ADAPTERS, adapter) if isinstance(adapter, str) else adapter
    name = f"the adapter of {getattr(plugin, 'tool', plugin)!r}"
    _check_description(plugin, name)
    with failing(f"{name} cannot say whether the tool is installed"):
        available = plugin.available()
    if plugin.check is None:
        imported = sorted(set(plugin.modules) & (set(sys.modules) - before))
        expect(not imported, f"{name} imports {', '.join(imported)} before it is used: import it inside the functions")
    if not available:
        expect(plugin.install in str(available), f"{name} does not say how to install the tool: {available}")
    elif plugin.rsm is not None:
        rsm = _random_rsm()
        carried = _check_there(plugin, name, rsm, dict(options or {}))
        if round_trip and plugin.reader is not None:
            _check_back(plugin, name, rsm, carried, dict(back_options or {}))


def _check_description(plugin: Any, name: str) -> None:
    """Check what an adapter declares."""
    missing = [part for part in ("tool", "modules", "install", *_PARTS) if not hasattr(plugin, part)]
    expect(not missing, f"an adapter must be a simplugins.Adapter, got {type(plugin).__name__}")
    for text in ("tool", "install"):
        value = getattr(plugin, text)
        expect(isinstance(value, str) and value.strip(), f"{name} must declare {text} as a text, got {value!r}")
    parts = [part for part in _PARTS if getattr(plugin, part) is not None]
    expect(parts, f"{name} carries nothing: it needs at least one of {', '.join(_PARTS)}")


def _random_rsm() -> RSM:
    features = np.random.default_rng(0).normal(size=(6, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return RSM.from_similarities(features @ features.T, labels=list("abcdef"))


def _check_there(plugin: Any, name: str, rsm: RSM, options: Mapping[str, Any]) -> Any:
    """Check that an RSM is carried to the tool, and return it as an object of the tool."""
    before = np.array(rsm.values)
    with failing(f"{name} cannot carry an RSM"):
        carried = plugin.to(rsm, **options)
    expect(np.array_equal(rsm.values, before), f"{name} changes an RSM in place")
    try:
        plugin.to(rsm, **options, no_such_option=1)
    except TypeError as error:
        expect("no_such_option" in str(error), f"{name} does not name an unknown option: {error}")
    else:
        raise AssertionError(f"{name} ignores unknown options: declare its options in the signature")
    return carried


def _check_back(plugin: Any, name: str, rsm: RSM, carried: Any, options: Mapping[str, Any]) -> None:
    """Check that an RSM comes back from the tool unchanged."""
    with failing(f"{name} cannot read back the object that it made"):
        back = plugin.read(carried, **options)
    expect(isinstance(back, RSM), f"{name} must read an RSM back, got {type(back).__name__}")
    before, after = np.asarray(rsm.values), np.asarray(back.values)
    unchanged = agree(after, before) or agree(_distances(after), _distances(before))
    expect(unchanged, f"{name} changes the values of an RSM on the way to the tool and back")
    if back.labels is not None:
        expect(list(map(str, back.labels)) == list("abcdef"), f"{name} changes labels on the way to the tool and back")


def _distances(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances up to a factor: all that a tool for dissimilarities keeps of an RSM."""
    diagonal = values.diagonal()
    distances = np.add.outer(diagonal, diagonal) / 2 - values
    return np.asarray(distances / np.abs(distances).max())
