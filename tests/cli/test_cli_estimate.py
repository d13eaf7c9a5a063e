# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

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
def measured(monkeypatch):
    """Pretend that a pair takes a millisecond, and note with what runs it was asked."""
    asked = []

    def calibrate(run, *arguments):
        asked.append(run)
        return calibration.Speed(0.0, 0.0, 1e-3, 6)

    monkeypatch.setattr(estimates, "calibrate", calibrate)
    return asked


def run(*arguments):
    return CliRunner().invoke(app, ["estimate", *map(str, arguments)])


def cells(output):
    """Return the table's texts by name."""
    rows = [line.split("│")[1:3] for line in output.splitlines() if line.startswith("│")]
    return {name.strip(): text.strip() for name, text in rows}


def test_of_a_file(file, measured):
    done = run(file, "--key", "block15")
    assert done.exit_code == 0, done.output
    found = cells(done.stdout)
    assert found["inputs"] == "6"
    assert found["pairs"] == "15"
    assert found["positions, channels"] == "49, 320 (float32)"
    assert found["time"] == "about 15 ms"
    assert found["the RSM"] == "288 bytes"
    assert found["estimated from"] == "6 pairs of activations"


def test_of_a_file_for_more_inputs(file, measured):
    found = cells(run(file, "--key", "block10", "--inputs", 50_000, "--others", 1000).stdout)
    assert found["inputs"] == "50,000 with 1,000 others"
    assert found["time"] == "about 14 hours"


def test_of_a_size_and_how_it_is_computed(measured):
    size = ["--inputs", 1_000_000, "--positions", 196, "--channels", 112]
    done = run(
        *size, "-m", "semantic-rbf", "--matching", "batch-optimal", "-O", "window=64", "--certify", "--threads", 3
    )
    assert done.exit_code == 0, done.output
    found = cells(done.stdout)
    assert found["pairs"] == "499,999,500,000"
    assert found["time"] == "about 16 years"
    assert found["time for a pair"] == "1 ms, 3 threads"
    assert found["measure"] == "semantic-rbf, certified"
    assert found["matching"] == "batch-optimal (window 64)"
    assert found["the RSM"] == "8 TB"
    (asked,) = measured
    assert (asked.measure.name, asked.matcher.window, asked.certify, asked.threads) == ("semantic-rbf", 64, True, 3)


def test_it_measures(file):
    done = run(file, "--key", "block15", "--seconds", 0.05, "--threads", 1)
    assert done.exit_code == 0, done.output
    assert cells(done.stdout)["time for a pair"].endswith("1 thread")
    done = run("--inputs", 5, "--positions", 7, "--channels", 3, "--seconds", 0.05)
    assert cells(done.stdout)["pairs"] == "10"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a file of activations, or --inputs, --positions and --channels"),
        (["--inputs", 5, "--positions", 4], "expected a file of activations, or --inputs, --positions and --channels"),
        (["FILE", "--positions", 4], "--positions does not go with a file of activations"),
        (["FILE", "--key", "block15", "--channels", 4], "--channels does not go with a file of activations"),
        (["FILE"], "(block15, block10)"),
        (["nothing.npy"], "nothing.npy: no such file"),
        (["--key", "a", "--inputs", 5], "--key does not go with --inputs, --positions and --channels, without a file"),
        (["--inputs", 1, "--positions", 4, "--channels", 2], "an RSM needs at least 2 inputs, got 1"),
        (["--inputs", 5, "--positions", 4, "--channels", 2, "-m", "mine"], "simplugins.measures has no plugin 'mine'"),
        (["--inputs", 5, "--positions", 4, "--channels", 2, "-O", "k=2"], "--option goes with --matching"),
        (["--inputs", 5, "--positions", 4, "--channels", 2, "--seconds", 0], "seconds must be a number above 0, got 0"),
    ],
)
def test_errors_are_one_line(file, arguments, message):
    done = run(*(file if argument == "FILE" else argument for argument in arguments))
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
