# SPDX-License-Identifier: Apache-2.0
"""Archives and .npy files that are not what they say: errors before anything is allocated from what they declare."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from simplugins import Activations, compute_rsm, load_comparison, load_rsm, read_activations
from simplugins._common import filesystem
from simplugins._common.npz_archives import open_npz

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


BYTES = VALUES.tobytes()


def npy(shape=(3, 4), descr="'<f4'", values=BYTES, header=None, version=(1, 0)):
    text = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text = text.encode("latin1") + b"\n"
    width = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(text)) + text + values


def archive(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


HEADERS = {
    "short": (npy(values=VALUES.tobytes()[:-1]), "48 bytes.*47"),
    "long": (npy(values=VALUES.tobytes() + b"x"), "48 bytes.*49"),
    "empty": (b"", r"\.npy format"),
    "another format": (b"PK\x03\x04" + bytes(60), r"\.npy format"),
    "huge": (npy(shape=(2**62, 4)), str(2**66)),
    "overflowing to what it holds": (npy(shape=(2**63 + 3, 4)), r"bytes"),
    "negative": (npy(shape=(-3, -4)), "negative"),
    "huge and empty": (npy(shape=(0, 2**70), values=b""), ""),
    "not a shape": (npy(shape="'3'"), "header"),
    "objects": (npy(descr="'|O'"), "Python objects"),
    "a record": (npy(descr="[('a', '<f4')]"), "records"),
    "a record of objects": (npy(descr="[('a', '|O')]"), "Python objects"),
    "nested arrays": (npy(shape=(3,), descr="('<f4', (4,))"), "records"),
    "texts of no length": (npy(shape=(2**62,), descr="'<U0'", values=b""), "records"),
    "an expression": (npy(header="__import__('os').system('true')"), "header"),
    "nested deeply": (npy(header="[" * 5000), "header"),
    "long header": (npy(header=" " * 20_000), "20001 bytes"),
    "header of 2 GB": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", str(2**31)),
    "truncated header": (npy()[:40], "ends within its header"),
    "unknown version": (npy(version=(9, 0)), r"9\.0"),
    "records of version 3": (npy(version=(3, 0)), "records"),
}


@pytest.mark.parametrize(("content", "message"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_lies_is_an_error(tmp_path, content, message, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        path.write_bytes(content)
    else:
        archive(path, ("a.npy", content))
    with pytest.raises(ValueError, match=rf"x\{suffix} could not be read.*{message}"):
        Activations.from_array(read_activations(path))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "?", "<U3", "|S2", "<M8[s]", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 3), (2, 3, 2)])
def test_archives_are_read_as_numpy_reads_them(tmp_path, dtype, order, shape):
    count = int(np.prod(shape))
    values = np.asarray(np.arange(count).reshape(shape).astype(dtype), order=order)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", values, **{"block/1": values, "layer.0": values})
        with np.load(tmp_path / "x.npz") as expected, open_npz(tmp_path / "x.npz") as file:
            assert file.names == expected.files
            for name in file.names:
                array = file.read(name)
                assert array.dtype == expected[name].dtype
                np.testing.assert_array_equal(array, expected[name])


def test_archives_of_bzip2_and_lzma_are_read(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = archive(tmp_path / "x.npz", ("a.npy", npy()), method=method)
        np.testing.assert_array_equal(read_activations(path), VALUES)


@pytest.mark.parametrize("name", ["../a.npy", "/a.npy", "b/../../a.npy", "..\\a.npy", "C:\\a.npy", "b/.."])
def test_members_named_after_places_outside_are_errors(tmp_path, name):
    path = archive(tmp_path / "x.npz", (name, npy()), ("a.npy", npy()))
    for read in (read_activations, load_rsm):
        with pytest.raises(ValueError, match=r"x\.npz.*outside"):
            read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a.npy", "a.npy"), ("a.npy", "a")])
def test_a_member_that_is_there_twice_is_an_error(tmp_path, names):
    path = archive(tmp_path / "x.npz", *((name, npy()) for name in names))
    with pytest.raises(ValueError, match=r"'a(\.npy)?' twice"):
        read_activations(path)


def test_archives_in_archives_are_not_opened(tmp_path):
    inner = archive(tmp_path / "inner.npz", ("a.npy", npy()))
    path = archive(tmp_path / "x.npz", ("inner.npz", inner.read_bytes()))
    with pytest.raises(ValueError, match="no arrays"):
        read_activations(path)


def patched(path, old, new, count=-1):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, count))


def test_encrypted_members_are_errors(tmp_path):
    path = archive(tmp_path / "x.npz", ("a.npy", npy()))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="encrypted"):
        read_activations(path)


def test_wrong_checksums_are_errors(tmp_path):
    path = archive(tmp_path / "x.npz", ("a.npy", npy()), method=zipfile.ZIP_STORED)
    patched(path, VALUES.tobytes()[:8], b"12345678")
    with pytest.raises(ValueError, match="CRC"):
        read_activations(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_that_a_directory_cannot_hold_are_errors(tmp_path, method):
    path = archive(tmp_path / "x.npz", ("a.npy", npy()), method=method)
    declared = struct.pack("<I", len(npy()))
    with zipfile.ZipFile(path) as file:
        packed = struct.pack("<I", file.infolist()[0].compress_size)
    patched(path, packed + declared, packed + struct.pack("<I", 2**31))
    with pytest.raises(ValueError, match=f"declares {2**31} bytes"):
        read_activations(path)


@pytest.mark.parametrize("length", [0, 10, 30, 100, -1, -10, -30])
def test_truncated_archives_are_errors(tmp_path, length):
    path = archive(tmp_path / "x.npz", ("a.npy", npy()))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_activations(path)


BOMBS = """
import resource, sys
import simplugins

