# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from simplugins.cli import app
from simplugins.measures.cost import calibration, estimates


@pytest.fixture
def file(tmp_path, photos):
    path = tmp_path / "layers.npz"
    np.savez(path, block15=photos["block15"][:6], block10=photos["block10"][:6])
    return path


@pytest.fixture
def calls(monkeypatch):
    """Pretend that a pair takes a millisecond, and list the planned calls."""
    calls = []

    def calibrate(call, *arguments):
        calls.append(call)
        return calibration.Speed(0.0, 0.0, 1e-3, 6)

    monkeypatch.setattr(estimates, "calibrate", calibrate)
    return calls


def run(*arguments):
    return CliRunner().invoke(app, ["estimate", *map(str, arguments)])


def cells(output):
    """Return the texts of the table by name."""
    rows = [line.split("│")[1:3] for line in output.splitlines() if line.startswith("│")]
    return {name.strip(): text.strip() for name, text in rows}


def test_estimate_for_a_file(file, calls):
    result = run(file, "--key", "block15")
    assert result.exit_code == 0, result.output
    table = cells(result.stdout)
    assert table["inputs"] == "6"
    assert table["pairs"] == "15"
    assert table["positions, channels"] == "49, 320 (float32)"
    assert table["time"] == "about 15 ms"
    assert table["size of the RSM"] == "288 bytes"
    assert table["estimated from"] == "6 pairs of activations"


def test_estimate_for_more_inputs_than_the_file_has(file, calls):
    table = cells(run(file, "--key", "block10", "--inputs", 50_000, "--other-inputs", 1000).stdout)
    assert re.match(r"50,000 with 1,000\b", table["inputs"])
    assert table["time"] == "about 14 hours"


def test_estimate_for_a_size(calls):
    size = ["--inputs", 1_000_000, "--positions", 196, "--channels", 112]
    options = ["--matching", "batch-optimal", "-O", "window=64", "--certify", "--threads", 3]
    result = run(*size, "-m", "semantic-rbf", *options)
    assert result.exit_code == 0, result.output
    table = cells(result.stdout)
    assert table["pairs"] == "499,999,500,000"
    assert table["time"] == "about 16 years"
    assert table["time per pair"] == "1 ms, 3 threads"
    assert table["measure"] == "semantic-rbf, certified"
    assert table["matching"] == "batch-optimal (window 64)"
    assert table["size of the RSM"] == "8 TB"
    (call,) = calls
    assert (call.measure.name, call.options.matching.window) == ("semantic-rbf", 64)
    assert (call.options.certify, call.threads) == (True, 3)


def test_speed_is_measured(file):
    result = run(file, "--key", "block15", "--seconds", 0.05, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert cells(result.stdout)["time per pair"].endswith("1 thread")
    result = run("--inputs", 5, "--positions", 7, "--channels", 3, "--seconds", 0.05)
    assert cells(result.stdout)["pairs"] == "10"


SIZE = ["--inputs", 5, "--positions", 4, "--channels", 2]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "--inputs, --positions and --channels"),
        (["--inputs", 5, "--positions", 4], "--inputs, --positions and --channels"),
        (["FILE", "--positions", 4], "--positions .*file"),
        (["FILE", "--key", "block15", "--channels", 4], "--channels .*file"),
        (["FILE"], "block15, block10"),
        (["nothing.npy"], "nothing.npy"),
        (["--key", "a", "--inputs", 5], "--key .*file"),
        (["--inputs", 1, "--positions", 4, "--channels", 2], r"2 inputs.*\b1\b"),
        ([*SIZE, "-m", "mine"], "simplugins.measures.*'mine'"),
        ([*SIZE, "-O", "k=2"], "-O .*--matching"),
        ([*SIZE, "--measure-option", "k=2"], "'semantic-cosine'.*'k'"),
        ([*SIZE, "--seconds", 0], r"seconds must be .*\b0"),
    ],
)
def test_errors_are_one_line(file, arguments, match):
    result = run(*(file if argument == "FILE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert re.search(match, result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1
