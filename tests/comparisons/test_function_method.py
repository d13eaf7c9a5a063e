# SPDX-License-Identifier: Apache-2.0
"""`resolve_method`: methods by name and as objects, and the facts that plain functions and dataclasses declare."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from comparison_data import METHODS, Closeness, looped, related_grams, stacks
from wheels import build_wheel, pip_install

from simplugins import plugins
from simplugins.comparisons import compare, pairwise, resolve_method
from simplugins.comparisons.kendall import tau_b

GROUP = "simplugins.comparisons"


def test_every_plugin_has_its_name():
    names = {plugin.name for plugin in plugins.available(GROUP)}
    assert names >= {*(method.name for method in METHODS), "rsa-kendall"}
    for method in METHODS:
        assert resolve_method(method.name) is method
        assert resolve_method(method) is method
    assert resolve_method("rsa-kendall") is tau_b


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match=r"'rsa-speerman'.*\brsa-spearman\b"):
        compare(*related_grams(), "rsa-speerman")


@pytest.mark.parametrize("method", [3, None, ("cka",)])
def test_objects_that_cannot_be_called_are_refused(method):
    with pytest.raises(TypeError, match=rf"method\b.*\b{type(method).__name__}\b"):
        compare(*related_grams(), method)


def test_functions_with_the_wrong_parameters_are_refused():
    with pytest.raises(TypeError, match=r"method '<lambda>'.*\(a, b\)"):
        resolve_method(lambda a: 0)
    with pytest.raises(TypeError, match=r"method '<lambda>'.*\bscale\b"):
        resolve_method(lambda a, b, *, scale: 0)


def test_plain_functions_declare_nothing():
    method = resolve_method(lambda a, b: 0.0)
    facts = ("larger_is_more_similar", "range", "is_symmetric", "is_metric", "invariances")
    assert [getattr(method, fact) for fact in facts] == [None] * 5
    assert method.least_inputs == 2


@pytest.mark.parametrize("plugin", [Closeness, Closeness(), Closeness(power=2)], ids=repr)
def test_dataclasses_of_options_declare_their_facts(plugin):
    method = resolve_method(plugin)
    assert method.name == "closeness"
    assert method.larger_is_more_similar is True
    assert method.range == (-np.inf, 0)
    assert (method.least_inputs, method.is_symmetric, method.is_metric) == (3, True, None)
    assert method.invariances == {"constant"}
    a, b = related_grams()
    power = getattr(plugin, "power", 1.0)
    assert compare(a, b, plugin) == method(a, b) == pytest.approx(-(np.ptp(a - b) ** power))


def test_options_are_checked_by_name():
    assert resolve_method(Closeness, {"power": 3.0}).function == Closeness(power=3.0)
    with pytest.raises(TypeError, match=r"'closeness'.*'powr'.*'power'"):
        resolve_method(Closeness, {"powr": 3.0})
    with pytest.raises(TypeError, match=r"'closeness'.*'power'"):
        resolve_method(Closeness(), {"power": 3.0})


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("larger_is_more_similar", "yes"),
        ("is_metric", 1),
        ("least_inputs", 0),
        ("range", 3),
        ("range", (0, 1, 2)),
        ("range", (1, 0)),
        ("invariances", ("rotation",)),
    ],
)
def test_impossible_facts_are_refused(fact, value):
    def overlap(a, b):
        return (a * b).sum()

    setattr(overlap, fact, value)
    with pytest.raises(ValueError, match=rf"\b{fact[:9]}.*'?overlap'?|'overlap'.*\b{fact[:9]}"):
        resolve_method(overlap)


def test_symmetric_functions_are_called_once_per_pair():
    calls = []

    def overlap(a, b):
        calls.append(1)
        return (a * b).sum()

    a, b = stacks()
    expected = looped(overlap, a, a)
    np.testing.assert_array_equal(pairwise(overlap, a, b), looped(overlap, a, b))
    calls.clear()
    np.testing.assert_array_equal(pairwise(overlap, a), expected)
    assert len(calls) == 9
    calls.clear()
    overlap.is_symmetric = True
    np.testing.assert_allclose(pairwise(overlap, a), expected)
    assert len(calls) == 6


def test_functions_receive_float64_arrays_and_must_return_a_number():
    def typed(a, b):
        assert type(a) is np.ndarray
        assert a.dtype == b.dtype == np.float64
        return torch.tensor(2.5)

    a, b = related_grams()
    value = compare(a.astype(np.float32), torch.from_numpy(b), typed)
    assert value == 2.5
    assert type(value) is float
    with pytest.raises(TypeError, match=r"'<lambda>'.*\bndarray\b"):
        compare(a, b, lambda a, b: a)
    with pytest.raises(TypeError, match=r"'<lambda>'.*\bstr\b"):
        compare(a, b, lambda a, b: "much")
    with pytest.raises(TypeError, match=r"'<lambda>'.*masked"):
        compare(a, b, lambda a, b: np.ma.masked)
    with pytest.raises(TypeError, match=r"method '<lambda>': can't multiply"):
        compare(a, b, lambda a, b: "a" * "b")
    assert compare(a, b, lambda a, b: torch.tensor(2.5, requires_grad=True)) == 2.5


def test_functions_may_change_their_arguments():
    def spoiling(a, b):
        a -= a.mean()
        b *= 0
        return a.sum()

    a, b = related_grams()
    before = a.copy(), b.copy()
    compare(a, b, spoiling)
    np.testing.assert_array_equal((a, b), before)


def test_functions_may_compare_matrices_that_are_not_symmetric():
    matrix = np.arange(9.0).reshape(3, 3)
    assert compare(matrix, matrix, lambda a, b: (a * b).sum()) == 204


PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Trace:
    power: float = 1.0
    larger_is_more_similar = True

    def __call__(self, a, b):
        return (a * b).sum() ** self.power
"""


def test_an_installed_class_is_instantiated_and_has_the_name_of_its_entry_point(tmp_path):
    modules = {"trace_comparison": PLUGIN}
    wheel = build_wheel(tmp_path, "tr-comparison", "1.0", {"trace": "trace_comparison:Trace"}, modules, group=GROUP)
    subprocess.run(pip_install(tmp_path / "site", wheel), check=True)
    code = (
        "import numpy as np, simplugins\n"
        "one = np.eye(3)\n"
        "print(simplugins.compare(one, one, 'trace'))\n"
        "print(simplugins.comparisons.pairwise('trace', [one]).item())\n"
        "print(repr(simplugins.compare_layers({'one': np.eye(3)}, method='trace')))\n"
        "print(simplugins.permutation_test(one, one, 'trace', permutations=3))\n"
        "print(simplugins.similarity(method='trace'))\n"
    )
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "3.0",
        "3.0",
        "Comparison trace (power=1.0): 1 x 1 layers, 3 inputs",
        "PermutationTest trace (power=1.0) 3: p = 1 (greater, 3 permutations)",
        "NetworkSimilarity semantic-cosine-trace (power=1.0)",
    ], done.stderr
