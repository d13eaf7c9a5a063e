# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import one_life
import pytest
from processes import running, wait_until

import simplugins
from simplugins.compute.executors import local
from simplugins.compute.sinks.zarr_store import Store
from simplugins.matching.optimal import Optimal

zarr = pytest.importorskip("zarr")

KILLS = 20


def live(store, log):
    """Start a run that `test_a_run_killed_twenty_times_ends_as_one_that_was_not` may kill."""
    code = "import runpy, sys\nrunpy.run_path(sys.argv.pop(1), run_name='__main__')"
    return running(code, one_life.__file__, store, log, stderr=subprocess.DEVNULL)


def lines(log):
    return log.read_text(encoding="ascii").splitlines() if log.exists() else []


def tiles_in(logged, event):
    return [tuple(map(int, line.split()[1:])) for line in logged if line.startswith(event)]


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_one_that_was_not(tmp_path):
    log, store = tmp_path / "log", tmp_path / "run.zarr"
    rng = random.Random(0)
    earlier, done = 0, set()
    for _ in range(KILLS):
        events = Counter({"started": 1, "stored": rng.randint(0, 4)})
        with live(store, log) as process:
            wait_until(lambda: Counter(line.split()[0] for line in lines(log)[earlier:]) >= events, process)  # noqa: B023
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        logged = lines(log)
        assert not done & set(tiles_in(logged[earlier:], "computed"))  # no stored tile is computed again
        earlier, done = len(logged), Store.open(store).done() if store.exists() else set()
    assert len(done) > 0
    with live(store, log) as process:
        assert process.wait() == 0
    logged = lines(log)
    assert not done & set(tiles_in(logged[earlier:], "computed"))
    assert max(Counter(tiles_in(logged, "stored")).values()) == 1
    with live(tmp_path / "at_once.zarr", tmp_path / "other_log") as process:
        assert process.wait() == 0
    rsm, expected = (simplugins.load_rsm(path) for path in (store, tmp_path / "at_once.zarr"))
    np.testing.assert_array_equal(rsm, expected)
    np.testing.assert_array_equal(rsm.gap, expected.gap)
    assert rsm.metadata == expected.metadata


COMMAND_IN_SMALL_TILES = """
from simplugins.cli import app
from simplugins.compute import run
run.block_size = lambda positions: 2
app()
"""


def test_ctrl_c_leaves_a_store_that_goes_on(tmp_path, photos):
    np.save(tmp_path / "maps.npy", photos["block10"])
    arguments = ["rsm", tmp_path / "maps.npy", "--store", tmp_path / "run.zarr", "--quiet"]
    with running(COMMAND_IN_SMALL_TILES, *arguments, stderr=subprocess.PIPE) as process:
        wait_until(lambda: list(tmp_path.glob("run.zarr/products/c/*/*")), process)
        process.send_signal(signal.SIGINT)
        errors = process.communicate()[1]
    assert process.returncode == 130
    done = len(Store.open(tmp_path / "run.zarr").done())
    assert 0 < done < 78
    assert f"run.zarr holds {done} of 78 tiles" in errors
    assert errors.count("\n") == 1
    with running(COMMAND_IN_SMALL_TILES, *arguments) as process:
        assert process.wait() == 0
    np.testing.assert_allclose(
        simplugins.load_rsm(tmp_path / "run.zarr"), simplugins.compute_rsm(photos["block10"]), rtol=1e-6
    )


@dataclass(frozen=True)
class Failing(Optimal):
    """A matcher that fails for a while."""

    name: ClassVar[str] = "failing"
    calls: ClassVar[list[int]] = []

    def match_batch(self, affinities, offsets):
        self.calls.append(len(offsets))
        if len(self.calls) == 12:
            raise RuntimeError("a cosmic ray")
        return super().match_batch(affinities, offsets)


def test_an_error_leaves_a_store_that_goes_on(tmp_path, maps, small_tiles):
    path = tmp_path / "run.zarr"
    with pytest.raises(RuntimeError, match="cosmic ray"):
        simplugins.compute_rsm(maps, matching=Failing(), store=path, threads=1)
    assert 0 < len(Store.open(path).done()) < 21
    np.testing.assert_allclose(
        simplugins.compute_rsm(maps, matching=Failing(), store=path), simplugins.compute_rsm(maps), rtol=1e-6
    )


CALLS = {
    "matching": {"matching": "auction"},
    "matching_options window": {"matching": "batch-optimal", "window": 8},
    "certify": {"certify": True},
    "activations dtype": {"dtype": np.float64},
    "activations inputs": {"subset": 10},
    "activations sha256": {"mask": np.arange(36) % 7 > 0},
    "other inputs": {"other": np.ones((3, 32, 6, 6), np.float32)},
}


@pytest.mark.parametrize("what", CALLS)
def test_another_call_on_the_same_store_is_refused(tmp_path, maps, what):
    path = tmp_path / "run.zarr"
    first = {"matching": "batch-optimal", "window": 4} if "window" in what else {}
    stored = simplugins.compute_rsm(maps, store=path, **first)
    options = dict(CALLS[what])
    if "mask" in options:
        options["mask"] = np.tile(options["mask"], (22, 1))
    with pytest.raises(
        ValueError, match=rf"run\.zarr is the store of another run: .*{what} was .*, now .*; use another"
    ):
        simplugins.compute_rsm(maps, store=path, **options)
    np.testing.assert_array_equal(simplugins.load_rsm(path), stored)


