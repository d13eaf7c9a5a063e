# SPDX-License-Identifier: Apache-2.0
"""`pytest --gpu` never passes without running a test on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simplugins._common.gpu import why_unusable

ROOT = Path(__file__).parents[3]


def run(*arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_it_fails_if_no_gpu_test_is_selected():
    result = run("tests/matching/test_scans.py")
    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.skipif(why_unusable() is None, reason="there is a GPU")
def test_it_fails_without_a_gpu():
    result = run("tests/compute/cuda/test_gpu_arrays.py", "-k", "bfloat16")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed" in result.stdout
