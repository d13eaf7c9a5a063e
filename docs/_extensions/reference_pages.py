# SPDX-License-Identifier: Apache-2.0
"""The reference: public names in groups, built-in plugins, and commands, all read from the package.

A public name that no group of `GROUPS` has is listed under "Further names", so nothing is left out.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import click
import typer.main

import simplugins
from simplugins import plugins
from simplugins.cli import app

FOLDER = Path(__file__).parents[1] / "api"

GROUPS = {
    "RSMs": "compute_rsm compute_rsms RSM load_rsm controls Controls estimate estimate_for Estimate "
    "precompile Precompilation",
    "Activations": "record read_activations read_recorded Activations Layout parse_layout partial_labels index_labels",
    "Single pairs": "match Matching share_curve ShareCurve best_shift BestShift",
    "Matchings": "Optimal Auction BatchOptimal Greedy TopKGreedy Partial Identity Matcher BatchMatcher Assignments",
    "Comparing two RSMs": "compare calibrate Calibration permutation_test PermutationTest bootstrap_interval "
    "BootstrapInterval difference_test PairedDifference partial_correlation PartialCorrelation estimate_cka "
    "minibatch_cka CkaEstimate Method",
    "Comparing networks": "compare_layers Comparison load_comparison LayerCalibration LayerIntervals similarity "
    "NetworkSimilarity decouple Decoupling structure Structure",
    "Models against targets": "rank_models ModelRanking noise_ceiling NoiseCeiling crossvalidate CrossValidation",
    "Reports and training": "report Report Trajectory",
    "Search": "search Neighbours compare_neighbours",
    "Torch and GPUs": "semantic_similarity semantic_rsm free_gpu_memory",
    "Other tools": "to_tool from_tool adapter Adapter",
}
MODULES = {
    "simplugins.evaluation": "Evaluation",
    "simplugins.recording": "Recording",
    "simplugins.testing": "Checks for authors of plugins",
    "simplugins.plugins": "The registry of plugins",
    "simplugins.comparisons": "Building blocks of comparisons",
}
"""Modules whose further public names are listed."""
ELSEWHERE = ["simplugins.data.load_photos"]


def title(text: str, line: str = "-") -> str:
    """Return a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}\n"


def summary(names: list[str]) -> str:
    """Return a table of names with the first sentence of each, and a page for each."""
    return "\n".join([".. autosummary::", "   :toctree:", "", *(f"   {name}" for name in names)]) + "\n"


def public_names() -> str:
    """Return the page of all public names."""
    groups = {group: [f"simplugins.{name}" for name in names.split()] for group, names in GROUPS.items()}
    listed = {name for names in groups.values() for name in names}
    top = {f"simplugins.{name}": getattr(simplugins, name) for name in simplugins.__all__}
    if unknown := listed - set(top):
        raise ValueError(f"reference_pages.py lists names that are not public: {sorted(unknown)}")
    known = {id(value) for value in top.values()}
    if more := sorted(name for name in set(top) - listed if not inspect.ismodule(top[name]) and "__" not in name):
        groups["Further names"] = more
    for module, group in MODULES.items():
        loaded = importlib.import_module(module)
        groups[group] = [f"{module}.{name}" for name in loaded.__all__ if id(getattr(loaded, name)) not in known]
    groups["Bundled data"] = ELSEWHERE
    sections = [title(group) + "\n" + summary(names) for group, names in groups.items() if names]
    return title("Public names", "=") + "\n" + "\n".join(sections)


def built_in_plugins() -> str:
    """Return the page of the plugins that the package declares."""
    parts = ["# Built-in plugins\n", "Names that functions and commands take, by entry-point group.\n"]
    for group in plugins.GROUPS:
        parts += [f"## {group.rpartition('.')[2].capitalize()}\n", f"Entry-point group `{group}`.\n"]
        parts += ["| name | |", "|---|---|"]
        for plugin in plugins.available(group):
            if plugin.target.startswith(("simplugins.", "simplugins_adapters.")):
                parts.append(f"| `{plugin.name}` | {first_sentence(plugin)} |")
        parts.append("")
    return "\n".join(parts)


def first_sentence(plugin) -> str:
    """Return what a plugin says of itself."""
    value = plugins.load(plugin.group, plugin.name)
    text = getattr(value, "description", None) or inspect.getdoc(value) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def commands() -> str:
    """Return the page of all commands and their options."""
    group = typer.main.get_group(app)
    parts = ["# Commands\n", "`simplugins COMMAND --help` prints the same.\n"]

    def add(command, name: str, depth: int) -> None:
        with click.Context(command, info_name=name) as context:
            parts.extend([f"{'#' * depth} `{name}`\n", inspect.cleandoc(command.help or "").split("\f")[0] + "\n"])
            usage = " ".join(command.collect_usage_pieces(context))
            parts.append(f"```text\n{name} {usage}\n```\n")
            rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
            if rows:
                parts.extend(["| option | |", "|---|---|"])
                parts.extend(f"| `{cell(option)}` | {cell(text)} |" for option, text in rows)
                parts.append("")
        for inner, child in getattr(command, "commands", {}).items():
            add(child, f"{name} {inner}", depth + 1)

    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            add(command, f"simplugins {name}", 2)
    return "\n".join(parts)


def cell(text: str) -> str:
    """Return a text as it may stand in the cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def setup(app):
    """Write the pages; `repository_pages` has emptied their folder."""
    FOLDER.mkdir(exist_ok=True)
    pages = {"index.rst": public_names(), "plugins.md": built_in_plugins(), "commands.md": commands()}
    for name, text in pages.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
