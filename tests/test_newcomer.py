# SPDX-License-Identifier: Apache-2.0
"""The README and the pages of docs: commands parse, code runs, and links lead to existing files and headings."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pytest
import typer.main
from matplotlib import pyplot

import simplugins
from simplugins import plugins
from simplugins.cli import app

ROOT = Path(__file__).parent.parent
README, ADAPTERS = ROOT / "README.md", ROOT / "adapters" / "README.md"
QUICK_START, GUIDE, SCALE, COST = (ROOT / "docs" / f"{name}.md" for name in ("quickstart", "guide", "scale", "cost"))
TOOLS = sorted((ROOT / "docs" / "tools").glob("*.md"))
SITE = sorted(
    path for folder in ("tutorials", "how-to", "explanation", "gallery") for path in ROOT.glob(f"docs/{folder}/*.md")
)
PAGES = [
    README,
    ADAPTERS,
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *ROOT.glob("docs/*.md"),
    *TOOLS,
    *SITE,
]


def read(path):
    return path.read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def prose(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    headings = re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run_code(path, *, name=None):
    """Run the code of a page as a module, so that functions defined there can be pickled, and return its names."""
    module = ModuleType(name or f"page_{path.stem}")
    if name is None:
        sys.modules[module.__name__] = module
    for block in blocks(read(path), "python"):
        exec(block.replace('memory="2GB"', 'memory="16GB"'), vars(module))  # a long test run occupies more than 2 GB
    return vars(module)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Run in an empty folder, without opening windows for figures."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    yield
    pyplot.close("all")


def test_readme_has_two_set_up_commands_of_one_line():
    section = read(README).split("## Set up")[1].split("\n## ")[0]
    run, test = blocks(section, "sh")
    assert run.count("\n") == test.count("\n") == 1
    assert run.rstrip().endswith("simplugins demo")
    assert test.rstrip().endswith("pytest")


def test_files_and_extras_in_commands_exist():
    assert (ROOT / "constraints.txt").is_file()
    extras = set(re.findall(r"\.\[(\w+)\]", read(README)))
    assert {"test", "docs"} <= extras
    assert len(read(README).splitlines()) < 120
    extras |= {extra for path in [GUIDE, *TOOLS] for extra in re.findall(r"simplugins\[([\w-]+)\]", read(path))}
    project = read(ROOT / "pyproject.toml")
    assert all(f"\n{extra} = [" in project for extra in extras)


def simplugins_commands():
    texts = map(read, (README, ROOT / "docs" / "index.md", QUICK_START, GUIDE, SCALE, COST, *TOOLS))
    lines = (line for text in texts for block in blocks(text, "sh") for line in block.splitlines())
    return [line[line.index("simplugins ") :] for line in lines if re.search(r"(^|/)simplugins ", line)]


@pytest.mark.parametrize("line", simplugins_commands())
def test_command_lines_parse(line):
    command = typer.main.get_group(app)
    _, *arguments = shlex.split(line, comments=True)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_existing_files_and_headings(path):
    for target in re.findall(r"\]\(([^)]+)\)", prose(read(path))):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(read(linked)), target


@pytest.mark.usefixtures("workplace")
def test_readme_examples_print_what_they_show():
    (session,) = blocks(read(README), "pycon")
    example = doctest.DocTestParser().get_doctest(session, {}, "README", str(README), 0)
    assert doctest.DocTestRunner().run(example) == (0, 4)


@pytest.mark.usefixtures("workplace")
def test_readme_code_runs(capsys):
    run_code(README)
    shown = capsys.readouterr().out
    assert "cka-debiased" in shown
    assert "score" in shown
    assert Path("page.html").stat().st_size > 50_000


@pytest.mark.usefixtures("workplace")
def test_quick_start_code_runs():
    names = run_code(QUICK_START)
    assert names["values"].shape == (24, 24)
    assert names["pair"].gap < 1e-7


@pytest.mark.usefixtures("workplace")
def test_guide_code_runs(photos):
    names = run_code(GUIDE)
    assert simplugins.compute_rsm(photos["block15"], names["pooled_cosine"]).shape == (24, 24)
    in_order, shifted, optimal = (
        simplugins.compute_rsm(photos["block15"], "semantic-linear", matching=matching).values
        for matching in (names["Sorted"](), names["Shifted"](), "optimal")
    )
    assert (in_order <= optimal + 1e-3).all()
    assert (shifted <= optimal + 1e-3).all()


@pytest.mark.usefixtures("workplace")
def test_code_about_many_inputs_runs():
    names = run_code(SCALE, name="__main__")
    assert names["stored"].shape == names["shared"].shape == (24, 24)
    assert len(names["few"]) == 12
    assert names["result"].low < names["result"].value < names["result"].high


@pytest.mark.usefixtures("workplace")
def test_code_about_cost_runs():
    assert run_code(COST)["cost"].pairs == 5000 * 4999 // 2


def test_code_about_adapters_runs():
    names = run_code(ADAPTERS)
    np.testing.assert_allclose(names["adapter"].to(names["rsm"]), np.sqrt(2))
    np.testing.assert_array_equal(names["again"].values, np.eye(3))


def test_readme_and_guide_advise_the_same_number_to_report():
    advice = read(GUIDE).split("### Which number to report\n\n")[1].split("\n\n")[0]
    assert advice in read(README)


def test_every_tool_has_a_page_in_the_index():
    tools = {
        plugin.name for plugin in plugins.available("simplugins.adapters") if "simplugins_adapters" in plugin.target
    }
    assert {path.stem for path in TOOLS} - {"README"} == tools
    index = read(ROOT / "docs" / "tools" / "README.md")
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", index)) == tools
