# SPDX-License-Identifier: Apache-2.0
"""Engines: where the aligned inner products of all pairs are computed, tile by tile.

An engine knows activations and matchers, and nothing of kernels, RSMs or plugins.
"""

from __future__ import annotations

from typing import Any

from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.compute.engines.result import AlignedProducts
from simplugins.matching.matcher import Matcher

__all__ = ["ENGINES", "PRECISIONS", "AlignedProducts", "aligned_products", "check_engine", "check_names"]

ENGINES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "float16x3", "tf32")


def check_engine(engine: str, precision: str | None = None) -> None:
    """Check that an engine can be used here, and that there is such a precision.

    Raises
    ------
    ValueError
        If a name is unknown, or the engine is "cuda" and no GPU can be used.
    """
    check_names(engine, precision)
    if engine == "cuda":
        reason = gpu.why_unusable()
        if reason:
            raise ValueError(f"engine 'cuda' cannot be used here: {reason}")


def check_names(engine: str, precision: str | None = None) -> None:
    """Check that there is such an engine, here or elsewhere, and such a precision.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: expected one of {', '.join(map(repr, ENGINES))}")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"unknown precision {precision!r}: expected one of {', '.join(map(repr, PRECISIONS))}")


def choose_engine(engine: str, matcher: Matcher) -> str:
    """Return "cpu" or "cuda"; for "auto", the latter where a GPU can be used and has kernels for the matcher."""
    if engine != "auto":
        return engine
    from simplugins.compute.engines.cuda.tasks import has_kernel

    return "cuda" if gpu.why_unusable() is None and has_kernel(matcher) else "cpu"


def aligned_products(
    x: Activations,
    y: Activations | None,
    matcher: Matcher,
    *,
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> AlignedProducts:
    """Compute the aligned inner products of all pairs of inputs by an engine.

    Parameters
    ----------
    x, y, matcher
        As for `simplugins.compute.engines.cpu.aligned_products`.
    engine : {"auto", "cpu", "cuda"}
        See `choose_engine`.
    precision : {"float32", "float16x3", "tf32"}, optional
        What affinities of float32 activations are computed in (see `simplugins.compute.engines.cuda.device.Precision`).
    threads : int, optional
        Of the CPU.
    **options
        What both engines take: `certify` and `progress`.

    Raises
    ------
    ValueError
        As the engines, and if they do not have that precision.
    """
    chosen = choose_engine(engine, matcher)
    _check_precision(precision, chosen, x if y is None else y, x)
    if chosen == "cpu":
        from simplugins.compute.engines import cpu

        return cpu.aligned_products(x, y, matcher, threads=threads, **options)
    from simplugins.compute.engines.cuda.cupy_device import CupyDevice
    from simplugins.compute.engines.cuda.engine import aligned_products as on_gpu

    device = CupyDevice(x.gpu if x.gpu is not None or y is None else y.gpu)
    return on_gpu(x, y, matcher, device=device, precision=precision or "float32", **options)


def _check_precision(precision: str | None, engine: str, *activations: Activations) -> None:
    if precision is None:
        return
    if any(given.dtype == "float64" for given in activations):
        raise ValueError(
            f"precision={precision!r} is for float32 activations; these are computed in float64 (see dtype)"
        )
    if engine == "cpu" and precision != "float32":
        raise ValueError(f"precision={precision!r} needs engine='cuda': here the CPU computes, in float32")
