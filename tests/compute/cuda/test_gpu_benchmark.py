# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark on the emulator, so that no step runs for the first time on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "gpu.py"
KINDS = ["environment", "agreement", "accuracy", "whole call", "host", "bandwidth", "product", "throughput", "search"]
KINDS += ["family", "several GPUs", "peer", "first calls", "long run", "large run"]


@pytest.mark.slow
def test_all_steps_of_the_gpu_benchmark_succeed(tmp_path):
    command = [sys.executable, str(BENCHMARK), "--emulated", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "emulated.json").read_text("utf-8"))
    ended = {name: outcome["state"] for name, outcome in run["steps"].items()}
    assert list(dict.fromkeys(name.partition(":")[0] for name in ended)) == KINDS
    assert {state for name, state in ended.items() if not name.startswith("peer")} == {"done"}, done.stderr
    assert "failed" not in ended.values(), done.stderr
    assert all(len(bounds) == 3 for bounds in run["bounds"].values())  # two precisions of affinities, and matching
    assert all(outcome["found"]["equal"] for name, outcome in run["steps"].items() if name.startswith("several"))
    table = (tmp_path / "emulated.md").read_text("utf-8")
    assert "all times are meaningless" in table
    assert "| semantic-cosine, NumPy float16 |" in table
    assert sorted(path.name for path in tmp_path.iterdir()) == ["emulated.json", "emulated.md"]
