# SPDX-License-Identifier: Apache-2.0
"""Engines: where the aligned inner products of all pairs are computed, tile by tile.

An engine knows activations and matchers, and nothing of kernels, RSMs or plugins.
"""

from __future__ import annotations

from simplugins.engines.result import AlignedProducts

__all__ = ["ENGINES", "AlignedProducts", "check_engine"]

ENGINES = ("auto", "cpu")


def check_engine(engine: str) -> None:
    """Check that an engine can be used here.

    Raises
    ------
    ValueError
        If there is no engine of that name in this version.
    """
    if engine == "cuda":
        raise ValueError("engine 'cuda' is not part of this version of simplugins: use engine='cpu' (or 'auto')")
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: expected one of {', '.join(map(repr, ENGINES))}")
