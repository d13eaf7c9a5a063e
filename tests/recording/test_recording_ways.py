# SPDX-License-Identifier: Apache-2.0
"""Any two ways of recording a network give the same sets and similarities: those of its forward pass by hand."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner
from ways import MASK, Way, assert_same, order_of, outputs_by_hand, recorded, sets_by_hand, ways

from simplugins import compute_rsm, record
from simplugins.cli import app

CIRCULAR = {"padding": 1, "padding_mode": "circular"}
N = 8
"""As many inputs as channels and tokens."""
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 0.1}
EXAMPLES = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


class Calls(nn.Module):
    """Calls a function with its parts and the inputs."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts, self.function, self.out = nn.ModuleList(parts), function, nn.Identity()

    def forward(self, x):
        return self.out(self.function(*self.parts, x))


class Permuted(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)


class Encoder(nn.Module):
    """A transformer that does not attend to padding."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.encoder, self.norm = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.LayerNorm(8)

    def forward(self, x, attention_mask):
        return self.norm(self.encoder(x, src_key_padding_mask=attention_mask == 0))


class Text(nn.Module):
    """A text model with attention written out, and a pooled first token."""

    def __init__(self):
        super().__init__()
        self.embedding, self.query, self.value = nn.Embedding(30, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.block, self.pool = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()), nn.Linear(8, 5)

    def forward(self, input_ids, attention_mask):
        tokens = self.embedding(input_ids)
        scores = self.query(tokens) @ tokens.mT / 8**0.5
        scores = scores.masked_fill(attention_mask[:, None] == 0, -10_000)
        return self.pool(self.block(tokens + scores.softmax(-1) @ self.value(tokens))[:, 0])


class Vision(nn.Module):
    """A vision transformer with a class token and two registers; tokens first inside, as in OpenAI's CLIP."""

    def __init__(self, *, batch_first):
        super().__init__()
        self.patches, self.special = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 3, 8))
        self.block, self.norm = nn.TransformerEncoderLayer(8, 2, 12, batch_first=batch_first), nn.LayerNorm(8)
        self.axes = (0, 1, 2) if batch_first else (1, 0, 2)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.special.expand(len(x), -1, -1), tokens], 1).permute(self.axes)
        return self.norm(self.block(tokens).permute(self.axes))


class Memory(nn.Module):
    """A recurrent text model with times first."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(30, 8), nn.LSTM(8, 4, bidirectional=True), nn.Linear(8, 5)

    def forward(self, input_ids):
        return self.head(self.lstm(self.embedding(input_ids).transpose(0, 1))[0].transpose(0, 1))


class Pair(nn.Module):
    """Two images by the same convolution, and numbers."""

    def __init__(self):
        super().__init__()
        self.convolution, self.numbers, self.head = nn.Conv2d(3, 8, 3), nn.Linear(4, 8), nn.Linear(24, 5)

    def forward(self, left, right, numbers):
        maps = [self.convolution(image).amax((2, 3)) for image in (left, right)]
        return self.head(torch.cat([*maps, self.numbers(numbers)], 1))


@dataclass
class Network:
    """A network with its inputs, and the layouts of all outputs that are activations of the inputs."""

    build: Any
    inputs: dict[str, torch.Tensor]
    layouts: dict[str, str]
    moves: int = 0
    """Number of spatial dimensions along which moving the inputs permutes the positions of all these layers."""
    options: list[dict[str, Any]] = field(default_factory=lambda: [{}])


def conv_next():
    inner = [Permuted(0, 2, 3, 1), nn.LayerNorm(8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8), Permuted(0, 3, 1, 2)]
    block = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, **CIRCULAR), *inner)
    return nn.Sequential(nn.Conv2d(3, 8, 3, **CIRCULAR), Calls(lambda block, x: x + block(x), block), nn.BatchNorm2d(8))


CONV_NEXT = {
    **dict.fromkeys(("0", "1", "1.out", "2", "1.parts.0", "1.parts.0.0", "1.parts.0.6"), "nchw"),
    **{f"1.parts.0.{number}": "nhwc" for number in range(1, 6)},
}
IMAGES = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([8, 3, 5, 1, 8, 2, 7, 4])
PRESENT = (torch.arange(N) < LENGTHS[:, None]).long()
IDS = torch.randint(1, 30, (N, N), generator=torch.Generator().manual_seed(1))
NETWORKS = {
    "CNN": Network(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3, **CIRCULAR), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(128, 5)),
        ),
        {"input": IMAGES},
        {"0": "nchw", "1": "nchw", "2": "nchw", "3": "nchw", "4": "nd", "5": "nd"},
    ),
    "one dimension": Network(
        lambda: nn.Sequential(nn.Conv1d(3, 8, 3, **CIRCULAR), nn.GroupNorm(2, 8), nn.GELU(), nn.AvgPool1d(2)),
        {"input": IMAGES.flatten(2)[:, :, :16]},
        {"0": "nct", "1": "nct", "2": "nct", "3": "nct"},
        moves=1,
    ),
    "three dimensions": Network(
        lambda: nn.Sequential(
            nn.Conv3d(3, 8, 3, **CIRCULAR), nn.ReLU(), Permuted(0, 2, 3, 4, 1), nn.LayerNorm(8), nn.Linear(8, 4)
        ),
        {"input": IMAGES.view(N, 3, 4, 4, 4)},
        {"0": "ncdhw", "1": "ncdhw", "2": "ndhwc", "3": "ndhwc", "4": "ndhwc"},
        moves=3,
    ),
    "ConvNeXt": Network(conv_next, {"input": IMAGES}, CONV_NEXT, moves=2),
    "vision transformer": Network(
        lambda: Vision(batch_first=True),
        {"x": IMAGES},
        {"patches": "nchw", "block": "ntd", "norm": "ntd"},
        options=[{}, {"drop_tokens": "special"}],
    ),
    "tokens first": Network(
        lambda: Vision(batch_first=False),
        {"x": IMAGES},
        {"patches": "nchw", "block": "tnd", "norm": "ntd"},
        options=[{}, {"drop_tokens": "special"}],
    ),
    "encoder": Network(
        Encoder,
        {"x": IMAGES.flatten(1)[:, :64].view(N, 8, 8), MASK: PRESENT},
        {"encoder": "ntd", "encoder.layers.0": "ntd", "encoder.layers.1": "ntd", "norm": "ntd"},
    ),
    "text": Network(
        Text,
        {"input_ids": IDS * PRESENT, MASK: PRESENT},
        {"embedding": "ntd", "query": "ntd", "value": "ntd", "block": "ntd", "pool": "nd"},
    ),
    "recurrent": Network(Memory, {"input_ids": IDS}, {"embedding": "ntd", "lstm": "tnd", "head": "ntd"}),
    "several inputs": Network(
        Pair,
        {"left": IMAGES, "right": IMAGES.flip(-1), "numbers": IMAGES[:, 0, 0, :4]},
        {"convolution#0": "nchw", "convolution#1": "nchw", "numbers": "nd", "head": "nd"},
    ),
}


def build(network, dtype=torch.float32):
    torch.manual_seed(2)
    return network.build().eval().to(dtype)


def assert_sets(result, network, model, options, tolerance):
    """Check that a recording has the sets of the network's outputs."""
    dtype = next(model.parameters()).dtype
    inputs = {name: each.to(dtype) if each.is_floating_point() else each for name, each in network.inputs.items()}
    outputs = outputs_by_hand(model, inputs)
    mask = network.inputs[MASK].bool().numpy() if MASK in network.inputs else None
    for name in set(result) & set(network.layouts):
        expected = sets_by_hand(outputs[name], network.layouts[name], mask)
        dropped = 3 if options and len(expected[0]) == 7 else 0
        order = order_of(result[name].labels, N)
        values = list(result[name].sets())
        for number, place in enumerate(order):
            np.testing.assert_allclose(
                values[place], expected[number][dropped:], rtol=tolerance, atol=tolerance, err_msg=name
            )


