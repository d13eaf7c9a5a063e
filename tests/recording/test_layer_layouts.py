# SPDX-License-Identifier: Apache-2.0
"""Layouts of recorded layers: networks with moved inputs are similar to themselves; sets equal those taken by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from simplugins import compute_rsm
from simplugins.recording import read_recorded, record

N = 6
CIRCULAR = {"padding": 1, "padding_mode": "circular"}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Permuted(nn.Module):
    """Permutes axes, as torchvision's Permute does."""

    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)


class Calls(nn.Module):
    """Calls a function with its parts and the input."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts, self.function, self.out = nn.ModuleList(parts), function, nn.Identity()

    def forward(self, *inputs):
        return self.out(self.function(*self.parts, *inputs))


def conv_next():
    """A block with channels first outside and last inside."""
    inner = [nn.LayerNorm(8), nn.Linear(8, 20), nn.GELU(), nn.Linear(20, 8)]
    block = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, **CIRCULAR), Permuted(0, 2, 3, 1), *inner, Permuted(0, 3, 1, 2))
    return nn.Sequential(nn.Conv2d(3, 8, 3, **CIRCULAR), Calls(lambda block, x: x + block(x), block), nn.BatchNorm2d(8))


def windows(attention, norm, x):
    """Attention within 4 x 4 windows of maps with channels last, as in Swin transformers."""
    n, height, width, channels = x.shape
    cut = norm(x).view(n, height // 4, 4, width // 4, 4, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, channels)
    attended = attention(cut, cut, cut)[0].view(n, height // 4, width // 4, 4, 4, channels)
    return x + attended.permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, channels)


def swin():
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    stem = nn.Sequential(nn.Conv2d(3, 16, 1), Permuted(0, 2, 3, 1), nn.LayerNorm(16))
    merging = Calls(
        lambda linear, x: linear(torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)), nn.Linear(64, 24)
    )
    return nn.Sequential(stem, Calls(windows, attention, nn.LayerNorm(16)), merging)


def squeeze_excite():
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid())
    return nn.Sequential(nn.Conv2d(3, 8, 3, **CIRCULAR), Calls(lambda gate, x: x * gate(x), gate))


def u_net():
    def run(down, inner, up, x):
        skipped = down(x)
        return up(
            torch.cat([skipped, functional.interpolate(inner(functional.max_pool2d(skipped, 2)), scale_factor=2)], 1)
        )

    return nn.Sequential(
        Calls(run, nn.Conv2d(3, 6, 3, **CIRCULAR), nn.Conv2d(6, 10, 3, **CIRCULAR), nn.Conv2d(16, 4, 3, **CIRCULAR)),
        nn.InstanceNorm2d(4),
    )


SIGNALS, MAPS, VOLUMES = torch.randn(N, 3, 16), torch.randn(N, 3, 16, 16), torch.randn(N, 3, 8, 8, 8)


@pytest.mark.parametrize(
    ("network", "inputs", "layouts"),
    [
        (
            lambda: nn.Sequential(nn.Conv1d(3, 7, 3, **CIRCULAR), nn.BatchNorm1d(7), nn.GELU(), nn.AvgPool1d(2)),
            SIGNALS,
            {"0": "nct", "1": "nct", "2": "nct", "3": "nct"},
        ),
        (lambda: nn.Sequential(nn.ConvTranspose1d(3, 5, 1), nn.GroupNorm(1, 5)), SIGNALS, {"0": "nct", "1": "nct"}),
        (lambda: nn.Sequential(nn.Conv3d(3, 5, 3, **CIRCULAR), nn.ReLU()), VOLUMES, {"0": "ncdhw", "1": "ncdhw"}),
        (
            lambda: nn.Sequential(nn.Conv3d(3, 5, 1), Permuted(0, 2, 3, 4, 1), nn.LayerNorm(5)),
            VOLUMES,
            {"0": "ncdhw", "1": "ndhwc", "2": "ndhwc"},
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 5, 1), Permuted(0, 1, 3, 2), nn.ReLU()),
            MAPS,
            {"0": "nchw", "1": "ncwh", "2": "ncwh"},
        ),
        (
            conv_next,
            MAPS,
            {
                "0": "nchw",
                "1": "nchw",
                "1.parts.0.1": "nhwc",
                "1.parts.0.3": "nhwc",
                "1.parts.0.6": "nchw",
                "2": "nchw",
            },
        ),
        (swin, MAPS, {"0": "nhwc", "0.0": "nchw", "1": "nhwc", "1.out": "nhwc", "2": "nhwc"}),
        (squeeze_excite, MAPS, {"1.parts.0.0": "nchw", "1.out": "nchw"}),
        (u_net, MAPS, {"0": "nchw", "1": "nchw"}),
        (lambda: u_net().to(memory_format=torch.channels_last), MAPS, {"0": "nchw", "1": "nchw"}),
        (lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 1)), MAPS, {"0": "nchw", "1": "nchw"}),
        (
            lambda: nn.Sequential(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 1))), nn.ReLU()),
            MAPS,
            {"1": "nchw"},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_layers_of_moved_inputs_are_similar_to_themselves(network, inputs, layouts):
    model = network().eval()
    shift = [4] * (inputs.ndim - 2)
    recorded, moved = (
        record(model, each, list(layouts)) for each in (inputs, inputs.roll(shift, list(range(2, inputs.ndim))))
    )
    assert {name: x.layout for name, x in recorded.items()} == layouts
    for name, x in recorded.items():
        np.testing.assert_allclose(np.diag(compute_rsm(x, other=moved[name])), 1, atol=1e-5, err_msg=name)


def tower(embedding=None):
    """A vision transformer with tokens first inside, as OpenAI's CLIP."""

    def run(patches, blocks, norm, x):
        return norm(blocks(patches(x).flatten(2).permute(2, 0, 1)).permute(1, 0, 2))

    blocks = nn.Sequential(*(nn.TransformerEncoderLayer(16, 2, 32) for _ in range(2)))
    return nn.Sequential(Calls(run, nn.Conv2d(3, 16, 4, 4), blocks, nn.LayerNorm(16)))


