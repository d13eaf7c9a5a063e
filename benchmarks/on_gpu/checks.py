# SPDX-License-Identifier: Apache-2.0
"""Steps that describe the environment and check results."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from machine import cpu_model

import simplugins
from on_gpu.context import Context
from on_gpu.inputs import Case, load
from on_gpu.timing import SkippedError
from simplugins import Greedy, Matcher, Optimal
from simplugins._common.threads import usable_cores
from simplugins.activations.activations import Activations
from simplugins.compute.engines import check_engine, cpu
from simplugins.compute.engines.cuda import engine
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.job import TileResult

NEAR_TIES = 1e-3
"""Tolerance for greedy matching, which may resolve ties to rounding differently, with all consequences."""


class DisagreementError(Exception):
    """Results differ by more than rounding."""


def check_gpu() -> None:
    """Check that there is a GPU.

    Raises
    ------
    SkippedError
        If there is none.
    """
    try:
        check_engine("cuda")
    except ValueError as error:
        raise SkippedError(str(error)) from error


def environment(context: Context) -> dict[str, Any]:
    """Return hardware and versions."""
    versions = {"simplugins": simplugins.__version__, **{name: version(name) for name in ("numpy", "scipy", "numba")}}
    return {
        **context.gpu.describe(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "python": sys.version.split()[0],
        **versions,
    }


def agreement(context: Context, case: Case, matcher: Matcher) -> dict[str, float]:
    """Compare the GPU engine with the CPU engine."""
    activations = Activations.from_array(load(case))
    expected = cpu.aligned_products(activations, None, matcher)
    products = engine.aligned_products(activations, None, matcher, device=context.gpu.device)
    allowed = expected.rounding + products.rounding + (NEAR_TIES if isinstance(matcher, Greedy) else 0)
    return check_difference(products, expected, activations, allowed)


def accuracy(context: Context, case: Case, precision: Precision) -> dict[str, float]:
    """Compare a precision with the CPU engine in float64; `gap` is the largest certified gap."""
    vectors = load(case)
    exact = cpu.aligned_products(Activations.from_array(vectors, dtype=np.float64), None, Optimal())
    activations = Activations.from_array(vectors, dtype=np.float64 if precision == "float64" else np.float32)
    products = engine.aligned_products(
        activations, None, Optimal(), device=context.gpu.device, precision=precision, certify=True
    )
    assert products.gap is not None
    return {**check_difference(products, exact, activations, products.rounding), "gap": float(products.gap.max())}


def check_difference(
    products: TileResult, expected: TileResult, activations: Activations, allowed: float
) -> dict[str, float]:
    """Return the largest difference, relative to the mean of a pair's squared norms, and the allowed difference.

    Raises
    ------
    DisagreementError
        If the difference is larger, or NaN.
    """
    norms = activations.squared_norms
    difference = float((np.abs(products.values - expected.values) / ((norms[:, None] + norms) / 2)).max())
    if not difference <= allowed:
        raise DisagreementError(f"results differ by {difference:.2g}, more than {allowed:.2g}")
    return {"difference": difference, "allowed": allowed}
