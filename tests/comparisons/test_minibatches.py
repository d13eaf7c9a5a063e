# SPDX-License-Identifier: Apache-2.0
"""CKA of the RSMs of minibatches: against ckatorch, and against debiased CKA of all inputs."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from ckatorch import cka_batch
from ckatorch.hsic import hsic1
from comparison_data import gram, related_grams

import simplugins
from simplugins.comparisons.cka import cka_debiased
from simplugins.comparisons.minibatches import minibatch_cka


def batches(number=6, size=16, channels=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number, size, channels))
    return x, 0.5 * x @ rng.normal(size=(channels, 5)) + rng.normal(size=(number, size, 5))


def test_minibatch_cka_agrees_with_ckatorch():
    x, y = batches()
    expected = cka_batch(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert minibatch_cka(zip(map(gram, x), map(gram, y), strict=True)) == pytest.approx(expected, abs=1e-12)


def test_batches_of_different_sizes_have_equal_weight():
    x, y = (features[:2] for features in batches())
    parts = [
        (torch.from_numpy(gram(a[:size])[None]), torch.from_numpy(gram(b[:size])[None]))
        for a, b, size in zip(x, y, (5, 16), strict=True)
    ]
    cross, own_x, own_y = (
        sum(hsic1(*kernels).item() for kernels in pairs)
        for pairs in (parts, [(a, a) for a, _ in parts], [(b, b) for _, b in parts])
    )
    value = minibatch_cka((a[0], b[0]) for a, b in parts)
    assert value == pytest.approx(cross / sqrt(own_x * own_y), abs=1e-12)


def test_one_batch_of_all_inputs_is_debiased_cka():
    a, b = related_grams()
    assert minibatch_cka([(a, b)]) == pytest.approx(cka_debiased(a, b), abs=1e-12)


def test_minibatch_cka_approaches_debiased_cka_of_many_inputs():
    x, y = batches(number=60, size=10)
    whole = cka_debiased(gram(x.reshape(600, -1)), gram(y.reshape(600, -1)))
    sizes = [(a[: 4 + k % 7], b[: 4 + k % 7]) for k, (a, b) in enumerate(zip(x, y, strict=True))]
    assert minibatch_cka((gram(a), gram(b)) for a, b in zip(x, y, strict=True)) == pytest.approx(whole, abs=0.05)
    assert minibatch_cka((gram(a), gram(b)) for a, b in sizes) == pytest.approx(whole, abs=0.1)


def test_minibatch_cka_checks_each_batch():
    a, b = related_grams()
    with pytest.raises(ValueError, match="batches"):
        minibatch_cka([])
    with pytest.raises(ValueError, match=r"batch 1, first RSM has 12\b.*batch 1, second RSM has 11\b"):
        minibatch_cka([(a, b), (a, b[1:, 1:])])
    with pytest.raises(ValueError, match=r"\b4 inputs.*\b3$"):
        minibatch_cka([(a[:3, :3], b[:3, :3])])
    labelled = [simplugins.RSM.from_similarities(a[:5, :5], labels=list(labels)) for labels in ("abcde", "xbcde")]
    with pytest.raises(ValueError, match=r"labels.* 0 is 'a' in batch 0, first RSM, 'x' in batch 0, second RSM"):
        minibatch_cka([labelled])
    with pytest.warns(RuntimeWarning, match="NaN"):
        assert np.isnan(minibatch_cka([(a, np.full((12, 12), 1 / 3))]))
