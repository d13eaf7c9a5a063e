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
from simplugins.compute.job import Job
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
        wait_until(lambda: list(tmp_path.glob("run.zarr/values/c/*/*")), process)
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
    """A matcher that fails once."""

    name: ClassVar[str] = "failing"
    calls: ClassVar[list[int]] = []

    def match_batch(self, affinities, offsets):
        self.calls.append(len(offsets))
        if len(self.calls) == 12:
            raise RuntimeError("a cosmic ray")
        return super().match_batch(affinities, offsets)


def test_a_run_that_failed_can_be_continued(tmp_path, maps):
    path = tmp_path / "run.zarr"
    with pytest.raises(RuntimeError, match="cosmic ray"):
        simplugins.compute_rsm(maps, matching=Failing(), store=path, threads=1, tile_size=4)
    assert 0 < len(Store.open(path).done()) < 21
    rsm = simplugins.compute_rsm(maps, matching=Failing(), store=path, tile_size=4)
    np.testing.assert_allclose(rsm, simplugins.compute_rsm(maps), rtol=1e-6)


WINDOW = {"matching": "batch-optimal", "matching_options": {"window": 4}}
CALLS = {
    "matching": ({}, {"matching": "auction"}),
    "matching_options window": (WINDOW, WINDOW | {"matching_options": {"window": 8}}),
    "certify": ({}, {"certify": True}),
    "activations dtype": ({}, {"dtype": np.float64}),
    "activations inputs": ({}, {"subset": 10}),
    "activations sha256": ({}, {"mask": np.tile(np.arange(36) % 7 > 0, (22, 1))}),
    "other inputs": ({}, {"other": np.ones((3, 32, 6, 6), np.float32)}),
}


@pytest.mark.parametrize("difference", CALLS)
def test_a_different_call_on_the_same_store_raises(tmp_path, maps, difference):
    path, (first, second) = tmp_path / "run.zarr", CALLS[difference]
    stored = simplugins.compute_rsm(maps, store=path, **first)
    with pytest.raises(ValueError, match=rf"run\.zarr\b.*\b{difference}\b"):
        simplugins.compute_rsm(maps, store=path, **second)
    np.testing.assert_array_equal(simplugins.load_rsm(path), stored)


def test_other_labels_raise(tmp_path, maps):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, store=path, labels=np.arange(22))
    with pytest.raises(ValueError, match=r"labels: input 0\b.*\b21\b"):
        simplugins.compute_rsm(maps, store=path, labels=np.arange(22)[::-1])
    with pytest.raises(ValueError, match="labels"):
        simplugins.compute_rsm(maps, store=path)


def test_tiles_of_another_engine_raise(tmp_path, maps, monkeypatch):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, store=path, tile_size=4)
    (path / "values" / "c" / "1" / "3").unlink()

    def compute_elsewhere(*arguments):
        for tile, result in local.compute_locally(*arguments):
            result.metadata["engine"] = "cuda"
            yield tile, result

    monkeypatch.setattr("simplugins.compute.run.compute_locally", compute_elsewhere)
    with pytest.raises(ValueError, match=r"engine.*'cpu'.*'cuda'"):
        simplugins.compute_rsm(maps, store=path, tile_size=4)


def test_a_store_of_another_version_raises(tmp_path, maps):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, store=path)
    group = zarr.open_group(path, mode="r+")
    manifest = group.attrs["simplugins"]
    group.attrs["simplugins"] = {**manifest, "run": {**manifest["run"], "simplugins": "0.0.7"}}
    with pytest.raises(ValueError, match=rf"0\.0\.7.*\b{simplugins.__version__}\b"):
        simplugins.compute_rsm(maps, store=path)


def test_the_same_call_without_other_raises(tmp_path, maps):
    path = tmp_path / "run.zarr"
    simplugins.compute_rsm(maps, other=maps[:5], store=path)
    with pytest.raises(ValueError, match=r"other inputs\b.*\b5\b"):
        simplugins.compute_rsm(maps, store=path)


