# SPDX-License-Identifier: Apache-2.0
"""Padding and special tokens of texts, batches of different lengths, and masks of what was recorded."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import simplugins
from simplugins import compute_rsm, read_recorded, record

LENGTHS = [3, 4, 7, 5, 7, 1]
PAD, CLS, SEP = 0, 1, 2


class Encoder(nn.Module):
    """A text model whose positions, as in attention with a mask, see only the text."""

    config = SimpleNamespace(cls_token_id=CLS, sep_token_id=SEP, pad_token_id=PAD)

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.mix = nn.Linear(6, 6)
        self.convolution = nn.Conv1d(6, 4, 1)
        self.pool = nn.Linear(6, 3)

    def forward(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        tokens = self.embedding(input_ids)
        mean = (tokens * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        tokens = self.mix(tokens + mean)
        tokens = torch.where(mask[..., None] > 0, tokens, torch.nan)
        self.convolution(tokens.mT)
        return self.pool(mean[:, 0])


torch.manual_seed(0)
MODEL = Encoder().eval()
TEXTS = [torch.tensor([CLS, *torch.randint(3, 50, (length,)).tolist(), SEP]) for length in LENGTHS]


def padded(texts, side="right", length=None):
    length = length or max(map(len, texts))
    ids, mask = torch.zeros(len(texts), length, dtype=torch.long), torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(0, len(text)) if side == "right" else slice(length - len(text), length)
        ids[row, place], mask[row, place] = text, 1
    return {"input_ids": ids, "attention_mask": mask}


def without_mask(batch):
    return {name: value for name, value in batch.items() if name != "attention_mask"}


BATCH = padded(TEXTS)
MASK = BATCH["attention_mask"].bool()
LAYERS = ["embedding", "mix"]


@pytest.fixture(scope="module")
def alone():
    """The layers' sets for each text by itself."""
    recorded = [record(MODEL, {"input_ids": text[None]}, LAYERS) for text in TEXTS]
    return {name: [each[name][0] for each in recorded] for name in LAYERS}


def assert_sets(recorded, expected):
    assert [x.shape for x in recorded.sets()] == [x.shape for x in expected]
    for one, other in zip(recorded.sets(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def halves(side):
    return [padded(TEXTS[:2], side), padded(TEXTS[2:4], side), padded(TEXTS[4:], side)]


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (BATCH, {}),
        (BATCH, {"batch_size": 1}),
        (BATCH, {"batch_size": 4}),
        (padded(TEXTS, "left"), {"batch_size": 4}),
        (padded(TEXTS, length=20), {}),
        (halves("right"), {}),
        (halves("left"), {}),
        ([(batch, "target") for batch in halves("right")], {}),
        (DataLoader(TEXTS, batch_size=4, collate_fn=padded), {}),
        ([{"input_ids": text[None]} for text in TEXTS], {}),
        ([text[None] for text in TEXTS], {}),
        ({**BATCH, "attention_mask": MASK}, {}),
        ({**BATCH, "attention_mask": MASK.float()}, {}),
        (BATCH, {"mask": "attention_mask"}),
        (BATCH, {"mask": MASK}),
        (BATCH, {"mask": MASK.int().tolist(), "batch_size": 2}),
        (BATCH, {"mask": MASK.numpy().astype(float), "batch_size": 2}),
        (BATCH, {"mask": lambda batch: batch["input_ids"] != PAD, "batch_size": 2}),
    ],
)
@pytest.mark.parametrize("is_on_disk", [False, True])
def test_padding_is_no_position(tmp_path, alone, inputs, options, is_on_disk):
    to = tmp_path / "to" if is_on_disk else None
    recorded = record(MODEL, inputs, LAYERS, to=to, **options)
    for name in LAYERS:
        assert_sets(recorded[name], alone[name])
    if is_on_disk:
        for name, x in read_recorded(to).items():
            assert repr(x) == repr(recorded[name])
            assert x.digest() == recorded[name].digest()
            assert x.is_on_disk or x.positions.sum() * x.channels * 4 < simplugins.activations.blocks.CHUNK_BYTES


def test_similarities_do_not_depend_on_padding():
    recorded = [record(MODEL, each, "mix")["mix"] for each in (BATCH, padded(TEXTS, "left"), halves("right"))]
    for x in recorded[1:]:
        np.testing.assert_allclose(compute_rsm(x), compute_rsm(recorded[0]), rtol=1e-5, atol=1e-6)


