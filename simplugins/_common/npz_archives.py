# SPDX-License-Identifier: Apache-2.0
"""Reads .npz archives: members are checked against their own headers before memory is allocated, and read once."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.json_objects import parse_object
from simplugins._common.machine_memory import check_fits
from simplugins._common.npy_headers import read_npy_header

HEADER = "header.json"

_MOST_HEADER_BYTES = 64 * 2**20
LARGEST_RATIO = 1032
"""The largest compression ratio of deflate."""

_OUTSIDE = re.compile(r"[/\\]|[a-zA-Z]:[/\\]|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_READ_BYTES = 2**20


class NpzArchive:
    """The arrays of an open .npz file.

    Attributes
    ----------
    names : list of str
        Names of the arrays, in the order of the file; other members are ignored.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {info.filename.removesuffix(".npy"): info for info in _checked(archive.infolist())}
        self.names = [name for name, info in self._members.items() if info.filename.endswith(".npy")]

    def header(self) -> dict[str, Any]:
        """Read the JSON header; {} if there is none."""
        info = self._members.get(HEADER)
        if info is None or info.filename != HEADER:
            return {}
        if info.file_size > _MOST_HEADER_BYTES:
            raise ValueError(f"its {HEADER} declares {info.file_size} bytes, expected at most {_MOST_HEADER_BYTES}")
        return parse_object(self._archive.read(info))

    def read(self, name: str) -> NDArray[Any]:
        """Read an array.

        Raises
        ------
        ValueError
            If the member is damaged, holds objects, or does not hold the values that its header declares.
        """
        info = self._members[name]
        with self._archive.open(info) as member:
            try:
                header = read_npy_header(member)
                header.check_size(info.file_size)
                check_fits(header.nbytes, "its header")
            except ValueError as error:
                raise ValueError(f"array {name!r}: {error}") from error
            values = _read_bytes(member, header.nbytes).view(header.dtype)
        return values.reshape(header.shape[::-1]).T if header.fortran_order else values.reshape(header.shape)

    def read_all(self) -> dict[str, NDArray[Any]]:
        """Read all arrays; raise a ValueError as `read`, and if together they exceed the memory of this machine."""
        check_fits(sum(self._members[name].file_size for name in self.names), "its list of arrays")
        return {name: self.read(name) for name in self.names}


def _read_bytes(member: IO[bytes], count: int) -> NDArray[np.uint8]:
    values, position = np.empty(count, np.uint8), 0
    while position < count:
        part = member.read(min(_READ_BYTES, count - position))
        if not part:
            raise ValueError("it ends within its values")
        values[position : position + len(part)] = np.frombuffer(part, np.uint8)
        position += len(part)
    return values


@contextmanager
def open_npz(path: str | os.PathLike[str]) -> Iterator[NpzArchive]:
    """Open a .npz file.

    Raises
    ------
    ValueError
        If it is not an archive, or a member appears twice, is encrypted, is named after a place outside the archive, or
        declares more than its compressed bytes can hold.
    """
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        yield NpzArchive(archive)


def _checked(members: list[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    """Yield the members of an archive, after checking their entries in its directory."""
    names: set[str] = set()
    for info in members:
        name = info.filename
        if _OUTSIDE.match(name) or "\0" in info.orig_filename:
            raise ValueError(f"its member {info.orig_filename!r} is named after a place outside the archive")
        if name.removesuffix(".npy") in names:
            raise ValueError(f"it holds {name!r} twice")
        if info.flag_bits & 1:
            raise ValueError(f"its member {name!r} is encrypted")
        if not _can_hold(info):
            raise ValueError(
                f"its member {name!r} declares {info.file_size} bytes, more than {info.compress_size} bytes can hold"
            )
        names.add(name.removesuffix(".npy"))
        yield info


def _can_hold(info: zipfile.ZipInfo) -> bool:
    if info.compress_type == zipfile.ZIP_STORED:
        return info.file_size == info.compress_size
    return info.compress_type != zipfile.ZIP_DEFLATED or info.file_size <= LARGEST_RATIO * info.compress_size + 64
