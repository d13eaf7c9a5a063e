# SPDX-License-Identifier: Apache-2.0
"""Comparisons of layers as text."""

import re

import numpy as np
import pytest

import simplugins
from simplugins.comparisons.layer_texts import MOST_COLUMNS, MOST_ROWS

RNG = np.random.default_rng(0)
LAYERS = {"conv1": RNG.normal(size=(12, 6, 3, 3)), "conv2": RNG.normal(size=(12, 5, 2, 2))}


def numbers(line):
    return [float(text) for text in re.findall(r"-?\d\.\d{3}", line)]


def test_the_text_has_the_value_of_each_pair_of_layers():
    comparison = simplugins.compare_layers(LAYERS)
    title, _, head, *lines = str(comparison).splitlines()
    assert title == repr(comparison)
    assert head.split() == ["cka-debiased", "conv1", "conv2"]
    assert [line.split()[0] for line in lines] == ["conv1", "conv2"]
    np.testing.assert_allclose([numbers(line) for line in lines], comparison.values, atol=5e-4)


def test_intervals_stand_next_to_values_and_scores_in_a_table_of_their_own():
    comparison = simplugins.compare_layers(LAYERS, calibrate="max", permutations=40, intervals=True, resamples=40)
    lines = str(comparison).splitlines()
    intervals, calibration = comparison.intervals, comparison.calibration
    first = numbers(lines[3])
    expected = np.stack([comparison.values, intervals.low, intervals.high], axis=2)[0].ravel()
    np.testing.assert_allclose(first, expected, atol=5e-4)
    start = next(i for i, line in enumerate(lines) if line.startswith("score"))
    for line, scores, significant in zip(lines[start + 1 :], calibration.scores, calibration.significant, strict=True):
        np.testing.assert_allclose(numbers(line), scores, atol=5e-4)
        assert line.count("*") == np.count_nonzero(significant)


def test_an_interval_that_does_not_exist_is_named():
    groups = np.repeat([0, 1, 2], 4)
    with pytest.warns(RuntimeWarning, match="groups"):
        comparison = simplugins.compare_layers(LAYERS, intervals=True, resamples=40, groups=groups)
    assert np.isnan(comparison.intervals.low).all()
    assert str(comparison).count("[no interval]") == 4


def test_yardsticks_have_tables_of_their_own():
    comparison = simplugins.compare_layers(LAYERS, yardsticks={"untrained": np.full((2, 2), 0.25)})
    lines = str(comparison).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("untrained"))
    assert [numbers(line) for line in lines[start + 1 :]] == [[0.25, 0.25]] * 2


def test_of_large_tables_the_first_layers_are_shown():
    shape = MOST_ROWS + 1, MOST_COLUMNS + 1
    rows, columns = ([f"{kind}{i}" for i in range(size)] for kind, size in zip("rc", shape, strict=True))
    facts = {"method": "cka", "inputs": 5, "symmetric": False}
    comparison = simplugins.Comparison(np.zeros(shape), tuple(rows), tuple(columns), facts)
    lines = str(comparison).splitlines()
    assert lines[2].split() == ["cka", *columns[:-1]]
    assert len([line for line in lines if line.startswith("r")]) == MOST_ROWS
    assert f"{MOST_ROWS} x {MOST_COLUMNS}" in lines[-1]
