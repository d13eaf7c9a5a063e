# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import simplugins
from simplugins import decouple


def maps(seed=0, inputs=20, channels=8, grid=(6, 6)):
    return np.random.default_rng(seed).normal(size=(inputs, channels, *grid))


def scattered(responses, seed=0):
    """Return responses with the positions of each input in an order of its own."""
    rng, shape = np.random.default_rng(seed), responses.shape
    flat = responses.reshape(*shape[:2], -1)
    return np.stack([x[:, rng.permutation(flat.shape[2])] for x in flat]).reshape(shape)


def shifted(responses, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([np.roll(x, tuple(rng.integers(0, 6, 2)), (1, 2)) for x in responses])


def test_each_part_is_that_of_its_own_function():
    a, b = maps(), scattered(maps()) + maps(1)
    result = decouple(a, b, permutations=40, resamples=60, seed=3)
    for name in ("semantic", "shift", "spatio-semantic"):
        rsms = [simplugins.compute_rsm(side, f"{name}-cosine") for side in (a, b)]
        assert result[name].value == pytest.approx(simplugins.compare(*rsms), abs=1e-12)
        calibration = simplugins.calibrate(*rsms, permutations=40, seed=3)
        assert result[name].calibration.score == pytest.approx(calibration.score, abs=1e-9)
        assert result[name].calibration.p_value == calibration.p_value
        interval = simplugins.bootstrap_interval(*rsms, resamples=60, seed=3)
        assert (result[name].low, result[name].high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert result["structure"].value == pytest.approx(simplugins.structure(a, b).value)
    pairs = [[simplugins.compute_rsm(x, f"{name}-cosine") for x in (a, b)] for name in ("semantic", "spatio-semantic")]
    expected = simplugins.difference_test(*pairs, resamples=60, seed=3)
    difference = result.differences["semantic", "spatio-semantic"]
    assert difference.difference == pytest.approx(expected.difference, abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert difference.p_value == pytest.approx(expected.p_value)


def test_content_at_other_locations_is_only_similar_semantically():
    result = decouple(maps(), scattered(maps()), permutations=99, resamples=100)
    assert result["semantic"].calibration.score > 0.99
    assert result["spatio-semantic"].calibration.score == 0
    assert result["structure"].calibration.score == 0
    assert result.differences["semantic", "spatio-semantic"].low > 0.5


def test_shifted_content_is_similar_under_shifts():
    result = decouple(maps(), shifted(maps()), permutations=99, resamples=100)
    assert result["shift"].value == pytest.approx(1, abs=1e-6)
    assert result["spatio-semantic"].calibration.score == 0
    assert result.differences["shift", "spatio-semantic"].low > 0.5


def test_a_permutation_that_all_inputs_share_only_changes_structure():
    order = np.random.default_rng(0).permutation(36)
    moved = maps().reshape(20, 8, 36)[:, :, order].reshape(20, 8, 6, 6)
    result = decouple(maps(), moved, permutations=99, resamples=50)
    assert result["spatio-semantic"].value == pytest.approx(1, abs=1e-6)
    assert result["structure"].calibration.score == 0
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    rotated = decouple(maps(), np.einsum("nchw,cd->ndhw", maps(), rotation), permutations=99, resamples=50)
    assert rotated["structure"].value == pytest.approx(1, abs=1e-6)


def test_structure_is_calibrated_against_other_inputs():
    result = simplugins.structure(maps(), maps() + maps(1))
    decoupling = decouple(maps(), maps() + maps(1), permutations=60, resamples=50)
    null = decoupling["structure"].calibration.null_distribution
    assert null.mean() == pytest.approx(result.values.mean(), abs=0.02)  # a permutation may leave an input in place
    orders = [np.random.default_rng(0).permutation(20)]
    assert null[0] == pytest.approx(result.values[np.arange(20), orders[0]].mean())


def test_whole_groups_are_drawn():
    groups = np.repeat(np.arange(10), 2)
    result = decouple(maps(), maps(1), permutations=19, resamples=50, groups=groups)
    rsms = [simplugins.compute_rsm(x) for x in (maps(), maps(1))]
    expected = simplugins.bootstrap_interval(*rsms, resamples=50, groups=groups)
    assert (result["semantic"].low, result["semantic"].high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    test = simplugins.permutation_test(*rsms, permutations=19, groups=groups)
    null = result["semantic"].calibration.null_distribution
    np.testing.assert_allclose(null, test.null_distribution, atol=1e-9)


def test_plain_functions_raise_a_warning_of_repeated_inputs():
    with pytest.warns(RuntimeWarning, match="plain function"):
        decouple(maps(), maps(1), method=lambda a, b: float((a * b).mean()), permutations=19, resamples=40)


def test_options_reach_the_method():
    result = decouple(maps(), maps(1), method="mutual-knn", method_options={"k": 3}, permutations=19, resamples=40)
    rsms = [simplugins.compute_rsm(x) for x in (maps(), maps(1))]
    expected = simplugins.compare(*rsms, "mutual-knn", method_options={"k": 3})
    assert result["semantic"].value == pytest.approx(expected)
    assert "mutual-knn (k=3)" in repr(result)


def test_a_single_input_has_no_structure_by_chance():
    result = simplugins.structure(maps()[:1], maps(1)[:1])
    assert np.isnan(result.chance)
    assert "1 input," in repr(result)


def test_parts_that_need_positions_are_left_out_with_the_reason():
    sets = [x.reshape(8, -1).T[: 5 + i] for i, x in enumerate(maps())]
    result = decouple(sets, maps(), permutations=19, resamples=40)
    assert list(result.similarities) == ["semantic"]
    assert {*result.unavailable} == {"shift", "spatio-semantic", "structure"}
    assert "no shift: the inputs of a differ in their positions" in repr(result)
    assert result.differences == {}
    few = decouple(maps(grid=(1, 2)), maps(), permutations=19, resamples=40)
    assert {*few.unavailable} == {"structure"}


def test_results_become_rows_of_a_table():
    rows = decouple(maps(), maps(1), permutations=19, resamples=40).table()
    assert [row["name"] for row in rows] == [
        *("semantic", "shift", "spatio-semantic", "structure"),
        *("semantic - shift", "semantic - spatio-semantic", "shift - spatio-semantic"),
    ]
    assert all(row["low"] <= row["high"] for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"permutations": 0}, "permutations"),
        ({"alpha": 2}, "alpha"),
        ({"resamples": 0}, "resamples"),
        ({"kernel": "cosin"}, "semantic-cosin"),
        ({"method": "ckaa"}, "ckaa"),
    ],
)
def test_bad_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        decouple(maps(), maps(1), **options)


def test_networks_must_have_the_same_inputs():
    with pytest.raises(ValueError, match=r"20 inputs.* 19"):
        decouple(maps(), maps(inputs=19))
