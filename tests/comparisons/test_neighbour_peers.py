# SPDX-License-Identifier: Apache-2.0
"""Comparisons of nearest neighbours have the values of platonic-rep and ReSi: stored ones, and those of checkouts."""

from __future__ import annotations

import importlib
import importlib.util
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

from simplugins.comparisons import compare

PLATONIC = {"mutual-knn": "mutual_knn", "cycle-knn": "cycle_knn", "lcs-knn": "lcs_knn", "cknna": "cknna"}
RESI = {
    "jaccard-knn": "jaccard_similarity",
    "rank-knn": "rank_similarity",
    "second-order-knn": "second_order_cosine_similarity",
}

# By metrics.py of minyoungg/platonic-rep at dcd76ba3c950 and nearest_neighbor.py of mklabunde/resi at 24ab9e5055c7. For
# cknna, features were multiplied by 1e4, so that the 1e-6 in its denominator has no effect.
STORED = {
    3: {
        "mutual-knn": 0.4416667,
        "cycle-knn": 0.8,
        "lcs-knn": 1.05,
        "cknna": 0.4277975,
        "jaccard-knn": 0.3125,
        "rank-knn": 0.4349747,
        "second-order-knn": 0.6890464,
    },
    10: {
        "mutual-knn": 0.5549999,
        "cycle-knn": 1.0,
        "lcs-knn": 3.2750001,
        "cknna": 0.708981,
        "jaccard-knn": 0.3962396,
        "rank-knn": 0.3558624,
        "second-order-knn": 0.8689698,
    },
}


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def stored_features():
    i, c = np.arange(1, 41)[:, None], np.arange(1, 9)[None]
    a = np.sin(i**1.3 * c + c**2)
    return unit(a), unit(a[:, ::-1] + 0.9 * np.cos(1.7 * i * np.sqrt(c) + i))


def random_features(seed, inputs, channels, noise):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(inputs, channels))
    return unit(a), unit(
        a @ rng.normal(size=(channels, channels)) / np.sqrt(channels) + noise * rng.normal(size=a.shape)
    )


def ours(name, a, b, k):
    """Return our value, in the units of the peers."""
    options = {"k": k, "entries": "distances"} if name == "second-order-knn" else {"k": k}
    value = compare(a @ a.T, b @ b.T, name, method_options=options)
    return k * value if name == "lcs-knn" else value


@pytest.mark.parametrize("name", [*PLATONIC, *RESI])
@pytest.mark.parametrize("k", STORED)
def test_stored_values_of_the_peers_are_reproduced(name, k):
    assert ours(name, *stored_features(), k) == pytest.approx(STORED[k][name], abs=1e-6)


def checkout(config, tool):
    """Return the folder of a checkout, or skip the test."""
    paths = dict(option.partition("=")[::2] for option in config.getoption("--checkout"))
    if tool not in paths:
        pytest.skip(f"needs a checkout of {tool}: --checkout {tool}=PATH")
    return Path(paths[tool]).resolve()


@pytest.fixture
def platonic(request, monkeypatch):
    """AlignmentMetrics of platonic-rep, with a stub for torchaudio, which these metrics do not use."""
    path = checkout(request.config, "platonic-rep") / "metrics.py"
    torchaudio = types.ModuleType("torchaudio")
    torchaudio.functional = types.ModuleType("torchaudio.functional")
    monkeypatch.setitem(importlib.sys.modules, "torchaudio", torchaudio)
    monkeypatch.setitem(importlib.sys.modules, "torchaudio.functional", torchaudio.functional)
    spec = importlib.util.spec_from_file_location("platonic_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AlignmentMetrics


@pytest.fixture
def resi(request, monkeypatch):
    """The module of ReSi."""
    monkeypatch.syspath_prepend(str(checkout(request.config, "resi")))
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module("repsim.measures.nearest_neighbor")


peer_data = pytest.mark.parametrize(
    ("seed", "inputs", "channels", "noise"), [(0, 40, 7, 0.3), (1, 40, 7, 1.5), (2, 200, 16, 0.7), (3, 120, 64, 3.0)]
)


@peer_data
@pytest.mark.parametrize("k", [2, 5, 10, 25])
@pytest.mark.parametrize("name", PLATONIC)
def test_values_are_those_of_platonic_rep(platonic, name, k, seed, inputs, channels, noise):
    import torch

    features = random_features(seed, inputs, channels, noise)
    scale = 1e4 if name == "cknna" else 1.0
    theirs = getattr(platonic, PLATONIC[name])(*(torch.tensor(scale * x) for x in features), k)
    assert ours(name, *features, k) == pytest.approx(float(theirs), abs=1e-6)


@peer_data
@pytest.mark.parametrize("k", [2, 5, 10, 25])
@pytest.mark.parametrize("name", RESI)
def test_values_are_those_of_resi(resi, name, k, seed, inputs, channels, noise):
    features = random_features(seed, inputs, channels, noise)
    with warnings.catch_warnings(action="ignore"):
        theirs = getattr(resi, RESI[name])(*features, "nd", k)
    assert ours(name, *features, k) == pytest.approx(theirs, abs=1e-6)