def test_layers_without_tokens_are_not_masked():
    recorded = record(MODEL, BATCH, ["pool", "mix"])
    assert recorded["pool"].shape == (6, 1, 3)
    assert recorded["pool"].layout == "nd"


def test_layers_with_channels_first_are_masked(alone):
    recorded = record(MODEL, BATCH, "convolution", layout="nct")["convolution"]
    with torch.no_grad():
        expected = [MODEL.convolution(torch.tensor(vectors.T)[None])[0].T.numpy() for vectors in alone["mix"]]
    assert_sets(recorded, expected)


def test_masks_are_of_maps_too():
    images = torch.rand(4, 3, 5, 6)
    mask = images[:, 0] > 0.5
    recorded = record(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), images, mask=mask, batch_size=3)
    whole = record(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), images)
    assert recorded["0"].positions.tolist() == mask.flatten(1).sum(1).tolist()
    assert whole["0"].positions.tolist() == [30] * 4


def test_padding_counts_if_asked_for():
    plain = {"input_ids": BATCH["input_ids"]}
    masked = record(MODEL, BATCH, "embedding")["embedding"]
    counted = record(MODEL, plain, "embedding", mask=False)["embedding"]
    assert record(MODEL, BATCH, "embedding", mask=False)["embedding"].digest() == counted.digest()
    assert counted.shape == (6, 9, 6)
    assert masked.digest() != counted.digest()


def test_masks_without_padding_leave_an_array(tmp_path):
    batch = padded([TEXTS[2], TEXTS[4]])
    recorded = record(MODEL, batch, "mix", to=tmp_path / "to")["mix"]
    assert (recorded.layout, recorded.shape) == ("ntd", (2, 9, 6))
    assert np.load(tmp_path / "to" / "mix.npy").shape == (2, 9, 6)


# Masks of what was recorded


def test_masks_apply_to_what_was_recorded(tmp_path, alone):
    plain = without_mask(BATCH)
    for to in (None, tmp_path / "to"):
        recorded = record(MODEL, plain, "embedding", mask=False, to=to)
        for mask in (MASK, MASK.long(), MASK.int().tolist()):
            x = simplugins.Activations.from_array(recorded["embedding"], mask=mask)
            assert_sets(x, alone["embedding"])
            np.testing.assert_array_equal(compute_rsm(recorded["embedding"], mask=mask), compute_rsm(x))
    for source in (read_recorded(tmp_path / "to")["embedding"], tmp_path / "to"):
        np.testing.assert_array_equal(compute_rsm(source, mask=MASK), compute_rsm(x))


@pytest.mark.parametrize("option", [{"mask": MASK}, {"drop_tokens": 1}])
def test_sets_of_unequal_size_take_no_mask(option):
    recorded = record(MODEL, BATCH, "mix")["mix"]
    with pytest.raises(ValueError, match=rf"{next(iter(option))}.*3 to 9 positions"):
        compute_rsm(recorded, **option)


# Special tokens


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("is_marked", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
def test_special_tokens_are_left_out(alone, side, is_marked, has_mask):
    batch = padded(TEXTS, side)
    if is_marked:
        batch["special_tokens_mask"] = (batch["input_ids"] < 3).long()
    batch = batch if has_mask else without_mask(batch)
    recorded = record(MODEL, batch, ["embedding", "pool"], drop_tokens="special")
    assert_sets(recorded["embedding"], [vectors[1:-1] for vectors in alone["embedding"]])
    assert recorded["pool"].shape == (6, 1, 3)


def test_leading_tokens_may_be_left_out_of_texts(tmp_path, alone):
    for batches in (BATCH, halves("right"), [{"input_ids": text[None]} for text in TEXTS]):
        for dropped in (1, [0]):
            recorded = record(MODEL, batches, LAYERS, drop_tokens=dropped)
            for name in LAYERS:
                assert_sets(recorded[name], [vectors[1:] for vectors in alone[name]])
    recorded = record(MODEL, BATCH, LAYERS, drop_tokens=1, to=tmp_path / "to")
    assert_sets(read_recorded(tmp_path / "to")["mix"], [vectors[1:] for vectors in alone["mix"]])


@pytest.mark.parametrize(("side", "dropped"), [("left", 1), ("left", [0]), ("right", [-1]), ("right", [0, -1])])
def test_tokens_are_not_counted_from_padding(side, dropped):
    with pytest.raises(ValueError, match=r"layer 'mix', inputs 0 to 5: drop_tokens.*input \d.*'special'"):
        record(MODEL, padded(TEXTS, side), "mix", drop_tokens=dropped)


def with_config(**ids):
    model = Encoder()
    model.config = SimpleNamespace(model_type="text", **ids)
    return model


without_specials = nn.Sequential(nn.Embedding(50, 2))
without_specials.config = SimpleNamespace(bos_token_id=48, eos_token_id=[47, 46])


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (with_config(pad_token_id=0), BATCH, "special_tokens_mask"),
        (with_config(pad_token_id=0, eos_token_id=None, bos_token_id=None), BATCH, "special_tokens_mask"),
        (nn.Sequential(nn.Embedding(50, 2)), torch.tensor([[5, 6], [7, 8]]), "no special tokens"),
        (MODEL, {**BATCH, "special_tokens_mask": MASK[:, :1]}, r"special_tokens_mask.*\(6, 9\).*\(6, 1\)"),
        (nn.Sequential(nn.Linear(3, 2)), torch.rand(4, 3), "no layer"),
        (without_specials, torch.tensor([[5, 6], [7, 8]]), "no layer"),
    ],
)
def test_special_tokens_must_be_known(model, inputs, message):
    with pytest.raises(ValueError, match=message):
        record(
            model, inputs, "embedding" if "embedding" in dict(model.named_modules()) else None, drop_tokens="special"
        )


