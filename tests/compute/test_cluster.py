# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import zarr

import simplugins
from simplugins._common.gpu import why_unusable
from simplugins.activations.activations import Activations
from simplugins.activations.reading import read
from simplugins.compute import run as collecting
from simplugins.compute.executors import dask_cluster as cluster
from simplugins.compute.job import Pairing
from simplugins.compute.run import Resources
from simplugins.compute.sinks.zarr_store import Store
from simplugins.matching.optimal import Optimal

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


@pytest.fixture
def tiles_of_8(monkeypatch):
    monkeypatch.setattr(collecting, "block_size", lambda positions: 8)


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-cosine"])
@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("others", [True, False])
def test_workers_find_what_one_process_finds(client, tmp_path, repeated, tiles_of_8, measure, on_disk, others):
    source, how = repeated, {"other": repeated[:5] * 2} if others else {}
    if on_disk:
        np.save(tmp_path / "maps.npy", repeated)
        source = tmp_path / "maps.npy"
    here = simplugins.compute_rsm(repeated, measure, store=tmp_path / "here.zarr", certify=True, **how)
    there = simplugins.compute_rsm(source, measure, scheduler=client, certify=True, **how)
    np.testing.assert_array_equal(there, here)
    np.testing.assert_array_equal(there.gap, here.gap)
    assert there.metadata == here.metadata


def test_a_store_that_was_begun_here_is_finished_there_by_an_address(client, tmp_path, repeated, tiles_of_8):
    path = tmp_path / "run.zarr"
    expected = simplugins.compute_rsm(repeated, store=tmp_path / "here.zarr")
    simplugins.compute_rsm(repeated, store=path)
    for row in (1, 4, 5):
        for chunk in (path / "products" / "c" / str(row)).iterdir():
            chunk.unlink()
    found = simplugins.compute_rsm(repeated, store=path, scheduler=client.scheduler.address)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_worker_that_is_killed_loses_nothing(client, tmp_path, repeated, tiles_of_8, monkeypatch, on_disk):
    path, write, written = tmp_path / "run.zarr", Store.write, []
    source = repeated
    if on_disk:
        np.save(tmp_path / "maps.npy", repeated)
        source = tmp_path / "maps.npy"

    def write_and_kill(store, tile, found):
        write(store, tile, found)
        written.append(tile)
        if len(written) == 9:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    monkeypatch.setattr(Store, "write", write_and_kill)
    found = simplugins.compute_rsm(source, store=path, scheduler=client)
    assert sorted(written) == sorted(Store.open(path).tiling.tiles())
    np.testing.assert_array_equal(found, simplugins.compute_rsm(repeated, store=tmp_path / "here.zarr"))
    client.wait_for_workers(2, timeout=60)


def test_the_command_line_takes_an_address(client, tmp_path, photos):
    np.save(tmp_path / "maps.npy", photos["block10"][:8])
    command = [sys.executable, "-m", "simplugins", "rsm", tmp_path / "maps.npy", "-o", tmp_path / "rsm.npz"]
    subprocess.run([*command, "--scheduler", client.scheduler.address], check=True, capture_output=True)
    found = simplugins.load_rsm(tmp_path / "rsm.npz")
    np.testing.assert_allclose(found, simplugins.compute_rsm(photos["block10"][:8]), rtol=1e-6)


def test_an_error_on_a_worker_is_raised_here(client, maps):
    class Odd(Optimal):
        name = "odd"

        def match_batch(self, affinities, offsets):
            raise ZeroDivisionError("on a worker")

    with pytest.raises(ZeroDivisionError, match="on a worker"):
        simplugins.compute_rsm(maps, matching=Odd(), scheduler=client)
    np.testing.assert_allclose(simplugins.compute_rsm(maps, scheduler=client), simplugins.compute_rsm(maps), rtol=1e-6)


def test_workers_of_another_version_are_refused(maps):
    asked = pickle.loads(pickle.dumps(Pairing(Optimal(), version="99.0")))
    with pytest.raises(ValueError, match=r"the run is by simplugins 99\.0, here simplugins"):
        asked.compute(None, None, threads=1)


