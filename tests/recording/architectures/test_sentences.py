# SPDX-License-Identifier: Apache-2.0
"""Recording of a sentence encoder with its weights: padding, and similarities of sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import simplugins
from simplugins import compute_rsm, read_recorded, record

SENTENCES = [
    "A man is playing a guitar on the stage.",
    "A musician plays the guitar in front of an audience.",
    "The stock market fell sharply on Monday.",
    "Shares dropped steeply at the beginning of the week.",
    "The cat is asleep.",
    "My cat is taking a long nap on the warm windowsill in the afternoon sun, as she always does.",
]
LAYERS = ["embeddings", "encoder.layer.0", "encoder.layer.2.intermediate", "encoder.layer.5"]
ROUNDING = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def alone(sentence_encoder):
    """The sets of each sentence by itself, from the model's own hidden states."""
    tokenizer, model = sentence_encoder
    sets = {"embeddings": [], "encoder.layer.0": [], "encoder.layer.5": []}
    for sentence in SENTENCES:
        with torch.no_grad():
            states = model(**tokenizer(sentence, return_tensors="pt"), output_hidden_states=True).hidden_states
        for name, number in zip(sets, (0, 1, 6), strict=True):
            sets[name].append(states[number][0].numpy())
    return sets


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("multiple", [None, 32])
def test_padding_changes_no_similarity(sentence_encoder, alone, side, multiple):
    tokenizer, model = sentence_encoder
    batch = tokenizer(SENTENCES, padding=True, padding_side=side, pad_to_multiple_of=multiple, return_tensors="pt")
    if side == "left":  # the model counts positions from the left, whether they are padding or not
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    recorded = record(model, batch, LAYERS, batch_size=4)
    for name, sets in alone.items():
        assert recorded[name].positions.tolist() == [len(vectors) for vectors in sets]
        for measure in ("semantic-cosine", "semantic-linear"):
            expected = compute_rsm(sets, measure)
            scale = np.abs(expected.values).max()
            np.testing.assert_allclose(compute_rsm(recorded[name], measure) / scale, expected / scale, **ROUNDING)


def test_batches_may_be_padded_to_different_lengths(tmp_path, sentence_encoder, alone):
    tokenizer, model = sentence_encoder

    def collate(sentences):
        return tokenizer(sentences, padding=True, return_tensors="pt")

    loader = DataLoader(SENTENCES, batch_size=2, collate_fn=collate)
    assert len({batch["input_ids"].shape[1] for batch in loader}) > 1
    recorded = record(model, loader, LAYERS, to=tmp_path / "to")
    for source in (recorded, read_recorded(tmp_path / "to")):
        for name, sets in alone.items():
            np.testing.assert_allclose(compute_rsm(source[name]), compute_rsm(sets), **ROUNDING)
    one_by_one = record(model, [collate([sentence]) for sentence in SENTENCES], LAYERS)
    for name in LAYERS:
        np.testing.assert_allclose(compute_rsm(one_by_one[name]), compute_rsm(recorded[name]), **ROUNDING)


def test_masks_of_recorded_activations_are_those_of_their_sets(sentence_encoder, alone):
    tokenizer, model = sentence_encoder
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    recorded = record(model, batch, LAYERS, mask=False)
    for name, sets in alone.items():
        assert recorded[name].positions.tolist() == [batch["input_ids"].shape[1]] * len(SENTENCES)
        masked = compute_rsm(recorded[name], mask=batch["attention_mask"])
        np.testing.assert_allclose(masked, compute_rsm(sets), **ROUNDING)
        assert np.abs(compute_rsm(recorded[name]).values - masked.values).max() > 0.01


def test_special_tokens_are_left_out(sentence_encoder, alone):
    tokenizer, model = sentence_encoder
    with pytest.raises(ValueError, match="return_special_tokens_mask=True"):
        record(model, tokenizer(SENTENCES, padding=True, return_tensors="pt"), LAYERS, drop_tokens="special")
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt", return_special_tokens_mask=True)
    recorded = record(model, batch, LAYERS, drop_tokens="special")
    for name, sets in alone.items():
        np.testing.assert_allclose(
            compute_rsm(recorded[name]), compute_rsm([vectors[1:-1] for vectors in sets]), **ROUNDING
        )


def test_paraphrases_are_nearer_than_other_sentences(sentence_encoder):
    tokenizer, model = sentence_encoder
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt", return_special_tokens_mask=True)
    recorded = record(model, batch, "encoder.layer.5", drop_tokens="special")["encoder.layer.5"]
    rsm = simplugins.compute_rsm(recorded, "semantic-cosine").values
    pairs = [(0, 1), (2, 3), (4, 5)]
    others = [rsm[i, j] for i in range(6) for j in range(i) if (j, i) not in pairs]
    assert min(rsm[pair] for pair in pairs) > 3 * max(others)
