# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import simplugins
from simplugins.activations.activations import Activations
from simplugins.compute.job import Job
from simplugins.compute.memory import Needs, minimum_bytes, parse_memory, plan, resident
from simplugins.matching.optimal import Optimal
from simplugins.measures.semantic import MatchedPairs


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2e9), ("2 gib", 2**31), ("1.5k", 1500), (4096, 4096), ("512MiB", 2**29), ("3e", None), (0, None)],
)
def test_amounts_of_memory_are_read(text, expected):
    if expected is None:
        with pytest.raises(ValueError, match=rf"memory.*{text!r}"):
            parse_memory(text)
    else:
        assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["much", "-1GB", "GB", "", "2 GB 3", True, None])
def test_invalid_amounts_raise(text):
    with pytest.raises(ValueError, match=rf"memory.*{text!r}"):
        parse_memory(text)


def test_resident_memory_includes_new_arrays():
    before = resident()
    array = np.ones(2**23)
    assert 0.9 * array.nbytes < resident() - before < 1.2 * array.nbytes


def test_memory_goes_to_threads_first_and_then_to_blocks():
    x = Activations.from_array(np.ones((100, 49, 64), np.float32))
    needs = Needs.of(Job(x, None, MatchedPairs(Optimal())), 32)
    assert plan(needs, minimum_bytes(needs) - 1000, threads=4) is None
    smallest = plan(needs, minimum_bytes(needs), threads=4)
    assert smallest is not None
    assert (smallest.threads, smallest.blocks) == (1, 2)
    ample = plan(needs, 2**32, threads=4)
    assert ample is not None
    assert ample.threads == 4
    assert ample.blocks > 100


def test_too_little_memory_raises_before_anything_is_computed():
    with pytest.raises(ValueError, match="memory='1MB'"):
        simplugins.compute_rsm(np.ones((3, 4, 5)), memory="1MB")


def test_results_larger_than_the_limit_raise():
    limit = f"{resident() + 400 * 2**20}B"
    with pytest.raises(ValueError, match=rf"memory='{limit}'.*results"):
        simplugins.compute_rsm(np.ones((5000, 1)), memory=limit)


SCRIPT = """
import re, sys
import simplugins
from simplugins.activations.reading import read
path, store, limit, count = sys.argv[1:]
other = read(path)[: int(count)] if count else None
simplugins.compute_rsm(path, "spatio-semantic-cosine", other=other, memory=limit, store=store or None)
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "stored", "other_inputs"),
    [
        ("npy", True, "5"),
        ("zarr", False, "5"),
        pytest.param("h5", True, "5", marks=pytest.mark.slow),
        pytest.param("npy", False, "", marks=pytest.mark.slow),
    ],
)
def test_peak_memory_stays_below_the_limit(tmp_path, kind, stored, other_inputs, photos):
    """237 MB of float16 activations, in a process that may take less and has 100 to 150 MB of libraries."""
    path, store = tmp_path / f"activations.{kind}", str(tmp_path / "run.zarr") if stored else ""
    write_repeated(path, np.tile(photos["block10"], (1, 16, 1, 1)), 24 * 14)
    limit = 235_000_000
    command = [sys.executable, "-c", SCRIPT, str(path), store, str(limit), other_inputs]
    process = subprocess.run(command, capture_output=True, text=True)
    assert not process.stderr
    assert int(process.stdout) < limit < path_bytes(path)


PREPARING_SCRIPT = """
import re, sys
import simplugins
options = {"center": ("channel", "position"), "normalize": "position", "memory": sys.argv[2]}
simplugins.compute_rsm(sys.argv[1], "spatio-semantic-cosine", **options)
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_stays_below_the_limit_if_activations_are_prepared(tmp_path, photos):
    path, limit = tmp_path / "activations.npy", 330_000_000
    write_repeated(path, np.tile(photos["block10"], (1, 16, 1, 1)), 24 * 20)
    process = subprocess.run([sys.executable, "-c", PREPARING_SCRIPT, path, str(limit)], capture_output=True, text=True)
    assert not process.stderr
    assert int(process.stdout) < limit < path_bytes(path)


def path_bytes(path):
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def write_repeated(path, maps, count):
    shape = count, *maps.shape[1:]
    rng = np.random.default_rng(0)
    if path.suffix == ".npy":
        array = np.lib.format.open_memmap(path, "w+", maps.dtype, shape)
    elif path.suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        array = zarr.create_array(path, shape=shape, chunks=(4, *shape[1:]), dtype=maps.dtype, compressors=None)
    else:
        file = pytest.importorskip("h5py").File(path, "w")
        array = file.create_dataset("maps", shape, maps.dtype)
    for start in range(0, count, len(maps)):
        array[start : start + len(maps)] = maps * np.float16(rng.uniform(0.5, 1.5))
    if path.suffix == ".h5":
        file.close()
