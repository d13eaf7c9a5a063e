# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, TensorDataset

from simplugins import compute_rsm
from simplugins.recording import read_recorded, record

torch.manual_seed(0)
IMAGES = torch.rand(7, 3, 8, 8)
TOKENS = torch.rand(7, 5, 8)


class Cnn(nn.Module):
    """Convolutions, one of them changed in place by what follows, and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout(0.5)), nn.Conv2d(4, 6, 3)])
        self.unused = nn.Linear(1, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, images):
        maps = self.stem(images)
        for stage in self.stages:
            maps = stage(maps)
        self.head(maps.mean((2, 3)))  # returns nothing


class Block(nn.Module):
    """A transformer's block that returns a tuple, as Hugging Face's do."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.activation = nn.GELU()

    def forward(self, tokens):
        attended, weights = self.attention(tokens, tokens, tokens)
        return self.activation(self.norm(tokens + attended)), weights


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.class_token = nn.Parameter(torch.rand(1, 1, 8))
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, pixel_values, scale=1):
        tokens = self.patches(pixel_values * scale).flatten(2).mT
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1)
        for block in self.blocks:
            tokens, _ = block(tokens)
        return tokens


class Returns(nn.Module):
    """Returns what a function makes of its input; declares tokens with channels last, as timm's modules do."""

    def __init__(self, function, output_fmt="NLC"):
        super().__init__()
        self.function, self.output_fmt = function, output_fmt

    def forward(self, inputs):
        return self.function(inputs)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def layer(function):
    """A model whose layer "0" returns what a function makes of the input."""
    return nn.Sequential(Returns(function))


def concept_vectors(tensor):
    """(N, C, H, W), (N, S, C) or (N, C) outputs as (N, S, C) concept vectors."""
    if tensor.dim() == 4:
        tensor = tensor.flatten(2).mT
    return tensor.detach().float().reshape(len(tensor), -1, tensor.shape[-1]).numpy()


def assert_same(recorded, expected):
    assert {name: repr(x) for name, x in recorded.items()} == {name: repr(x) for name, x in expected.items()}
    for name in recorded:
        np.testing.assert_array_equal(recorded[name], expected[name])
        np.testing.assert_array_equal(recorded[name].labels, expected[name].labels)


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


# Outputs


def test_outputs_are_recorded_before_later_layers_change_them_in_place():
    model = Cnn().eval()
    recorded = record(model, IMAGES, ["stem.0", "stem.1", "stem", "stages.1"], batch_size=3)
    convolved = model.stem[0](IMAGES)
    normalised = model.stem[1](convolved)
    assert list(recorded) == ["stem.0", "stem.1", "stem", "stages.1"]
    np.testing.assert_allclose(recorded["stem.0"], concept_vectors(convolved), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recorded["stem.1"], concept_vectors(normalised), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recorded["stem"], concept_vectors(normalised.relu()), rtol=1e-4, atol=1e-5)
    assert recorded["stages.1"].layout == "nchw"
    assert recorded["stages.1"].channels == 6
    assert compute_rsm(recorded["stages.1"]).shape == (7, 7)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_do_not_matter(size):
    model = Cnn()
    recorded, whole = (record(model, IMAGES, "stages.*", batch_size=each) for each in (size, 7))
    for name in whole:
        np.testing.assert_allclose(recorded[name], whole[name], rtol=1e-4, atol=1e-5)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(IMAGES)


@pytest.mark.parametrize(
    "inputs",
    [
        lambda: IMAGES,
        lambda: IMAGES.numpy(),
        lambda: [IMAGES[:3], IMAGES[3:6], IMAGES[6:]],
        lambda: (batch for batch in IMAGES.split(3)),
        lambda: [(batch, "target") for batch in IMAGES.split(3)],
        lambda: [[batch.numpy(), None] for batch in IMAGES.split(3)],
        lambda: DataLoader(TensorDataset(IMAGES, torch.arange(7)), batch_size=3),
        lambda: DataLoader(Stream(), batch_size=3),
        lambda: {"pixel_values": IMAGES, "scale": 1},
        lambda: ({"pixel_values": batch} for batch in IMAGES.split(3)),
        lambda: [({"pixel_values": batch}, "target") for batch in IMAGES.split(3)],
    ],
)
def test_inputs_come_in_many_forms(inputs):
    model = Transformer()
    recorded, expected = (record(model, each, "blocks.*", batch_size=3) for each in (inputs(), IMAGES))
    assert_same(recorded, expected)
    assert len(recorded["blocks.0"]) == 7