def test_special_tokens_of_arrays_are_unknown():
    with pytest.raises(ValueError, match=r"drop_tokens='special'.*record"):
        compute_rsm(np.ones((3, 4, 2)), drop_tokens="special")


# Several sequences


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(50, 6), nn.Embedding(50, 6)
        self.keys = nn.Linear(6, 5)

    def forward(self, input_ids, decoder_input_ids, attention_mask=None, decoder_attention_mask=None):
        return self.decoder(decoder_input_ids) + self.keys(self.encoder(input_ids))[:, :1, :1]


class Captioner(nn.Module):
    """An image has as many patches as the text has tokens."""

    def __init__(self):
        super().__init__()
        self.text, self.vision = nn.Embedding(50, 6), nn.Linear(4, 6)

    def forward(self, input_ids, pixel_values, attention_mask=None):
        return self.text(input_ids).mean() + self.vision(pixel_values.flatten(1).unflatten(1, (9, 4))).mean()


CAPTIONER = Captioner()


def test_each_sequence_has_a_mask_of_its_own():
    decoder = padded(TEXTS[::-1])
    inputs = {**BATCH, "decoder_input_ids": decoder["input_ids"]}
    recorded = record(Translator(), inputs, batch_size=4)
    assert recorded["encoder"].positions.tolist() == recorded["keys"].positions.tolist() == MASK.sum(1).tolist()
    assert recorded["decoder"].positions.tolist() == [9] * 6
    recorded = record(Translator(), {**inputs, "decoder_attention_mask": decoder["attention_mask"]}, batch_size=4)
    assert recorded["encoder"].positions.tolist() == MASK.sum(1).tolist()
    assert recorded["decoder"].positions.tolist() == MASK.sum(1).tolist()[::-1]


def test_special_tokens_of_a_decoder_are_left_out():
    model, decoder = Translator(), padded(TEXTS[::-1])
    model.config = SimpleNamespace(cls_token_id=None, eos_token_id=SEP, decoder_start_token_id=CLS, pad_token_id=PAD)
    inputs = {**BATCH, "decoder_input_ids": decoder["input_ids"]}
    recorded = record(model, inputs, batch_size=4, drop_tokens="special")
    assert recorded["encoder"].positions.tolist() == [length + 1 for length in LENGTHS]
    assert recorded["decoder"].positions.tolist() == LENGTHS[::-1]


