# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import numpy as np
import pytest

from simplugins._common import filesystem


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    def write(file):
        file.write(b"half")
        raise error

    (tmp_path / "kept").write_bytes(b"before")
    for name in ("new", "kept"):
        with pytest.raises(error):
            filesystem.write_whole(tmp_path / name, write, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"before"


def test_files_are_replaced_only_if_allowed(tmp_path):
    path = tmp_path / "file"
    filesystem.write_whole(path, lambda file: file.write(b"one"))
    with pytest.raises(FileExistsError, match=r"file.*overwrite=True.*--force"):
        filesystem.write_whole(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"one"
    filesystem.write_whole(path, lambda file: file.write(b"two"), overwrite=True)
    assert path.read_bytes() == b"two"
    with pytest.raises(FileNotFoundError, match=r"\bno\b"):
        filesystem.write_whole(tmp_path / "no" / "file", lambda file: None)


def test_new_files_get_the_permissions_of_other_new_files(tmp_path):
    filesystem.write_text(tmp_path / "new", "text")
    (tmp_path / "other").write_text("text", encoding="utf-8")
    assert os.stat(tmp_path / "new").st_mode == os.stat(tmp_path / "other").st_mode


def test_arrays_and_a_header_are_written_and_read(tmp_path):
    contents = {"a": np.arange(3), "b": np.array(["x"])}
    filesystem.write_npz(tmp_path / "x.npz", contents, {"format": "test"})
    arrays, header = filesystem.read_npz(tmp_path / "x.npz")
    assert header == filesystem.read_header(tmp_path / "x.npz") == {"format": "test"}
    assert arrays.keys() == contents.keys()
    for name in contents:
        np.testing.assert_array_equal(arrays[name], contents[name])
    with pytest.raises(ValueError, match="Object"):
        filesystem.write_npz(tmp_path / "y.npz", {"a": np.array([None])}, {})
    assert not (tmp_path / "y.npz").exists()