@dataclasses.dataclass
class Output:
    loss: torch.Tensor | None
    maps: torch.Tensor


@dataclasses.dataclass
class ModelOutput(OrderedDict):
    """As Hugging Face's: fields that are set are items, too."""

    logits: torch.Tensor
    last_hidden_state: torch.Tensor

    def __post_init__(self):
        self.update({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


@pytest.mark.parametrize(
    "form",
    [
        lambda tokens: tokens,
        lambda tokens: (tokens, tokens[:, 0]),
        lambda tokens: [None, (), [tokens]],
        lambda tokens: {"text": "no tensor", "tokens": tokens, "pooled": tokens[:, 0]},
        lambda tokens: {"pooled": tokens[:, 0], "last_hidden_state": tokens},
        lambda tokens: Output(None, tokens),
        lambda tokens: ModelOutput(tokens[:, 0], tokens),
    ],
)
def test_the_first_tensor_of_any_form_of_output_is_recorded(form):
    np.testing.assert_array_equal(record(layer(form), TOKENS)["0"], concept_vectors(TOKENS))


@pytest.mark.parametrize(
    ("returned", "kept", "read"),
    [
        ("float16", "float16", "f4"),
        ("bfloat16", "float32", "f4"),
        ("float32", "float32", "f4"),
        ("float64",) * 2 + ("f8",),
    ],
)
def test_types_are_kept(tmp_path, returned, kept, read):
    form = layer(lambda tokens: tokens.to(getattr(torch, returned)))
    recorded = record(form, TOKENS, to=tmp_path / "to")["0"]
    assert recorded.dtype == np.dtype(read)
    assert np.load(tmp_path / "to" / "0.npy").dtype == kept
    np.testing.assert_array_equal(recorded, concept_vectors(TOKENS.to(getattr(torch, returned))))
    assert_same(record(form, TOKENS), {"0": recorded})


def test_tensors_of_any_strides_are_recorded():
    form = layer(lambda images: images.to(memory_format=torch.channels_last).permute(0, 1, 3, 2))
    recorded = record(form, IMAGES, layout="nchw")["0"]
    np.testing.assert_array_equal(recorded, concept_vectors(IMAGES.permute(0, 1, 3, 2)))


def test_tokens_are_dropped_from_layers_that_have_tokens():
    model = Transformer()
    whole = record(model, IMAGES, ["patches", "blocks.1"])
    recorded = record(model, IMAGES, ["patches", "blocks.1"], drop_tokens=1)
    assert whole["blocks.1"].positions.tolist() == [5] * 7
    assert recorded["blocks.1"].positions.tolist() == recorded["patches"].positions.tolist() == [4] * 7
    np.testing.assert_array_equal(recorded["blocks.1"], whole["blocks.1"].array()[:, 1:])


def test_maps_may_have_their_channels_last():
    model = nn.Sequential(Returns(lambda images: images.movedim(1, 3)), Returns(lambda maps: maps.mean((1, 2))))
    recorded = record(model, IMAGES, layout="nhwc")
    np.testing.assert_array_equal(recorded["0"], concept_vectors(IMAGES))
    assert recorded["1"].layout == "nd"


def test_labels_are_those_of_the_activations():
    assert record(layer(abs), TOKENS, labels=list("abcdefg"))["0"].labels.tolist() == list("abcdefg")


def test_forward_is_called_in_place_of_the_model():
    model = Cnn()
    recorded = record(model, IMAGES, "stem", forward=lambda images: model.stem(-images))
    expected = record(model, -IMAGES, "stem")
    np.testing.assert_array_equal(recorded["stem"], expected["stem"])


def test_inputs_are_moved_to_the_model_or_the_device():
    model = nn.Sequential(nn.Linear(1, 1, device="meta"), nn.Identity())
    seen = []

    def forward(given):
        seen.append(given.device.type)
        model[1](torch.eye(7)[: len(given)])

    for device in (None, "cpu"):
        record(model, TOKENS, "1", forward=forward, device=device)
    assert list(dict.fromkeys(seen)) == ["meta", "cpu"]
    record(layer(lambda given: given.cpu()), TOKENS)  # without parameters: the CPU


# Layers by name


@pytest.mark.parametrize(
    ("asked", "recorded", "missing"),
    [
        (None, ["patches", "blocks.0", "blocks.1"], None),
        ("*", ["patches"], r"^1 layer .*: 'blocks' did not run"),
        ("blocks.*", ["blocks.0", "blocks.1"], None),
        ("blocks.?", ["blocks.0", "blocks.1"], None),
        (["blocks.1", "blocks.*"], ["blocks.1", "blocks.0"], None),
        ("**.norm", ["blocks.0.norm", "blocks.1.norm"], None),
        ("**patches", ["patches"], None),
        (
            "blocks.0.**",
            ["blocks.0.attention", "blocks.0.norm", "blocks.0.activation"],
            r"^1 layer .*: 'blocks\.0\.attention\.out_proj' did not run",
        ),
        (
            "**",
            ["patches"] + [f"blocks.{i}{part}" for i in (0, 1) for part in ("", ".attention", ".norm", ".activation")],
            r"^2 layers .*: 'blocks\.0\.attention\.out_proj', 'blocks\.1\.attention\.out_proj' did not run",
        ),
    ],
)
def test_layers_are_selected_by_name_and_pattern(asked, recorded, missing):
    with nullcontext() if missing is None else pytest.warns(UserWarning, match=missing):
        assert list(record(Transformer(), IMAGES, asked)) == recorded


def test_a_shared_layer_has_one_entry_per_run(tmp_path):
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(8, 8), shared, nn.Linear(8, 8), shared)
    recorded = record(model, TOKENS, to=tmp_path / "to", batch_size=4)
    assert list(recorded) == ["0", "1#0", "1#1", "2"]
    np.testing.assert_array_equal(recorded["1#0"], recorded["0"].array().clip(0))
    np.testing.assert_array_equal(recorded["1#1"], recorded["2"].array().clip(0))
    assert_same(read_recorded(tmp_path / "to", "1#1"), {"1#1": recorded["1#1"]})
    assert list(record(model, TOKENS, ["3", "1"])) == ["3#0", "3#1", "1#0", "1#1"]


def test_a_layer_that_runs_more_often_in_other_batches_is_named():
    model = layer(abs)

    def forward(given):
        for _ in range(7 - len(given)):
            model(given)

    with pytest.raises(ValueError, match="layer '0' ran 4 times for inputs 4 to 6, 3 times before"):
        record(model, TOKENS, batch_size=4, forward=forward)


# The model is left as it was


class FrozenNorm(nn.BatchNorm2d):
    """Stays in evaluation mode, as in code that freezes statistics."""

    def train(self, mode=True):
        return super().train(False)


def test_modes_of_all_modules_are_restored():
    model = nn.Sequential(Cnn(), FrozenNorm(3), nn.Dropout()).train()
    model[0].stem.eval()
    before = [module.training for module in model.modules()]
    assert any(before)
    assert not all(before)
    seen = []

    def forward(images):
        seen.extend(module.training for module in model.modules())
        model[0](images)

    record(model, IMAGES, "0.stem", forward=forward)
    assert not any(seen)
    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize("to", ["new", "empty"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["model", "inputs"])
def test_nothing_is_left_behind_by_an_error(tmp_path, to, error, where):
    model = Cnn().train()
    model.stem.eval()
    before = [module.training for module in model.modules()]
    attached = model.stem.register_forward_hook(lambda *_: None)
    (tmp_path / "empty").mkdir()

    def forward(images):
        assert hooks(model) > 1
        model(images)
        if where == "model" and len(images) == 1:
            raise error("stopped")

    def batches():
        yield from IMAGES.split(3)
        written = [path.name for path in (tmp_path / to).iterdir()]
        assert sorted(written) == [".stages.0.npy.part", ".stages.1.npy.part", ".stem.npy.part"]
        if where == "inputs":
            raise error("stopped")

    with pytest.raises(error, match="stopped"):
        record(model, batches(), ["stem", "stages.*"], to=tmp_path / to, forward=forward)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    assert hooks(model) == 1
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
    attached.remove()


def test_no_gradients_are_kept():
    model = Cnn()
    recorded = []
    model.head.register_forward_hook(lambda module, given, output: recorded.append(output))
    record(model, IMAGES, "head")
    assert not recorded[0].requires_grad
    assert not torch.is_inference(recorded[0])  # what a model caches stays usable in training


# On disk


@pytest.fixture
def recording(tmp_path):
    folder = tmp_path / "recording"
    recorded = record(
        Transformer(), IMAGES, ["blocks.*", "patches"], to=folder, drop_tokens=1, labels=list("abcdefg"), batch_size=3
    )
    return folder, recorded


def test_recordings_on_disk_equal_those_in_memory(tmp_path):
    model = Transformer()
    options = {"layers": ["blocks.*", "patches"], "drop_tokens": [0], "labels": range(7), "batch_size": 3}
    in_memory = record(model, IMAGES, **options)
    on_disk = record(model, IMAGES, to=tmp_path / "to", **options)
    assert_same(on_disk, in_memory)
    assert_same(read_recorded(tmp_path / "to"), in_memory)
    np.testing.assert_array_equal(compute_rsm(on_disk["blocks.0"]), compute_rsm(in_memory["blocks.0"]))


def test_options_apply_to_recorded_activations(tmp_path):
    model = Transformer()
    record(model, IMAGES, "blocks.0", to=tmp_path / "to")
    tokens = record(model, IMAGES, "blocks.0")["blocks.0"].array()
    options = {"drop_tokens": 1, "mask": np.eye(7, 5, dtype=bool) | (np.arange(5) > 2), "subset": [6, 2, 0]}
    for x in (read_recorded(tmp_path / "to")["blocks.0"], tmp_path / "to"):
        np.testing.assert_array_equal(compute_rsm(x, **options), compute_rsm(tokens, **options))


def test_a_recording_is_a_folder_of_plain_files(recording):
    folder, recorded = recording
    assert sorted(path.name for path in folder.iterdir()) == [
        "blocks.0.npy",
        "blocks.1.npy",
        "patches.npy",
        "recording.json",
    ]
    assert np.load(folder / "blocks.0.npy").shape == (7, 5, 8)  # whole, with the class token
    assert_same(
        read_recorded(folder, ["patches", "blocks.?"]),
        {name: recorded[name] for name in ("patches", "blocks.0", "blocks.1")},
    )


def test_any_name_of_a_layer_makes_a_file(tmp_path):
    model = nn.Sequential(OrderedDict({"a/b:c é%": nn.Identity()}))
    assert_same(record(model, TOKENS, to=tmp_path / "to", layout="ntd"), read_recorded(tmp_path / "to"))
    assert (tmp_path / "to" / "a%2Fb%3Ac%20%C3%A9%25.npy").is_file()


def test_recording_to_disk_needs_little_memory(tmp_path):
    model = nn.Sequential(nn.Upsample(scale_factor=8))  # 128 MiB for all inputs, 2 MiB per batch
    batches = (torch.rand(16, 8, 8, 8) for _ in range(64))
    tracemalloc.start()
    recorded = record(model, batches, to=tmp_path / "to")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "to" / "0.npy").stat().st_size >= 2**27
    assert peak < 2**26
    assert len(recorded["0"]) == 1024


def test_reading_a_recording_needs_no_torch(recording):
    folder, _ = recording
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from simplugins.recording import read_recorded, record\n"
        f"assert list(read_recorded({str(folder)!r})) == ['blocks.0', 'blocks.1', 'patches']\n"
        "record(None, None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: recording activations needs torch" in done.stderr
    assert "pip install 'simplugins[torch]'" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "recording.json").unlink(), r"recording\b.* has no recording\.json"),
        (
            lambda folder: (folder / "recording.json").rename(folder / ".blocks.0.npy.part"),
            r"recording\b.* incomplete",
        ),
        (lambda folder: (folder / "recording.json").write_text("{"), r"recording\.json.*Expecting"),
        (lambda folder: (folder / "recording.json").write_text("[]"), r"recording\.json is damaged.*object"),
        (
            lambda folder: edit(folder, format_version=2),
            r"recording\.json.*version 2\b.*\b1\b",
        ),
        (lambda folder: edit(folder, layers={"patches": {}}), r"recording\.json.*'patches'.*shape"),
        (lambda folder: edit(folder, layers=["patches"]), r"recording\.json is damaged"),
        (lambda folder: edit(folder, labels=["a"]), r"layer 'blocks\.0': labels.*\b7\b"),
        (
            lambda folder: truncate(folder / "blocks.1.npy"),
            r"1 of 3 layers.*blocks\.1\.npy",
        ),
        (
            lambda folder: np.save(folder / "patches.npy", np.ones(3)),
            r"patches\.npy.*float32.*float64 \[3\]",
        ),
        (
            lambda folder: [(folder / f"blocks.{i}.npy").unlink() for i in (0, 1)],
            r"2 of 3 layers.*blocks\.0\.npy.*blocks\.1\.npy",
        ),
    ],
)
def test_broken_recordings_are_reported(recording, spoil, message):
    folder, _ = recording
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        read_recorded(folder)