def test_whether_there_is_a_gpu_is_asked_on_the_worker(client, maps):
    if why_unusable() is None:
        pytest.skip("the workers here have one")
    with pytest.raises(ValueError, match="engine 'cuda' cannot be used here"):
        simplugins.compute_rsm(maps, engine="cuda", scheduler=client)
    with pytest.raises(ValueError, match="unknown engine"):
        simplugins.compute_rsm(maps, engine="abacus", scheduler=client)


@pytest.mark.parametrize("kind", ["npy", "zarr", "h5"])
def test_workers_in_another_folder_find_relative_files(client, tmp_path, photos, monkeypatch, kind):
    large = np.tile(photos["block10"], (1, 8, 1, 1))  # too large to be kept
    monkeypatch.chdir(tmp_path)
    save(tmp_path / f"maps.{kind}", large)
    client.run(os.chdir, "/")
    found = simplugins.compute_rsm(f"maps.{kind}", "spatio-semantic-cosine", scheduler=client)
    np.testing.assert_allclose(found, simplugins.compute_rsm(large, "spatio-semantic-cosine"), rtol=1e-6)


@pytest.mark.parametrize("kind", ["npy", "zarr", "h5"])
def test_a_worker_that_sees_another_file_or_none_says_so(client, tmp_path, photos, kind):
    large, path = np.tile(photos["block10"], (1, 8, 1, 1)), tmp_path / f"maps.{kind}"
    save(path, large)
    activations = Activations.from_array(read(path))
    assert activations.is_on_disk
    path.rename(tmp_path / "away")
    if kind != "h5":  # which is still open here, and sent from here
        with pytest.raises(FileNotFoundError):
            simplugins.compute_rsm(activations, "spatio-semantic-cosine", scheduler=client)
    save(path, large * 2)
    with pytest.raises(ValueError, match="the activations are not what they were"):
        simplugins.compute_rsm(activations, "spatio-semantic-cosine", scheduler=client)


def save(path, values):
    """Write activations to a file of any of the kinds that stay on disk."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=values, chunks=(4, *values.shape[1:]))
    else:
        with h5py.File(path, "w") as file:
            file["maps"] = values


def test_a_cluster_without_workers_is_waited_for_and_named(maps, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    options = {"n_workers": 0, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**options) as empty, distributed.Client(empty) as client:
        with pytest.raises(ConnectionError, match="the cluster has no workers, and none has come within 1 seconds"):
            simplugins.compute_rsm(maps, scheduler=client)
        client.close()
        with pytest.raises(ConnectionError, match="a client that is closed"):
            simplugins.compute_rsm(maps, scheduler=client)


@pytest.mark.parametrize("address", ["nonsense", "", "two words"])
def test_what_is_no_address_is_refused(maps, address):
    with pytest.raises(TypeError, match=f"such as 'tcp://10.0.0.1:8786', got '?{address}"):
        simplugins.compute_rsm(maps, scheduler=address)


def test_what_is_no_scheduler_is_refused(maps):
    with pytest.raises(TypeError, match=r"scheduler must be a dask\.distributed Client, or the address"):
        simplugins.compute_rsm(maps, scheduler=3)
    with pytest.raises(ValueError, match="memory_limit"):
        simplugins.compute_rsm(maps, scheduler="tcp://127.0.0.1:1", memory="2GB")


def test_a_scheduler_that_does_not_answer_is_named(maps):
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(ConnectionError, match="no Dask scheduler answers at 'tcp://127"),
    ):
        simplugins.compute_rsm(maps, scheduler="tcp://127.0.0.1:1")


def test_tiles_are_enough_for_all_threads(client, photos):
    x, resources = Activations.from_array(photos["block10"]), Resources(scheduler=client)
    grid = collecting.make_grid(Pairing(Optimal()), x, None, resources)
    assert grid.count >= 16
