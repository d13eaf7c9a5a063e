# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simplugins
from simplugins._common import filesystem
from simplugins._common.filesystem import is_store
from simplugins.compute.sinks.zarr_store import DamagedError, Store
from simplugins.compute.tiling import Tile

zarr = pytest.importorskip("zarr")
filelock = pytest.importorskip("filelock")


@pytest.fixture
def store(tmp_path, maps):
    simplugins.compute_rsm(maps, "semantic-linear", store=tmp_path / "run.zarr", certify=True, tile_size=4)
    return Store.open(tmp_path / "run.zarr")


def chunk(store, tile, name="values"):
    return store.path / name / "c" / str(tile.row) / str(tile.column)


def test_zarr_reads_the_tiles(store, maps):
    plain = np.asarray(simplugins.compute_rsm(maps, "semantic-linear"))
    values = zarr.open_group(store.path, mode="r")["values"]
    assert values.chunks == (4, 4)
    upper = np.triu_indices(len(plain))
    np.testing.assert_allclose(values[:][upper], plain[upper], rtol=1e-6)
    assert np.isnan(values[20, 0])


def test_deleted_tiles_count_as_missing(store):
    assert store.done() == set(store.tiling.tiles())
    chunk(store, Tile(1, 2), "gap").unlink()
    chunk(store, Tile(0, 0)).unlink()
    assert store.done() == set(store.tiling.tiles()) - {Tile(1, 2), Tile(0, 0)}
    assert store.state() == "19 of 21 tiles (90.4 % of the pairs)"
    with pytest.raises(ValueError, match=r"not finished.*\b19 of 21 tiles"):
        store.check_finished()


def flip(path):
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, truncate, empty])
@pytest.mark.parametrize("name", ["values", "gap"])
def test_damaged_tiles_are_named_and_computed_again(store, maps, damage, name):
    rsm = simplugins.load_rsm(store.path)
    before = {"values": rsm.values, "gap": rsm.gap}
    damage(chunk(store, Tile(1, 3), name))
    again = simplugins.load_rsm(store.path)
    with pytest.raises(DamagedError, match=rf"tile 1, 3 of {name}\b"):
        again.values if name == "values" else again.gap  # noqa: B018
    assert again[0:4, 0:4].shape == (4, 4)
    with pytest.warns(RuntimeWarning, match=r"\b1 tiles.*\b1, 3\b"):
        mended = simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    np.testing.assert_array_equal(mended.values, before["values"])
    np.testing.assert_array_equal(mended.gap, before["gap"])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_damaged_norms_are_named_and_written_again(store, maps, damage):
    before = np.asarray(simplugins.load_rsm(store.path, measure="semantic-cosine"))
    damage(store.path / "squared_norms" / "c" / "0")
    with pytest.raises(DamagedError, match="squared_norms"):
        simplugins.load_rsm(store.path)
    simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    np.testing.assert_array_equal(simplugins.load_rsm(store.path, measure="semantic-cosine"), before)


@pytest.mark.parametrize("name", ["zarr.json", "values/zarr.json", "gap/zarr.json"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_damaged_manifests_are_named_and_leave_tiles_untouched(store, maps, name, damage):
    damage(store.path / name)
    for call in (simplugins.load_rsm, lambda path: simplugins.compute_rsm(maps, store=path, certify=True)):
        with pytest.raises(ValueError, match=r"zarr\.json"):
            call(store.path)
    assert len(list(store.path.glob("values/c/*/*"))) == 21


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("run", None, r"manifest.*\brun\b"),
        ("labels", None, r"manifest.*\blabels\b"),
        ("tiling", {"rows": 22, "columns": 22, "size": 8, "symmetric": True}, r"\(4, 4\).*\(8, 8\)"),
        ("tiling", {"rows": 22, "columns": 22, "size": 0, "symmetric": True}, "run.zarr"),
        ("tiling", {"rows": 22}, "run.zarr"),
    ],
)
def test_inconsistent_manifests_raise(store, key, value, message):
    group = zarr.open_group(store.path, mode="r+")
    manifest = {name: content for name, content in group.attrs["simplugins"].items() if name != key}
    group.attrs["simplugins"] = manifest if value is None else {**manifest, key: value}
    with pytest.raises(ValueError, match=message):
        simplugins.load_rsm(store.path)


def test_a_failing_disk_costs_no_tiles(store, maps, monkeypatch):
    def failing(group, name):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = {tile: chunk(store, tile).stat().st_mtime_ns for tile in store.tiling.tiles()}
    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "__getitem__", failing)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    assert before == {tile: chunk(store, tile).stat().st_mtime_ns for tile in store.tiling.tiles()}


def test_files_other_than_tiles_are_ignored(store):
    for name in ("values/c/7", "values/c/0/99", "values/c/3/1"):
        (store.path / name).write_bytes(b"odd")
    chunk(store, Tile(1, 2)).unlink()
    chunk(store, Tile(1, 2)).mkdir()
    assert store.done() == set(store.tiling.tiles()) - {Tile(1, 2)}