def edit(folder, **changes):
    index = json.loads((folder / "recording.json").read_text())
    (folder / "recording.json").write_text(json.dumps(index | changes))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def test_missing_folders_and_layers_are_named(tmp_path, recording):
    with pytest.raises(FileNotFoundError, match=r"\bnone\b"):
        read_recorded(tmp_path / "none")
    with pytest.raises(ValueError, match=r"recording\b.* 'blocks\.2' .*blocks\.1, blocks\.0"):
        read_recorded(recording[0], "blocks.2")


def test_only_new_or_empty_folders_are_written_to(tmp_path, recording):
    kept = sorted(recording[0].iterdir())
    with pytest.raises(FileExistsError, match=r"recording\b.*empty"):
        record(layer(abs), TOKENS, to=recording[0])
    with pytest.raises(FileExistsError, match=r"blocks\.0\.npy.*empty"):
        record(layer(abs), TOKENS, to=kept[0])
    with pytest.raises(FileNotFoundError, match=r"\bno\b"):
        record(layer(abs), TOKENS, to=tmp_path / "no" / "folder")
    assert sorted(recording[0].iterdir()) == kept
    (tmp_path / "empty").mkdir()
    record(layer(abs), TOKENS, to=tmp_path / "empty")
    assert list(read_recorded(tmp_path / "empty")) == ["0"]


