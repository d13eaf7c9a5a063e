# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import simplugins
from simplugins.comparisons import compare
from simplugins.comparisons import structure as module
from simplugins.comparisons.structure import structure


def maps(seed=0, inputs=5, channels=6, grid=(4, 6)):
    return np.random.default_rng(seed).normal(size=(inputs, channels, *grid))


def gram(response):
    vectors = response.reshape(len(response), -1).T
    return vectors @ vectors.T


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman", "norm-difference"])
def test_each_entry_compares_two_gram_matrices(method):
    a, b = maps(), maps(1, channels=9)
    result = structure(a, b, method)
    for i in range(5):
        for j in range(5):
            assert result.values[i, j] == pytest.approx(compare(gram(a[i]), gram(b[j]), method), abs=1e-9)
    assert result.value == pytest.approx(result.values.diagonal().mean())
    assert result.chance == pytest.approx(result.values[~np.eye(5, dtype=bool)].mean())
    assert (result.method, result.positions, result.grid) == (method, 24, None)


def test_rotations_and_scaling_of_channels_do_not_matter_but_the_order_of_positions_does():
    a = maps()
    rotation = np.linalg.qr(maps(2).reshape(-1, 6)[:6])[0]
    rotated = 3 * np.einsum("nchw,cd->ndhw", a, rotation)
    np.testing.assert_allclose(structure(a, rotated).per_input, 1, atol=1e-9)
    assert structure(a, a[:, :, ::-1]).value < 0.5
    both = structure(a[:, :, ::-1], rotated[:, :, ::-1])
    np.testing.assert_allclose(both.per_input, 1, atol=1e-9)


def test_larger_grids_are_averaged_to_the_smaller_one():
    a, b = maps(grid=(8, 6)), maps(1, grid=(4, 6))
    averaged = a.reshape(5, 6, 4, 2, 6).mean(3)
    result = structure(a, b)
    np.testing.assert_allclose(result.values, structure(averaged, b).values, atol=1e-12)
    assert result.grid == (4, 6)
    mixed = structure(maps(grid=(8, 2)), b)  # each network is larger in one dimension
    assert mixed.grid == (4, 2)
    expected = structure(maps(grid=(8, 2)).reshape(5, 6, 4, 2, 2).mean(3), b.reshape(5, 6, 4, 2, 3).mean(4))
    np.testing.assert_allclose(mixed.values, expected.values, atol=1e-12)


def test_grids_that_do_not_divide_are_averaged_by_overlap():
    weights = module._averaging_of_axis(5, 2)
    np.testing.assert_allclose(weights, [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]])
    constant = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 5, 7))
    a = np.stack([constant + noise for noise in maps(grid=(5, 7))])
    assert structure(a, maps(1, grid=(2, 3))).grid == (2, 3)


def test_results_do_not_depend_on_the_memory_of_gram_matrices(monkeypatch):
    a, b = maps(), maps(1)
    expected = structure(a, b).values
    monkeypatch.setattr(module, "_GRAM_BYTES", 2 * 8 * 24**2)
    np.testing.assert_allclose(structure(a, b).values, expected, rtol=0, atol=1e-15)


def test_tokens_of_two_networks_need_no_common_channels():
    tokens = np.random.default_rng(0).normal(size=(4, 10, 8))
    result = structure(tokens, tokens[:, :, :5], layout="ntd")
    assert result.values.shape == (4, 4)
    assert result.value > result.chance
    assert structure(tokens, tokens, layout="ntd", drop_tokens=1).positions == 9


def test_inputs_of_which_all_positions_are_equal_are_nan_with_a_warning():
    a = maps()
    a[2] = 1.0
    with pytest.warns(RuntimeWarning, match="input 2"):
        result = structure(a, maps(1))
    assert np.isnan(result.per_input[2])
    assert np.isfinite(result.per_input[:2]).all()
    assert np.isnan(result.value)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (maps(), maps(inputs=4), {}, "5 inputs.* 4"),
        (maps(), maps().reshape(5, 6, 24)[:, :, :20].transpose(0, 2, 1), {}, "4 x 6.*20"),
        (maps(grid=(1, 3)), maps(grid=(1, 3)), {}, "at least 4 positions"),
        ([np.ones((3, 2)), np.ones((4, 2))], [np.ones((3, 2)), np.ones((4, 2))], {}, "3 to 4 positions"),
        (maps(), maps(), {"method": "nearest"}, "nearest"),
    ],
)
def test_unsuitable_inputs_are_errors(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        structure(a, b, **options)


def test_labels_are_checked():
    a = simplugins.Activations.from_array(maps(), labels=list("abcde"))
    b = simplugins.Activations.from_array(maps(1), labels=list("abced"))
    with pytest.raises(ValueError, match="labels differ: input 3"):
        structure(a, b)
    assert repr(structure(a, a)).startswith("Structure cka-debiased 1: 5 inputs, 24 positions; different inputs ")
