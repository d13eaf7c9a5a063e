# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

import simplugins


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 6))
    np.savez(tmp_path / "a.npz", conv1=x, conv2=rng.normal(size=(12, 5)))
    np.savez(tmp_path / "b.npz", block1=x[:, ::-1], block2=rng.normal(size=(12, 5)))
    np.savez(tmp_path / "untrained.npz", block1=rng.normal(size=(12, 5)), block2=rng.normal(size=(12, 5)))
    return tmp_path


def test_calibrated_comparisons_are_printed_and_written(run, files):
    out = files / "table.npz"
    options = ["--calibrate", "max", "--permutations", "40", "--alpha", "0.1", "-q"]
    result = run("compare", files / "a.npz", files / "b.npz", *options, "-o", out, "--figure", files / "table.png")
    assert result.exit_code == 0, result.output
    table = simplugins.load_comparison(out)
    with np.load(files / "a.npz") as a, np.load(files / "b.npz") as b:
        expected = simplugins.compare_layers(dict(a), dict(b), calibrate="max", permutations=40, alpha=0.1)
    assert table.table() == expected.table()
    assert repr(table.calibration) in result.output
    assert "cka-debiased, calibrated" in result.output
    for score in table.calibration.scores.ravel():
        assert f"{score:.4f}" in result.output


def test_groups_and_the_seed_apply_to_calibration(run, files):
    (files / "groups.txt").write_text("\n".join("aabbccddeeff"))
    options = ["--calibrate", "each", "--permutations", 30, "--seed", 5, "--groups", files / "groups.txt", "-q"]
    result = run("compare", files / "a.npz", files / "b.npz", *options, "-o", files / "table.npz")
    assert result.exit_code == 0, result.output
    with np.load(files / "a.npz") as a, np.load(files / "b.npz") as b:
        expected = simplugins.compare_layers(
            dict(a), dict(b), calibrate="each", permutations=30, seed=5, groups=list("aabbccddeeff")
        )
    assert simplugins.load_comparison(files / "table.npz").table() == expected.table()


def test_yardsticks_are_read_from_files(run, files):
    out = files / "table.npz"
    result = run(
        "compare", files / "a.npz", files / "b.npz", "--yardstick", f"none={files / 'untrained.npz'}", "-o", out
    )
    assert result.exit_code == 0, result.output
    values = simplugins.load_comparison(out).yardsticks["none"]
    assert f"{values[0, 0]:.4f}" in result.output


def test_a_single_pair_is_printed_with_its_score(run, files):
    result = run("compare", files / "a.npz", files / "b.npz", "--layer", "*1", "--calibrate", "each", "-q")
    assert "score: 1\n" in result.output
    assert "p_value: 0.00497512\n" in result.output


@pytest.mark.parametrize("option", ["untrained", "=x.npz", "x="])
def test_malformed_yardsticks_are_an_error(run, files, option):
    result = run("compare", files / "a.npz", files / "b.npz", "--yardstick", option)
    assert result.exit_code == 2
    assert "NAME=FILE" in result.output
