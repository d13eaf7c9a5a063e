# SPDX-License-Identifier: Apache-2.0
"""Torch, HDF5, Zarr and safetensors files that hold code, lead elsewhere or lie about their sizes."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from simplugins import Activations, read_activations

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


# Torch


def torchscript(path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)


def legacy_tar(path):
    with tarfile.open(path, "w") as file:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = 3
            file.addfile(info, io.BytesIO(b"abc"))


CODE = {
    "NumPy arrays": lambda path: torch.save({"a": VALUES}, path),
    "an object": lambda path: torch.save(Exploding(), path),
    "an object in a dict": lambda path: torch.save({"a": torch.zeros(2, 2), "b": Exploding()}, path),
    "an object in the old format": lambda path: torch.save(Exploding(), path, _use_new_zipfile_serialization=False),
    "a module": lambda path: torch.save(torch.nn.Linear(2, 2), path),
    "a TorchScript program": torchscript,
    "the tar format": legacy_tar,
}


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("write", CODE.values(), ids=CODE)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_code_in_torch_files_is_an_error_without_advice_to_run_it(tmp_path, write, suffix):
    path = tmp_path / f"x{suffix}"
    write(path)
    with pytest.raises(
        ValueError, match=rf"x\{suffix} could not be read.*(never (loaded|run)|pop from empty)"
    ) as error:
        read_activations(path)
    assert len(str(error.value)) < 300 + len(str(tmp_path))
    assert "weights_only" not in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


TENSORS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed sparse": lambda: torch.eye(3).to_sparse_csr(),
    "complex": lambda: torch.ones(3, 3, dtype=torch.complex64),
    "meta": lambda: torch.ones(3, 3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("wrap", [lambda tensor: tensor, lambda tensor: {"a": tensor}])
def test_tensors_without_plain_values_are_errors(tmp_path, make, wrap):
    torch.save(wrap(make()), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt could not be read"):
        read_activations(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(VALUES, requires_grad=True),
        torch.nn.Parameter(torch.tensor(VALUES)),
        torch.cat([torch.tensor(VALUES)] * 3)[3:6],
        torch.tensor(VALUES.T.copy()).T,
    ],
)
def test_views_and_parameters_are_read(tmp_path, tensor):
    torch.save({"a": tensor}, tmp_path / "x.pt")
    np.testing.assert_array_equal(Activations.from_array(read_activations(tmp_path / "x.pt")), VALUES[:, None])


def rezipped(path, change, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as file:
        members = [(info.filename, file.read(info)) for info in file.infolist()]
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in change(members):
            file.writestr(name, content)


@pytest.mark.parametrize("count", [11, 13, 1000, 2**30, -1])
def test_a_storage_that_declares_other_values_than_the_file_holds_is_an_error(tmp_path, count):
    torch.save({"a": torch.tensor(VALUES)}, tmp_path / "x.pt")
    number = b"J" + struct.pack("<i", count)
    rezipped(tmp_path / "x.pt", lambda members: [(n, c.replace(b"K\x0ctq", number + b"tq")) for n, c in members])
    with pytest.raises(ValueError, match=r"x\.pt could not be read"):
        read_activations(tmp_path / "x.pt")


def doubling(depth):
    mapping = {"a": torch.ones(2)}
    for _ in range(depth):
        mapping = {"a": mapping, "b": mapping}
    return mapping


def around_itself(_):
    mapping = {"a": torch.ones(2)}
    mapping["b"] = mapping
    return mapping


@pytest.mark.parametrize("make", [doubling, around_itself])
def test_mappings_that_hold_each_other_endlessly_are_errors(tmp_path, make):
    torch.save(make(60), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="nested too deeply"):
        read_activations(tmp_path / "x.pt")


def test_compressed_torch_files_are_errors(tmp_path):
    torch.save(torch.zeros(1000, 1000), tmp_path / "x.pt")
    rezipped(tmp_path / "x.pt", lambda members: members, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        read_activations(tmp_path / "x.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_torch_files_that_are_there_twice_are_errors(tmp_path):
    torch.save(torch.tensor(VALUES), tmp_path / "x.pt")
    rezipped(tmp_path / "x.pt", lambda members: members + members)
    with pytest.raises(ValueError, match="twice"):
        read_activations(tmp_path / "x.pt")


def test_a_tensor_that_repeats_its_values_beyond_the_memory_is_an_error(tmp_path):
    torch.save(torch.zeros(1, 1).expand(2**40, 2**20), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="memory of this machine"):
        read_activations(tmp_path / "x.pt")


# Safetensors


def safetensors(path, header, values=bytes(48), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + values)
    return path


def tensor(start=0, stop=48, shape=(3, 4), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


HEADERS = {
    "overlapping": {"a": tensor(), "b": tensor(24, 48, (6,))},
    "beyond the file": {"a": tensor(0, 4800, (300, 4))},
    "less than declared": {"a": tensor(shape=(2**60, 4))},
    "overflowing": {"a": tensor(shape=(2**62, 2**62))},
    "negative": {"a": tensor(-4, 48)},
    "backwards": {"a": tensor(48, 0)},
    "unknown type": {"a": tensor(dtype="O")},
    "a hole": {"a": tensor(8, 48, (10,))},
    "nested deeply": b"[" * 100_000,
    "not an object": b"[]",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_safetensors_that_lie_are_errors(tmp_path, header):
    with pytest.raises(ValueError, match=r"x\.safetensors could not be read"):
        read_activations(safetensors(tmp_path / "x.safetensors", header))


@pytest.mark.parametrize("length", [2**63, 2**40, 10**9, 0])
def test_huge_headers_of_safetensors_are_errors(tmp_path, length):
    with pytest.raises(ValueError, match=r"x\.safetensors could not be read"):
        read_activations(safetensors(tmp_path / "x.safetensors", {"a": tensor()}, length=length))


def test_a_damaged_safetensors_file_is_an_error(tmp_path):
    save_file({"a": torch.tensor(VALUES)}, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    for length in (0, 4, 20, -1):
        (tmp_path / "x.safetensors").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"x\.safetensors could not be read"):
            read_activations(tmp_path / "x.safetensors")


# HDF5


@pytest.fixture
def secret(tmp_path):
    """A folder elsewhere, with values that must not be read."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with h5py.File(folder / "secret.h5", "w") as file:
        file["a"] = VALUES
    (folder / "secret.bin").write_bytes(VALUES.tobytes())
    return folder


