# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

import simplugins

MAPS = np.random.default_rng(0).random((4, 3, 2, 5))
MASK = np.random.default_rng(1).random((4, 2, 5)) < 0.6


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "in.npy", np.where(MASK[:, None], MAPS, np.nan))
    np.savez(tmp_path / "masks.npz", mask=MASK.astype(np.int64), ids=np.arange(4))
    torch.save({"mask": torch.tensor(MASK), "ids": torch.arange(4)}, tmp_path / "masks.pt")
    return tmp_path


@pytest.mark.parametrize("name", ["masks.npz", "masks.pt"])
def test_a_mask_may_be_one_of_several_arrays_of_a_file(files, run, name):
    options = ["--mask", files / name, "--mask-key", "mask", "-q", "-o", files / "out.npz"]
    result = run("rsm", files / "in.npy", *options)
    assert result.exit_code == 0, result.stderr
    expected = simplugins.compute_rsm(MAPS, mask=MASK)
    np.testing.assert_allclose(simplugins.load_rsm(files / "out.npz"), expected)
    options[-1] = files / "other.npz"
    both = ["--other", files / "in.npy", "--other-mask", files / name, "--other-mask-key", "mask"]
    assert run("rsm", files / "in.npy", *options, *both).exit_code == 0
    np.testing.assert_allclose(simplugins.load_rsm(files / "other.npz").values, expected.values)


def test_a_mask_applies_to_a_recording(tmp_path, run):
    torch.manual_seed(0)
    ids, model = torch.randint(1, 9, (3, 6)), torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 4))
    mask = np.arange(6) < np.array([[6], [2], [3]])
    simplugins.record(model, ids, to=tmp_path / "to")
    np.save(tmp_path / "mask.npy", mask.astype(int))
    result = run(
        *("rsm", tmp_path / "to", "--key", "1", "--mask", tmp_path / "mask.npy", "-q", "-o", tmp_path / "out.npz")
    )
    assert result.exit_code == 0, result.stderr
    expected = simplugins.compute_rsm(simplugins.record(model, ids, mask=mask)["1"])
    np.testing.assert_allclose(simplugins.load_rsm(tmp_path / "out.npz"), expected, rtol=1e-6)
    simplugins.record(model, ids, "1", to=tmp_path / "masked", mask=mask)
    result = run("rsm", tmp_path / "masked", "--mask", tmp_path / "mask.npy", "-q", "-o", tmp_path / "no.npz")
    assert result.exit_code == 2
    assert "2 to 6 positions" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask", "masks.npz"], ["--mask", "mask, ids"]),
        (["--mask", "masks.npz", "--mask-key", "none"], ["'none'", "mask, ids"]),
        (["--mask", "masks.npz", "--mask-key", "ids"], ["mask", "2"]),
        (["--mask-key", "mask"], ["--mask-key"]),
        (["--other", "in.npy", "--other-mask-key", "mask"], ["--other-mask-key"]),
        (["--other", "in.npy", "--other-mask", "masks.npz"], ["--other-mask", "mask, ids"]),
    ],
)
def test_masks_that_are_not_found_are_one_line(files, run, monkeypatch, options, words):
    monkeypatch.chdir(files)
    result = run("rsm", "in.npy", *options, "-o", "out.npz", "-q")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert all(word in result.stderr for word in words)


def test_compare_takes_a_mask_and_intervals_as_the_function_does(tmp_path, run):
    rng = np.random.default_rng(0)
    layers, mask = {name: rng.random((8, 3, 2, 5)) for name in "ab"}, rng.random((8, 2, 5)) < 0.6
    mask[:, 0, 0] = True
    np.savez(tmp_path / "in.npz", **{name: np.where(mask[:, None], maps, np.nan) for name, maps in layers.items()})
    np.savez(tmp_path / "masks.npz", mask=mask, ids=np.arange(8))
    options = ["--mask", tmp_path / "masks.npz", "--mask-key", "mask", "--intervals", "--resamples", "40"]
    result = run("compare", tmp_path / "in.npz", *options, "--method", "rsa-spearman", "-q", "-o", tmp_path / "x.npz")
    assert result.exit_code == 0, result.stderr
    table = simplugins.load_comparison(tmp_path / "x.npz")
    expected = simplugins.compare_layers(layers, method="rsa-spearman", mask=mask, intervals=True, resamples=40)
    np.testing.assert_allclose(table.values, expected.values)
    np.testing.assert_allclose(table.intervals.low, expected.intervals.low)
    assert run("compare", tmp_path / "in.npz", "-q").exit_code == 2  # masked positions are NaN
