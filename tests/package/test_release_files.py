# SPDX-License-Identifier: Apache-2.0
"""Versions and requirements are the same in every file that states them."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import simplugins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (.*)$"),
        ("recipe/recipe.yaml", r"^  version: (.*)$"),
        ("CHANGELOG.md", r"^## \[(.*?)\]"),
    ],
)
def test_the_version_is_that_of_the_package(name, pattern):
    assert re.search(pattern, read(name), flags=re.MULTILINE)[1] == simplugins.__version__


def test_the_conda_recipe_requires_what_the_package_requires():
    section = read("recipe/recipe.yaml").split("  run:\n")[1].split("\n\n")[0]
    required = {line.strip().removeprefix("- ").replace(" ", "") for line in section.splitlines()}
    names = {name.replace("matplotlib", "matplotlib-base") for name in PROJECT["dependencies"]}
    assert required == names | {f"python{PROJECT['requires-python']}"}


def test_the_citation_prefers_the_paper_that_the_project_links():
    preferred = read("CITATION.cff").split("preferred-citation:")[1]
    assert PROJECT["urls"]["Paper"] in preferred
    assert "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" in preferred


def test_tested_versions_of_python_are_those_of_the_classifiers():
    matrix = re.search(r"python: \[(.*)\]", read(".github/workflows/tests.yml"))[1]
    versions = re.findall(r'"([\d.]+)"', matrix)
    declared = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
    assert versions == declared
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_links_of_the_guide_for_contributors_lead_to_files():
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read("CONTRIBUTING.md"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("source", [None, "https://host.example/simplugins/"])
def test_the_readme_on_pypi_has_no_relative_links(source):
    convert = runpy.run_path(str(ROOT / ".ci" / "pypi_readme.py"))["readme_for_pypi"]
    text = convert(read("README.md"), "1.2.3", source)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert text.count("## ") == read("README.md").count("## ")
    if source is None:
        assert "![" not in text
        assert "benchmarks/paper/report.py`, AMD EPYC" in text
    else:
        assert "(https://host.example/simplugins/raw/v1.2.3/docs/images/" in text
        assert "(https://host.example/simplugins/blob/v1.2.3/docs/quickstart.md)" in text
