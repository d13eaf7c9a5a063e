# SPDX-License-Identifier: Apache-2.0
"""thingsvision: RSMs as RDMs, similarities of networks as its CKA, and features that it saved as activations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, NetworkSimilarity, read_activations
from simplugins_adapters.shared import Dissimilarity, dissimilarities

if TYPE_CHECKING:
    from thingsvision.core.cka.cka_numpy import CKANumPy

TOOL = "thingsvision"

_UNBIASED = {"cka": False, "cka-debiased": True}
"""What thingsvision calls unbiased, by our methods; it is the estimator of Song et al."""

_NAMES = re.compile(
    r"features(?P<suffix>.*?)(_(?P<start>\d+)-(?P<stop>\d+)|_(?P<part>\d\d+))?\.(?P<format>npy|pt|mat|hdf5|txt)"
)
"""What files are called: of the inputs from start to stop, of a part of the inputs, or of all."""


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return an RSM as an RDM, for ``thingsvision.core.rsa.correlate_rdms``.

    Parameters
    ----------
    rsm : RSM
        Of N inputs.
    dissimilarity : {"complement", "squared-distance", "distance"}
        With complements, correlations are those of the similarities; thingsvision's own RDMs are complements too, but
        for "euclidean".

    Returns
    -------
    (N, N) float64 array
        At least 0, exactly symmetric, with a diagonal of 0.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, or there is no such dissimilarity.
    """
    return dissimilarities(rsm, dissimilarity, TOOL)


def to_cka(similarity: NetworkSimilarity, *, layout: str = "auto", m: int | None = None) -> CKANumPy:
    """Return a similarity of networks as an object like those of ``thingsvision.core.cka.get_cka``.

    Parameters
    ----------
    similarity : NetworkSimilarity
        Its method is "cka", or "cka-debiased", which thingsvision calls unbiased.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of the features that it will be given; those of Keras are "nhwc".
    m : int, optional
        How many inputs there will be, if that is to be checked.

    Returns
    -------
    thingsvision.core.cka.cka_numpy.CKANumPy
        Its ``compare(X, Y)`` takes features that were not flattened, (n, c, h, w) or (n, t, d), or RSMs. The kernel is
        the measure's RSM, positive semi-definite or not; all else is thingsvision's.

    Raises
    ------
    ValueError
        If the method is another one.
    """
    if similarity.method not in _UNBIASED:
        raise ValueError(f"{TOOL} compares by CKA: expected method {' or '.join(_UNBIASED)}, got {similarity.method!r}")
    from simplugins_adapters.subclasses.thingsvision import SemanticCKA

    return SemanticCKA(similarity, unbiased=_UNBIASED[similarity.method], layout=layout, m=m)


