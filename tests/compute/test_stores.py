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


@pytest.fixture
def store(tmp_path, maps, small_tiles):
    simplugins.compute_rsm(maps, "semantic-linear", store=tmp_path / "run.zarr", certify=True)
    return Store.open(tmp_path / "run.zarr")


def chunk(store, tile, name="products"):
    return store.path / name / "c" / str(tile.row) / str(tile.column)


def test_zarr_itself_reads_the_tiles(store, maps):
    plain = np.asarray(simplugins.compute_rsm(maps, "semantic-linear"))
    products = zarr.open_group(store.path, mode="r")["products"]
    assert products.chunks == (4, 4)
    upper = np.triu_indices(len(plain))
    np.testing.assert_allclose(products[:][upper], plain[upper], rtol=1e-6)
    assert np.isnan(products[20, 0])


def test_what_is_done_is_what_is_there(store):
    assert store.done() == set(store.tiling.tiles())
    chunk(store, Tile(1, 2), "gap").unlink()
    chunk(store, Tile(0, 0)).unlink()
    assert store.done() == set(store.tiling.tiles()) - {Tile(1, 2), Tile(0, 0)}
    assert store.state() == "19 of 21 tiles (90.4 % of the pairs)"
    with pytest.raises(ValueError, match=r"is not finished: it holds 19 of 21 tiles .* goes on with it"):
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
@pytest.mark.parametrize("name", ["products", "gap"])
def test_a_damaged_chunk_is_named_and_computed_again(store, maps, damage, name):
    rsm = simplugins.load_rsm(store.path)
    before = {"products": rsm.values, "gap": rsm.gap}
    damage(chunk(store, Tile(1, 3), name))
    again = simplugins.load_rsm(store.path)
    with pytest.raises(DamagedError, match=rf"tile 1, 3 of {name} is damaged .* the same call"):
        again.values if name == "products" else again.gap  # noqa: B018
    assert again[0:4, 0:4].shape == (4, 4)
    with pytest.warns(RuntimeWarning, match=r"1 tiles are damaged, the first 1, 3; they are computed again"):
        mended = simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    np.testing.assert_array_equal(mended.values, before["products"])
    np.testing.assert_array_equal(mended.gap, before["gap"])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_damaged_norms_are_named_and_written_again(store, maps, damage):
    before = np.asarray(simplugins.load_rsm(store.path, measure="semantic-cosine"))
    damage(store.path / "squared_norms" / "c" / "0")
    with pytest.raises(DamagedError, match=r"squared_norms (is damaged|are missing)"):
        simplugins.load_rsm(store.path)
    simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    np.testing.assert_array_equal(simplugins.load_rsm(store.path, measure="semantic-cosine"), before)