def external_storage(file, secret):
    file.create_dataset("a", (3, 4), "<f4", external=[(str(secret / "secret.bin"), 0, 48)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((3, 4), "<f4")
    layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "a", (3, 4))
    file.create_virtual_dataset("a", layout)


def virtual_of_itself(file, secret):
    file["group/link"] = h5py.ExternalLink(str(secret / "secret.h5"), "/a")
    layout = h5py.VirtualLayout((3, 4), "<f4")
    layout[:] = h5py.VirtualSource(".", "group/link", (3, 4))
    file.create_virtual_dataset("a", layout)


def unknown_filter(file, secret):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((3, 4))
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((3, 4))
    h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_FLOAT, space, creation).write_direct_chunk((0, 0), VALUES.tobytes())


def references(file, secret):
    file["b"] = VALUES
    file.create_dataset("a", (3, 4), h5py.ref_dtype)[:] = file["b"].ref


def region_references(file, secret):
    file["b"] = VALUES
    file.create_dataset("a", (3, 4), h5py.regionref_dtype)[0] = file["b"].regionref[0]


def records(file, secret):
    file["a"] = np.zeros((3, 4), [("x", "<f4"), ("y", "<f4")])


def huge(file, secret):
    file.create_dataset("a", (2**60, 4), "<f4", chunks=(1, 4))


def huge_in_one_dimension(file, secret):
    file.create_dataset("a", (2**50, 1, 1), "i1", chunks=(1, 1, 1), fillvalue=3)


def empty(file, secret):
    file["a"] = h5py.Empty("f4")


STORED_ODDLY = [
    external_storage, virtual, virtual_of_itself, unknown_filter, references, region_references, records, huge,
    huge_in_one_dimension, empty,
]  # fmt: skip


@pytest.mark.parametrize("write", STORED_ODDLY)
def test_datasets_that_are_not_plain_values_in_the_file_are_errors(tmp_path, secret, write, monkeypatch):
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(secret))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write(file, secret)
    with pytest.raises(ValueError, match=r"x\.h5.*(dataset /a|'a' holds references)"):
        read_activations(tmp_path / "x.h5", "a")


def external_link(file, secret):
    file["a"] = h5py.ExternalLink(str(secret / "secret.h5"), "/a")


def external_group(file, secret):
    file["group"] = h5py.ExternalLink(str(secret / "secret.h5"), "/")


def soft_link_to_an_external_link(file, secret):
    external_link(file, secret)
    file["b"] = h5py.SoftLink("/a")


@pytest.mark.parametrize("write", [external_link, external_group, soft_link_to_an_external_link])
@pytest.mark.parametrize("key", ["a", "b", "group/a", "/group/a", "group/../a", None])
def test_links_to_other_files_are_not_followed(tmp_path, secret, write, key):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write(file, secret)
    with pytest.raises(ValueError, match=r"x\.h5"):
        read_activations(tmp_path / "x.h5", key)


def of_class(dataset, kind):
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset


