# SPDX-License-Identifier: Apache-2.0
"""Layers of all models: recorded sets equal those of the outputs, whose layouts are known from the sources."""

from __future__ import annotations

import by_hand
import numpy as np
import pytest
import small_models
import torch

from simplugins import read_recorded, record

TOKENS, MAPS, MAPS_LAST, POOLED = "ntc", "nchw", "nhwc", "nc"
LAYOUTS = {
    "vit": {r".*projection": MAPS, r"pooler.*": POOLED, ".*": TOKENS},
    "dinov2": {r".*projection": MAPS, ".*": TOKENS},
    "swin": {
        r".*projection": MAPS,
        r".*relative_position_bias": None,
        r"encoder\.layers\.0\.blocks\.\d\.(attention.*|dropout)": None,  # of windows, of which an image has several
        r"encoder\.layers\.1\.blocks\.0\.attention.*": "windows",
        r"pooler": "nct",
        ".*": TOKENS,
    },
    "convnext": {r".*\.layers\.0\.(layernorm|pwconv\d|act)": MAPS_LAST, r"layernorm": POOLED, ".*": MAPS},
    "clip": {
        r"vision_model\.embeddings\.patch_embedding": MAPS,
        r".*position_embedding": None,
        r".*(projection|post_layernorm)": POOLED,
        ".*": TOKENS,
    },
    "wav2vec2": {
        r"feature_extractor.*": "nct",
        r".*parametrizations.*": None,
        r"encoder\.pos_conv_embed\..*": "nct",
        ".*": TOKENS,
    },
    "bert": {r".*position_embeddings": None, r"pooler.*": POOLED, ".*": TOKENS},
    "gpt2": {"wpe": None, ".*": TOKENS},
    "llama": {"rotary_emb": None, ".*": TOKENS},
    "timm_vit": {r".*\.proj": "maps or tokens", r".*\.(q|k)_norm": None, "(fc_norm|head.*)": POOLED, ".*": TOKENS},
    "timm_swin": {
        r"patch_embed\.proj": MAPS,
        r"layers\.0\.blocks\.\d\.attn.*": None,
        r".*\.attn\.(softmax|attn_drop)": None,
        r"layers\.1\.blocks\.0\.attn.*": "windows",
        r".*\.(norm2|mlp.*|drop_path2)": "tokens or maps",
        r"head.*": POOLED,
        ".*": MAPS_LAST,
    },
    "timm_convnext": {
        r".*\.blocks\.0\.(norm|mlp.*)": MAPS_LAST,
        r"head\.(flatten|pre_logits|drop|fc)|head": POOLED,
        ".*": MAPS,
    },
}
CHOICES = {
    "maps or tokens": {4: MAPS, 3: TOKENS},
    "tokens or maps": {3: TOKENS, 4: MAPS_LAST},
    "windows": {3: TOKENS},  # a single window per image
}


def expected_sets(name, model, inputs):
    """(n, S, C) arrays by the names of all outputs that are activations."""
    arrays = {}
    for layer, tensor in by_hand.outputs(model, inputs).items():
        layout = by_hand.layout_of(layer, LAYOUTS[name])
        if layout is not None and tensor is not None:
            arrays[layer] = by_hand.arranged(tensor, CHOICES.get(layout, {}).get(tensor.ndim, layout))
    return arrays


def masks_for(name, model, layer, count, inputs):
    """The (n, S) positions of a layer that are not padding; None if padding is not excluded there."""
    mask = inputs.get("attention_mask")
    if mask is None or layer.startswith("vision_model") or count == 1:
        return None
    if count == mask.shape[1]:
        return mask.bool()
    if name == "wav2vec2":
        lengths = torch.cat([mask.sum(1), torch.tensor([mask.shape[1]])])
        for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
            lengths = (lengths - kernel) // stride + 1
            if lengths[-1] == count:
                return torch.arange(count) < lengths[:-1, None]
    return None


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore:.*cannot be recorded:UserWarning")
@pytest.mark.filterwarnings("ignore:.*padding counts:UserWarning")
def test_every_layer_is_recorded_as_its_source_says(tmp_path, name):
    model, inputs = small_models.build(getattr(small_models, name))
    expected = expected_sets(name, model, inputs)
    recorded = record(model, inputs, "**", to=tmp_path / "to")
    unexpected = set(recorded) - set(expected)
    assert unexpected == set(), {layer: recorded[layer].layout for layer in unexpected}
    missing = set(expected) - set(recorded)
    assert missing == set()
    for layer, arrays in expected.items():
        masks = masks_for(name, model, layer, arrays.shape[1], inputs)
        by_hand.assert_sets(recorded[layer], arrays, masks, f"{name} {layer} {recorded[layer].layout}")
    for layer, x in read_recorded(tmp_path / "to").items():
        assert x.digest() == recorded[layer].digest()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore:.*cannot be recorded:UserWarning")
