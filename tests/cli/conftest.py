# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner
from wheels import build_wheel, pip_install

from simplugins.cli import app

PLUGIN = """
    from dataclasses import dataclass

    import numpy as np

    def _lengths(x, y):
        return np.sqrt(x.squared_norms)[:, None], np.sqrt((x if y is None else y).squared_norms)[None, :]

    def length_products(x, y=None):
        rows, columns = _lengths(x, y)
        return rows * columns

    length_products.symmetric = True

    @dataclass(frozen=True)
    class LengthPower:
        exponent: float = 1.0
        symmetric = True

        def __call__(self, x, y=None):
            rows, columns = _lengths(x, y)
            return (rows * columns) ** self.exponent
"""
"""A third-party distribution with two measures, one of them with an option."""


def restore_interrupts():
    """Let SIGINT interrupt a child process even if it is ignored here, as in a shell's background jobs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory):
    """A folder in which the third-party distribution is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    wheel = build_wheel(
        folder,
        "length-measures",
        "1.0",
        {"length-products": "length_measures:length_products", "length-power": "length_measures:LengthPower"},
        {"length_measures": PLUGIN},
    )
    subprocess.run(pip_install(folder / "site", wheel), check=True)
    return folder / "site"


@pytest.fixture
def folder(tmp_path, photos):
    """Files of activations and labels."""
    np.save(tmp_path / "maps.npy", photos["block15"][:6])
    np.savez(tmp_path / "layers.npz", block15=photos["block15"][:6], block10=photos["block10"][:6])
    (tmp_path / "labels.txt").write_text("a\na\na\na\nb\nb\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def run():
    """Run a command in this process."""

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def run_process():
    """Run a command in a process of its own, which sees the distributions in `site`."""

    def run(*arguments, site=None):
        paths = [str(site)] if site else []
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        return subprocess.run(
            [sys.executable, "-m", "simplugins", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=restore_interrupts if os.name == "posix" else None,
        )

    return run


@pytest.fixture
def start_process():
    """Start commands in processes that end with the test, even if it fails."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "simplugins", *map(str, arguments)],
            stderr=subprocess.PIPE,
            preexec_fn=restore_interrupts if os.name == "posix" else None,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()