def text_elsewhere(file, secret):
    of_class(file.create_dataset("a", (3, 4), "<u2", external=[(str(secret / "secret.bin"), 0, 24)]), "char")


def truth_elsewhere(file, secret):
    virtual(file, secret)
    of_class(file["a"], "logical")


def numbers_elsewhere(file, secret):
    external_storage(file, secret)
    of_class(file["a"], "single")


def cells_elsewhere(file, secret):
    file.create_dataset("#refs#/0", (1, 4), "<f4", external=[(str(secret / "secret.bin"), 0, 16)])
    of_class(file["#refs#/0"], "single")
    of_class(file.create_dataset("a", (1, 1), h5py.ref_dtype), "cell")[...] = file["#refs#/0"].ref


def empty_but_large(file, secret):
    of_class(file.create_dataset("a", data=np.array([2**20, 2**20], np.uint64)), "double").attrs["MATLAB_empty"] = 1


def huge_text(file, secret):
    of_class(file.create_dataset("a", (2**45, 1), "<u2", chunks=(1024, 1)), "char")


def cells_of_themselves(file, secret):
    dataset = of_class(file.create_dataset("a", (1, 1), h5py.ref_dtype), "cell")
    dataset[...] = dataset.ref


MATLAB = [
    text_elsewhere, truth_elsewhere, numbers_elsewhere, cells_elsewhere, empty_but_large, huge_text,
    cells_of_themselves,
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["h5", "mat"])
@pytest.mark.parametrize("write", MATLAB)
def test_variables_of_matlab_that_lie_or_lead_elsewhere_are_errors(tmp_path, secret, write, suffix):
    with h5py.File(tmp_path / f"x.{suffix}", "w") as file:
        write(file, secret)
    with pytest.raises(ValueError, match=rf"x\.{suffix}.*(dataset /|'a')"):
        read_activations(tmp_path / f"x.{suffix}", "a")


def test_a_loop_of_groups_is_read(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file["group/a"] = VALUES
        file["group/loop"] = file["/"]
        file["dangling"] = h5py.SoftLink("/nowhere")
    np.testing.assert_array_equal(read_activations(tmp_path / "x.h5"), VALUES)


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}]
)
def test_the_filters_of_hdf5_are_read(tmp_path, options):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", data=VALUES, chunks=(1, 4), **options)
    np.testing.assert_array_equal(read_activations(tmp_path / "x.h5"), VALUES)


def test_filters_that_the_user_imported_are_read(tmp_path, monkeypatch):
    plugins = type("Module", (), {"FILTERS": {"zstd": 32015}})
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", plugins)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        unknown_filter(file, tmp_path)
    assert read_activations(tmp_path / "x.h5").shape == (3, 4)


def test_errors_leave_no_file_open(tmp_path, secret):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        virtual(file, secret)
    with pytest.raises(ValueError, match="virtual") as error:
        read_activations(tmp_path / "x.h5")
    h5py.File(tmp_path / "x.h5", "r+").close()
    assert error.value.__cause__ is not None


# Zarr


@pytest.fixture(params=[2, 3])
def array(tmp_path, request):
    """The folder of an array with one chunk per input, in both versions of the format."""
    zarr.create_array(tmp_path / "x.zarr", data=VALUES, chunks=(1, 4), zarr_format=request.param, compressors=None)
    return tmp_path / "x.zarr"


def chunk_of(array):
    return array / "1.0" if (array / ".zarray").exists() else array / "c" / "1" / "0"


def metadata_of(array):
    return array / ".zarray" if (array / ".zarray").exists() else array / "zarr.json"


