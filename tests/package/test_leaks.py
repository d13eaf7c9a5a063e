# SPDX-License-Identifier: Apache-2.0
"""Many calls leave no file, thread or memory behind."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import tracemalloc
from contextlib import suppress

import h5py
import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file
from typer.testing import CliRunner

import simplugins
from simplugins.cli import app

VALUES = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
SIMILARITIES = np.cov(np.random.default_rng(0).normal(size=(6, 9)))


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    np.savez(tmp_path / "x.npz", a=VALUES)
    torch.save({"a": torch.tensor(VALUES)}, tmp_path / "x.pt")
    save_file({"a": torch.tensor(VALUES)}, tmp_path / "x.safetensors")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = VALUES
        file["b"] = h5py.Empty("f4")
    zarr.create_array(tmp_path / "x.zarr", data=VALUES)
    simplugins.compute_rsm(VALUES).save(tmp_path / "rsm.npz")
    simplugins.compute_rsm(VALUES, store=tmp_path / "run.zarr")
    simplugins.record(torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.ones(4, 2), ["0"], to=tmp_path / "recording")
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-30])
    return tmp_path


def read(name, key=None):
    return lambda folder, _: np.asarray(simplugins.read_activations(folder / name, key))


def failing(name, key=None):
    def call(folder, _):
        with suppress(ValueError):
            simplugins.read_activations(folder / name, key)

    return call


def record(folder, number):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    simplugins.record(model, torch.ones(4, 2), to=folder / f"recording{number}")


def command(*arguments):
    def call(folder, number):
        paths = [str(folder / argument) if "." in argument else argument for argument in arguments]
        done = CliRunner().invoke(app, [path.replace("NUMBER", str(number)) for path in paths])
        assert done.exit_code == 0, done.output

    return call


def resume(folder, _):
    np.asarray(simplugins.compute_rsm(VALUES, store=folder / "run.zarr"))


def stored(folder, number):
    np.asarray(simplugins.compute_rsm(VALUES, store=folder / f"run{number}.zarr"))


OFTEN = {
    "compute_rsm": lambda folder, _: simplugins.compute_rsm(VALUES),
    "compute_rsm of a path": lambda folder, _: simplugins.compute_rsm(folder / "x.npy"),
    "compare": lambda folder, _: simplugins.compare(SIMILARITIES, SIMILARITIES + 1),
    ".npy": read("x.npy"),
    ".npz": read("x.npz"),
    ".pt": read("x.pt"),
    ".safetensors": read("x.safetensors"),
    ".h5": read("x.h5", "a"),
    ".h5 without a key": failing("x.h5"),
    ".h5 of an empty dataset": failing("x.h5", "b"),
    "a damaged .npz": failing("damaged.npz"),
    "an RSM": lambda folder, _: simplugins.load_rsm(folder / "rsm.npz"),
    "saving": lambda folder, _: simplugins.load_rsm(folder / "rsm.npz").save(folder / "y.npz", overwrite=True),
    "a recording": lambda folder, _: simplugins.read_recorded(folder / "recording"),
}

SELDOM = {
    ".zarr": read("x.zarr"),
    "the RSM in a store": lambda folder, _: simplugins.load_rsm(folder / "run.zarr").values,
    "continuing a store": resume,
    "a new store": stored,
    "recording": record,
    "rsm": command("rsm", "x.npy", "-o", "yNUMBER.npz"),
    "show": command("show", "rsm.npz", "--figure", "figureNUMBER.png"),
    "compare, in the terminal": command("compare", "x.npz", "-q"),
}


def resources():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), tracemalloc.get_traced_memory()[0]


def check(folder, call, calls, warm):
    """Check that calls open no file or thread for good, and keep less than 200 bytes each, beside caches that fill."""
    numbers = itertools.count()
    for _ in range(warm):
        call(folder, next(numbers))
    tracemalloc.start()
    try:
        call(folder, next(numbers))
        before = resources()
        for _ in range(calls):
            call(folder, next(numbers))
        after = resources()
    finally:
        tracemalloc.stop()
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    assert after[2] - before[2] < 200 * calls + 400_000


pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files in /proc")


@pytest.mark.parametrize("name", ["compute_rsm", ".npz", ".h5", "a damaged .npz"])
def test_calls_leave_nothing_behind(folder, name):
    check(folder, OFTEN[name], calls=30, warm=10)


@pytest.mark.slow
@pytest.mark.parametrize("call", OFTEN.values(), ids=OFTEN)
def test_a_thousand_calls_leave_nothing_behind(folder, call):
    check(folder, call, calls=1000, warm=200)


@pytest.mark.slow
@pytest.mark.parametrize("call", SELDOM.values(), ids=SELDOM)
def test_dozens_of_slower_calls_leave_nothing_behind(folder, call):
    check(folder, call, calls=40, warm=10)
