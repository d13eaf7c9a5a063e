# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
import zarr

import simplugins
from simplugins._common.gpu import why_unusable
from simplugins.activations.activations import Activations
from simplugins.activations.reading import read
from simplugins.compute.executors import dask_cluster as cluster
from simplugins.compute.job import Job
from simplugins.compute.run import Resources, make_tiling
from simplugins.compute.sinks.zarr_store import Store
from simplugins.matching.optimal import Optimal
from simplugins.measures.semantic import MatchedPairs

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    """Two workers, processes with a thread each."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(silence_logs=50, **options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def repeated(photos):
    """Real activations, repeated with noise: 96 inputs of 100 positions."""
    maps = photos["block10"][:, :, 2:12, 2:12].astype(np.float32)
    rng = np.random.default_rng(0)
    return np.concatenate([maps * (1 + 0.1 * rng.normal(size=maps.shape)) for _ in range(4)]).astype(np.float16)


def assert_equal_to_rounding(rsm, expected):
    """Compare RSMs of processes with different numbers of BLAS threads, whose affinities differ by rounding."""
    np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("measure", ["semantic-rbf", pytest.param("spatio-semantic-cosine", marks=pytest.mark.slow)])
@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("with_other", [True, False])
def test_workers_compute_the_same_as_one_process(client, tmp_path, repeated, measure, on_disk, with_other):
    source = repeated
    options = {"other": repeated[:5] * 2 if with_other else None, "certify": True, "tile_size": 8}
    if on_disk:
        np.save(tmp_path / "maps.npy", repeated)
        source = tmp_path / "maps.npy"
    here = simplugins.compute_rsm(repeated, measure, store=tmp_path / "here.zarr", **options)
    there = simplugins.compute_rsm(source, measure, scheduler=client, **options)
    assert_equal_to_rounding(there, here)
    np.testing.assert_allclose(there.gap, here.gap, atol=1e-6)
    assert dict(there.metadata) == dict(here.metadata)


@pytest.mark.parametrize("measure", ["max-sim-rbf", "shift-cosine"])
@pytest.mark.parametrize("with_other", [True, False])
def test_workers_compute_measures_of_their_own_kind(client, repeated, measure, with_other):
    options = {"other": repeated[:5] * 2 if with_other else None, "tile_size": 16}
    there = simplugins.compute_rsm(repeated[:40], measure, scheduler=client, **options)
    here = simplugins.compute_rsm(repeated[:40], measure, **options)
    assert_equal_to_rounding(there, here)
    assert dict(there.metadata) == dict(here.metadata)


@pytest.mark.parametrize(
    ("normalize", "on_disk"), [("position", True), ("position", False), ("matched", False), ("mass", True)]
)
def test_workers_prepare_activations_and_normalise_sets(client, tmp_path, repeated, normalize, on_disk):
    mask = np.random.default_rng(0).random((len(repeated), 10, 10)) < 0.3
    options = {"mask": mask, "other": repeated[:5] * 2, "center": "channel", "normalize": normalize, "tile_size": 16}
    source = repeated
    if on_disk:
        np.save(tmp_path / "maps.npy", repeated)
        source = tmp_path / "maps.npy"
    there = simplugins.compute_rsm(source, scheduler=client, **options)
    assert_equal_to_rounding(there, simplugins.compute_rsm(repeated, **options))
    assert (there.metadata["center"], there.metadata["normalize"]) == ("channel", normalize)


def test_a_store_begun_here_is_completed_by_a_cluster_at_an_address(client, tmp_path, repeated):
    path = tmp_path / "run.zarr"
    expected = simplugins.compute_rsm(repeated, store=tmp_path / "here.zarr", tile_size=8)
    simplugins.compute_rsm(repeated, store=path, tile_size=8)
    for row in (1, 4, 5):
        for chunk in (path / "values" / "c" / str(row)).iterdir():
            chunk.unlink()
    rsm = simplugins.compute_rsm(repeated, store=path, scheduler=client.scheduler.address, tile_size=8)
    assert_equal_to_rounding(rsm, expected)


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [True, False])
def test_tiles_of_a_killed_worker_are_repeated(client, tmp_path, repeated, monkeypatch, on_disk):
    path, write, written = tmp_path / "run.zarr", Store.write, []
    source = repeated
    if on_disk:
        np.save(tmp_path / "maps.npy", repeated)
        source = tmp_path / "maps.npy"

    def write_and_kill(store, tile, result):
        write(store, tile, result)
        written.append(tile)
        if len(written) == 9:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    monkeypatch.setattr(Store, "write", write_and_kill)
    rsm = simplugins.compute_rsm(source, store=path, scheduler=client, tile_size=8)
    assert sorted(written) == sorted(Store.open(path).tiling.tiles())
    assert_equal_to_rounding(rsm, simplugins.compute_rsm(repeated, store=tmp_path / "here.zarr", tile_size=8))
    client.wait_for_workers(2, timeout=60)


def test_the_command_line_takes_an_address(client, tmp_path, photos):
    np.save(tmp_path / "maps.npy", photos["block10"][:8])
    command = [sys.executable, "-m", "simplugins", "rsm", tmp_path / "maps.npy", "-o", tmp_path / "rsm.npz"]
    subprocess.run([*command, "--scheduler", client.scheduler.address], check=True, capture_output=True)
    rsm = simplugins.load_rsm(tmp_path / "rsm.npz")
    assert_equal_to_rounding(rsm, simplugins.compute_rsm(photos["block10"][:8]))


def test_an_error_on_a_worker_is_raised_here(client, maps):
    class Odd(Optimal):
        name = "odd"

        def match_batch(self, affinities, offsets):
            raise ZeroDivisionError("on a worker")

    with pytest.raises(ZeroDivisionError, match="on a worker"):
        simplugins.compute_rsm(maps, matching=Odd(), scheduler=client)
    assert_equal_to_rounding(simplugins.compute_rsm(maps, scheduler=client), simplugins.compute_rsm(maps))


def test_plugins_that_cannot_be_sent_to_workers_raise(client, maps):
    class Locked(Optimal):
        name = "locked"

        def __init__(self):
            object.__setattr__(self, "lock", threading.Lock())

    with pytest.raises(TypeError, match=r"matching 'locked' cannot be sent.*lock.*top level of a module"):
        simplugins.compute_rsm(maps, matching=Locked(), scheduler=client)


def test_workers_of_another_version_raise(maps):
    job = Job(Activations.from_array(maps), None, MatchedPairs(Optimal()), version="99.0")
    with pytest.raises(ValueError, match=rf"99\.0.*\b{simplugins.__version__}\b"):
        pickle.loads(pickle.dumps(job)).compute(1)


def test_the_engine_is_checked_on_the_worker(client, maps):
    if why_unusable() is None:
        pytest.skip("the workers here have a GPU")
    with pytest.raises(ValueError, match="engine 'cuda' cannot be used here"):
        simplugins.compute_rsm(maps, engine="cuda", scheduler=client)
    with pytest.raises(ValueError, match="unknown engine"):
        simplugins.compute_rsm(maps, engine="abacus", scheduler=client)


@pytest.mark.parametrize("kind", ["npy", "zarr", "h5"])
def test_workers_in_another_folder_find_relative_files(client, tmp_path, photos, monkeypatch, kind):
    large = np.tile(photos["block10"], (1, 8, 1, 1))  # too large to be kept in memory
    monkeypatch.chdir(tmp_path)
    save(tmp_path / f"maps.{kind}", large)
    client.run(os.chdir, "/")
    rsm = simplugins.compute_rsm(f"maps.{kind}", "spatio-semantic-cosine", scheduler=client)
    assert_equal_to_rounding(rsm, simplugins.compute_rsm(large, "spatio-semantic-cosine"))


@pytest.mark.parametrize("kind", ["npy", "zarr", "h5"])
def test_a_worker_that_finds_another_file_or_none_raises(client, tmp_path, photos, kind):
    large, path = np.tile(photos["block10"], (1, 8, 1, 1)), tmp_path / f"maps.{kind}"
    save(path, large)
    activations = Activations.from_array(read(path))
    assert activations.is_on_disk
    path.rename(tmp_path / "away")
    if kind != "h5":  # is still open in this process, which sends it
        with pytest.raises(FileNotFoundError):
            simplugins.compute_rsm(activations, "spatio-semantic-cosine", scheduler=client)
    save(path, large * 2)
    with pytest.raises(ValueError, match="activations have changed"):
        simplugins.compute_rsm(activations, "spatio-semantic-cosine", scheduler=client)


def save(path, values):
    """Write activations to a file of a format that is read in blocks."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=values, chunks=(4, *values.shape[1:]))
    else:
        with h5py.File(path, "w") as file:
            file["maps"] = values