def changed(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_chunks_that_link_elsewhere_are_errors(array, secret):
    chunk_of(array).unlink()
    chunk_of(array).symlink_to(secret / "secret.bin")
    with pytest.raises(ValueError, match=r"x\.zarr.*link to .*secret\.bin, outside"):
        read_activations(array)


def test_folders_that_link_elsewhere_are_errors(tmp_path, array, secret):
    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("a", data=VALUES)
    shutil.move(array, secret / "x.zarr")
    (tmp_path / "group.zarr" / "b").symlink_to(secret / "x.zarr")
    with pytest.raises(ValueError, match=r"group\.zarr.*outside"):
        read_activations(tmp_path / "group.zarr", "a")


def test_a_folder_that_is_itself_a_link_is_read(tmp_path, array):
    (tmp_path / "link.zarr").symlink_to(array)
    np.testing.assert_array_equal(read_activations(tmp_path / "link.zarr"), VALUES)
    chunk_of(array).rename(array / "kept")
    chunk_of(array).symlink_to(array / "kept")
    np.testing.assert_array_equal(read_activations(tmp_path / "link.zarr"), VALUES)


def test_pipes_in_folders_are_errors(array):
    chunk_of(array).unlink()
    os.mkfifo(chunk_of(array))
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        read_activations(array)


def test_a_zip_of_zarr_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zarr", "w") as file:
        file.writestr("zarr.json", "{}")
    with pytest.raises(ValueError, match=r"x\.zarr could not be read.*expected a folder"):
        read_activations(tmp_path / "x.zarr")


@pytest.mark.parametrize("shape", [[2**62, 2**62], [2**50, 4], [-3, 4], [3.5, 4], ["3", "4"], None, [3], [True, None]])
def test_shapes_that_lie_are_errors(array, shape):
    changed(metadata_of(array), shape=shape)
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(array)


@pytest.mark.parametrize("chunks", [[2**40, 2**40], [2**62, 4], [0, 4], [-1, 4], [1]])
def test_chunks_that_lie_are_errors(array, chunks):
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    changed(
        metadata_of(array), **({"chunks": chunks} if metadata_of(array).name == ".zarray" else {"chunk_grid": grid})
    )
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(array)


@pytest.mark.parametrize("inner", [[1, 1], [2**40, 1]])
def test_shards_that_lie_are_errors(tmp_path, inner):
    zarr.create_array(tmp_path / "x.zarr", data=VALUES, shards=(3, 4), chunks=(1, 4), compressors=None)
    metadata = json.loads((tmp_path / "x.zarr" / "zarr.json").read_text())
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [2**40, 2**20]
    metadata["codecs"][0]["configuration"]["chunk_shape"] = inner
    changed(tmp_path / "x.zarr" / "zarr.json", **metadata)
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(tmp_path / "x.zarr")


def test_shards_are_read(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=VALUES, shards=(3, 4), chunks=(1, 4))
    np.testing.assert_array_equal(read_activations(tmp_path / "x.zarr"), VALUES)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"zarr_format": 3, "zarr_format": 3}', "null"])
def test_damaged_metadata_are_errors(array, text):
    metadata_of(array).write_text(text)
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(array)


def test_metadata_of_gigabytes_are_not_read(array):
    with metadata_of(array).open("r+b") as file:
        file.truncate(2**33)
    with pytest.raises(ValueError, match=str(2**33)):
        read_activations(array)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
def test_metadata_of_the_group_do_not_replace_those_of_the_array(tmp_path, version):
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=version)
    group.create_array("a", data=VALUES, chunks=(3, 4))
    zarr.consolidate_metadata(tmp_path / "x.zarr")
    path = tmp_path / "x.zarr" / (".zmetadata" if version == 2 else "zarr.json")
    text = path.read_text()
    assert "consolidated" in text
    path.write_text(text.replace("3,\n", "2,\n", 1) if version == 2 else text)
    consolidated = json.loads(path.read_text())
    if version == 3:
        consolidated["consolidated_metadata"]["metadata"]["a"]["shape"] = [2, 4]
        path.write_text(json.dumps(consolidated))
    np.testing.assert_array_equal(read_activations(tmp_path / "x.zarr"), VALUES)


@pytest.mark.parametrize("codec", ["pickle", "msgpack2", "json2"])
@pytest.mark.parametrize("dtype", ["|O", "<f4"])
@pytest.mark.parametrize("entry", ["filters", "compressor"])
def test_object_codecs_of_zarr_are_never_decoded(tmp_path, codec, dtype, entry):
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    described = {
        "zarr_format": 2, "shape": [3, 4], "chunks": [3, 4], "dtype": dtype, "fill_value": 0, "order": "C",
        "filters": None, "compressor": None, entry: [{"id": codec}] if entry == "filters" else {"id": codec},
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(described))
    (folder / "0.0").write_bytes(pickle.dumps(Exploding()))
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(folder)


@pytest.mark.parametrize("codec", ["no-such-codec", "numcodecs.pickle", "../../evil", ""])
def test_unknown_codecs_of_zarr_are_errors(tmp_path, codec):
    zarr.create_array(tmp_path / "x.zarr", data=VALUES)
    changed(
        tmp_path / "x.zarr" / "zarr.json",
        codecs=[{"name": "bytes", "configuration": {"endian": "little"}}, {"name": codec}],
    )
    with pytest.raises(ValueError, match=r"x\.zarr could not be read"):
        read_activations(tmp_path / "x.zarr")


def test_errors_name_no_more_than_a_few_of_many_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", **{f"layer{number}": np.ones(1) for number in range(5000)})
    with pytest.raises(ValueError, match=r"5000 arrays.* and 4980 more") as error:
        read_activations(tmp_path / "x.npz")
    assert len(str(error.value)) < 500 + len(str(tmp_path))
