# SPDX-License-Identifier: Apache-2.0
"""Helpers of the checks: assertions with sentences, calls from threads and after pickling, and transformations."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""Largest deviation, relative to the largest value, of results that must agree when computed in float64."""

_THREADS = 4

T = TypeVar("T")


def expect(condition: Any, sentence: str) -> None:
    """Raise an AssertionError with a sentence unless a condition holds; unlike ``assert``, also under ``python -O``."""
    if not condition:
        raise AssertionError(sentence)


@contextmanager
def failing(sentence: str) -> Iterator[None]:
    """Turn any error in the block into an AssertionError that starts with a sentence."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{sentence}: {type(error).__name__}: {error}") from error


def deviation(values: Any, expected: Any) -> float:
    """Return the largest difference, relative to the largest absolute value of either; infinite for unequal shapes."""
    a, b = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        return np.inf
    if a.size == 0 or np.array_equal(a, b, equal_nan=True):
        return 0.0
    scale = max(np.abs(a).max(), np.abs(b).max(), np.finfo(np.float64).tiny)
    difference = float(np.abs(a - b).max() / scale)
    return difference if np.isfinite(difference) else np.inf


def agree(values: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Return whether two results are equal to rounding."""
    return deviation(values, expected) <= tolerance


def check_repeatable(name: str, call: Callable[[], Any], expected: Any) -> None:
    """Check that a call returns the same again, and from several threads at once."""
    with failing(f"{name} raises an error when it is called again"):
        expect(agree(call(), expected), f"{name} returns different values when it is called twice on the same inputs")
    with (
        failing(f"{name} raised an error when several threads called it at once"),
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        for future in [pool.submit(call) for _ in range(2 * _THREADS)]:
            expect(
                agree(future.result(), expected),
                f"{name} returns different values when several threads call it at once: it must keep no state between "
                f"calls",
            )


def pickled(name: str, plugin: T) -> T:
    """Return a plugin after pickling, as a worker of a cluster receives it."""
    with failing(f"{name} cannot be pickled, which a cluster needs; define it at the top of a module"):
        return pickle.loads(pickle.dumps(plugin))  # type: ignore[no-any-return]


def orthogonal(rng: np.random.Generator, channels: int) -> NDArray[np.float64]:
    """Return a random orthogonal matrix."""
    return np.linalg.qr(rng.normal(size=(channels, channels)))[0]


def changed_activations(change: str, sets: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (N, S, C) activations after one of `simplugins.measures.measure.CHANGES`."""
    channels = sets.shape[-1]
    changes: Mapping[str, Callable[[], NDArray[np.float64]]] = {
        "rotation": lambda: sets @ orthogonal(rng, channels),
        "channels": lambda: sets[..., rng.permutation(channels)],
        "scaling": lambda: 2.75 * sets,
        "translation": lambda: sets + rng.normal(size=channels),
        "linear": lambda: sets @ (orthogonal(rng, channels) * np.linspace(0.5, 3, channels)),
        "positions": lambda: rng.permuted(np.broadcast_to(np.arange(sets.shape[1]), sets.shape[:2]), axis=1),
    }
    result = changes[change]()
    return sets[np.arange(len(sets))[:, None], result] if change == "positions" else result