def test_a_store_created_meanwhile_by_another_process_is_left_alone(tmp_path, maps, monkeypatch):
    simplugins.compute_rsm(maps, store=tmp_path / "first.zarr", tile_size=4)
    create = Store.create

    def create_later(path, *arguments):
        shutil.copytree(tmp_path / "first.zarr", path)
        monkeypatch.setattr(filesystem, "check_writable", lambda path: None)
        return create(path, *arguments)

    monkeypatch.setattr(Store, "create", staticmethod(create_later))
    with pytest.raises(ValueError, match=r"run\.zarr.*another process"):
        simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    assert len(Store.open(tmp_path / "run.zarr").done()) == 21
    assert not list(tmp_path.glob(".*"))


def test_other_folders_are_not_stores(tmp_path):
    zarr.create_group(tmp_path / "other.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"other\.zarr.*not the store"):
        simplugins.load_rsm(tmp_path / "other.zarr")
    with pytest.raises(ValueError, match=r"empty.*zarr\.json"):
        simplugins.load_rsm(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        simplugins.load_rsm(tmp_path / "none.zarr")
    assert not any(map(is_store, (tmp_path / "other.zarr", tmp_path / "empty", tmp_path / "none")))


def test_later_format_versions_raise(store):
    group = zarr.open_group(store.path, mode="r+")
    group.attrs["simplugins"] = {**group.attrs["simplugins"], "format_version": 2}
    with pytest.raises(ValueError, match=r"\b2\b.*upgrade simplugins"):
        Store.open(store.path)


def test_only_one_process_writes_to_a_store(store, maps):
    with store.locked(), pytest.raises(ValueError, match=r"run\.zarr: another process"):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)


def test_a_system_without_file_locks_locks_by_the_existence_of_a_file(store, maps, monkeypatch):
    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    for _ in range(2):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    with store.locked(), pytest.raises(ValueError, match=r"another process.*; if none is, remove .*\.exists"):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)


def test_partial_files_of_killed_processes_are_removed(store):
    partial = chunk(store, Tile(1, 2)).with_suffix(".0123.partial")
    partial.write_bytes(b"half")
    assert store.done() == set(store.tiling.tiles())
    with store.locked():
        assert not partial.exists()


@pytest.fixture
def full_disk(monkeypatch):
    """Let the disk run full at the third tile."""
    write, written = Path.replace, []

    def replace(path, target):
        if path.parts[-4:-2] == ("values", "c"):
            written.append(path)
            if len(written) > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return monkeypatch


def test_a_full_disk_leaves_stored_tiles_intact(tmp_path, maps, full_disk):
    path = tmp_path / "run.zarr"
    with pytest.raises(OSError, match=r"run\.zarr.*\b2 of 21 tiles") as error:
        simplugins.compute_rsm(maps, store=path, tile_size=4)
    assert error.value.errno == errno.ENOSPC
    full_disk.undo()
    assert len(Store.open(path).done()) == 2
    assert not list(path.rglob("*.partial"))
    np.testing.assert_array_equal(simplugins.compute_rsm(maps, store=path), simplugins.compute_rsm(maps))


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=5m none "$1" || exit 77
"$2" -c '
import sys
import numpy as np
import simplugins
from simplugins.compute.sinks.zarr_store import Store
maps = np.random.default_rng(0).random((900, 4, 1, 1))
path = sys.argv[1] + "/run.zarr"
try:
    simplugins.compute_rsm(maps, "spatio-semantic-cosine", store=path, memory="16GB")
except OSError as error:
    print(error)
    store = Store.open(path)
    for tile in store.done():
        store.read(tile)
    print(len(store.done()), "tiles intact")
' "$1"
"""


def test_tiles_are_listed_once_not_per_tile_written(tmp_path, maps, monkeypatch):
    list_tiles, calls = Store.done, []
    monkeypatch.setattr(Store, "done", lambda store: calls.append(store) or list_tiles(store))
    simplugins.compute_rsm(maps, store=tmp_path / "run.zarr", tile_size=4)
    assert len(calls) <= 1


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
def test_a_small_disk_that_runs_full_keeps_complete_tiles(tmp_path):
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]
    process = subprocess.run([*command, tmp_path, sys.executable], capture_output=True, text=True)
    if process.returncode == 77 or "unshare" in process.stderr:
        pytest.skip(f"cannot mount a disk here: {process.stderr.strip()}")
    message, intact = process.stdout.splitlines()
    assert "No space left on device" in message
    assert f"{intact.split()[0]} of 3 tiles" in message
    assert 0 < int(intact.split()[0]) < 3


def test_unwritable_folders_and_stores_raise(store, tmp_path, maps, monkeypatch):
    def no_access(path, mode):
        return False

    with monkeypatch.context() as patched:
        patched.setattr(filesystem.os, "access", no_access)
        with pytest.raises(PermissionError, match=str(tmp_path)):
            simplugins.compute_rsm(maps, store=tmp_path / "other.zarr")

    def read_only(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "touch", read_only)
    with pytest.raises(OSError, match=r"run\.zarr.*Read-only file system"):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    assert simplugins.load_rsm(store.path).values.shape == (22, 22)


def test_a_store_that_cannot_be_created_leaves_no_files(tmp_path, maps, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr, "create_group", full)
    with pytest.raises(OSError, match=r"run\.zarr.*No space left"):
        simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())
