# SPDX-License-Identifier: Apache-2.0
"""`pytest --gpu` never passes without having run something on a GPU."""

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


def test_it_fails_if_no_test_of_a_gpu_was_chosen():
    found = run("tests/test_kernels.py")
    assert found.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.skipif(why_unusable() is None, reason="there is a GPU")
def test_it_fails_where_there_is_none():
    found = run("tests/test_engines.py", "-k", "oracle")
    assert found.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 error" in found.stdout
