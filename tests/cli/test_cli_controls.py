# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import simplugins
from simplugins.cli import app


@pytest.fixture
def file(tmp_path, maps):
    np.save(tmp_path / "maps.npy", maps[:8])
    return tmp_path / "maps.npy"


def run(*arguments):
    return CliRunner().invoke(app, ["controls", *map(str, arguments), "-q"])


def test_rsms_a_table_and_a_figure_are_written(tmp_path, file, maps):
    result = run(file, "-o", tmp_path / "rsms", "--figure", tmp_path / "rsms.png", "--kernel", "linear",
                 "--method", "mutual-knn", "--method-option", "k=3")  # fmt: skip
    assert result.exit_code == 0, result.output
    expected = simplugins.controls(maps[:8], kernel="linear")
    assert {path.stem for path in (tmp_path / "rsms").iterdir()} == set(expected)
    for name, rsm in expected.items():
        assert name in result.output
        np.testing.assert_allclose(simplugins.load_rsm(tmp_path / "rsms" / f"{name}.npz"), rsm, rtol=1e-6, atol=1e-9)
    assert (tmp_path / "rsms.png").read_bytes()[:4] == b"\x89PNG"


def test_existing_results_are_kept_without_force(tmp_path, file):
    (tmp_path / "rsms").mkdir()
    (tmp_path / "rsms" / "semantic-cosine.npz").write_bytes(b"mine")
    result = run(file, "-o", tmp_path / "rsms")
    assert (result.exit_code, "--force" in result.output) == (2, True)
    assert (tmp_path / "rsms" / "semantic-cosine.npz").read_bytes() == b"mine"
    assert run(file, "-o", tmp_path / "rsms", "--force").exit_code == 0


@pytest.mark.parametrize("arguments", [["-o", "rsms.npz"], ["--figure", "rsms.txt"], ["--out", "nowhere/rsms"]])
def test_invalid_outputs_raise_before_anything_is_computed(tmp_path, file, arguments):
    result = run(file, arguments[0], tmp_path / arguments[1])
    assert result.exit_code == 2
    assert arguments[1] in result.output