class Speech(nn.Module):
    """Features with time last, as in spectrograms, and texts of a decoder, which are as many."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Conv1d(3, 4, 1), nn.Embedding(50, 6)

    def forward(self, input_features, decoder_input_ids, attention_mask=None):
        return self.encoder(input_features).mean() + self.decoder(decoder_input_ids)


def test_frames_of_features_are_told_from_tokens():
    inputs = {"input_features": torch.rand(6, 3, 9), "attention_mask": MASK, "decoder_input_ids": BATCH["input_ids"]}
    recorded = record(Speech(), inputs)
    assert recorded["encoder"].positions.tolist() == MASK.sum(1).tolist()
    assert recorded["decoder"].positions.tolist() == [9] * 6


def test_patches_of_images_are_no_tokens_of_texts():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded = record(CAPTIONER, {**BATCH, "pixel_values": torch.ones(6, 1, 6, 6)})
    assert recorded["text"].positions.tolist() == MASK.sum(1).tolist()
    assert recorded["vision"].positions.tolist() == [9] * 6
    assert torch.equal(torch.random.get_rng_state(), state)


# Signals


class Audio(nn.Module):
    """Makes frames of samples, as Hugging Face's audio models do, which also say how many."""

    def __init__(self, kernel=4, stride=2):
        super().__init__()
        self.config = SimpleNamespace(conv_kernel=(kernel, 2), conv_stride=(stride, 2))
        self.convolutions = nn.ModuleList([nn.Conv1d(1, 3, kernel, stride), nn.Conv1d(3, 4, 2, 2)])
        self.encoder = nn.Linear(4, 5)
        self.head = nn.AdaptiveAvgPool1d(4)

    def _get_feat_extract_output_lengths(self, lengths):
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
        return lengths

    def forward(self, input_values, attention_mask=None):
        frames = input_values[:, None]
        for convolution in self.convolutions:
            frames = convolution(frames)
        return self.head(self.encoder(frames.mT).mT)


