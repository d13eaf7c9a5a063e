# SPDX-License-Identifier: Apache-2.0
"""thingsvision: RSMs as RDMs, similarities of networks as its CKA, and its saved features as activations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, read_activations
from simplugins_adapters.dissimilarities import Dissimilarity, dissimilarities
from simplugins_adapters.similarities import Similarity, check_rsm_based

if TYPE_CHECKING:
    from thingsvision.core.cka.cka_numpy import CKANumPy

TOOL = "thingsvision"

_UNBIASED = {"cka": False, "cka-debiased": True}
"""Whether a method is what thingsvision calls unbiased, the estimator of Song et al."""

_NAMES = re.compile(
    r"features(?P<suffix>.*?)(_(?P<start>\d+)-(?P<stop>\d+)|_(?P<part>\d\d+))?\.(?P<format>npy|pt|mat|hdf5|txt)"
)
"""Names of files with the inputs from start to stop, with a numbered part of the inputs, or with all inputs."""


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return an RSM as an RDM, (N, N), for ``thingsvision.core.rsa.correlate_rdms``.

    See `simplugins_adapters.dissimilarities.dissimilarities`. With complements, the default, correlations are those of
    the similarities; thingsvision's own RDMs are complements too, except for "euclidean".
    """
    return dissimilarities(rsm, dissimilarity, TOOL)


def to_cka(similarity: Similarity, *, layout: str = "auto", m: int | None = None) -> CKANumPy:
    """Return a similarity of networks as an object like those of ``thingsvision.core.cka.get_cka``.

    Parameters
    ----------
    similarity : NetworkSimilarity
        With the method "cka", or "cka-debiased", which thingsvision calls unbiased.
    layout : str, default "auto"
        Layout of features; Keras uses "nhwc".
    m : int, optional
        Expected number of inputs.

    Returns
    -------
    thingsvision.core.cka.cka_numpy.CKANumPy
        Its ``compare(X, Y)`` takes features that are not flattened, (n, c, h, w) or (n, t, d), or RSMs. The kernel is
        the RSM of the measure, positive semi-definite or not; everything else is thingsvision's.

    Raises
    ------
    TypeError
        If the similarity is not made of a measure and a comparison.
    ValueError
        If it has another method.
    """
    similarity = check_rsm_based(similarity, TOOL)
    if similarity.method not in _UNBIASED:
        raise ValueError(f"{TOOL} compares by CKA: expected method {' or '.join(_UNBIASED)}, got {similarity.method!r}")
    from simplugins_adapters.subclasses.thingsvision_cka import SemanticCKA

    return SemanticCKA(similarity, unbiased=_UNBIASED[similarity.method], layout=layout, m=m)


