# SPDX-License-Identifier: Apache-2.0
"""The entry-point group that any suite may read: our registrations in it, and our reader of other packages'."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from simplugins_adapters import neutral_measures
from simplugins_adapters.neutral_measures import GROUP, NeutralMeasure, read_measures
from wheels import build_wheel, pip_install

import simplugins
from simplugins import plugins

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "neutral-measures.md"
X, Y = np.random.default_rng(0).normal(size=(2, 14, 6, 4))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with two third-party distributions: the page's example with a broken measure, and a copy of a name."""
    folder = tmp_path_factory.mktemp("neutral")
    (code,) = [block for block in blocks("python") if "def mean_distance" in block]
    good = build_wheel(
        folder,
        "other-suite",
        "1.0",
        {
            "mean-distance": "other_suite:mean_distance",
            "absent": "other_suite:absent",
            "no-fact": "other_suite:no_fact",
        },
        {"other_suite": code + "\n\ndef no_fact(x, y):\n    return 0.0\n\n\nno_fact.range = 'wide'\n"},
        group=GROUP,
    )
    twin = build_wheel(
        folder,
        "twin-suite",
        "2.0",
        {"mean-distance": "twin_suite:constant"},
        {"twin_suite": "def constant(x, y):\n    return 7\n"},
        group=GROUP,
    )
    subprocess.run(pip_install(folder / "site", good, twin), check=True)
    return folder / "site"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def run(site, code):
    """Run code in a Python that sees the distributions; what it prints is JSON."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", dedent(code)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_measures_of_other_distributions_are_found_with_their_facts_and_broken_ones_are_named(site):
    result = run(
        site,
        """
        import json, warnings
        import numpy as np
        from simplugins_adapters.neutral_measures import read_measures
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            measures = read_measures()
        x = np.diag([1.0, 2.0, 3.0])
        good = measures["other-suite/mean-distance"]
        print(json.dumps({
            "names": sorted(measures),
            "left out": sorted(str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)),
            "facts": [good.larger_is_more_similar, good.is_symmetric, good.range[0], good.array_dimensions],
            "values": [good(x, x), good(x, 2 * x), measures["twin-suite/mean-distance"](x, x)],
        }))
        """,
    )
    assert result["names"] == ["other-suite/mean-distance", "twin-suite/mean-distance"]
    absent, wide = result["left out"]
    assert "other-suite/absent" in absent
    assert "other-suite/no-fact" in wide
    assert "'wide'" in wide
    assert result["facts"] == [False, True, 0.0, [2]]
    points = np.diag([1.0, 2.0, 3.0])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert result["values"] == pytest.approx([0, distances.mean(), 7])


def test_the_command_that_lists_plugins_names_measures_of_the_group(site):
    listed = run(
        site,
        f"""
        import json
        from simplugins import plugins
        rows = [[s.plugin.distribution, s.plugin.name, s.error] for s in plugins.status({GROUP!r})]
        print(json.dumps([row for row in rows if not row[0].startswith("simplugins")]))
        """,
    )
    assert {name for _, name, _ in listed} == {"mean-distance", "absent", "no-fact"}
    errors = {(distribution, name): error for distribution, name, error in listed}
    assert errors["other-suite 1.0", "absent"]


def test_our_measures_are_those_of_the_group_of_similarities():
    ours = {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.dist.name == "simplugins"}
    assert ours == {entry.name: entry.value for entry in entry_points(group="simplugins.similarities")}
    for name in ours:
        assert plugins.load(GROUP, name) is plugins.load("simplugins.similarities", name)


@pytest.mark.parametrize("name", [entry.name for entry in entry_points(group="simplugins.similarities")])
def test_our_measures_keep_to_the_specification(name):
    measure = read_measures(own=True)[f"simplugins/{name}"]
    value = measure(X, Y)
    assert value == simplugins.similarity(*parts(name))(X, Y)
    assert measure.array_dimensions == (2, 3, 4)
    assert measure.larger_is_more_similar is True
    low, high = measure.range
    assert low <= value <= high
    assert measure.is_symmetric is True
    assert measure(Y, X) == pytest.approx(value)
    assert isinstance(measure(X[:, 0], Y), float)
    least = measure.minimum_inputs
    assert 2 <= least <= len(X)
    with pytest.raises(ValueError, match=str(least)):
        measure(X[: least - 1], Y[: least - 1])


def parts(name):
    method = next(m for m in ("cka-debiased", "rsa-spearman", "mutual-knn") if name.endswith(m))
    return name.removesuffix(f"-{method}"), method


def test_a_neutral_measure_is_a_similarity_for_adapters():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchmetrics")
    measure = NeutralMeasure("suite/measure", lambda x, y: np.float32(0.5), larger_is_more_similar=True)
    metric = simplugins.to_tool("torchmetrics", measure)
    metric.update(*(torch.from_numpy(z[:, 0]) for z in (X, Y)))
    assert float(metric.compute()) == 0.5


@pytest.mark.parametrize(
    ("facts", "arrays", "message"),
    [
        ({}, (X, Y), r"x: .*2 dimensions.*\(14, 6, 4\)"),
        ({"array_dimensions": (2, 3)}, (X, Y[:, :, 0, None, None]), "y: .*2 or 3 dimensions"),
        ({"array_dimensions": (3,)}, (X, Y[:4]), r"y: expected 14\b.*\b4\b"),
        ({"array_dimensions": (3,), "minimum_inputs": 20}, (X, Y), "at least 20"),
    ],
)
def test_arrays_that_a_measure_does_not_take_raise(facts, arrays, message):
    with pytest.raises(ValueError, match=message):
        NeutralMeasure("suite/measure", lambda x, y: 0.0, **facts)(*arrays)


@pytest.mark.parametrize("value", [None, "0.5", np.ones(2), 1j])
def test_other_results_than_a_number_raise(value):
    with pytest.raises(TypeError, match="suite/measure"):
        NeutralMeasure("suite/measure", lambda x, y: value)(X[:, 0], Y[:, 0])


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("larger_is_more_similar", 1),
        ("is_symmetric", "yes"),
        ("range", (1, 0)),
        ("range", 1.0),
        ("array_dimensions", 2),
        ("array_dimensions", (0, 2)),
        ("minimum_inputs", 2.5),
    ],
)
def test_facts_of_other_types_raise(fact, value):
    def measure(x, y):
        return 0.0

    setattr(measure, fact, value)
    with pytest.raises(TypeError, match=fact):
        neutral_measures._measure("suite/measure", measure)


def test_the_page_has_code_that_runs():
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["cka"](names["responses"], names["responses"][:, ::-1]) == pytest.approx(1)


class Entry:
    """An entry point of the group, whose object `load` returns or raises."""

    def __init__(self, name, target, distribution="third", value=None):
        self.name, self.target, self.value = name, target, value or f"third:{name}"
        self.dist = type("Distribution", (), {"name": distribution})

    def load(self):
        if isinstance(self.target, BaseException):
            raise self.target
        return self.target


def number(x, y):
    return float(len(x))


def test_modules_that_end_the_program_do_not_end_the_reader(monkeypatch):
    entries = [Entry("ends", SystemExit(2)), Entry("good", number)]
    monkeypatch.setattr(neutral_measures, "entry_points", lambda group: entries)
    with pytest.warns(RuntimeWarning, match=r"third/ends: SystemExit: 2"):
        assert list(read_measures()) == ["third/good"]


def test_one_name_is_one_measure(monkeypatch):
    entries = [Entry("x/y", number, "a", "one"), Entry("y", max, "a/x", "two"), Entry("x/y", number, "a", "one")]
    monkeypatch.setattr(neutral_measures, "entry_points", lambda group: entries)
    with pytest.warns(RuntimeWarning, match=r"two has the name of one"):
        measures = read_measures()
    assert {name: measure.function for name, measure in measures.items()} == {"a/x/y": number}


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.full((14, 4), np.nan), ValueError, "56"),
        (np.ones((14, 4)) + 1j, TypeError, "complex128"),
        (np.full((14, 4), "a"), TypeError, "<U1"),
        (None, TypeError, "NoneType"),
        (np.ma.masked_less(np.arange(56.0).reshape(14, 4), 3), TypeError, "masked"),
    ],
)
def test_measures_receive_finite_real_numbers(values, error, words):
    measure = NeutralMeasure("third/number", number)
    with pytest.raises(error, match=rf"x: .*{words}"):
        measure(values, np.ones((14, 4)))
    with pytest.raises(error, match=rf"y: .*{words}"):
        measure(np.ones((14, 4)), values)