@pytest.mark.parametrize("wrap", [lambda model: model, nn.Sequential])
def test_frames_of_padded_samples_are_no_positions(wrap):
    lengths = torch.tensor([41, 20, 33])
    signals, mask = torch.rand(3, 41), torch.arange(41) < lengths[:, None]
    model = wrap(Audio())
    forward = (lambda **batch: model(**batch)) if isinstance(model, Audio) else (lambda **batch: model[0](**batch))
    batch = {"input_values": signals, "attention_mask": mask.long()}
    recorded = record(model, batch, "**convolutions.*", layout="nct", forward=forward)
    encoded = record(model, batch, "**encoder", forward=forward)
    alone = [
        record(model, {"input_values": s[None, :n]}, "**encoder", forward=forward)
        for s, n in zip(signals, lengths, strict=True)
    ]
    (encoded,) = encoded.values()
    assert_sets(encoded, [next(iter(each.values()))[0] for each in alone])
    first, second = recorded.values()
    assert first.positions.tolist() == [(n - 4) // 2 + 1 for n in lengths.tolist()]
    assert second.positions.tolist() == encoded.positions.tolist()


def test_layers_in_which_padding_counts_are_named_once():
    lengths = torch.tensor([41, 20, 33])
    batch = {"input_values": torch.rand(3, 41), "attention_mask": (torch.arange(41) < lengths[:, None]).long()}
    with pytest.warns(UserWarning, match=r"mask of 41 tokens.*: head \(4\)$") as caught:
        recorded = record(Audio(), batch, ["encoder", "head"], batch_size=1)
    assert len(caught) == 1
    assert recorded["head"].shape == (3, 4, 5)
    left = {**batch, "attention_mask": batch["attention_mask"].flip(1)}
    with pytest.warns(UserWarning, match="encoder"):
        assert record(Audio(), left, "encoder")["encoder"].shape == (3, 9, 5)


# On disk


def test_recordings_of_sets_are_files_of_concept_vectors(tmp_path):
    folder = tmp_path / "to"
    recorded = record(MODEL, halves("right"), [*LAYERS, "pool"], to=folder, labels=range(6))
    assert sorted(path.name for path in folder.iterdir()) == ["embedding.npy", "mix.npy", "pool.npy", "recording.json"]
    np.testing.assert_array_equal(np.load(folder / "mix.npy"), np.concatenate(list(recorded["mix"].sets())))
    assert list(recorded) == list(read_recorded(folder)) == [*LAYERS, "pool"]
    assert read_recorded(folder)["mix"].labels.tolist() == list(range(6))
    index = json.loads((folder / "recording.json").read_text())
    assert index["positions"] == [MASK.sum(1).tolist()]


def test_large_sets_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("simplugins.activations.activations.CHUNK_BYTES", 100)
    recorded = record(MODEL, halves("right"), "mix", to=tmp_path / "to")["mix"]
    assert recorded.is_on_disk
    expected = compute_rsm(record(MODEL, BATCH, "mix")["mix"])
    np.testing.assert_allclose(compute_rsm(recorded, tile_size=2, memory="64GB"), expected, rtol=1e-6)
    assert_sets(recorded.part(2, 5), list(recorded.sets())[2:5])
    assert_sets(simplugins.Activations.from_array(recorded, subset=[4, 0]), [recorded[4], recorded[0]])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_an_interrupted_recording_of_sets(tmp_path, error):
    def batches():
        yield padded(TEXTS[2:3])
        yield padded(TEXTS[:2])
        assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [".mix.npy.sets.part"]
        raise error("stopped")

    with pytest.raises(error, match="stopped"):
        record(MODEL, batches(), "mix", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    "sizes",
    [
        [[5, 6, 9, 7, 9, 3]],
        [[5, 6, 9, 7, 9, 2, 1]],
        [[5, 6, 9, 7, 9, 4]],
        [[5, 6, 9, 7, 12, 0]],
        [[2**62, 2**62, 2**62, 2**62 + 34, 4, 1]],
        [[5, 6, 9, 7, 9, 2**70]],
        [[5.5, 5.5, 9, 7, 9, 3]],
        [["5"]],
        [],
        None,
    ],
)
def test_sizes_that_do_not_fit_are_named(tmp_path, sizes):
    record(MODEL, BATCH, "mix", to=tmp_path / "to", labels=range(6))
    path = tmp_path / "to" / "recording.json"
    index = json.loads(path.read_text())
    is_right = index["positions"] == sizes
    path.write_text(json.dumps({**index, "positions": sizes}))
    if is_right:
        assert len(read_recorded(tmp_path / "to")["mix"]) == 6
    else:
        with pytest.raises(ValueError, match=r"recording\.json|mix"):
            read_recorded(tmp_path / "to")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("form", [lambda ids: {"input_ids": ids}, lambda ids: ids, lambda ids: [ids[:4], ids[4:]]])
def test_padding_without_a_mask_is_noticed(side, form):
    inputs = form(padded(TEXTS, side)["input_ids"])
    with pytest.warns(UserWarning, match="padding token 0.*attention_mask") as caught:
        assert record(MODEL, inputs, "embedding")["embedding"].shape == (6, 9, 6)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(MODEL, inputs, "embedding", mask=False)
        record(MODEL, TEXTS[0][None], "embedding")


# Errors


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (BATCH, {"mask": True}, TypeError, "mask.*True"),
        (BATCH, {"mask": 1}, TypeError, "mask.*1"),
        (BATCH, {"mask": "no"}, ValueError, "mask.*'no'.*input_ids, attention_mask"),
        ([TEXTS[0][None]], {"mask": "attention_mask"}, ValueError, "mask.*'attention_mask'"),
        (BATCH, {"mask": "src_key_padding_mask"}, ValueError, "mask.*'src_key_padding_mask'.*~"),
        (BATCH, {"mask": MASK[0]}, ValueError, r"mask.*\(9,\)"),
        (BATCH, {"mask": MASK[:4]}, ValueError, r"mask.*\b4\b.*\b6\b"),
        (BATCH, {"mask": MASK[[0, *range(6)]]}, ValueError, r"mask.*\b7\b.*\b6\b"),
        (BATCH, {"mask": MASK[:, :8]}, ValueError, r"mask.*\b8\b.*embedding \(9\)"),
        (BATCH, {"mask": MASK * 2}, ValueError, r"mask.*\b2\b"),
        (BATCH, {"mask": lambda batch: MASK[:2]}, ValueError, r"mask.*\(6, tokens\).*\(2, 9\)"),
        (
            {**BATCH, "attention_mask": torch.where(MASK, 0, -torch.inf)[:, None, None]},
            {"forward": lambda input_ids, attention_mask: MODEL(input_ids)},
            ValueError,
            r"attention_mask.*-inf.*mask=False",
        ),
        (
            {**BATCH, "attention_mask": MASK[:, None, None]},
            {"forward": lambda input_ids, attention_mask: MODEL(input_ids)},
            ValueError,
            r"attention_mask.*\(6, 1, 1, 9\).*mask=False",
        ),
        (
            {**BATCH, "attention_mask": MASK & (torch.arange(6) != 3)[:, None]},
            {},
            ValueError,
            "inputs 0 to 5: input 3 ",
        ),
    ],
)
def test_bad_masks_are_named(tmp_path, inputs, options, error, message):
    with pytest.raises(error, match=message):
        record(MODEL, inputs, "embedding", to=tmp_path / "to", **options)
    assert not (tmp_path / "to").exists()