@pytest.mark.filterwarnings("ignore:.*padding counts:UserWarning")
def test_default_layers_do_not_depend_on_batches(name):
    model, inputs = small_models.build(getattr(small_models, name))
    expected = expected_sets(name, model, inputs)
    for batch_size in (1, 2, 3):
        recorded = record(model, inputs, batch_size=batch_size)
        assert recorded
        for layer, x in recorded.items():
            masks = masks_for(name, model, layer, expected[layer].shape[1], inputs)
            by_hand.assert_sets(x, expected[layer], masks, f"{name} {layer}")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vit", "layers.*"),
        ("dinov2", "encoder.layer.*"),
        ("bert", "encoder.layer.*"),
        ("llama", "layers.*"),
        ("gpt2", "h.*"),
        ("wav2vec2", "encoder.layers.*"),
    ],
)
def test_blocks_are_the_hidden_states_of_the_model(name, layers):
    model, inputs = small_models.build(getattr(small_models, name))
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
    recorded = record(model, inputs, layers)
    blocks = list(recorded.values())
    assert len(states) == len(blocks) + 1
    for number, (x, state) in enumerate(zip(blocks[:-1], states[1:-1], strict=True)):  # the last may be normalised
        masks = masks_for(name, model, layers, state.shape[1], inputs)
        by_hand.assert_sets(x, state.numpy(), masks, f"{name} {number}")


@pytest.mark.parametrize("name", ["timm_vit", "timm_swin", "timm_convnext"])
def test_the_features_of_timm_are_those_of_the_last_layer(name):
    model, inputs = small_models.build(getattr(small_models, name))
    with torch.no_grad():
        features = model.forward_features(**inputs)
    last = {"timm_vit": "norm", "timm_swin": "norm", "timm_convnext": "norm_pre"}[name]
    layout = {"timm_vit": TOKENS, "timm_swin": MAPS_LAST, "timm_convnext": MAPS}[name]
    by_hand.assert_sets(record(model, inputs, last)[last], by_hand.arranged(features, layout))


@pytest.mark.parametrize(("name", "tokens"), [("vit", 1), ("dinov2", 5), ("timm_vit", 5)])
@pytest.mark.filterwarnings("ignore:.*cannot be recorded:UserWarning")
def test_class_and_register_tokens_are_left_out_where_they_are(name, tokens):
    model, inputs = small_models.build(getattr(small_models, name))
    whole = record(model, inputs, "**")
    for option in ("special", tokens):
        recorded = record(model, inputs, "**", drop_tokens=option)
        assert list(recorded) == list(whole)
        sizes = {layer: x.positions.tolist() for layer, x in recorded.items() if x.positions[0] > 1}
        assert set(map(tuple, sizes.values())) == {(16, 16, 16)}, sizes
        for layer, x in whole.items():
            dropped = tokens if x.positions[0] == 16 + tokens else 0
            np.testing.assert_array_equal(recorded[layer], x.array()[:, dropped:])


def test_special_tokens_of_both_towers_are_left_out():
    model, inputs = small_models.build(small_models.clip)
    recorded = record(model, inputs, ["text_model", "vision_model"], drop_tokens="special")
    assert recorded["text_model"].positions.tolist() == [length - 2 for length in small_models.LENGTHS]
    assert recorded["vision_model"].positions.tolist() == [16] * 3


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_special_tokens_of_language_models_are_left_out(name, side):
    model, _ = small_models.build(getattr(small_models, name))
    inputs = small_models.texts(side)
    states = {"gpt2": "h.1", "llama": "layers.1"}[name]
    recorded = record(model, inputs, states, drop_tokens="special")[states]
    whole = record(model, inputs, states)[states]
    for vectors, all_vectors in zip(recorded.sets(), whole.sets(), strict=True):
        np.testing.assert_array_equal(vectors, all_vectors[1:-1])


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_does_not_change_a_text(name, side):
    model, _ = small_models.build(getattr(small_models, name))
    inputs = small_models.texts(side)
    mask = inputs["attention_mask"].bool()
    inputs["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)
    block = {"bert": "encoder.layer.1", "gpt2": "h.1", "llama": "layers.1"}[name]
    recorded = record(model, inputs, block)[block]
    for ids, present, vectors in zip(inputs["input_ids"], mask, recorded.sets(), strict=True):
        alone = record(model, {"input_ids": ids[present][None]}, block)[block]
        np.testing.assert_allclose(vectors, alone[0], rtol=1e-4, atol=1e-4)