@pytest.mark.parametrize("inputs", [5, 16])  # 16 inputs, 16 tokens, 16 channels
def test_tokens_first_blocks_are_recorded_with_the_inputs_first(inputs):
    model, images = tower().eval(), torch.randn(inputs, 3, 16, 16)
    recorded = record(model, images, ["0.parts.1", "0.parts.1.0", "0.parts.1.0.linear1", "0"], batch_size=100)
    assert {x.layout for x in recorded.values()} == {"ntd"}
    patches, blocks, norm = model[0].parts
    with torch.no_grad():
        tokens = patches(images).flatten(2).permute(2, 0, 1)
        first = blocks[0](tokens)
        last = blocks[1](first)
    np.testing.assert_allclose(recorded["0.parts.1.0"], first.permute(1, 0, 2), atol=1e-5)
    np.testing.assert_allclose(recorded["0.parts.1"], last.permute(1, 0, 2), atol=1e-5)
    np.testing.assert_allclose(recorded["0"], norm(last).permute(1, 0, 2).detach(), atol=1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers_are_recorded_with_the_inputs_first(kind, batch_first):
    def run(embedding, recurrent, ids):
        vectors = embedding(ids)
        output = recurrent(vectors if batch_first else vectors.transpose(0, 1))[0]
        return output if batch_first else output.transpose(0, 1)

    model = Calls(run, nn.Embedding(50, 6), kind(6, 6, bidirectional=True, batch_first=batch_first))
    ids = torch.randint(50, (N, N))  # as many inputs as times and features
    recorded = record(model, ids, ["parts.0", "parts.1", "out"], batch_size=4)
    with torch.no_grad():
        vectors = model.parts[0](ids)
        expected = model(ids)
    assert [x.layout for x in recorded.values()] == ["ntd"] * 3
    np.testing.assert_array_equal(recorded["parts.0"], vectors)
    for name in ("parts.1", "out"):
        np.testing.assert_allclose(recorded[name], expected, atol=1e-6)


class Translator(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.transformer, self.out = nn.Transformer(N, 2, 1, 1, 12, batch_first=batch_first), nn.Identity()
        self.axes = (0, 1, 2) if batch_first else (1, 0, 2)

    def forward(self, source, target):
        return self.out(self.transformer(source.permute(self.axes), target.permute(self.axes)).permute(self.axes))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("size", [2, N])
def test_encoder_and_decoder_are_recorded_with_the_inputs_first(batch_first, size):
    model, batch = (
        Translator(batch_first).eval(),
        {"source": torch.randn(size, N, N), "target": torch.randn(size, 4, N)},
    )
    recorded = record(model, batch, ["transformer", "transformer.encoder", "transformer.decoder", "out"])
    with torch.no_grad():
        expected = model(**batch)
    for name in ("transformer", "transformer.decoder", "out"):
        np.testing.assert_allclose(recorded[name], expected, atol=1e-5)
    assert recorded["transformer.encoder"].shape == (size, N, N)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_an_encoder_with_a_padding_mask_is_recorded():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)

        def forward(self, x, mask):
            return self.encoder(x, src_key_padding_mask=mask)

    model, mask = Padded().eval(), torch.zeros(N, N, dtype=bool)
    mask[1:, 4:] = True
    batch = {"x": torch.randn(N, N, 8), "mask": mask}
    recorded = record(model, batch)["encoder"]
    with torch.no_grad():
        np.testing.assert_allclose(recorded, model(**batch), atol=1e-5)
    assert recorded.layout == "ntd"


def mixer_block(norm, tokens, mixed, channels, x):
    x = x + mixed(tokens(norm(x).transpose(1, 2)).transpose(1, 2))
    return x + channels(x)


@pytest.mark.parametrize("count", [5, 8])  # with 8 tokens, there are as many channels
def test_mixing_tokens_keeps_the_axes_of_a_block(count):
    parts = [nn.LayerNorm(8), nn.Sequential(nn.Linear(count, 12), nn.GELU(), nn.Linear(12, count)), nn.Identity()]
    model = nn.Sequential(nn.Linear(3, 8), Calls(mixer_block, *parts, nn.Linear(8, 8)), nn.ReLU())
    x = torch.randn(N, count, 3)
    with torch.no_grad():
        np.testing.assert_allclose(record(model, x, ["1", "2"])["1"], model[:2](x), atol=1e-6)
        linear = record(model, x, "1.parts.1.0")["1.parts.1.0"]
        expected = parts[1][0](parts[0](model[0](x)).transpose(1, 2))
    np.testing.assert_allclose(linear, expected, atol=1e-6)  # a Linear's features are its channels
    with pytest.raises(ValueError, match=rf"'1\.parts\.2' .*\({N}, {count}, 8\).* 'nct' or 'ntc'.*layout="):
        record(model, x, "1.parts.2")
    recorded = record(model, x, "1.parts.2", layout={"1.parts.*": "ntc"})["1.parts.2"]
    assert (recorded.layout, recorded.shape) == ("ntc", (N, count, 8))


def test_convolutions_over_tokens_keep_the_axes_of_a_block():
    parts = [nn.LayerNorm(8), nn.Conv1d(5, 5, 1), nn.Linear(8, 8)]
    block = Calls(lambda norm, tokens, channels, x: channels(x + tokens(norm(x))), *parts)
    model, x = nn.Sequential(nn.Linear(3, 8), block, nn.GELU()), torch.randn(N, 5, 3)
    with torch.no_grad():
        np.testing.assert_allclose(record(model, x, "2")["2"], model(x), atol=1e-6)


# The axis of inputs


def unseen(x):
    """Move the tokens to the front where Torch does not see it."""
    return torch.from_numpy(x.numpy().transpose(1, 0, 2).copy())


def unknown(x):
    """Move the tokens to the front by an operation that has no rule."""
    return torch.as_strided(x.contiguous(), (x.shape[1], x.shape[0], x.shape[2]), (3, 12, 1))


@pytest.mark.parametrize("move", [unseen, unknown])
@pytest.mark.parametrize("size", [1, 4, N])
def test_the_axis_of_inputs_is_found_by_another_number_of_inputs(size, move):
    calls = []
    model = nn.Sequential(Calls(lambda norm, x: norm(calls.append(len(x)) or move(x)), nn.LayerNorm(3)))
    x = torch.randn(size, 4, 3)  # 4 inputs, 4 tokens: the shape does not tell
    recorded = record(model, x)["0"]
    np.testing.assert_allclose(recorded, functional.layer_norm(x, [3]), atol=1e-5)
    needs_another = size < 5 or move is unseen
    assert set(calls) == ({size, size - 1 if size > 1 else 2} if needs_another else {size})


def test_an_axis_of_inputs_that_cannot_be_found_is_named():
    def fixed(norm, x):
        assert len(x) == 4, "four"
        return norm(unseen(x))

    model, x = nn.Sequential(Calls(fixed, nn.LayerNorm(3))), torch.randn(4, 4, 3)
    with pytest.raises(ValueError, match=r"'0' returned shape \(4, 4, 3\).*AssertionError: four"):
        record(model, x, "0")
    assert record(model, x, "0", layout="tnc")["0"].layout == "ntc"


def test_what_does_not_depend_on_the_inputs_is_not_recorded():
    def run(positions, words, ids):
        return words(ids) + positions(torch.arange(ids.shape[1]))

    model = Calls(run, nn.Embedding(N, 4), nn.Embedding(50, 4))
    ids = torch.randint(50, (N, N))  # positions are as many as inputs
    for each in (ids, ids[:1]):
        with pytest.warns(UserWarning, match=r"^1 layer .*: 'parts\.0' returned .* no axis .* inputs"):
            assert set(record(model, each, "**")) == {"parts.1", "out"}


def test_a_smaller_last_batch_is_recorded_alike():
    model, images = tower().eval(), torch.randn(7, 3, 16, 16)
    whole, parts, single = (record(model, images, "0.parts.1", batch_size=size)["0.parts.1"] for size in (7, 3, 1))
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    np.testing.assert_allclose(single, whole, atol=1e-5)


def test_random_numbers_are_those_of_the_model_alone():
    for size in (1, 4):
        model = nn.Sequential(Calls(lambda linear, x: linear(x) + torch.randn(4), nn.Linear(3, 4)))
        x = torch.randn(size, 3)
        torch.manual_seed(3)
        with pytest.warns(UserWarning, match=r"random numbers.*: 0 \(by randn\)"):
            recorded, after = record(model, x)["0"].array(), torch.rand(1)
        torch.manual_seed(3)
        with torch.no_grad():
            np.testing.assert_array_equal(recorded[:, 0], model(x))
        assert torch.rand(1) == after


# Layouts that the caller states


def test_layouts_are_stated_by_name_and_pattern(tmp_path):
    model = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Sequential(nn.Identity()))
    options = {"layout": {"1": "nwhc", "0": "nhwc", "2.**": "n c h w"}, "to": tmp_path / "to"}
    recorded = record(model, MAPS, ["0", "1", "2.0"], **options)
    layouts = {"0": "nhwc", "1": "nwhc", "2.0": "nchw"}
    assert {name: x.layout for name, x in recorded.items()} == layouts
    assert {name: x.layout for name, x in read_recorded(tmp_path / "to").items()} == layouts
    index = json.loads((tmp_path / "to" / "recording.json").read_text())
    assert {name: entry["layout"] for name, entry in index["layers"].items()} == layouts
    np.testing.assert_array_equal(recorded["1"], MAPS.relu().permute(0, 2, 1, 3).flatten(1, 2))


