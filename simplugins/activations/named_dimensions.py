# SPDX-License-Identifier: Apache-2.0
"""Layouts of arrays with named dimensions, from a table of known names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from simplugins._common.refusals import libraries
from simplugins.activations.layouts import parse_layout

NAMES = {
    "n": "n b batch input item example instance sample image picture stimulus stimuli presentation trial epoch "
    "condition observation obs sentence document text video clip sound",
    "c": "c channel feature neuroid neuron unit cell embedding hidden component electrode sensor voxel filter dim band "
    "embedding_dim hidden_dim hidden_size",
    "t": "t token time time_bin timestep time_step",
    "l": "l length seq sequence",
    "s": "s position location patch",
    "h": "h height y lat latitude row",
    "w": "w width x lon longitude column col",
    "z": "depth z level slice",
    "d": "d",
}
"""Known names of dimensions by letter, in any case, singular or plural; z stands for d as the depth of maps."""
_LETTERS = {name: letter for letter, names in NAMES.items() for name in names.split()}
_TIMES = ("time", "time_bin", "timestep", "time_step", "t")
_DEFAULT_NAME = re.compile(r"(phony_)?dim_?\d+|")
_ROLES = {"n": "inputs", "c": "channels", "d": "channels", "z": "depth", "h": "height", "w": "width"} | dict.fromkeys(
    "tls", "tokens, times or positions"
)


def dimension_names(array: Any) -> tuple[str, ...] | None:
    """Return the names of an array's dimensions; None if it has none, or only defaults such as "dim_0".

    Parameters
    ----------
    array : array
        A DataArray or Variable of xarray, a netCDF4 variable, a Zarr array or an h5py dataset.
    """
    known = libraries(array)
    names: Sequence[Any] | None = None
    if "xarray" in known:
        names = array.dims if hasattr(array, "dtype") else None
    elif "netCDF4" in known:
        names = None if hasattr(type(array), "variables") else getattr(array, "dimensions", None)
    elif "zarr" in known:
        stored = getattr(getattr(array, "metadata", None), "dimension_names", None)
        names = stored or getattr(array, "attrs", {}).get("_ARRAY_DIMENSIONS")
    elif "h5py" in known and hasattr(array, "dims"):
        names = [axis.label or (axis[0].name.rsplit("/", 1)[-1] if len(axis) else "") for axis in array.dims]
    if names is None or all(name is not None and _DEFAULT_NAME.fullmatch(str(name)) for name in names):
        return None
    return tuple(map(str, names))


def known_letter(name: Any) -> str | None:
    """Return the letter of a dimension's name; None if the name is unknown."""
    return _LETTERS.get(_normalised(str(name)))


def layout_by_name(names: Sequence[str], layout: str = "auto") -> str:
    """Return the layout of an array whose dimensions have names.

    Parameters
    ----------
    names : sequence of str
        One per dimension, all of them in `NAMES` if the layout is "auto".
    layout : str
        The requested layout: "auto", or letters that the known names must not contradict.

    Raises
    ------
    ValueError
        If a name is unknown, two names have the same meaning, inputs or channels are missing, or names contradict the
        layout.

    Examples
    --------
    >>> layout_by_name(["neuroid", "presentation"])
    'cn'
    >>> layout_by_name(["time", "neuroid"]), layout_by_name(["trial", "channel", "time"])
    ('nc', 'nct')
    """
    letters = [known_letter(name) for name in names]
    if layout != "auto":
        _check_agreement(names, letters, layout)
        return layout
    if unknown := [name for name, letter in zip(names, letters, strict=True) if letter is None]:
        raise ValueError(
            f"the meaning of dimension {', '.join(map(repr, unknown))} is not known: name them with layout=, one "
            f"letter per dimension, in the order {', '.join(names)}, such as {_example(letters)!r}"
        )
    times = [i for i, name in enumerate(names) if _normalised(name) in _TIMES]
    if "n" not in letters and len(times) == 1:
        letters[times[0]] = "n"
    channel = "c" if "c" in letters else "d"
    rename = "rename a dimension, or pass only the values and layout="
    for letter in ("n", channel):
        if letter not in letters:
            raise ValueError(f"none of the dimensions {', '.join(names)} is that of {_ROLES[letter]}: {rename}")
    text = "".join("d" if letter == "z" else str(letter) for letter in letters)
    if repeated := next((letter for letter in text if text.count(letter) > 1), None):
        same = [name for name, letter in zip(names, text, strict=True) if letter == repeated]
        raise ValueError(f"dimensions {' and '.join(map(repr, same))} have the same meaning ({repeated}): {rename}")
    return parse_layout(text).name


def _check_agreement(names: Sequence[str], letters: Sequence[str | None], layout: str) -> None:
    parsed = parse_layout(layout)
    if len(parsed.name) != len(names):
        raise ValueError(f"layout {layout!r} names {len(parsed.name)} dimensions, but the array has {', '.join(names)}")
    for axis, (name, known, letter) in enumerate(zip(names, letters, parsed.name, strict=True)):
        stated = "c" if axis == parsed.channels else "z" if letter == "d" else letter
        if known is None or _ROLES[known] == _ROLES[stated] or (stated == "n" and _normalised(name) in _TIMES):
            continue
        raise ValueError(
            f"layout {layout!r} reads dimension {name!r} as {_ROLES[stated]}, but its name says {_ROLES[known]}: "
            f"correct the layout, in the order {', '.join(names)}, or rename the dimension"
        )


def _normalised(name: str) -> str:
    """Return the name as in the table: lower case, singular."""
    lower = name.strip().lower().replace(" ", "_").replace("-", "_")
    return lower if lower in _LETTERS or not lower.endswith("s") else lower[:-1]


def _example(letters: Sequence[str | None]) -> str:
    """Return an example of a layout that keeps the known letters."""
    known = [None if letter is None else letter.replace("z", "d") for letter in letters]
    unused = iter([letter for letter in "ncthwsld" if letter not in known])
    seen: list[str] = []
    for letter in known:
        seen.append(letter if letter is not None and letter not in seen else next(unused))
    return "".join(seen)