# Progress and errors


def test_progress_is_shown_on_request(capsys):
    record(layer(abs), TOKENS, batch_size=3)
    assert capsys.readouterr().err == ""
    record(layer(abs), TOKENS, batch_size=3, progress=True)
    assert "recording: 100%" in capsys.readouterr().err
    record(layer(abs), (batch for batch in TOKENS.split(3)), progress="layers of a model")
    assert "layers of a model: 3batch" in capsys.readouterr().err


def nan_in(index):
    spoiled = TOKENS.clone()
    spoiled[index] = torch.nan
    return spoiled


CNN = Cnn()


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ("stage.1", ValueError, r"'stage\.1'.*nearest: stages\.1"),
        ("xyz", ValueError, r"'xyz'.* stem, stages, unused, head"),
        ("stem.*.*", ValueError, r"'stem\.\*\.\*'.*\* .*\*\* "),
        ([], ValueError, r"layers.*\[\]"),
        ([0], TypeError, r"layers.*\[0\]"),
        ("unused", ValueError, "layer 'unused' did not run"),
        ("un*", ValueError, r"layers.*'un\*'.*layer 'unused' did not run"),
    ],
)
def test_missing_layers_are_named(asked, error, message):
    with pytest.raises(error, match=message):
        record(CNN, IMAGES, asked)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: "text", "returned no tensor"),
        (lambda x: x > 0, r"returned torch\.bool"),
        (lambda x: x.to_sparse(), "returned a sparse"),
        (lambda x: x.sum(), r"returned shape \(\)"),
        (lambda x: x[:, 0, 0], r"returned shape \(7,\)"),
        (lambda x: x.sum(0), r"returned shape \(5, 8\).* no axis .*\b7 inputs"),
        (lambda x: x.flatten(0, 1), r"returned shape \(35, 8\).*\b7 inputs are merged"),
        (lambda x: x.repeat(2, 1, 1), r"returned shape \(14, 5, 8\).*\b7 inputs are merged"),
        (lambda x: x[:3], r"returned shape \(3, 5, 8\).*\b7 inputs"),
    ],
)
def test_layers_without_activations_are_named_in_one_warning_and_by_name_in_an_error(function, message):
    model = nn.Sequential(Returns(abs), Returns(function))
    for asked in (None, "*", ["*", "**"]):
        with pytest.warns(UserWarning, match=f"^1 layer cannot be recorded: '1' {message}") as raised:
            assert list(record(model, TOKENS, asked)) == ["0"]
        assert [warning.filename for warning in raised] == [__file__]
    with pytest.raises(ValueError, match=f"layer '1' {message}"):
        record(model, TOKENS, ["*", "1"])
    with pytest.raises(ValueError, match=f"layers.*: layer '0' {message}"):
        record(layer(function), TOKENS)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (nan_in(1), {}, ValueError, r"layer '0', inputs 0 to 2: .*\b40 NaN .* input 1 of 3"),
        (nan_in(5), {}, ValueError, r"layer '0', inputs 3 to 5: .*\b40 NaN .* input 2 of 3"),
        (
            [TOKENS, TOKENS[:2, :, 1:]],
            {},
            ValueError,
            r"layer '0', inputs 7 to 8: .*float32 .*\(5, 7\).*float32 .*\(5, 8\)",
        ),
        ([TOKENS, TOKENS.double()], {}, ValueError, r"float64 .*\(5, 8\).*float32"),
        ([], {}, ValueError, "inputs"),
        (TOKENS[:0], {}, ValueError, "inputs"),
        (TOKENS[:, :0], {}, ValueError, "layer '0', inputs 0 to 2: input 0 "),
        ("images/", {}, TypeError, r"inputs.*\bstr$"),
        (3, {}, TypeError, r"inputs.*\bint$"),
        (["a"], {}, TypeError, r"batch.*\bstr\b"),
        ([([TOKENS], 1)], {}, TypeError, r"batch.*\btuple .*\blist\b"),
        ([TOKENS[0, 0, 0]], {}, TypeError, r"inputs.* number$"),
        ({"x": "a"}, {}, TypeError, r"inputs.* mapping of x$"),
        ({"x": TOKENS, "y": TOKENS[1:]}, {}, ValueError, r"inputs.*\bx 7, y 6$"),
        (
            DataLoader(TensorDataset(TOKENS), shuffle=True),
            {},
            ValueError,
            r"inputs.*DataLoader.*shuffle=False",
        ),
        (
            DataLoader(TensorDataset(TOKENS), batch_sampler=BatchSampler(RandomSampler(TOKENS), 2, drop_last=False)),
            {},
            ValueError,
            r"inputs.*DataLoader.*random order",
        ),
        (TOKENS, {"batch_size": 0}, ValueError, r"batch_size.*\b0$"),
        (TOKENS, {"drop_tokens": 5}, ValueError, "layer '0', inputs 0 to 2: input 0 "),
        (IMAGES, {"drop_tokens": 1, "layout": "nchw"}, ValueError, r"drop_tokens.*'ntd'.*'nchw'"),
        (TOKENS, {"drop_tokens": "cls"}, ValueError, r"drop_tokens.*'cls'"),
        (TOKENS, {"layout": "nhwc"}, ValueError, r"layout 'nhwc'.*\(3, 5, 8\)"),
        (TOKENS, {"layout": "nxc"}, ValueError, r"layout.*'nxc'"),
        (TOKENS, {"labels": ["a"]}, ValueError, r"labels.*\b7\b.*\b1$"),
        ([TOKENS], {"labels": ["a"]}, ValueError, r"labels.*\b1\b.*\b7$"),
        ([TOKENS], {"labels": range(8)}, ValueError, r"labels.*\b7\b.*\b8$"),
    ],
)
def test_bad_input_is_named(tmp_path, inputs, options, error, message):
    with pytest.raises(error, match=message):
        record(layer(abs), inputs, to=tmp_path / "to", **{"batch_size": 3} | options)
    assert not (tmp_path / "to").exists()


def test_a_model_is_a_module_with_layers():
    with pytest.raises(TypeError, match=r"model.*torch\.nn\.Module.*builtin_function_or_method"):
        record(abs, TOKENS)
    with pytest.raises(ValueError, match=r"model.*Linear.*torch\.nn\.Sequential\(model\)"):
        record(nn.Linear(8, 2), TOKENS)