@pytest.mark.parametrize("name", ["zarr.json", "products/zarr.json", "gap/zarr.json"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_damaged_manifests_are_named_and_no_tile_is_touched(store, maps, name, damage):
    damage(store.path / name)
    for call in (simplugins.load_rsm, lambda path: simplugins.compute_rsm(maps, store=path, certify=True)):
        with pytest.raises(ValueError, match=r"zarr\.json"):
            call(store.path)
    assert len(list(store.path.glob("products/c/*/*"))) == 21


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("run", None, "its manifest lacks run"),
        ("labels", None, "its manifest lacks labels"),
        ("grid", {"rows": 22, "columns": 22, "size": 8, "symmetric": True}, r"tiles of \(4, 4\), expected"),
        ("grid", {"rows": 22, "columns": 22, "size": 0, "symmetric": True}, "cannot be read as a store"),
        ("grid", {"rows": 22}, "cannot be read as a store"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(store, key, value, said):
    group = zarr.open_group(store.path, mode="r+")
    told = {name: content for name, content in group.attrs["simplugins"].items() if name != key}
    group.attrs["simplugins"] = told if value is None else {**told, key: value}
    with pytest.raises(ValueError, match=said):
        simplugins.load_rsm(store.path)


def test_a_disk_that_fails_costs_no_tiles(store, maps, monkeypatch):
    def failing(group, name):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = {tile: chunk(store, tile).stat().st_mtime_ns for tile in store.tiling.tiles()}
    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "__getitem__", failing)
        with pytest.raises(OSError, match="Input/output error"):
            simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    assert before == {tile: chunk(store, tile).stat().st_mtime_ns for tile in store.tiling.tiles()}


def test_files_that_are_no_tiles_do_not_count(store):
    for name in ("products/c/7", "products/c/0/99", "products/c/3/1"):
        (store.path / name).write_bytes(b"odd")
    chunk(store, Tile(1, 2)).unlink()
    chunk(store, Tile(1, 2)).mkdir()
    assert store.done() == set(store.tiling.tiles()) - {Tile(1, 2)}


def test_a_store_that_another_process_makes_meanwhile_is_left_alone(tmp_path, maps, monkeypatch, small_tiles):
    simplugins.compute_rsm(maps, store=tmp_path / "first.zarr")
    create = Store.create

    def create_later(path, *arguments):
        shutil.copytree(tmp_path / "first.zarr", path)
        monkeypatch.setattr(filesystem, "check_writable", lambda path: None)
        return create(path, *arguments)

    monkeypatch.setattr(Store, "create", staticmethod(create_later))
    with pytest.raises(ValueError, match="another process has made this store meanwhile"):
        simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    assert len(Store.open(tmp_path / "run.zarr").done()) == 21
    assert not list(tmp_path.glob(".*"))


def test_what_is_no_store_is_said_to_be_none(tmp_path):
    zarr.create_group(tmp_path / "other.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no store of a run by simplugins"):
        simplugins.load_rsm(tmp_path / "other.zarr")
    with pytest.raises(ValueError, match=r"it has no zarr\.json"):
        simplugins.load_rsm(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        simplugins.load_rsm(tmp_path / "none.zarr")
    assert not any(map(is_store, (tmp_path / "other.zarr", tmp_path / "empty", tmp_path / "none")))


def test_a_later_format_is_not_guessed_at(store):
    group = zarr.open_group(store.path, mode="r+")
    group.attrs["simplugins"] = {**group.attrs["simplugins"], "format_version": 2}
    with pytest.raises(ValueError, match="upgrade simplugins"):
        Store.open(store.path)


def test_two_processes_do_not_write_to_one_store(store, maps):
    with store.held(), pytest.raises(ValueError, match="another process is writing to this store"):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)


def test_what_a_killed_process_left_half_written_is_removed(store):
    left = chunk(store, Tile(1, 2)).with_suffix(".0123.partial")
    left.write_bytes(b"half")
    assert store.done() == set(store.tiling.tiles())
    with store.held():
        assert not left.exists()


@pytest.fixture
def full_disk(monkeypatch):
    """Have the disk run full at the third tile."""
    write, written = Path.replace, []

    def replace(path, target):
        if path.parts[-4:-2] == ("products", "c"):
            written.append(path)
            if len(written) > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return monkeypatch


def test_a_full_disk_leaves_what_was_stored(tmp_path, maps, small_tiles, full_disk):
    path = tmp_path / "run.zarr"
    with pytest.raises(OSError, match=r"a tile could not be written; 2 of 21 tiles .* are stored and intact: No space"):
        simplugins.compute_rsm(maps, store=path)
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
    simplugins.compute_rsm(maps, "spatio-semantic-cosine", store=path, memory="2GB")
except OSError as error:
    print(error)
    store = Store.open(path)
    for tile in store.done():
        store.read(tile)
    print(len(store.done()), "tiles intact")
' "$1"
"""


def test_tiles_are_not_listed_for_each_that_is_written(tmp_path, maps, small_tiles, monkeypatch):
    list_tiles, listed = Store.done, []
    monkeypatch.setattr(Store, "done", lambda store: listed.append(store) or list_tiles(store))
    simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    assert len(listed) <= 1


@pytest.mark.skipif(shutil.which("unshare") is None, reason="makes a small disk by unshare")
def test_a_disk_that_is_really_full(tmp_path):
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]
    found = subprocess.run([*command, tmp_path, sys.executable], capture_output=True, text=True)
    if found.returncode == 77 or "unshare" in found.stderr:
        pytest.skip(f"no disk can be made here: {found.stderr.strip()}")
    told, intact = found.stdout.splitlines()
    assert "No space left on device" in told
    assert f"{intact.split()[0]} of 3 tiles" in told
    assert 0 < int(intact.split()[0]) < 3


def test_a_folder_that_cannot_be_written_to_is_said_to_be_so(store, tmp_path, maps, monkeypatch):
    def refused(path, mode):
        return False

    with monkeypatch.context() as patched:
        patched.setattr(filesystem.os, "access", refused)
        with pytest.raises(PermissionError, match="cannot be written to"):
            simplugins.compute_rsm(maps, store=tmp_path / "other.zarr")
    opened = Path.open

    def read_only(path, mode="r", *rest, **options):
        if "w" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(OSError, match=r"run\.zarr cannot be written to: Read-only file system"):
        simplugins.compute_rsm(maps, "semantic-linear", store=store.path, certify=True)
    assert simplugins.load_rsm(store.path).values.shape == (22, 22)


def test_a_store_beside_which_there_is_no_room_leaves_nothing(tmp_path, maps, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr, "create_group", full)
    with pytest.raises(OSError, match=r"run\.zarr could not be made: No space left"):
        simplugins.compute_rsm(maps, store=tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())
