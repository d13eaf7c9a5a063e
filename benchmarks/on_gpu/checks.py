# SPDX-License-Identifier: Apache-2.0
"""Steps that say what a run is on, and check what it finds."""

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
from simplugins._common.threads import usable_cores
from simplugins.activations.activations import Activations
from simplugins.compute.engines import check_engine, cpu
from simplugins.compute.engines.cuda import engine
from simplugins.compute.engines.cuda.device import Precision
from simplugins.compute.job import TileResult
from simplugins.matching.greedy import Greedy
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal

NEAR_TIES = 1e-3
"""Of two affinities that are equal to rounding, a greedy matching may take the other one, and all that follows."""


class DisagreementError(Exception):
    """Results differ by more than rounding explains."""


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
    """Return what this runs on and with."""
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
    found = engine.aligned_products(activations, None, matcher, device=context.gpu.device)
    allowed = expected.rounding + found.rounding + (NEAR_TIES if isinstance(matcher, Greedy) else 0)
    return check_difference(found, expected, activations, allowed)


def accuracy(context: Context, case: Case, precision: Precision) -> dict[str, float]:
    """Compare a precision with the CPU engine in float64; `gap` is the largest that a proof leaves."""
    vectors = load(case)
    exact = cpu.aligned_products(Activations.from_array(vectors, dtype=np.float64), None, Optimal())
    activations = Activations.from_array(vectors, dtype=np.float64 if precision == "float64" else np.float32)
    found = engine.aligned_products(
        activations, None, Optimal(), device=context.gpu.device, precision=precision, certify=True
    )
    assert found.gap is not None
    return {**check_difference(found, exact, activations, found.rounding), "gap": float(found.gap.max())}


def check_difference(
    found: TileResult, expected: TileResult, activations: Activations, allowed: float
) -> dict[str, float]:
    """Return the largest difference, relative to the mean of a pair's squared norms, and what was allowed.

    Raises
    ------
    DisagreementError
        If it is more than that, or not a number.
    """
    norms = activations.squared_norms
    difference = float((np.abs(found.values - expected.values) / ((norms[:, None] + norms) / 2)).max())
    if not difference <= allowed:
        raise DisagreementError(f"results differ by {difference:.2g}, more than {allowed:.2g}")
    return {"difference": difference, "allowed": allowed}