@pytest.mark.parametrize(
    ("layer", "layout", "error", "message"),
    [
        ("0", "nhwc", ValueError, r"layer '0'.*'nhwc'.*axis 3 .*\(6, 8, 16, 16\).*Conv2d.*axis 1.*layout=\{'0'"),
        ("0", {"0": "nhwc"}, ValueError, r"layer '0'.*'nhwc'.*axis 3.*Conv2d.*axis 1"),
        ("1", "nchw", ValueError, r"layer '1'.*'nchw'.*axis 1 .*\(6, 16, 16, 8\).*model.*axis 3"),
        ("2", {"*": "nchw"}, ValueError, r"layer '2'.*'nchw'.*axis 1.*Linear.*axis 3"),
        ("1", {"1": "cnhw"}, ValueError, r"layer '1'.*'cnhw'.*axis 1.*inputs.*axis 0"),
        ("0", {"0": "nct"}, ValueError, r"layer '0'.*'nct'.*3 dim.*\(6, 8, 16, 16\)"),
        ("0", "nct", ValueError, r"'nct'.*3 dim.*\(6, 8, 16, 16\)"),
        ("0", {"9": "nct"}, ValueError, r"layout.*'9'.*0"),
        ("0", {"1": "nchw"}, ValueError, r"layout.*'1'.*0"),
        ("0", {"0": "nxyz"}, ValueError, r"layout 'nxyz'"),
        ("0", "hwc", ValueError, r"layout 'hwc'"),
        ("0", {"0": 3}, TypeError, r"layout.*3"),
        ("0", 4, TypeError, r"layout.*4"),
    ],
)
def test_layouts_that_contradict_the_model_are_errors(layer, layout, error, message):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Permuted(0, 2, 3, 1), nn.Linear(8, 12))
    with pytest.raises(error, match=message):
        record(model, MAPS, layer, layout=layout)