def errors(path):
    for read in (simplugins.read_activations, simplugins.load_rsm):
        try:
            read(path)
        except ValueError as error:
            yield str(error)

list(errors(sys.argv[1]))  # imports what reading needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    print(*errors(path), sep="\\n")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_costs_no_memory(tmp_path):
    """80 megabytes of zeros in 80 kilobytes: where the header declares less or more, and in the header itself."""
    zeros = bytes(2**20)

    def bomb(name, start, member="a.npy"):
        path = tmp_path / name
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
            file.open(member, "w", force_zip64=True) as open_,
        ):
            open_.write(start)
            for _ in range(80):
                open_.write(zeros)
        return path

    paths = [
        bomb("short.npz", npy(values=b"")),
        bomb("long.npz", npy(shape=(2**40,), values=b"")),
        bomb("header.npz", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26)),
        bomb("json.npz", b"{", "header.json"),
    ]
    paths.insert(0, archive(tmp_path / "x.npz", ("a.npy", b"")))
    done = subprocess.run([sys.executable, "-c", BOMBS, *paths], capture_output=True, text=True, check=True)
    *errors, growth = done.stdout.splitlines()
    assert len(errors) == 8
    assert int(growth) < 20_000  # kilobytes


def test_a_large_array_of_zeros_is_no_bomb(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", np.zeros((3, 2**20), np.float32))
    assert read_activations(tmp_path / "zeros.npz").shape == (3, 2**20)


def test_more_than_the_memory_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("simplugins._common.machine_memory.physical_memory", lambda: 1000)
    np.savez(tmp_path / "x.npz", a=np.zeros(300, np.float32), b=np.zeros(10), c=np.zeros(80))
    with pytest.raises(ValueError, match=r"1\.2 kB.*1 kB of memory"):
        read_activations(tmp_path / "x.npz", "a")
    assert read_activations(tmp_path / "x.npz", "b").shape == (10,)
    with pytest.raises(ValueError, match=r"x\.npz.*memory"):
        load_comparison(tmp_path / "x.npz")


def test_an_archive_is_opened_once(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", a=VALUES)
    opened = []
    init = zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *a, **k: opened.append(a) or init(*a, **k))
    read_activations(tmp_path / "x.npz")
    assert len(opened) == 1


def test_devices_and_pipes_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    (tmp_path / "y.npy").symlink_to("/dev/zero")
    for name in ("x.npy", "y.npy"):
        with pytest.raises(ValueError, match="not a file"):
            read_activations(tmp_path / name)


def test_a_link_to_a_file_is_read(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "link.npy").symlink_to(tmp_path / "x.npy")
    np.testing.assert_array_equal(read_activations(tmp_path / "link.npy"), VALUES)
    assert compute_rsm(tmp_path / "link.npy").shape == (3, 3)


@pytest.mark.parametrize(
    "header", [b"[1]", b"{", b"[" * 100_000, b'{"format": 1, "format": 2}', b"\xff\xfe", b'"text"']
)
def test_headers_that_are_not_json_objects_are_errors(tmp_path, header):
    path = archive(tmp_path / "x.npz", ("header.json", header), ("a.npy", npy()))
    for read in (read_activations, load_rsm, load_comparison):
        with pytest.raises(ValueError, match=r"x\.npz"):
            read(path)


SAVED = {
    "negative positions": {"positions": np.array([-1, 7])},
    "positions of floats": {"positions": np.array([3.0, 3.0])},
    "positions that overflow": {"positions": np.array([2**63 - 1, 2**63 - 1, 8])},
    "nested positions": {"positions": np.array([[3, 3]])},
    "vectors as texts": {"vectors": np.full((6, 2), "1.0")},
    "complex vectors": {"vectors": np.ones((6, 2), complex)},
    "flat vectors": {"vectors": np.ones(6)},
    "too many labels": {"labels": np.array(["a", "b", "c"])},
    "nested labels": {"labels": np.array([["a", "b"], ["c", "d"]])},
    "no vectors": {"vectors": None},
}


@pytest.mark.parametrize("changes", SAVED.values(), ids=SAVED)
def test_saved_activations_that_contradict_themselves_are_errors(tmp_path, changes):
    Activations.from_array(np.random.default_rng(0).normal(size=(2, 3, 2)), labels=["a", "b"]).save(tmp_path / "x.npz")
    contents, header = filesystem.read_npz(tmp_path / "x.npz")
    contents = {name: array for name, array in {**contents, **changes}.items() if array is not None}
    filesystem.write_npz(tmp_path / "y.npz", contents, header)
    with pytest.raises(ValueError, match=rf"y\.npz.*({next(iter(changes))}|expected {2**64 + 6})"):
        read_activations(tmp_path / "y.npz")


@pytest.mark.parametrize(
    "entry", [{"layout": 3}, {"layout": None}, {"dtype": ["f4"]}, {"dtype": "O"}, {"dtype": "f4,f4"}]
)
def test_headers_of_activations_with_wrong_types_are_errors(tmp_path, entry):
    Activations.from_array(VALUES).save(tmp_path / "x.npz")
    contents, header = filesystem.read_npz(tmp_path / "x.npz")
    filesystem.write_npz(tmp_path / "y.npz", contents, {**header, **entry})
    with pytest.raises(ValueError, match=r"y\.npz"):
        read_activations(tmp_path / "y.npz")