def test_relative_paths_refer_to_the_folder_of_the_call(tmp_path, maps, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    rsm = simplugins.compute_rsm(maps, store="run.zarr")
    sent = pickle.dumps(rsm)
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(rsm, pickle.loads(sent))


def test_the_bandwidth_may_be_any_number_type(tmp_path, maps):
    rsm = simplugins.compute_rsm(maps, "semantic-rbf", sigma=np.float32(700), store=tmp_path / "run.zarr")
    np.testing.assert_array_equal(rsm, simplugins.load_rsm(tmp_path / "run.zarr"))
    assert simplugins.load_rsm(tmp_path / "run.zarr").sigma == 700


@pytest.mark.slow
def test_inputs_that_change_during_the_run_raise(tmp_path, maps, monkeypatch):
    np.save(tmp_path / "maps.npy", np.tile(maps, (1, 200, 1, 1)))  # too large to be kept in memory
    write, changed = Store.write, np.load(tmp_path / "maps.npy", mmap_mode="r+")

    def write_and_change(store, tile, result):
        write(store, tile, result)
        changed[9:] = 1

    monkeypatch.setattr(Store, "write", write_and_change)
    options = {"matching": "greedy", "subset": range(22), "threads": 1, "tile_size": 4}
    with pytest.raises(ValueError, match=r"activations.*\b3 of 4\b"):
        simplugins.compute_rsm(tmp_path / "maps.npy", store=tmp_path / "run.zarr", **options)


def test_a_store_passed_as_activations_raises(tmp_path, maps):
    simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    with pytest.raises(ValueError, match=r"run\.zarr\b.*\bload_rsm\b"):
        simplugins.compute_rsm(tmp_path / "run.zarr")


@pytest.mark.parametrize("extra", ["zarr", "distributed"])
def test_a_missing_extra_is_named_before_anything_is_read(tmp_path, monkeypatch, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    options = {"store": tmp_path / "run.zarr"} if extra == "zarr" else {"scheduler": "tcp://127.0.0.1:1"}
    with pytest.raises(ImportError, match=r"pip install 'simplugins\[(zarr|dask)\]'"):
        simplugins.compute_rsm(tmp_path / "none.npy", **options)


def test_the_same_values_from_another_file_or_array_continue_the_run(tmp_path, maps, monkeypatch):
    path = tmp_path / "run.zarr"
    stored = simplugins.compute_rsm(maps, store=path)
    monkeypatch.setattr(Job, "compute", None)  # nothing is left to compute
    array = zarr.create_array(tmp_path / "maps.zarr", shape=maps.shape, chunks=(5, 32, 6, 6), dtype=maps.dtype)
    array[:] = maps
    np.save(tmp_path / "maps.npy", maps.astype(np.float32))
    for same in (array, tmp_path / "maps.npy", tmp_path / "maps.zarr", np.moveaxis(maps, 1, -1)):
        layout = "auto" if not isinstance(same, np.ndarray) else "nhwc"
        np.testing.assert_array_equal(simplugins.compute_rsm(same, store=path, layout=layout), stored)


def test_measures_with_different_matchings_in_one_store_raise(tmp_path, maps):
    measures = ["semantic-cosine", "spatio-semantic-cosine"]
    with pytest.raises(ValueError, match=r"store.*'semantic-cosine', 'spatio-semantic-cosine'"):
        simplugins.compute_rsms(maps, measures, store=tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_a_store_is_left_alone(tmp_path, maps):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine", encoding="ascii")
    with pytest.raises(ValueError, match=r"notes\b.*\bstore\b"):
        simplugins.compute_rsm(maps, store=tmp_path / "notes")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        simplugins.compute_rsm(maps, store=tmp_path / "nowhere" / "run.zarr")
    assert [path.name for path in Path(tmp_path / "notes").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("options", [{}, {"memory": "16GB"}, {"threads": 1}])
def test_limits_do_not_change_the_values(tmp_path, maps, options):
    first = simplugins.compute_rsm(maps, store=tmp_path / "first.zarr", tile_size=4)
    second = simplugins.compute_rsm(maps, store=tmp_path / "run.zarr", tile_size=4, **options)
    np.testing.assert_allclose(second, first, rtol=1e-6)
