# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest

import simplugins

OPTIONS = ("--resamples", 50, "--permutations", 19, "-q")


@pytest.fixture
def rsms(tmp_path):
    """Files of the RSMs of two subjects, two models, and a folder of two layers."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(12, 4))
    noise = {"s1": 0.5, "s2": 0.5, "near": 0.3, "far": 3.0, "layers/block2": 0.4, "layers/block10": 2.0}
    (tmp_path / "layers").mkdir()
    for name, level in noise.items():
        x = truth + level * rng.normal(size=truth.shape)
        simplugins.RSM.from_similarities(x @ x.T).save(tmp_path / f"{name}.npz")
    return tmp_path


def test_models_are_ranked_against_targets(rsms, run):
    files = rsms / "s1.npz", rsms / "s2.npz", "-c", f"model A={rsms / 'far.npz'}", "-c", rsms / "near.npz"
    method = "--method", "mutual-knn", "--method-option", "k=3", "--over", "inputs"
    result = run("rank", *files, *method, "-o", rsms / "out.json", "--figure", rsms / "out.png", *OPTIONS)
    assert result.exit_code == 0
    targets = {name: simplugins.load_rsm(rsms / f"{name}.npz") for name in ("s1", "s2")}
    candidates = {
        name: simplugins.load_rsm(rsms / f"{file}.npz") for name, file in (("model A", "far"), ("near", "near"))
    }
    expected = simplugins.rank_models(
        targets, candidates, "mutual-knn", method_options={"k": 3}, over="inputs", resamples=50, permutations=19
    )
    saved = json.loads((rsms / "out.json").read_text())
    assert [row["candidate"] for row in saved["candidates"]] == ["near", "model A"]
    assert saved["candidates"] == json.loads(json.dumps(expected.table()))
    assert (rsms / "out.png").is_file()
    assert f"{expected.values[0]:.3f}" in result.stdout
    assert f"noise ceiling: {expected.noise_ceiling.lower:.3f}" in result.stdout


def test_the_layers_in_a_folder_are_candidates(rsms, run):
    result = run("rank", rsms / "s1.npz", "-c", rsms / "layers", "-c", f"net={rsms / 'layers'}", "-o", rsms / "t.csv",
                 *OPTIONS)  # fmt: skip
    assert result.exit_code == 0
    lines = (rsms / "t.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in lines} == {"block2", "block10", "net block2", "net block10"}


def test_groups_are_drawn_and_permuted_together(rsms, run):
    (rsms / "groups.txt").write_text("\n".join("aabbccddeeff"))
    files = rsms / "s1.npz", "-c", rsms / "far.npz", "-c", rsms / "near.npz", "--groups", rsms / "groups.txt"
    result = run("rank", *files, "-o", rsms / "out.json", *OPTIONS)
    assert result.exit_code == 0, result.stderr
    expected = simplugins.rank_models(
        simplugins.load_rsm(rsms / "s1.npz"),
        {name: simplugins.load_rsm(rsms / f"{name}.npz") for name in ("far", "near")},
        groups=list("aabbccddeeff"),
        resamples=50,
        permutations=19,
    )
    assert json.loads((rsms / "out.json").read_text())["candidates"] == json.loads(json.dumps(expected.table()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("s1.npz",), "--candidate"),
        (("s1.npz", "-c", "missing.npz"), "missing.npz"),
        (("s1.npz", "-c", "maps.npy"), "simplugins rsm"),
        (("s1.npz", "-c", "near.npz", "-c", "near.npz"), "'near'"),
        (("s1.npz", "-c", "near.npz", "--over", "both"), "at least 2"),
        (("s1.npz", "-c", "near.npz", "-o", "near.npz"), "exists"),
        (("s1.npz", "-c", "near.npz", "-o", "table.xlsx"), "xlsx"),
        (("s1.npz", "-c", "near.npz", "--figure", "table.json"), "json"),
    ],
)
def test_errors_are_one_line(rsms, run_process, arguments, words, monkeypatch):
    monkeypatch.chdir(rsms)
    np.save(rsms / "maps.npy", np.ones((12, 3, 2, 2)))
    result = run_process("rank", *arguments, "-q")
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
