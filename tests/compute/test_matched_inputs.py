# SPDX-License-Identifier: Apache-2.0
"""Matching two inputs of a layer, and the contributions of their positions."""

from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins import Activations, best_shift, match, share_curve


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(0).normal(size=(5, 8, 4, 6))


@pytest.mark.parametrize("matching", ["optimal", "greedy", simplugins.Partial(share=0.4)])
@pytest.mark.parametrize("prepared", [{}, {"center": "position", "normalize": "position"}])
def test_contributions_sum_to_the_cosine_and_times_the_norms_to_the_value(maps, matching, prepared):
    pair = match(maps[0], maps[1][:, :3], matching, **prepared)
    assert pair.contributions.shape == (24,)
    assert pair.contributions.sum() == pytest.approx(pair.cosine)
    assert pair.contributions.sum() * pair.norms[0] * pair.norms[1] == pytest.approx(pair.value)
    np.testing.assert_array_equal(pair.contributions[pair.unmatched_rows], 0)


def test_contributions_are_those_of_matched_concept_vectors(maps):
    pair = match(maps[0], maps[1])
    x, y = (m.reshape(8, 24).T for m in maps[:2])
    expected = (x * y[pair.columns]).sum(1) / (np.linalg.norm(x) * np.linalg.norm(y))
    np.testing.assert_allclose(pair.contributions, expected, rtol=1e-12)


def test_the_cosine_is_that_of_the_measure(maps):
    rsm = simplugins.compute_rsm(maps, "semantic-cosine")
    assert match(maps, inputs=(1, 3)).cosine == pytest.approx(rsm.values[1, 3], rel=1e-12)


def test_a_response_of_zeros_contributes_nothing():
    pair = match(np.zeros((3, 2)), np.ones((3, 2)))
    assert pair.cosine == 0
    np.testing.assert_array_equal(pair.contributions, np.zeros(3))


def test_contributions_of_huge_and_tiny_values_are_those_of_ordinary_ones(maps):
    x, y = maps[0].astype(np.float32), maps[1].astype(np.float32)
    plain, extreme = match(x, y), match(np.ldexp(x, 100), np.ldexp(y, -100))
    np.testing.assert_array_equal(extreme.contributions, plain.contributions)
    assert extreme.cosine == plain.cosine


def test_rows_are_the_inverse_of_columns(maps):
    pair = match(maps[0][:, :2], maps[1])
    assert pair.rows.shape == (24,)
    for row, column in enumerate(pair.columns):
        assert pair.rows[column] == row
    np.testing.assert_array_equal(pair.unmatched_columns, np.flatnonzero(pair.rows == -1))
    assert len(pair.unmatched_columns) == 24 - 12


def sources(maps):
    labels = list("abcde")
    return {
        "array": maps,
        "activations": Activations.from_array(maps, labels=labels),
        "sets": [m.reshape(8, 24).T for m in maps],
    }


@pytest.mark.parametrize("source", ["array", "activations", "sets"])
def test_two_inputs_of_a_layer_are_matched_as_by_themselves(maps, source):
    expected = match(maps[3], maps[1])
    result = match(sources(maps)[source], inputs=(3, 1))
    np.testing.assert_array_equal(result.columns, expected.columns)
    assert result.value == pytest.approx(expected.value, rel=1e-12)
    assert result.grids == ((None, None) if source == "sets" else ((4, 6), (4, 6)))
    assert result.labels == (("d", "b") if source == "activations" else ("3", "1"))


def test_inputs_of_two_layers_or_networks_are_matched(maps):
    other = maps[:, :, :2]
    result = match(Activations.from_array(maps), Activations.from_array(other), inputs=(0, 4))
    np.testing.assert_array_equal(result.columns, match(maps[0], other[4]).columns)
    assert result.grids == ((4, 6), (2, 6))


def test_a_recorded_layer_is_matched(tmp_path):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(5, (4, 3, 8, 8), generator=generator).float()
    for values in network.parameters():  # whole numbers, whose sums do not depend on the order
        values.data = torch.randint(-3, 4, values.shape, generator=generator).float()
    recorded = simplugins.record(network, images, ["1"])
    with torch.no_grad():
        responses = network(images)
    result = match(recorded["1"], inputs=(2, 0))
    np.testing.assert_array_equal(result.columns, match(responses[2], responses[0]).columns)
    assert result.grids == ((6, 6), (6, 6))


def test_activations_of_one_input_need_no_number(maps):
    single = Activations.from_array(maps[:1])
    np.testing.assert_array_equal(match(single, single).columns, np.arange(24))


def test_shifts_and_share_curves_take_inputs_too(maps):
    shifted = np.stack([maps[0], np.roll(maps[0], 1, axis=1)])
    assert best_shift(shifted, inputs=(0, 1)).shift == (1, 0)
    np.testing.assert_array_equal(share_curve(maps, inputs=(0, 2)).values, share_curve(maps[0], maps[2]).values)


@pytest.mark.parametrize("inputs", [(1,), (0, 1, 2), 3, (0, 1.5), ("a", "b"), (True, False)])
def test_inputs_that_are_not_two_numbers_raise(maps, inputs):
    with pytest.raises(ValueError, match="inputs"):
        match(maps, inputs=inputs)


def test_inputs_that_do_not_exist_raise(maps):
    with pytest.raises(ValueError, match=r"y: .*0 to 4.*\b9\b"):
        match(maps, inputs=(0, 9))


def test_several_inputs_without_their_numbers_raise(maps):
    with pytest.raises(ValueError, match=r"Activations of 5.*inputs="):
        match(Activations.from_array(maps), maps[0])
    with pytest.raises(TypeError, match="inputs="):
        match(maps)