def check_two_ways(data, name):
    """Record a network in two ways, and check both against the forward pass and each other."""
    network = NETWORKS[name]
    dtype, options = data.draw(st.sampled_from(list(TOLERANCES))), data.draw(st.sampled_from(network.options))
    is_labelled = data.draw(st.booleans())
    model, tolerance = build(network, dtype), TOLERANCES[dtype]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            way = data.draw(ways(network.inputs, labelled=is_labelled))
            result = recorded(model, network.inputs, network.layouts, way, Path(folder) / str(number), **options)
            if way.layers != "default":
                assert set(network.layouts) <= set(result)
            assert all(len(x) == N and (x.labels is not None) == is_labelled for x in result.values())
            assert_sets(result, network, model, options, tolerance)
            results.append(result)
        assert_same(*results, align=is_labelled, tolerance=tolerance)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=6, **EXAMPLES)
@given(data=st.data())
def test_two_ways_of_recording_a_network_are_the_same(name, data):
    check_two_ways(data, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=150, **EXAMPLES)
@given(data=st.data())
def test_more_pairs_of_ways_are_the_same(name, data):
    check_two_ways(data, name)


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.moves])
@settings(max_examples=4, **EXAMPLES)
@given(data=st.data())
def test_moving_the_inputs_changes_no_similarity(name, data):
    network = NETWORKS[name]
    way = data.draw(ways(network.inputs, labelled=False))
    (key, values), dims = next(iter(network.inputs.items())), list(range(-network.moves, 0))
    moved = {key: values.roll([2] * network.moves, dims)}
    model = build(network)
    with tempfile.TemporaryDirectory() as folder:
        one = recorded(model, network.inputs, network.layouts, way, Path(folder) / "one")
        other = recorded(model, moved, network.layouts, way, Path(folder) / "other")
        assert_same(one, other, align=False, tolerance=1e-5)
        for layer in one:
            similarities = compute_rsm(one[layer], other=other[layer])
            np.testing.assert_allclose(np.diag(similarities.values), 1, rtol=0, atol=1e-5, err_msg=layer)


@pytest.mark.parametrize("name", ["CNN", "text", "tokens first"])
def test_recordings_are_compared_by_the_command_line(tmp_path, name):
    network = NETWORKS[name]
    model, layouts = build(network), network.layouts
    first = Way("mapping", labels="list", is_on_disk=True)
    second = Way("loader", batch_size=3, is_shuffled=True, labels="batch", is_on_disk=True)
    for number, way in enumerate((first, second)):
        recorded(model, network.inputs, layouts, way, tmp_path / str(number))
    arguments = ["compare", tmp_path / "0", tmp_path / "1", "--method", "cka-debiased", "--align", "--quiet"]
    result = CliRunner().invoke(app, [str(each) for each in [*arguments, "--out", tmp_path / "cka.json"]])
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "cka.json").read_text())["values"]
    np.testing.assert_allclose(np.diag(values), 1, rtol=0, atol=1e-6)


def test_compiled_parts_change_nothing():
    torch.compiler.reset()
    network = NETWORKS["CNN"]
    model, plain = build(network), build(network)
    model[0] = torch.compile(model[0], backend="eager")
    names = ["1", "2", "3", "4", "5"]
    one, other = (record(each, network.inputs, names, batch_size=size) for each, size in ((model, 3), (plain, N)))
    assert_same(one, other, align=False, tolerance=1e-5)