def from_features(
    path: str | PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    suffix: str | None = None,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Read features that thingsvision saved.

    Parameters
    ----------
    path : path
        The folder that ``extractor.extract_features(..., output_dir=)`` or ``save_features`` wrote to, or a folder of
        such folders: each with features is a layer. Or one file: features*.npy, .pt, .mat, .hdf5 or .txt. No pickled
        objects are read.
    layers : sequence of str, optional
        Which, in the order wanted; by default all by name, with numbers in it by size.
    suffix : str, optional
        The ``file_name_suffix`` that they were saved with, if there are several.
    shape : tuple of int, or mapping of str to tuple of int, optional
        What flattened features had been: (c, h, w), (t, d), or (h, w, c) of Keras; of all layers, or by layer.

    Returns
    -------
    dict of str to array
        Activations by layer, which is the name of its folder. They are as they were saved, (n, c, h, w), (n, t, d) or
        (n, d): a memmap of one .npy file, tensors of .pt files.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    TypeError
        If it is no path.
    ValueError
        If there are no features or no such layer, a file cannot be read, files of a layer do not make one array, or a
        layer's features are not of the shape.
    """
    found = _saved_at(path)
    wanted = sorted(found, key=_natural) if layers is None else list(layers)
    _check_known("layers", wanted, found, path)
    shapes = shape if isinstance(shape, Mapping) else dict.fromkeys(wanted, shape)
    _check_known("shape", shapes, wanted, path)
    return {layer: _shaped(_read_layer(found[layer], suffix), shapes.get(layer), layer) for layer in wanted}


class _Saved(NamedTuple):
    """A file of features: of the inputs up to `stop`, of the part of this number, or of all."""

    path: Path
    format: str
    suffix: str = ""
    stop: int | None = None
    part: int | None = None

    @property
    def way(self) -> tuple[Any, ...]:
        """What files have in common that were saved together."""
        return self.format, self.suffix, self.stop is None, self.part is None


def _saved_at(path: str | PathLike[str]) -> dict[str, list[_Saved]]:
    """Return the files of each layer."""
    if not isinstance(path, str | PathLike):
        raise TypeError(
            f"expected the path of what {TOOL} saved, got {type(path).__name__}; features in memory go to "
            f"simplugins.compute_rsm as they are"
        )
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    found: dict[str, list[_Saved]] = {}
    if path.is_file() and _NAMES.fullmatch(path.name):
        return {path.parent.resolve().name: [_Saved(path, path.suffix[1:])]}
    for file in path.rglob("features*"):
        name = _NAMES.fullmatch(file.name)
        if name and file.is_file():
            found.setdefault(_layer(file, path), []).append(_saved(file, name))
    if not found:
        raise ValueError(f"{path}: expected features as {TOOL} saves them, features*.npy, .pt, .mat, .hdf5 or .txt")
    return found


def _saved(file: Path, name: re.Match[str]) -> _Saved:
    stop, part = (None if number is None else int(number) for number in name.group("stop", "part"))
    return _Saved(file, name["format"], name["suffix"], stop, part)


def _layer(file: Path, root: Path) -> str:
    """Return the name of a layer: the folders between the root and its files, or the root's if there are none."""
    between = file.parent.relative_to(root).as_posix()
    return root.resolve().name if between == "." else between


def _natural(name: str) -> list[str | int]:
    """Return what puts names in order, with the numbers in them by size."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _check_known(option: str, names: Collection[str], known: Collection[str], path: str | PathLike[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{option}: {path} holds no {unknown[0]!r}; there are {', '.join(known)}")


def _read_layer(files: Sequence[_Saved], suffix: str | None) -> Any:
    """Return the features of one layer, joined from all its files."""
    chosen = sorted((f for f in files if suffix in (None, f.suffix)), key=lambda f: (f.stop or 0, f.part or 0))
    if len({file.way for file in chosen}) != 1:
        raise ValueError(
            f"{files[0].path.parent} holds features saved {'in several ways' if chosen else 'with another suffix'}, "
            f"{', '.join(sorted(file.path.name for file in files))}: say which with suffix=, or by the path of one file"
        )
    parts = [_read(file) for file in chosen]
    _check_complete(chosen, parts)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _check_complete(files: Sequence[_Saved], parts: Sequence[Any]) -> None:
    """Check that each file begins where those before it end. What it holds tells, its name may not."""
    end = 0
    for place, (file, part) in enumerate(zip(files, parts, strict=True), 1):
        end += len(part)
        if file.stop not in (None, end) or file.part not in (None, place):
            raise ValueError(
                f"{file.path} with {len(part)} inputs does not follow on the {end - len(part)} in the files before "
                f"it: some are missing, or left over from another run"
            )


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def _shaped(features: Any, shape: Sequence[int] | None, layer: str) -> Any:
    """Return flattened features in the shape that they had."""
    if shape is None:
        return features
    if features.ndim != 2 or math.prod(shape) != features.shape[1]:
        raise ValueError(
            f"shape: features of {layer!r} have shape {tuple(features.shape)}; they are not {tuple(shape)} flattened"
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
            f"{file.path}: expected an array of numbers, with inputs as the first of at least 2 dimensions, got "
            f"{type(features).__name__} of dtype {dtype}"
        )
    return features


def _read_mat(path: Path) -> NDArray[Any]:
    """Return features that are in one array, or by names of files."""
    from scipy.io import loadmat

    if path.stem != "features":
        raise ValueError(f"parts are not read, as {TOOL} writes all features to each: save them in another format")
    found = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    if found.keys() == {"features"}:
        return found["features"]  # type: ignore[no-any-return]
    names = path.with_name("file_names.txt")
    expected = len(names.read_text(encoding="utf-8").splitlines()) if names.is_file() else len(found)
    if len(found) != expected:
        raise ValueError(f"it holds {len(found)} inputs, {names.name} has {expected}: those that share a name are lost")
    return np.stack([value[0] if value.ndim == 2 and len(value) == 1 else value for value in found.values()])


def _read_hdf5(path: Path) -> NDArray[Any]:
    """Return features that are in one array, or in parts."""
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
    back=from_features,
)
