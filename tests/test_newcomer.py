# SPDX-License-Identifier: Apache-2.0
"""What a newcomer reads works: the commands of the README exist, and its code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import typer.main
from matplotlib import pyplot

from simplugins import plugins
from simplugins.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
ADAPTERS = (ROOT / "adapters" / "README.md").read_text(encoding="utf-8")
LONG_RUNS = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("scale.md", "cost.md")]
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "tools").glob("*.md"))}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_there_are_exactly_two_set_up_commands_of_one_line_each():
    section = README.split("## Set up")[1].split("\n## ")[0]
    run, test = blocks(section, "sh")
    assert run.count("\n") == test.count("\n") == 1
    assert run.rstrip().endswith("simplugins demo")
    assert test.rstrip().endswith("pytest")


def test_the_files_that_the_commands_name_are_there():
    assert (ROOT / "constraints.txt").is_file()
    extras = set(re.findall(r"\.\[(\w+)\]", README))
    assert extras == {"test", "cuda12", "cuda13"}
    extras |= {extra for text in PAGES.values() for extra in re.findall(r"simplugins\[([\w-]+)\]", text)}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in project for extra in extras)


def simplugins_commands():
    lines = (
        line
        for text in (README, GUIDE, *LONG_RUNS, *PAGES.values())
        for block in blocks(text, "sh")
        for line in block.splitlines()
    )
    return [line[line.index("simplugins ") :] for line in lines if re.search(r"(^|/)simplugins ", line)]


@pytest.mark.parametrize("line", simplugins_commands())
def test_every_command_line_parses(line):
    command = typer.main.get_group(app)
    _, *arguments = shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name, arguments)


def test_pictures_and_links_lead_somewhere():
    pages = {README: ROOT, GUIDE: ROOT / "docs", ADAPTERS: ROOT / "adapters"}
    pages |= {text: path.parent for path, text in PAGES.items()} | dict.fromkeys(LONG_RUNS, ROOT / "docs")
    for text, folder in pages.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        targets = [t for t in re.findall(r"\]\(([^)#]+)\)", prose) if not t.startswith("http")]
        for target in targets:
            assert (folder / target).exists(), target


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names = {}
    for block in blocks(README, "python"):
        exec(block, names)
    pyplot.close("all")
    assert names["values"].shape == (24, 24)
    assert names["pair"].gap < 1e-7


def test_the_code_of_the_guide_runs(photos, tmp_path, monkeypatch):
    import simplugins

    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names = {}
    for block in blocks(GUIDE, "python"):
        exec(block, names)
    pyplot.close("all")
    assert names["pooled_cosine"](photos["block15"]).shape == (24, 24)
    rsms = [
        simplugins.compute_rsm(photos["block15"], "semantic-linear", matching=matching).values
        for matching in (names["Sorted"](), names["Shifted"](), "optimal")
    ]
    assert (rsms[0] <= rsms[2] + 1e-3).all()
    assert (rsms[1] <= rsms[2] + 1e-3).all()


@pytest.mark.parametrize("page", LONG_RUNS, ids=["scale", "cost"])
def test_the_code_about_long_runs_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        exec(block, names)
    if "stored" in names:
        assert names["stored"].shape == names["shared"].shape == (24, 24)
        assert len(names["few"]) == 12
        assert names["found"].low < names["found"].value < names["found"].high


def test_the_code_about_adapters_runs():
    names = {}
    for block in blocks(ADAPTERS, "python"):
        exec(block, names)
    carried = names["adapter"].to(names["rsm"])
    np.testing.assert_allclose(carried, np.sqrt(2))
    np.testing.assert_array_equal(names["again"].values, np.eye(3))


def test_every_tool_has_a_page_and_is_listed():
    tools = {
        plugin.name for plugin in plugins.available("simplugins.adapters") if "simplugins_adapters" in plugin.target
    }
    assert {path.stem for path in PAGES} - {"README"} == tools
    index = PAGES[ROOT / "docs" / "tools" / "README.md"]
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", index)) == tools
