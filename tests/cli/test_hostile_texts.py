# SPDX-License-Identifier: Apache-2.0
"""Names, labels and paths in the terminal, and streams that are closed, full or of another encoding."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import simplugins

NAMES = ["\x1b[31mred", "[bold]b[/bold]", ":cat:", "two\nlines", "back\rspace\x08", "left\u202eright", "\u8c93", "=1+1"]


@pytest.fixture
def layers(tmp_path):
    arrays = {name: np.random.default_rng(number).normal(size=(5, 4)) for number, name in enumerate(NAMES)}
    np.savez(tmp_path / "layers.npz", **arrays)
    return tmp_path / "layers.npz"


def is_plain(text):
    return all(character.isprintable() for character in text.replace("\n", ""))


def test_tables_show_names_as_text_one_row_each(layers, run):
    done = run("compare", layers, "-q")
    assert done.exit_code == 0, done.output
    assert is_plain(done.stdout)
    rows = [line.split("\u2502")[1].strip() for line in done.stdout.splitlines() if line.startswith("\u2502")]
    assert rows == [
        r"\x1b[31mred", "[bold]b[/bold]", ":cat:", r"two\nlines", r"back\rspace\x08", r"left\u202eright", "\u8c93",
        "=1+1",
    ]  # fmt: skip


def test_progress_shows_names_as_text(layers, run):
    stderr = run("compare", layers).stderr
    assert "two\\nlines" in stderr
    assert is_plain(stderr.replace("\r", "").replace("\x1b[A", ""))


@pytest.mark.parametrize("name", NAMES)
def test_errors_have_one_line_of_text(layers, run, name):
    for arguments in (("compare", layers, "--layer", f"{name}?"), ("rsm", layers, "--key", f"{name}?", "-o", "x.npz")):
        done = run(*arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert is_plain(done.stderr)


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
def test_paths_are_shown_as_text(tmp_path, run, name):
    folder = tmp_path / name
    folder.mkdir()
    np.save(folder / "x.npy", np.eye(4))
    done = run("rsm", folder / "x.npy", "-o", folder / "rsm.npz", "-q")
    assert done.exit_code == 0, done.output
    assert is_plain(done.stdout)
    assert done.stdout.count("\n") == 1
    shown = run("show", folder / "rsm.npz")
    assert shown.exit_code == 0, shown.output
    assert is_plain(shown.stdout)


def test_names_that_are_not_unicode_are_shown(tmp_path, run_process):
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    np.save(os.fsdecode(folder) + "/x.npy", np.eye(4))
    done = run_process("rsm", os.fsdecode(folder) + "/x.npy", "-o", tmp_path / "rsm.npz", "-q")
    assert done.returncode == 0, done.stderr
    missing = run_process("rsm", os.fsdecode(folder) + "/y.npy", "-o", tmp_path / "other.npz", "-q")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_labels_that_no_font_can_draw_are_shown_without_a_warning(tmp_path, run_process):
    simplugins.compute_rsm(np.eye(3), labels=["\U00012345", "b", "\U00012345"]).save(tmp_path / "rsm.npz")
    done = run_process("show", tmp_path / "rsm.npz")
    assert done.returncode == 0
    assert done.stderr == ""


def test_warnings_have_one_line_and_come_once(tmp_path, run_process):
    np.save(tmp_path / "x.npy", 1e6 + np.random.default_rng(0).normal(size=(6, 5, 3)))
    measures = ["-m", "semantic-cosine", "-m", "semantic-linear"]
    done = run_process("rsm", tmp_path / "x.npy", "-q", *measures, "-o", tmp_path / "rsms")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: the inputs have so much in common")


@pytest.mark.parametrize(
    "encoding", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_streams_without_a_character_show_its_escape(layers, encoding):
    command = [sys.executable, "-m", "simplugins", "compare", str(layers), "-q"]
    done = subprocess.run(command, env={**os.environ, **encoding}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\u8c93" in done.stdout


def shell(text, *arguments):
    command = ["bash", "-c", text, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_no_result(tmp_path, layers, redirection):
    done = shell(f'"$0" -m simplugins compare "$1" -o "$2" {redirection}', layers, tmp_path / "x.npz")
    assert done.returncode == 0, done.stderr
    assert simplugins.load_comparison(tmp_path / "x.npz").rows == tuple(NAMES)


@pytest.mark.parametrize("command", ["plugins", "--help", 'compare "$1" -q'])
def test_a_reader_that_leaves_early_sees_no_traceback(layers, command):
    done = shell(f'"$0" -m simplugins {command} | true', layers)
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_device_is_an_error_of_one_line(layers):
    done = shell('"$0" -m simplugins compare "$1" -q > /dev/full', layers)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