def from_features(
    source: str | PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    suffix: str | None = None,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Read features that thingsvision saved.

    Parameters
    ----------
    source : path
        The folder that ``extractor.extract_features(..., output_dir=)`` or ``save_features`` wrote to, or a folder of
        such folders, one per layer. Or one file: features*.npy, .pt, .mat, .hdf5 or .txt. Pickled objects are not
        read.
    layers : sequence of str, optional
        The layers to read, in this order; by default all, sorted by name (numbers in names compare by value).
    suffix : str, optional
        The ``file_name_suffix`` with which they were saved, if there are several.
    shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of features before they were flattened, for all layers or by layer: (c, h, w), (t, d), or (h, w, c) for
        Keras.

    Returns
    -------
    dict of str to array
        Activations by layer, which is the name of its folder, as they were saved: (n, c, h, w), (n, t, d) or (n, d). A
        memmap for a single .npy file, tensors for .pt files.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    TypeError
        If `source` is not a path.
    ValueError
        If there are no features or no such layer, a file cannot be read, the files of a layer do not belong together,
        or a layer's features do not fit the shape.
    """
    files = _saved_at(source)
    names = sorted(files, key=_natural) if layers is None else list(layers)
    _check_known("layers", names, files, source)
    shapes = shape if isinstance(shape, Mapping) else dict.fromkeys(names, shape)
    _check_known("shape", shapes, names, source)
    return {layer: _shaped(_read_layer(files[layer], suffix), shapes.get(layer), layer) for layer in names}


class _Saved(NamedTuple):
    """A file of features, with the inputs up to `stop`, with a numbered part of the inputs, or with all inputs."""

    path: Path
    format: str
    suffix: str = ""
    stop: int | None = None
    part: int | None = None

    @property
    def scheme(self) -> tuple[Any, ...]:
        """Properties that files share if they were saved together."""
        return self.format, self.suffix, self.stop is None, self.part is None


def _saved_at(path: str | PathLike[str]) -> dict[str, list[_Saved]]:
    """Return the files of each layer."""
    if not isinstance(path, str | PathLike):
        raise TypeError(
            f"source: expected the path of saved features, got {type(path).__name__}; pass features in memory to "
            f"simplugins.compute_rsm"
        )
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    layers: dict[str, list[_Saved]] = {}
    if path.is_file() and _NAMES.fullmatch(path.name):
        return {path.parent.resolve().name: [_Saved(path, path.suffix[1:])]}
    for file in path.rglob("features*"):
        name = _NAMES.fullmatch(file.name)
        if name and file.is_file():
            layers.setdefault(_layer(file, path), []).append(_saved(file, name))
    if not layers:
        raise ValueError(f"{path}: expected features as {TOOL} saves them, features*.npy, .pt, .mat, .hdf5 or .txt")
    return layers


def _saved(file: Path, name: re.Match[str]) -> _Saved:
    stop, part = (None if number is None else int(number) for number in name.group("stop", "part"))
    return _Saved(file, name["format"], name["suffix"], stop, part)


def _layer(file: Path, root: Path) -> str:
    """Return the name of a layer: the folders between the root and its files, or the root if there are none."""
    folders = file.parent.relative_to(root).as_posix()
    return root.resolve().name if folders == "." else folders


def _natural(name: str) -> list[str | int]:
    """Return a sort key under which numbers in names compare by value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _check_known(option: str, names: Collection[str], known: Collection[str], path: str | PathLike[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{option}: {path} holds no {unknown[0]!r}; it holds {', '.join(known)}")


def _read_layer(files: Sequence[_Saved], suffix: str | None) -> Any:
    """Return the features of one layer, joined from all its files."""
    chosen = sorted((f for f in files if suffix in (None, f.suffix)), key=lambda f: (f.stop or 0, f.part or 0))
    if len({file.scheme for file in chosen}) != 1:
        raise ValueError(
            f"suffix: {files[0].path.parent} holds "
            f"{'features from several runs' if chosen else f'no features with suffix {suffix!r}'}: "
            f"{', '.join(sorted(file.path.name for file in files))}; pass suffix=, or the path of one file"
        )
    parts = [_read(file) for file in chosen]
    _check_complete(chosen, parts)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _check_complete(files: Sequence[_Saved], parts: Sequence[Any]) -> None:
    """Check that each file begins where the one before it ends, by its contents, as names state wrong starts."""
    end = 0
    for number, (file, part) in enumerate(zip(files, parts, strict=True), 1):
        end += len(part)
        if file.stop not in (None, end) or file.part not in (None, number):
            raise ValueError(
                f"{file.path} holds {len(part)} inputs, which do not continue the {end - len(part)} in the files "
                f"before it: files are missing, or left over from another run"
            )


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def _shaped(features: Any, shape: Sequence[int] | None, layer: str) -> Any:
    """Return flattened features in their original shape."""
    if shape is None:
        return features
    if features.ndim != 2 or math.prod(shape) != features.shape[1]:
        raise ValueError(
            f"shape: features of {layer!r} have shape {tuple(features.shape)}, which is not {tuple(shape)} flattened"
        )
    return features.reshape(len(features), *shape)


def _read(file: _Saved) -> Any:
    try:
        features = _READERS[file.format](file.path)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{file.path} could not be read as .{file.format}: {error}") from error
    dtype = getattr(features, "dtype", None)
    if getattr(features, "ndim", 0) < 2 or getattr(dtype, "hasobject", False):
        raise ValueError(
            f"{file.path}: expected an array of numbers with at least 2 dimensions, inputs first, got "
            f"{type(features).__name__} with dtype {dtype}"
        )
    return features


def _read_mat(path: Path) -> NDArray[Any]:
    """Return features from one array, or from one variable per image."""
    from scipy.io import loadmat

    if path.stem != "features":
        raise ValueError(f"parts are unusable, as {TOOL} writes all features to each: save them in another format")
    variables = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    if variables.keys() == {"features"}:
        return variables["features"]  # type: ignore[no-any-return]
    names = path.with_name("file_names.txt")
    expected = len(names.read_text(encoding="utf-8").splitlines()) if names.is_file() else len(variables)
    if len(variables) != expected:
        raise ValueError(
            f"it holds {len(variables)} inputs, and {names.name} lists {expected}: inputs with the same name are lost"
        )
    return np.stack([value[0] if value.ndim == 2 and len(value) == 1 else value for value in variables.values()])


def _read_hdf5(path: Path) -> NDArray[Any]:
    """Return features from one array, or from several parts."""
    from h5py import File

    with File(path, "r") as file:
        return np.concatenate([file[name][()] for name in sorted(file, key=_natural)])


_READERS: Mapping[str, Callable[[Path], Any]] = {
    "npy": read_activations,
    "pt": read_activations,
    "mat": _read_mat,
    "hdf5": _read_hdf5,
    "txt": lambda path: np.loadtxt(path, ndmin=2),
}

adapter = Adapter(
    tool=TOOL,
    modules=("thingsvision",),
    install="pip install 'simplugins[thingsvision]'",
    rsm=to_rdm,
    similarity=to_cka,
    reader=from_features,
)
