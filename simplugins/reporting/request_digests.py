# SPDX-License-Identifier: Apache-2.0
"""Models, inputs and options as short texts that differ if these do."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.activations.activations import Activations

_SHORT = 80
_DEEPEST = 6
"""Levels of attributes of attributes that are described; deeper ones by their type."""
_LOADER = ("dataset", "sampler", "batch_sampler", "collate_fn", "batch_size", "drop_last")
"""Attributes of a DataLoader that decide what it yields; others change as it runs."""
_PLAIN = {str, int, float, bool, type(None)}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def describe(value: Any) -> str:
    """Return a text that identifies a value: itself if it is short, else its type and digest.

    Arrays of any library, images, Activations, and lists and mappings of these are identified by their content; paths
    by the names, sizes and times of their files; Torch models by their weights and buffers, their modules with the
    code of `forward`, and their attributes and hooks; functions by their code; other objects, such as a DataLoader with
    its data set, by their types and attributes. An iterator is never the same as another one.

    Examples
    --------
    >>> describe("median"), describe(None), describe([1, 2])
    ("'median'", 'None', '[1, 2]')
    >>> describe(np.zeros((2, 3)))
    'array (2, 3) float64 sha256:17b0761f87b081d5'
    """
    return _described(value, ())


def _described(value: Any, owners: tuple[int, ...]) -> str:
    """Describe a value; `owners` are the identities of the objects that it is an attribute of."""
    if value is None or isinstance(value, str | bytes | int | float | complex | np.number | np.dtype | slice | range):
        text = repr(value)
        return text if len(text) < _SHORT or isinstance(value, str) else _digest(text)
    if isinstance(value, os.PathLike):
        return _of_path(Path(value))
    if isinstance(value, Activations):
        return f"{value!r} sha256:{value.digest()[:16]}"
    if id(value) in owners or len(owners) > _DEEPEST:
        return _type_name(type(value))
    if is_array(value):
        return _of_array(value)
    owners = (*owners, id(value))
    if isinstance(value, Mapping | list | tuple | Set):
        return _of_container(value, owners)
    if isinstance(value, Iterator):
        return f"{_type_name(type(value))} {secrets.token_hex(8)}"
    if isinstance(value, type):
        return _type_name(value)
    if isinstance(value, FunctionType | MethodType | functools.partial) or _type_name(type(value)).startswith("numba."):
        return _of_function(value, owners)
    return _of_object(value, owners)


def is_array(value: Any) -> bool:
    """Return whether a value is an array, a table or an image of any library, rather than a container of values."""
    names = ("__array__", "__array_interface__", "__dlpack__")
    return not isinstance(value, type | list | tuple | dict) and (
        arrays.is_torch(value) or arrays.is_lazy(value) or any(hasattr(type(value), name) for name in names)
    )


def _of_array(value: Any) -> str:
    if arrays.is_torch(value):
        return f"{_shape(value)} {_digest(_tensor_bytes(value))}"
    if hasattr(value, "getpalette"):  # of a Pillow image
        value = value.convert("RGBA")
    array = arrays.loaded(value) if arrays.is_lazy(value) else value
    if arrays.is_cupy(array):
        array = array.get()
    mask = array.mask if isinstance(array, np.ma.MaskedArray) else None
    names = [getattr(array, name, None) for name in ("dims", "coords", "columns", "index")]  # of xarray and pandas
    named = "" if mask is None and not any(map(_is_named, names)) else f" {_digest(describe([mask, *names]))}"
    array = np.asarray(array)
    return f"array {array.shape} {array.dtype} {_digest(_bytes(array))}{named}"


def _shape(tensor: Any) -> str:
    try:
        return f"array {tuple(tensor.shape)} {tensor.dtype}"
    except RuntimeError:  # a parameter of a lazy module, not initialised yet
        return "array"


def _is_named(names: Any) -> bool:
    return names is not None and not callable(names)


def _bytes(array: np.ndarray) -> Any:
    if array.dtype.hasobject:
        return describe(array.ravel().tolist()).encode("utf-8", "surrogatepass")
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data if flat.nbytes else b""


def _tensor_bytes(tensor: Any) -> Any:
    """Return the bytes of a tensor; those of a sparse, quantised or empty one as Torch saves them."""
    import torch

    try:
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return plain.view(torch.uint8).numpy().data if plain.numel() else b""
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        file = io.BytesIO()
        torch.save(tensor, file)
        return file.getbuffer()


def _of_path(path: Path) -> str:
    """Return a path with a digest of the names, sizes and times of its files."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return f"{path} {_digest(repr(facts))}"