def test_a_layout_for_all_leaves_other_numbers_of_dimensions_alone():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    layouts = [x.layout for x in record(model, MAPS, layout="nchw").values()]
    assert layouts == ["nchw", "nct", "nct", "nd"]


# What contradicts itself, or cannot be told


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (nn.LayerNorm(5), r"\(6, 8, 5\).*LayerNorm.*axis 2.*axis 1.*'ntc' or 'nct'"),
        (nn.BatchNorm1d(8), None),
    ],
)
def test_modules_that_contradict_the_axes_of_the_model_are_errors(part, message):
    model, x = nn.Sequential(nn.Conv1d(3, 8, 1), part), torch.randn(N, 3, 5)
    if message is None:
        assert record(model, x)["1"].layout == "nct"
        return
    with pytest.raises(ValueError, match=message):
        record(model, x, "1")
    assert record(model, x, "1", layout={"1": "ntc"})["1"].channels == 5


def test_attention_over_the_inputs_is_an_error():
    attention = Calls(
        lambda linear, attention, x: attention(*[linear(x)] * 3)[0], nn.Linear(3, 8), nn.MultiheadAttention(8, 2)
    )
    with pytest.raises(ValueError, match=r"MultiheadAttention.*inputs at axis 1.*batch_first.*axis 0"):
        record(attention, torch.randn(N, 5, 3), "parts.1")


