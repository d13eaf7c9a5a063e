# SPDX-License-Identifier: Apache-2.0
"""Class, register, distillation and prefix tokens, which come from a model's parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import simplugins
from simplugins import read_recorded, record

torch.manual_seed(0)
PATCHES = torch.rand(6, 16, 12)


class Vision(nn.Module):
    """A vision transformer without attention: leading and trailing tokens, patches, and a pooled head."""

    def __init__(self, leading=5, trailing=0):
        super().__init__()
        self.patch_embed = nn.Linear(12, 8)
        self.leading = nn.Parameter(torch.rand(1, leading, 8))
        self.trailing = nn.Parameter(torch.rand(1, trailing, 8))
        self.positions = nn.Parameter(torch.rand(1, leading + 16 + trailing, 8))
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 6))])
        self.head = nn.Linear(6, 3)

    def forward(self, patches):
        count = len(patches)
        tokens = [self.leading.expand(count, -1, -1), self.patch_embed(patches), self.trailing.expand(count, -1, -1)]
        tokens = torch.cat(tokens, 1)
        tokens = tokens + self.positions[:, : tokens.shape[1]]
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


class Queries(nn.Module):
    """Tokens of a decoder that are parameters, all of them."""

    def __init__(self):
        super().__init__()
        self.encoder = Vision(1)
        self.queries = nn.Parameter(torch.rand(4, 8))
        self.decoder = nn.Linear(8, 8)

    def forward(self, patches):
        memory = self.encoder.blocks[0](self.encoder.patch_embed(patches)).mean(1, keepdim=True)
        self.encoder(patches)
        return self.decoder(self.queries.expand(len(patches), -1, -1) + memory)


class Prompted(nn.Module):
    """A text model with a learned prefix."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.prompt = nn.Parameter(torch.rand(1, 3, 8))
        self.block = nn.Linear(8, 8)

    def forward(self, input_ids, attention_mask=None):
        return self.block(torch.cat([self.prompt.expand(len(input_ids), -1, -1), self.embedding(input_ids)], 1))


def sizes(recorded):
    return {name: sorted(set(x.positions.tolist())) for name, x in recorded.items()}


@pytest.mark.parametrize("dropped", ["special", 5, [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_tokens_are_dropped_from_layers_that_have_them(tmp_path, dropped, batch_size):
    model = Vision()
    whole = record(model, PATCHES)
    recorded = record(model, PATCHES, drop_tokens=dropped, batch_size=batch_size, to=tmp_path / "to")
    assert sizes(recorded) == {"patch_embed": [16], "blocks.0": [16], "blocks.1": [16], "head": [1]}
    for source in (recorded, read_recorded(tmp_path / "to")):
        np.testing.assert_allclose(source["patch_embed"], whole["patch_embed"], rtol=1e-5)
        for block in ("blocks.0", "blocks.1"):
            np.testing.assert_allclose(source[block], whole[block].array()[:, 5:], rtol=1e-4, atol=1e-6)
    assert np.load(tmp_path / "to" / "blocks.0.npy").shape == (6, 21, 8)


@pytest.mark.parametrize("dropped", [5, [0, 1], [-1]])
def test_a_layer_before_the_special_tokens_keeps_its_tokens_also_if_recorded_alone(dropped):
    with pytest.warns(UserWarning, match=r"drop_tokens=.* drops nothing.*patch_embed"):
        (recorded,) = record(Vision(), PATCHES, "patch_embed", drop_tokens=dropped).values()
    assert recorded.shape == (6, 16, 8)


def test_fewer_tokens_may_be_dropped_than_there_are():
    recorded = record(Vision(), PATCHES, drop_tokens=1)
    assert sizes(recorded) == {"patch_embed": [16], "blocks.0": [20], "blocks.1": [20], "head": [1]}


@pytest.mark.parametrize(("leading", "trailing"), [(1, 0), (2, 0), (0, 4), (1, 4)])
def test_special_tokens_may_be_first_or_last(leading, trailing):
    model = Vision(leading, trailing)
    recorded, whole = (record(model, PATCHES, "blocks.0", drop_tokens=each)["blocks.0"] for each in ("special", 0))
    np.testing.assert_array_equal(recorded, whole.array()[:, leading : leading + 16])


@pytest.mark.parametrize(("leading", "trailing"), [(1, 0), (1, 4)])
def test_images_may_differ_in_size_between_batches(leading, trailing):
    model = Vision(leading, trailing)
    batches = [PATCHES[:2], PATCHES[2:3, :9], PATCHES[3:]]
    recorded = record(model, batches, ["patch_embed", "blocks.0"], drop_tokens="special")
    for x in recorded.values():
        assert x.positions.tolist() == [16, 16, 9, 16, 16, 16]
    alone = record(model, PATCHES[2:3, :9], "blocks.0")["blocks.0"].array()[0, leading : leading + 9]
    np.testing.assert_allclose(recorded["blocks.0"][2], alone, rtol=1e-4, atol=1e-6)


def test_a_layer_whose_tokens_are_all_parameters_keeps_them():
    recorded = record(Queries(), PATCHES, ["encoder.blocks.0", "decoder"], drop_tokens="special")
    assert sizes(recorded)["decoder"] == [4]


def test_numbers_apply_to_all_tokens_if_none_are_parameters():
    recorded = record(nn.Sequential(nn.Embedding(20, 4), nn.Linear(4, 3)), torch.randint(0, 20, (5, 7)), drop_tokens=2)
    assert sizes(recorded) == {"0": [5], "1": [5]}


def test_no_special_tokens_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"'special'.*no layer"):
        record(Vision(), PATCHES, ["patch_embed", "head"], drop_tokens="special", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_mask_may_be_without_a_learned_prefix():
    lengths = torch.tensor([7, 3, 5])
    batch = {
        "input_ids": torch.randint(1, 20, (3, 7)),
        "attention_mask": (torch.arange(7) < lengths[:, None]).long(),
    }
    model = Prompted()
    recorded, whole = record(model, batch), record(model, batch, mask=False)
    assert recorded["embedding"].positions.tolist() == lengths.tolist()
    assert recorded["block"].positions.tolist() == (lengths + 3).tolist()
    for vectors, everything, length in zip(recorded["block"].sets(), whole["block"].sets(), lengths, strict=True):
        np.testing.assert_array_equal(vectors, everything[: 3 + length])
    dropped = record(model, batch, drop_tokens=3)
    assert dropped["embedding"].positions.tolist() == dropped["block"].positions.tolist() == lengths.tolist()


def test_similarities_without_special_tokens_are_those_of_the_patches():
    model = Vision()
    recorded = record(model, PATCHES, "blocks.1", drop_tokens="special")["blocks.1"]
    with torch.no_grad():
        tokens = model.patch_embed(PATCHES) + model.positions[:, 5:]
        expected = model.blocks[1](model.blocks[0](tokens))
    np.testing.assert_allclose(simplugins.compute_rsm(recorded), simplugins.compute_rsm(expected), rtol=1e-5)
