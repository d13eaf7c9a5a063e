# SPDX-License-Identifier: Apache-2.0
"""Reads variables from MATLAB files: version 7.3, which is HDF5, and earlier versions, with SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.reversed_datasets import ReversedDataset
from simplugins.activations.hdf5_checks import check_storage, read_whole

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS = (0, 512, 1024, 2048)
"""Offsets at which HDF5 may begin; MATLAB writes a header of 512 bytes before it."""
_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_NUMBERS = {"double": "float64", "single": "float32"} | dict(zip(_INTEGERS, _INTEGERS, strict=True))
_ADVICE = {
    "struct": "save a field as a variable of its own",
    "sparse": "save full(x)",
    "function": "function handles hold no data",
    "function_handle": "function handles hold no data",
    "object": "save its numbers as an array; texts with cellstr(x)",
    "opaque": "save its numbers as an array; texts, such as string arrays or categories, with cellstr(x)",
    "string": "save cellstr(x)",
}
_CLASS, _EMPTY, _SPARSE = "MATLAB_class", "MATLAB_empty", "MATLAB_sparse"


class UnreadableVariableError(ValueError):
    """A variable is not an array of real numbers or texts."""


def is_hdf5(path: Path) -> bool:
    """Return whether a file is of version 7.3, that is, HDF5."""
    with path.open("rb") as file:
        for start in _USER_BLOCKS:
            file.seek(start)
            if file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE:
                return True
    return False


def list_variables(path: Path) -> dict[str, str]:
    """Return the class of each variable of a file before version 7.3."""
    from scipy.io import whosmat

    return {name: kind for name, _, kind in whosmat(path)}


def read_variable(path: Path, name: str, kind: str) -> Any:
    """Read a variable of a file before version 7.3.

    Parameters
    ----------
    path : path
    name : str
        The variable.
    kind : str
        Its class, as `list_variables` returns it.

    Returns
    -------
    array or list of arrays
        Numbers as an array of the class's type; texts as an array of str; cell arrays as an array of str or int64, or a
        list of arrays.

    Raises
    ------
    UnreadableVariableError
        If the class is none of these, or numbers are complex.
    """
    from scipy.io import loadmat

    if kind in _ADVICE and kind != "struct":
        raise _unreadable(name, kind)
    value = loadmat(path, variable_names=[name], squeeze_me=False, chars_as_strings=True)[name]
    if kind == "struct":
        raise UnreadableVariableError(
            f"{name!r} is a struct with the fields {', '.join(value.dtype.names or ())}: save one of them as a variable"
        )
    if kind == "char":
        return _stripped(value)
    if kind == "cell":
        return _cell(name, value.shape, [_element(name, element) for element in value.ravel(order="F")])
    if value.dtype.kind == "c":
        raise _complex(name)
    return value.astype(bool if kind == "logical" else _NUMBERS.get(kind, value.dtype), copy=False)


def read_hdf5_variable(item: Any) -> Any:
    """Read a dataset of a file of version 7.3; return it unchanged if neither MATLAB nor Octave wrote it.

    Parameters
    ----------
    item : h5py.Dataset or h5py.Group

    Returns
    -------
    ReversedDataset, array, list of arrays or h5py.Dataset
        Numbers as a dataset, which stays on disk, with MATLAB's order of dimensions; logical values, texts and cell
        arrays as for `read_variable`.

    Raises
    ------
    UnreadableVariableError
        If the class is not one of numbers, texts or cells, or numbers are complex.
    """
    kind, name = class_of(item), item.name.lstrip("/")
    if not hasattr(item, "keys"):
        check_storage(item)
    if kind is None:
        if "ref" in (getattr(item.dtype, "metadata", None) or {} if hasattr(item, "dtype") else {}):
            raise UnreadableVariableError(f"{name!r} holds references, as in an array of structs, not numbers")
        return item
    if _SPARSE in item.attrs:
        raise _unreadable(name, "sparse")
    if hasattr(item, "keys"):
        raise _unreadable(name, kind, fields=[f"{name}/{field}" for field in item])
    if kind in _ADVICE or kind not in {*_NUMBERS, "logical", "char", "cell", "octave"}:
        raise _unreadable(name, kind)
    if item.attrs.get(_EMPTY, 0):  # the dataset holds the size
        sizes = [int(size) for size in read_whole(item).ravel()]
        if 0 not in sizes:
            raise UnreadableVariableError(
                f"{name!r} is marked as empty, but has the size {' x '.join(map(str, sizes))}"
            )
        return np.empty(sizes, _NUMBERS.get(kind, "float64"))
    if kind == "cell":
        return _cell(name, item.shape[::-1], [_referenced(name, item.file, ref) for ref in read_whole(item).ravel()])
    if kind == "char":
        rows = read_whole(item).T.astype("<u2").reshape(item.shape[-1], -1)
        return np.array([row.tobytes().decode("utf-16-le").rstrip() for row in rows])
    if item.dtype.kind == "V":
        raise _complex(name)
    return read_whole(item).T.astype(bool) if kind == "logical" else ReversedDataset(item)


def dataset_names(file: Any) -> list[str]:
    """Return the names of the arrays in an HDF5 file, without the hidden elements of MATLAB's cell arrays.

    Sparse arrays of MATLAB, which are groups of three datasets, are listed as one.
    """
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        is_part = not hasattr(item, "keys") and _SPARSE not in item.parent.attrs
        if (is_part or _SPARSE in item.attrs) and not name.startswith("#"):
            names.append(name)

    file.visititems(visit)
    return names


def class_of(item: Any) -> str | None:
    """Return the MATLAB class of an HDF5 dataset or group, or "octave"; None if neither program wrote it."""
    if _CLASS in item.attrs:
        return bytes(np.asarray(item.attrs[_CLASS]).astype("S").item()).decode("ascii")
    is_octave = item.name.endswith("/value") and "OCTAVE_NEW_FORMAT" in item.parent.attrs
    return "octave" if is_octave else None


def _referenced(name: str, file: Any, reference: Any) -> Any:
    """Return an element of a cell array."""
    if not reference:
        return ""
    item = file[reference]
    if class_of(item) == "cell":
        raise UnreadableVariableError(
            f"{name!r} is a cell array of cell arrays: save one cell array of texts or arrays"
        )
    value = read_hdf5_variable(item)
    if class_of(item) == "char":
        return _single_text(name, [] if value.dtype.kind != "U" else list(value))
    return np.asarray(value)


def _element(name: str, value: NDArray[Any]) -> Any:
    """Return an element of a cell array."""
    if value.dtype.kind == "U":
        return _single_text(name, list(_stripped(value)))
    if value.dtype.kind == "c":
        raise _complex(name)
    if value.dtype.kind not in "fiub":
        raise UnreadableVariableError(f"{name!r} is a cell array of elements other than texts and arrays of numbers")
    return value


def _single_text(name: str, rows: Sequence[str]) -> str:
    if len(rows) > 1:
        raise UnreadableVariableError(
            f"{name!r} is a cell array with texts of several rows: save each row in a cell of its own"
        )
    return rows[0] if rows else ""


def _cell(name: str, shape: Sequence[int], elements: list[Any]) -> Any:
    """Return a cell array of texts or numbers as labels, and of arrays as a list."""
    if sum(size != 1 for size in shape) > 1:
        raise UnreadableVariableError(
            f"{name!r} is a cell array of {' x '.join(map(str, shape))}: expected one row or column"
        )
    texts = [isinstance(element, str) for element in elements]
    if all(texts):
        return np.array(elements, str)
    if any(texts):
        raise UnreadableVariableError(f"{name!r} is a cell array of both texts and numbers")
    if all(element.size == 1 for element in elements):
        numbers = np.array([element.item() for element in elements])
        return numbers.astype(np.int64) if (numbers == np.round(numbers)).all() else numbers
    return elements


def _stripped(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of a char array without the blanks with which MATLAB pads them."""
    return np.array([str(row).rstrip() for row in rows.ravel()])


def _complex(name: str) -> UnreadableVariableError:
    return UnreadableVariableError(f"{name!r} holds complex numbers: save abs(x), or real(x) and imag(x)")


def _unreadable(name: str, kind: str, fields: Sequence[str] = ()) -> UnreadableVariableError:
    if fields:
        return UnreadableVariableError(
            f"{name!r} is a MATLAB {kind} with {', '.join(fields)}: pass one of these as key"
        )
    advice = _ADVICE.get(kind, "save it as an array of numbers, or cellstr(x)")
    return UnreadableVariableError(f"{name!r} is of the MATLAB class {kind}: {advice}")
