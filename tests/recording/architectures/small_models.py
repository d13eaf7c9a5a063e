# SPDX-License-Identifier: Apache-2.0
"""Small models of timm and Hugging Face's transformers, with random weights."""

from __future__ import annotations

import timm
import torch
import transformers as hf

IMAGES = {"image_size": 16, "patch_size": 4, "num_channels": 3}
TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LENGTHS = [7, 4, 5]
BEGIN, END, PAD = 2, 3, 1


def images(size):
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def texts(side="right", lengths=LENGTHS):
    """Texts that begin and end with special tokens, padded to the same length."""
    generator = torch.Generator().manual_seed(2)
    ids, mask = torch.full((len(lengths), max(lengths)), PAD), torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        text = torch.randint(10, 50, (length,), generator=generator)
        text[0], text[-1] = BEGIN, END
        start = 0 if side == "right" else max(lengths) - length
        ids[row, start : start + length], mask[row, start : start + length] = text, 1
    return {"input_ids": ids, "attention_mask": mask}


def signals():
    lengths = torch.tensor([800, 400, 600])
    values = torch.randn(3, 800, generator=torch.Generator().manual_seed(3))
    mask = torch.arange(800) < lengths[:, None]
    return {"input_values": values * mask, "attention_mask": mask.long()}


def vit():
    return hf.ViTModel(hf.ViTConfig(**TRANSFORMER, **IMAGES)), {"pixel_values": images(16)}


def dinov2():
    options = {name: value for name, value in TRANSFORMER.items() if name != "intermediate_size"}
    config = hf.Dinov2WithRegistersConfig(**options, **IMAGES, num_register_tokens=4)
    return hf.Dinov2WithRegistersModel(config), {"pixel_values": images(16)}


def swin():
    config = hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[1, 2], window_size=4)
    return hf.SwinModel(config), {"pixel_values": images(32)}


def convnext():
    config = hf.ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1])
    return hf.ConvNextModel(config), {"pixel_values": images(64)}


def clip():
    text = {"vocab_size": 60, "max_position_embeddings": 20}
    text |= {"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": PAD}
    config = hf.CLIPConfig(
        text_config=dict(**TRANSFORMER, **text), vision_config=dict(**TRANSFORMER, **IMAGES), projection_dim=10
    )
    return hf.CLIPModel(config), {**texts(), "pixel_values": images(16)}


def wav2vec2():
    config = hf.Wav2Vec2Config(
        **TRANSFORMER,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 3),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    return hf.Wav2Vec2Model(config), signals()


def bert():
    return hf.BertModel(hf.BertConfig(**TRANSFORMER, vocab_size=60)), texts()


def gpt2():
    config = hf.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=60, n_positions=20, bos_token_id=BEGIN, eos_token_id=END
    )
    return hf.GPT2Model(config), texts()


def llama():
    config = hf.LlamaConfig(
        **TRANSFORMER, vocab_size=60, num_key_value_heads=1, bos_token_id=BEGIN, eos_token_id=END, pad_token_id=PAD
    )
    return hf.LlamaModel(config), texts()


def timm_vit():
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
    return timm.models.VisionTransformer(**options, reg_tokens=4), {"x": images(16)}


def timm_swin():
    options = {"img_size": 32, "patch_size": 4, "embed_dim": 8, "depths": (2, 1), "num_heads": (1, 2), "window_size": 4}
    return timm.models.SwinTransformer(**options, num_classes=5), {"x": images(32)}


def timm_convnext():
    options = {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20), "num_classes": 5}
    return timm.models.ConvNeXt(**options), {"x": images(64)}


def build(constructor):
    """Return a model in evaluation mode with fixed random weights, and its inputs."""
    torch.manual_seed(0)
    model, inputs = constructor()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), inputs