def test_a_cluster_without_workers_raises_after_some_time(maps, monkeypatch):
    monkeypatch.setattr(cluster, "WORKER_TIMEOUT", 1)
    options = {"n_workers": 0, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**options) as empty, distributed.Client(empty) as client:
        with pytest.raises(ConnectionError, match=r"no workers.*\b1 seconds"):
            simplugins.compute_rsm(maps, scheduler=client)
        client.close()
        with pytest.raises(ConnectionError, match="closed"):
            simplugins.compute_rsm(maps, scheduler=client)


@pytest.mark.parametrize("address", ["nonsense", "", "two words"])
def test_an_invalid_address_raises(maps, address):
    with pytest.raises(TypeError, match=f"such as 'tcp://10.0.0.1:8786', got '?{address}"):
        simplugins.compute_rsm(maps, scheduler=address)


def test_an_invalid_scheduler_raises(maps):
    with pytest.raises(TypeError, match=r"scheduler must be a dask\.distributed Client, or the address"):
        simplugins.compute_rsm(maps, scheduler=3)
    with pytest.raises(ValueError, match="memory_limit"):
        simplugins.compute_rsm(maps, scheduler="tcp://127.0.0.1:1", memory="2GB")


def test_a_scheduler_that_does_not_answer_raises(maps):
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(ConnectionError, match="no Dask scheduler answers at 'tcp://127"),
    ):
        simplugins.compute_rsm(maps, scheduler="tcp://127.0.0.1:1")


def test_there_are_enough_tiles_for_all_threads(client, photos):
    job = Job(Activations.from_array(photos["block10"]), None, MatchedPairs(Optimal()))
    assert make_tiling(job, Resources(scheduler=client)).count >= 16
