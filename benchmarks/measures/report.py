# SPDX-License-Identifier: Apache-2.0
"""Train small networks with known relations, and write which measure tells them apart.

Everything is generated; nothing is downloaded. In an environment with ``pip install -e '.[test]'``::

    python benchmarks/measures/report.py [--quick] [-o FOLDER]

Writes ``<machine>-measures.md`` and ``<machine>-measures.json`` to ``benchmarks/results``, and a heat map to
``docs/images/measures.png``; with ``-o``, everything to one folder. Takes some minutes on two cores. ``--quick`` tests
all steps with few networks and images. It requires ``-o``, because its numbers are meaningless. Results are the same
each time on one machine, and differ between machines by as much as rounding changes the training of networks.
``rewrite.py`` rewrites text and picture from the numbers.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from machine import cpu_model

import simplugins
from measures.design import BY_SCIKIT_LEARN, DEBIASED, INPUTS, MEAN, MEASURES, OURS, SEMANTIC
from measures.evaluations import Evaluation, evaluate
from measures.hosted import linear_cka
from measures.networks import SEEDS, Population, Size, make_data, train_population
from measures.publishing import FIGURES, RESULTS, publish
from measures.tables import key, titles_of_differences
from measures.training import LAYERS
from simplugins._common.threads import usable_cores

COMMAND = "python benchmarks/measures/report.py"
PACKAGES = ("simplugins", "numpy", "scipy", "numba", "torch", "scikit-learn", "rsatoolbox", "torchmetrics")
QUICK = Size(ordinary=3, others=2, training=100, epochs=1, tested=12, structured=4, resamples=50)
SEEDS_OF_STEPS = {"training images": 0, "test images": 1, "resamples": 2}


class Clock:
    """The duration of each step in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the name of a step and time it."""
        print(f"== {name}", file=sys.stderr, flush=True)
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start


def describe(size: Size) -> dict[str, Any]:
    """Describe the machine and the run."""
    return {
        "command": f"{COMMAND} --quick -o FOLDER" if size == QUICK else COMMAND,
        "date": date.today().isoformat(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "threads": usable_cores(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "size": asdict(size),
        "seeds": ", ".join(f"{name} {seed}" for name, seed in SEEDS_OF_STEPS.items()),
    }


def check(population: Population) -> dict[str, float]:
    """Compare pooled measures with independent ones; the largest differences."""
    first, second = population.responses[SEEDS][:2]
    linear, cosine = [], []
    for layer in LAYERS:
        ours = [simplugins.compute_rsm(each[layer], "mean-pooled-linear") for each in (first, second)]
        theirs = linear_cka(*(each[layer].astype(np.float64).mean((2, 3)) for each in (first, second)))
        linear.append(abs(simplugins.compare(ours[0], ours[1], "cka") - theirs))
        rsms = [simplugins.compute_rsm(first[layer], MEASURES[name]) for name in (MEAN, BY_SCIKIT_LEARN)]
        cosine.append(np.abs(rsms[0].values - rsms[1].values).max())
    return {"linear CKA": float(max(linear)), "cosine": float(max(cosine))}


def differences(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Return semantic minus each control, by title of the relation and name of the control."""
    return {
        title: {
            name: evaluation.difference(
                column, *((measure, "" if column == INPUTS else DEBIASED) for measure in (SEMANTIC, name))
            )
            for name in OURS
            if name != SEMANTIC
        }
        for title, column in titles_of_differences().items()
    }


def run(size: Size, folder: Path, figure_folder: Path) -> Path:
    """Run all steps, and return the path of the report."""
    clock = Clock()
    with clock.step("training"):
        data = make_data(size, SEEDS_OF_STEPS["test images"])
        population = train_population(size, data, SEEDS_OF_STEPS["training images"])
    evaluation = evaluate(population, size, SEEDS_OF_STEPS["resamples"], clock.step)
    summary = {
        **describe(size),
        "accuracies": dict(population.accuracies),
        "estimates": evaluation.estimates(),
        "differences": differences(evaluation),
        "levels": {key(row): values for row, values in evaluation.levels.items()},
        "checks": check(population),
        "seconds": clock.seconds,
        "processor_seconds": process_time(),
    }
    return publish(summary, folder, figure_folder)


def main() -> None:
    """Read the options, run all steps and print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder for all files, including the picture")
    parser.add_argument("--quick", action="store_true", help="use few networks and images; requires -o")
    options = parser.parse_args()
    if options.quick and options.output is None:
        parser.error("--quick requires a folder (-o), because its numbers are meaningless")
    folder, figure_folder = (RESULTS, FIGURES) if options.output is None else (options.output, options.output)
    print(run(QUICK if options.quick else Size(), folder, figure_folder).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
