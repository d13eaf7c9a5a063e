# SPDX-License-Identifier: Apache-2.0
"""The cost of truncating affinities before matching."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def truncation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("truncation")


def test_truncation_may_prefer_the_worse_matching(truncation):
    affinity = np.array([[1.9, 1.05], [2.05, 1.9]]) / 1000  # truncated to [[1, 1], [2, 1]], which the swap maximises
    x, y = np.eye(2), affinity.T
    cost = truncation.cost_of_truncation(np.stack([x, y, x + y]))
    shortfall = (3.8 - 3.1) / 1000 / (np.linalg.norm(x) * np.linalg.norm(y))
    assert cost["worst"] == pytest.approx(shortfall, rel=1e-9)
    assert cost["difference"] == pytest.approx(shortfall, rel=1e-9)


def test_truncation_costs_nothing_where_affinities_are_whole_thousandths(truncation):
    activations = np.random.default_rng(0).integers(-5, 6, (5, 9, 4)) / 8.0  # affinities are multiples of 1 / 64
    cost = truncation.cost_of_truncation(8 * activations)
    assert cost["difference"] == 0
    assert cost["spearman"] == 1


def test_matchings_maximise_the_truncated_affinities(truncation):
    affinity = np.random.default_rng(1).normal(0, 0.01, (12, 12))
    columns = truncation.Truncated().match(affinity)
    truncated = np.trunc(1000 * affinity)
    assert sorted(columns) == list(range(12))
    rows, best = linear_sum_assignment(truncated, maximize=True)
    assert truncated[np.arange(12), columns].sum() == truncated[rows, best].sum()
