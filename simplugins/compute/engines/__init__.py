# SPDX-License-Identifier: Apache-2.0
"""Engines, which compute the aligned inner products of all pairs on the CPU or on a GPU.

Engines depend on activations and matchers, but not on kernels, RSMs or plugins.
"""

from __future__ import annotations

from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.matching.matcher import Matcher

ENGINES = ("auto", "cpu", "cuda", "cuda:all")
PRECISIONS = ("float32", "float16x3")


def check_engine(engine: str, precision: str | None = None) -> None:
    """Check that an engine can be used on this machine, and that the precision exists.

    Raises
    ------
    ValueError
        If a name is unknown, or the engine is "cuda" or "cuda:all" and no GPU can be used.
    """
    check_names(engine, precision)
    if engine.startswith("cuda"):
        reason = gpu.why_unusable()
        if reason:
            raise ValueError(f"engine {engine!r} cannot be used here: {reason}")


def check_names(engine: str, precision: str | None = None) -> None:
    """Check the names of an engine and a precision; the engine may be for another machine.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: expected one of {', '.join(map(repr, ENGINES))}")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"unknown precision {precision!r}: expected one of {', '.join(map(repr, PRECISIONS))}")


def check_precision(precision: str, engine: str, *activations: Activations) -> None:
    """Check that a precision fits the engine that computes affinities, and the type of the activations.

    Raises
    ------
    ValueError
        If it does not.
    """
    if any(side.dtype == "float64" for side in activations):
        reason = "since they share a large mean" if any(side.widened for side in activations) else "see dtype"
        raise ValueError(
            f"precision={precision!r} is for float32 activations; these are computed in float64 ({reason})"
        )
    if engine == "cpu" and precision != "float32":
        raise ValueError(f"precision={precision!r} needs engine='cuda'; the CPU computes in float32")


def choose_engine(engine: str, matcher: Matcher) -> str:
    """Return the engine; "auto" becomes "cuda" if a GPU can be used and there is a CUDA kernel for the matcher."""
    if engine != "auto":
        return engine
    if gpu.why_unusable() is not None:
        return "cpu"
    from simplugins.compute.engines.cuda.tasks import has_kernel

    return "cuda" if has_kernel(matcher) else "cpu"