def _of_container(value: Any, owners: tuple[int, ...]) -> str:
    if isinstance(value, Mapping):
        return _of_parts([(_described(name, owners), part) for name, part in value.items()], owners)
    if isinstance(value, list | tuple) and all(type(part) in _PLAIN for part in value):
        text = repr(value)
        return text if len(text) < _SHORT else f"{type(value).__name__} of {len(value)} {_digest(text)}"
    parts = [_described(part, owners) for part in value]
    if isinstance(value, Set):
        parts.sort()
    text = "[" + ", ".join(parts) + "]"
    if isinstance(value, list | tuple) and len(text) < _SHORT:
        return text
    return f"{type(value).__name__} of {len(value)} {_digest(text)}"


def _of_parts(parts: Sequence[tuple[str, Any]], owners: tuple[int, ...]) -> str:
    text = ", ".join(f"{name}: {_described(part, owners)}" for name, part in parts)
    return f"of {len(parts)} parts {_digest(text)}"


def _of_function(value: Any, owners: tuple[int, ...]) -> str:
    if isinstance(value, functools.partial):
        return f"partial {_of_container([value.func, value.args, value.keywords], owners)}"
    if isinstance(value, MethodType):
        return f"method {_of_container([value.__func__, value.__self__], owners)}"
    function = getattr(value, "py_func", value)
    if not isinstance(function, FunctionType):
        return _type_name(type(value))
    values = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    parts = [_of_code(function.__code__), function.__defaults__, function.__kwdefaults__, values, vars(function)]
    return f"{function.__module__}.{function.__qualname__} {_digest(_of_container(parts, owners))}"


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _of_code(code: CodeType) -> str:
    constants = [_of_code(each) if isinstance(each, CodeType) else describe(each) for each in code.co_consts]
    return _digest(repr((code.co_code, code.co_names, code.co_varnames, constants)))


def _of_object(value: Any, owners: tuple[int, ...]) -> str:
    value = getattr(value, "_orig_mod", value)  # of a compiled model
    name, attributes = _type_name(type(value)), _attributes(value)
    if hasattr(value, "state_dict") and hasattr(value, "named_modules"):
        return f"{name.rpartition('.')[2]} {_of_parts(_model_parts(value), owners)}"
    if any(_type_name(base) == "torch.utils.data.dataloader.DataLoader" for base in type(value).__mro__):
        attributes = {key: getattr(value, key, None) for key in _LOADER}
    if not attributes:
        text = repr(value)
        return name if " at 0x" in text else f"{name} {text if len(text) < _SHORT else _digest(text)}"
    return f"{name} {_of_parts(sorted(attributes.items()), owners)}"


def _attributes(value: Any) -> dict[str, Any]:
    slots = {name: getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)}
    return {**slots, **getattr(value, "__dict__", {})}


def _model_parts(model: Any) -> list[tuple[str, Any]]:
    """Return what decides the output of a Torch module: tensors, and for each module its code, attributes and hooks."""
    parts: list[tuple[str, Any]] = [*model.state_dict().items()]
    parts += [(f"buffer {name}", buffer) for name, buffer in model.named_buffers()]  # also those that are not saved
    for name, module in model.named_modules():
        forward = getattr(type(module), "forward", None)
        attributes = {key: each for key, each in vars(module).items() if not key.startswith("_") and key != "training"}
        hooks = [list(getattr(module, key, {}).values()) for key in _HOOKS]
        parts.append((f"module {name}", [_type_name(type(module)), forward, attributes, hooks]))
    return parts


def _type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _digest(content: Any) -> str:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return f"sha256:{hashlib.sha256(data).hexdigest()[:16]}"
