# SPDX-License-Identifier: Apache-2.0
"""Small convolutional networks: how they are trained, and their responses."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from measures.shapes import Images
from simplugins._common.threads import usable_cores

LAYERS = ("conv1", "conv2", "conv3", "conv4")
_CHANNELS = (3, 16, 32, 32, 48)
_STRIDES = (2, 2, 1, 2)
_BATCH = 50
_RATE = 0.01
_INITIALISING = Lock()

Responses = dict[str, NDArray[np.float32]]
"""(N, C, H, W) by layer."""


@dataclass(frozen=True)
class Task:
    """What one network learns.

    Attributes
    ----------
    images : (N, 3, 32, 32) array
    labels : (N, 4) array
        Four yes-or-no labels per image.
    seed : int
        Seed of the weights and of the order of the images.
    epochs : int
        0 for an untrained network.
    """

    images: Images
    labels: NDArray[np.float32]
    seed: int
    epochs: int


class Network(nn.Module):
    """Four convolutions with batch normalisation and ReLU, the mean over positions, and a linear readout."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
            )
            for before, after, stride in zip(_CHANNELS, _CHANNELS[1:], _STRIDES, strict=False)
        )
        self.readout = nn.Linear(_CHANNELS[-1], 4)

    def layers(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the output of each block."""
        outputs = [images]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return outputs[1:]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of the four labels."""
        logits: torch.Tensor = self.readout(self.layers(images)[-1].mean((2, 3)))
        return logits


def train(task: Task) -> Network:
    """Train one network, on one thread, so that results do not depend on the number of cores."""
    torch.set_num_threads(1)
    with _INITIALISING:  # the generator of PyTorch's initialisation is global
        torch.manual_seed(task.seed)
        network = Network()
    order = np.random.default_rng(task.seed)
    images, labels = torch.from_numpy(task.images), torch.from_numpy(task.labels)
    steps = max(1, task.epochs * (len(images) // _BATCH))
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(task.epochs):
        for batch in torch.split(torch.from_numpy(order.permutation(len(images))), _BATCH):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(network(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def train_all(tasks: Sequence[Task]) -> list[Network]:
    """Train networks, several at a time."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(train, tasks))


@torch.no_grad()
def respond(network: Network, images: Images) -> Responses:
    """Return the responses of all layers."""
    outputs = network.layers(torch.from_numpy(images))
    return {name: output.numpy() for name, output in zip(LAYERS, outputs, strict=True)}


@torch.no_grad()
def accuracy(network: Network, images: Images, labels: NDArray[np.float32]) -> float:
    """Return the share of right answers to the four questions."""
    answers = network(torch.from_numpy(images)).numpy() > 0
    return float((answers == labels.astype(bool)).mean())