def test_another_version_or_engine_or_set_of_labels_is_refused(tmp_path, maps, monkeypatch, small_tiles):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, store=path, labels=np.arange(22))
    for labels, said in ((np.arange(22)[::-1], "input 0 was 0, now 21"), (None, "there were some")):
        with pytest.raises(ValueError, match=f"labels: {said}"):
            simplugins.compute_rsm(maps, store=path, labels=labels)
    (path / "products" / "c" / "1" / "3").unlink()
    in_here = local.compute_here

    def elsewhere(*arguments):
        for tile, found in in_here(*arguments):
            found.metadata["engine"] = "cuda"
            yield tile, found

    with monkeypatch.context() as patched:
        patched.setattr("simplugins.compute.run.compute_here", elsewhere)
        with pytest.raises(ValueError, match="with engine 'cpu', others with 'cuda': ask for one engine"):
            simplugins.compute_rsm(maps, store=path, labels=np.arange(22))
    group = zarr.open_group(path, mode="r+")
    manifest = group.attrs["simplugins"]
    group.attrs["simplugins"] = {**manifest, "run": {**manifest["run"], "simplugins": "0.0.7"}}
    with pytest.raises(ValueError, match=rf"simplugins was 0\.0\.7, now {simplugins.__version__}"):
        simplugins.compute_rsm(maps, store=path, labels=np.arange(22))


def test_the_call_without_the_others_is_another_call(tmp_path, maps):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, other=maps[:5], store=path)
    with pytest.raises(ValueError, match=r"other inputs was 5, now None"):
        simplugins.compute_rsm(maps, store=path)


def test_a_relative_path_is_that_of_the_folder_it_was_given_in(tmp_path, maps, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    rsm = simplugins.compute_rsm(maps, store="run.zarr")
    sent = pickle.dumps(rsm)
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(rsm, pickle.loads(sent))


def test_a_bandwidth_may_be_any_number(tmp_path, maps):
    rsm = simplugins.compute_rsm(maps, "semantic-rbf", sigma=np.float32(700), store=tmp_path / "run.zarr")
    np.testing.assert_array_equal(rsm, simplugins.load_rsm(tmp_path / "run.zarr"))
    assert simplugins.load_rsm(tmp_path / "run.zarr").metadata["sigma"] == 700


def test_inputs_that_change_while_they_are_read_are_found(tmp_path, maps, small_tiles, monkeypatch):
    np.save(tmp_path / "maps.npy", np.tile(maps, (1, 200, 1, 1)))  # too large to be kept
    write, changed = Store.write, np.load(tmp_path / "maps.npy", mmap_mode="r+")

    def write_and_change(store, tile, found):
        write(store, tile, found)
        changed[9:] = 1

    monkeypatch.setattr(Store, "write", write_and_change)
    with pytest.raises(ValueError, match="the activations are not what they were when the run began: 3 of 4 inputs"):
        simplugins.compute_rsm(
            tmp_path / "maps.npy", store=tmp_path / "run.zarr", matching="greedy", subset=range(22), threads=1
        )


def test_a_store_is_no_activations(tmp_path, maps):
    simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    with pytest.raises(ValueError, match=r"is the store of a run, not activations: simplugins\.load_rsm opens it"):
        simplugins.compute_rsm(tmp_path / "run.zarr")


@pytest.mark.parametrize("extra", ["zarr", "distributed"])
def test_what_is_not_installed_is_said_before_any_work(tmp_path, monkeypatch, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    options = {"store": tmp_path / "run.zarr"} if extra == "zarr" else {"scheduler": "tcp://127.0.0.1:1"}
    with pytest.raises(ImportError, match=r"pip install 'simplugins\[(zarr|dask)\]'"):
        simplugins.compute_rsm(tmp_path / "none.npy", **options)


def test_the_same_values_from_elsewhere_are_the_same_call(tmp_path, maps, monkeypatch):
    path = tmp_path / "run.zarr"
    stored = simplugins.compute_rsm(maps, store=path)
    monkeypatch.setattr("simplugins.compute.job.aligned_products", None)  # nothing is matched
    array = zarr.create_array(tmp_path / "maps.zarr", shape=maps.shape, chunks=(5, 32, 6, 6), dtype=maps.dtype)
    array[:] = maps
    np.save(tmp_path / "maps.npy", maps.astype(np.float32))
    for same in (array, tmp_path / "maps.npy", tmp_path / "maps.zarr", np.moveaxis(maps, 1, -1)):
        layout = "auto" if not isinstance(same, np.ndarray) else "nhwc"
        np.testing.assert_array_equal(simplugins.compute_rsm(same, store=path, layout=layout), stored)


def test_one_store_is_of_one_matching(tmp_path, maps):
    measures = ["semantic-cosine", "spatio-semantic-cosine"]
    with pytest.raises(ValueError, match="a store holds one matching"):
        simplugins.compute_rsms(maps, measures, store=tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_something_else_is_left_alone(tmp_path, maps):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine", encoding="ascii")
    with pytest.raises(ValueError, match="no store of a run"):
        simplugins.compute_rsm(maps, store=tmp_path / "notes")
    with pytest.raises(FileNotFoundError, match="no folder"):
        simplugins.compute_rsm(maps, store=tmp_path / "nowhere" / "run.zarr")
    assert [path.name for path in Path(tmp_path / "notes").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("options", [{}, {"memory": "2GB"}, {"threads": 1}])
def test_limits_do_not_change_what_is_stored(tmp_path, maps, options, small_tiles):
    first = simplugins.compute_rsm(maps, store=tmp_path / "first.zarr")
    np.testing.assert_array_equal(simplugins.compute_rsm(maps, store=tmp_path / "run.zarr", **options), first)
