# SPDX-License-Identifier: Apache-2.0
"""The networks of the benchmark, and what they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from measures.shapes import Images, Scenes, draw_scenes, mark_corner, render, shuffle_patches
from measures.training import Network, Responses, Task, accuracy, respond, train_all

SEEDS = "other seeds"
COLOURS = "other labels"
RANDOM = "random labels"
UNTRAINED = "untrained"
SHUFFLED = "patches shuffled, each image"
PERMUTED = "patches shuffled, all alike"
TIED = "colour shortcut"
CORNER = "corner shortcut"
KINDS = (SEEDS, COLOURS, RANDOM, UNTRAINED, SHUFFLED, PERMUTED, TIED, CORNER)
"""Kinds of networks; those of `SEEDS` are the ordinary ones, to which others are compared."""

MOVED = "other seeds, objects moved"
COLOURS_MOVED = "other labels, objects moved"
PERMUTED_AT_HOME = "patches shuffled, all alike, and so are the images"
VIEWS = (*KINDS, MOVED, COLOURS_MOVED, PERMUTED_AT_HOME)
"""Kinds of networks together with the images that they are shown: the test images where none are named."""

_PERMUTATION = 7
"""Seed of the one permutation of patches."""


@dataclass(frozen=True)
class Size:
    """Numbers of networks and images.

    Attributes
    ----------
    ordinary, others : int
        Numbers of ordinary networks, and of networks of each other kind.
    training, epochs : int
        Number of training images, and of passes over them.
    tested : int
        Number of images on which networks are compared.
    structured : int
        How many of them within-image structure is compared on.
    resamples : int
        Number of resamples of networks for intervals.
    """

    ordinary: int = 6
    others: int = 4
    training: int = 2000
    epochs: int = 6
    tested: int = 64
    structured: int = 16
    resamples: int = 1000


@dataclass(frozen=True)
class Data:
    """Test images in three versions, and their labels."""

    images: Images
    moved: Images
    permuted: Images
    shape_labels: NDArray[np.float32]
    colour_labels: NDArray[np.float32]


@dataclass(frozen=True)
class Population:
    """Responses of all networks, by view, and accuracies on new images of the kind that each network has seen.

    Attributes
    ----------
    responses : mapping of str to list of Responses
    accuracies : mapping of str to list of float
    """

    responses: Mapping[str, list[Responses]]
    accuracies: Mapping[str, list[float]]


def permute(images: Images) -> Images:
    """Permute the patches of all images in the one way that the benchmark uses."""
    return shuffle_patches(images, np.random.default_rng(_PERMUTATION), same=True)


def make_tasks(size: Size, seed: int) -> dict[str, list[Task]]:
    """Return what each network learns, by kind; all kinds but one share the same scenes."""
    rng = np.random.default_rng(seed)
    scenes = draw_scenes(size.training, rng)
    tied = draw_scenes(size.training, rng, tied=True)
    images, labels = render(scenes, rng), scenes.shape_labels
    training: dict[str, tuple[Images, NDArray[np.float32]]] = {
        SEEDS: (images, labels),
        COLOURS: (images, scenes.colour_labels),
        RANDOM: (images, labels[rng.permutation(len(labels))]),
        UNTRAINED: (images, labels),
        SHUFFLED: (shuffle_patches(images, rng, same=False), labels),
        PERMUTED: (permute(images), labels),
        TIED: (render(tied, rng), tied.shape_labels),
        CORNER: (mark_corner(images, labels), labels),
    }
    return {
        kind: [
            Task(*data, seed=100 * number + i, epochs=0 if kind == UNTRAINED else size.epochs)
            for i in range(size.ordinary if kind == SEEDS else size.others)
        ]
        for number, (kind, data) in enumerate(training.items())
    }


def make_data(size: Size, seed: int) -> Data:
    """Return the images on which networks are compared; none of them has a shortcut."""
    rng = np.random.default_rng(seed)
    scenes = draw_scenes(size.tested, rng)
    images, moved = render(scenes, rng), render(scenes, rng)
    return Data(images, moved, permute(images), scenes.shape_labels, scenes.colour_labels)


def train_population(size: Size, data: Data, seed: int) -> Population:
    """Train all networks, and show them the test images."""
    tasks = make_tasks(size, seed)
    trained = iter(train_all([task for kind in KINDS for task in tasks[kind]]))
    networks = {kind: [next(trained) for _ in tasks[kind]] for kind in KINDS}
    shown = {
        **{kind: (kind, data.images) for kind in KINDS},
        MOVED: (SEEDS, data.moved),
        COLOURS_MOVED: (COLOURS, data.moved),
        PERMUTED_AT_HOME: (PERMUTED, data.permuted),
    }
    return Population(
        {view: [respond(network, images) for network in networks[kind]] for view, (kind, images) in shown.items()},
        measure_accuracies(networks, seed + 1),
    )


def measure_accuracies(networks: Mapping[str, list[Network]], seed: int, count: int = 500) -> dict[str, list[float]]:
    """Return the accuracies on new images without shortcuts: of shapes, or of colours for those that learned them."""
    rng = np.random.default_rng(seed)
    scenes: Scenes = draw_scenes(count, rng)
    images = render(scenes, rng)
    return {
        kind: [
            accuracy(network, images, scenes.colour_labels if kind == COLOURS else scenes.shape_labels)
            for network in networks[kind]
        ]
        for kind in KINDS
    }