@pytest.mark.parametrize(
    ("model", "x", "candidates"),
    [
        (nn.Sequential(nn.Identity()), torch.randn(N, 5, 4), ["nct", "ntc"]),
        (nn.Sequential(nn.ReLU()), MAPS, ["nchw", "nhcw", "nhwc"]),
        (nn.Sequential(nn.Sigmoid()), VOLUMES, ["ncdhw", "ndchw", "ndhcw", "ndhwc"]),
    ],
)
def test_axes_of_channels_that_cannot_be_told_are_asked_for(model, x, candidates):
    with pytest.raises(ValueError, match=" or ".join(map(repr, candidates))) as error:
        record(model, x, "0")
    assert f"layout={{'0': '{candidates[0]}'}}" in str(error.value)
    for layout in candidates:
        assert record(model, x, "0", layout=layout)["0"].channels == x.shape[layout.index("c")]


def test_sizes_tell_the_channels_where_operations_do_not():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.last = nn.Linear(3, 8), nn.Identity()

        def forward(self, x):
            return self.last(torch.from_numpy(self.linear(x).numpy()))  # Torch does not see this

    recorded = record(nn.Sequential(Block()), torch.randn(N, 5, 3), ["0", "0.last"])
    assert [(x.layout, x.channels) for x in recorded.values()] == [("ntd", 8)] * 2
    with pytest.raises(ValueError, match=r"'0' .*\(6, 8, 8\).*'nct' or 'ntc'"):
        record(nn.Sequential(Block()), torch.randn(N, 8, 3), "0")


class Mixing(nn.Module):
    """Linear maps over times and over features in turn, as in mixers of time series."""

    def __init__(self):
        super().__init__()
        self.first, self.times, self.features, self.out = nn.Identity(), nn.Linear(5, 5), nn.Linear(3, 3), nn.Identity()

    def forward(self, x):
        x = self.first(x)
        x = x + self.times(x.mT).mT
        return self.out(x + self.features(x))


def test_axes_that_linear_maps_treat_alike_are_asked_for():
    model, x = Mixing(), torch.randn(N, 5, 3)
    for name in ("first", "out"):
        with pytest.raises(ValueError, match=rf"'{name}' .*'nct' or 'ntc'"):
            record(model, x, name)
    assert [each.channels for each in record(model, x, ["times", "features"]).values()] == [5, 3]


def test_sizes_of_inputs_are_no_evidence():
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(3 * 16 * 20, 16), nn.Linear(16, 20))
    with pytest.raises(ValueError, match="'nchw' or 'nhcw' or 'nhwc'"):
        record(model, torch.randn(N, 3, 16, 20), "0")


def test_windows_and_merged_inputs_are_named():
    with pytest.warns(UserWarning, match=r"'1\.parts\.0' .*\(96, 16, 16\).* 6 inputs are merged") as raised:
        recorded = record(swin(), MAPS, ["1.**", "2"])
    assert len(raised) == 1
    assert {"1.parts.1", "1.out", "2"} <= set(recorded)


def test_containers_whose_parts_are_recorded_are_not_mentioned():
    class Stages(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleDict({"a": nn.ModuleList([nn.Linear(3, 4)]), "b": nn.ModuleList()})
            self.unused = nn.Linear(1, 1)

        def forward(self, x):
            return self.stages["a"][0](x)

    with pytest.warns(UserWarning, match="^1 layer cannot be recorded: 'unused' did not run"):
        assert list(record(Stages(), torch.randn(N, 3), "**")) == ["stages.a.0"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(record(Stages(), torch.randn(N, 3), "stages.**")) == ["stages.a.0"]
