# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simplugins._common.progress import progress_bar, progress_counter
from simplugins._common.threads import check_threads, in_threads, usable_cores


class Task:
    pairs = 5


@pytest.mark.parametrize(("progress", "title"), [(True, "title: "), ("another", "another: ")])
def test_progress_is_shown_on_standard_error_with_a_title(progress, title, capsys):
    with progress_counter(10, progress, title="title", unit="pair", done=4) as report:
        report(7)
        report(10)
    with progress_bar(range(3), progress, title="title", unit="batch") as steps:
        assert list(steps) == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.err.count(title) >= 2
    assert "10.0/10.0" in captured.err
    assert "3/3" in captured.err
    assert captured.out == ""


def test_nothing_is_shown_without_a_request(capsys):
    with progress_counter(10, False, title="title", unit="pair") as report:
        report(10)
    with progress_bar(range(3), False, title="title") as steps:
        assert list(steps) == [0, 1, 2]
    in_threads(lambda task: None, [Task()], pairs=5, threads=1, progress=False, title="title")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_work_through_all_tasks(threads, capsys):
    tasks, done = [Task() for _ in range(20)], []
    in_threads(done.append, iter(tasks), pairs=100, threads=threads, progress=True, title="title")
    assert set(done) == set(tasks)
    assert "title: " in capsys.readouterr().err


def test_an_error_in_a_thread_stops_the_others():
    done = []

    def work(task):
        done.append(task)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        in_threads(work, (Task() for _ in range(1000)), pairs=5000, threads=2, progress=False, title="title")
    assert len(done) < 1000


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_a_whole_number_of_at_least_one(threads):
    with pytest.raises(ValueError, match=rf"threads.*{threads}"):
        check_threads(threads)
    assert check_threads(None) == usable_cores() >= 1


def test_compilation_is_shown_on_request_and_loading_machine_code_is_not(tmp_path):
    def errors(progress):
        code = (
            "import numpy as np, simplugins\n"
            f"simplugins.compute_rsm(np.eye(6).reshape(2, 3, 6), matching='greedy', progress={progress})"
        )
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / str(progress))}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr

    first, again, silent = errors(True), errors(True), errors(False)
    assert "compiling, once per installation: " in first
    assert "compiling" not in again
    assert "matching: 100%" in again
    assert silent == ""
