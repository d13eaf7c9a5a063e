# SPDX-License-Identifier: Apache-2.0
"""Plugins of an installed distribution work in every function and command, with every option of simplugins.

The distribution is the plugin template of the docs. Each table crosses the functions that accept a kind of plugin with
the options that stand in their signatures. What a plugin cannot do raises a ValueError or TypeError of simplugins.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from itertools import product

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import simplugins
from simplugins import comparisons, evaluation, plugins
from simplugins.cli import app

pytestmark = pytest.mark.usefixtures("third_party")

N, S, C = 8, 6, 5
RNG = np.random.default_rng(0)
X, Y, OTHER = (RNG.uniform(0.1, 1, size=(count, S, C)).astype(np.float32) for count in (N, N, 3))
MASK = RNG.random((N, S)) < 0.8
MASK[:, 0] = True
LABELS = list("abcdefgh")
SUBSET = [5, 0, 3, 1, 2, 6]
PLACES = np.arange(2 * N).reshape(N, 2)


@pytest.fixture(scope="module")
def client():
    """A cluster of one worker in this process, which sees the installed distribution."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(silence_logs=50, **options) as cluster, distributed.Client(cluster) as client:
        yield client


OPTIONS = {
    "nothing": None,
    "labels": LABELS,
    "mask": MASK,
    "subset": SUBSET,
    "other": OTHER,
    "dtype": np.float64,
    "memory": "16GB",
    "store": "run.zarr",
    "scheduler": "client",
    "threads": 1,
    "progress": True,
}


def options_of(option, request, tmp_path):
    """Return the keyword arguments for one column of a table."""
    if option == "nothing":
        return {}
    value = OPTIONS[option]
    if option == "store":
        value = tmp_path / value
    if option == "scheduler":
        value = request.getfixturevalue(value)
    return {option: value}


def crossed(functions, *objects):
    """Return all functions, by name, with each option in their signature and a plugin by name; and with plugin objects.

    Plugins as objects take the same path as plugins by name, so they go without options.
    """
    by_name = [
        (name, option, "name")
        for name, option in product(functions, OPTIONS)
        if option == "nothing" or option in inspect.signature(functions[name][0]).parameters
    ]
    return by_name + [(name, "nothing", form) for name, form in product(functions, objects)]


def check_finite(result):
    """Check the numbers in a result of any function."""
    if isinstance(result, dict):
        for value in result.values():
            check_finite(value)
    elif isinstance(result, simplugins.Comparison | simplugins.RSM):
        assert np.isfinite(np.asarray(result.values)).all()
    elif isinstance(result, float | np.ndarray):
        assert np.isfinite(result).all()
    else:
        assert result is not None


# Measures.


def pooled_cosine(x, y):
    """The measure of the template, independently: x and y are lists of sets."""
    first, second = (np.array([np.mean(vectors, axis=0, dtype=np.float64) for vectors in side]) for side in (x, y))
    return first @ second.T / np.linalg.norm(first, axis=1)[:, None] / np.linalg.norm(second, axis=1)


MEASURE_FUNCTIONS = {
    "compute_rsm": (simplugins.compute_rsm, lambda m, **options: simplugins.compute_rsm(X, m, **options)),
    "compute_rsms": (
        simplugins.compute_rsms,
        lambda m, **options: simplugins.compute_rsms(X, [m], **options),
    ),
    "compare_layers": (
        simplugins.compare_layers,
        lambda m, **options: simplugins.compare_layers({"a": X, "b": Y}, {"c": Y}, measure=m, **options),
    ),
    "similarity": (
        simplugins.similarity,
        lambda m, **options: simplugins.similarity(m, "cka-debiased", **options)(X, Y),
    ),
    "estimate_cka": (
        simplugins.estimate_cka,
        lambda m, **options: simplugins.estimate_cka(X, Y, measure=m, batch_size=4, batches=7, **options).value,
    ),
    "estimate": (
        simplugins.estimate,
        lambda m, **options: simplugins.estimate(N, S, C, measure=m, seconds=0.1, **options).seconds,
    ),
    "estimate_for": (
        simplugins.estimate_for,
        lambda m, **options: simplugins.estimate_for(X, measure=m, seconds=0.1, **options).seconds,
    ),
    "translation": (
        evaluation.translation,
        lambda m, **options: evaluation.translation({"a": X}, PLACES, measures=[m], **options).similarities,
    ),
}


@pytest.mark.parametrize(("function", "option", "form"), crossed(MEASURE_FUNCTIONS, "function", "dataclass"))
def test_a_measure_works_in_every_function_with_every_option(function, option, form, request, tmp_path, capsys):
    module = import_module("my_plugins.measures")
    measure = {"name": "pooled-cosine", "function": module.pooled_cosine, "dataclass": module.Polynomial(3)}[form]
    check_finite(MEASURE_FUNCTIONS[function][1](measure, **options_of(option, request, tmp_path)))


@pytest.mark.parametrize("option", [option for _, option, _ in crossed({"": MEASURE_FUNCTIONS["compute_rsm"]})])
def test_the_rsm_of_a_measure_equals_the_oracle(option, request, tmp_path):
    rsm = simplugins.compute_rsm(X, "pooled-cosine", **options_of(option, request, tmp_path))
    rows = SUBSET if option == "subset" else range(N)
    sets = [X[i][MASK[i]] if option == "mask" else X[i] for i in rows]
    np.testing.assert_allclose(rsm.values, pooled_cosine(sets, OTHER if option == "other" else sets), rtol=1e-5)
    assert rsm.measure == "pooled-cosine"
    expected = {"labels": LABELS, "subset": SUBSET}.get(option)
    assert (None if rsm.labels is None else list(rsm.labels)) == expected


def test_options_of_a_measure(tmp_path):
    flat = X.reshape(N, -1).astype(np.float64)
    expected = (1 + flat @ flat.T / flat.shape[1]) ** 4
    rsm = simplugins.compute_rsm(X, "polynomial", measure_options={"degree": 4}, store=tmp_path / "run.zarr")
    np.testing.assert_allclose(rsm.values, expected, rtol=1e-5)
    with pytest.raises(TypeError, match=r"'degre'.*'degree'"):
        simplugins.compute_rsm(X, "polynomial", measure_options={"degre": 4})
    with pytest.raises(TypeError, match=r"'pooled-cosine'.*'degree'"):
        simplugins.compute_rsm(X, "pooled-cosine", measure_options={"degree": 4})
    with pytest.raises(ValueError, match=r"positions"):
        simplugins.compute_rsm(X, "polynomial", mask=MASK)


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda m: simplugins.compute_rsm(X, m, matching="greedy"), "matching"),
        (lambda m: simplugins.compute_rsm(X, m, certify=True), "certify"),
        (lambda m: simplugins.compute_rsm(X, m, sigma=2.0), "sigma"),
        (lambda m: simplugins.compute_rsm(X, m, precision="float32"), "precision"),
        (lambda m: simplugins.compare_layers({"a": X}, measure=m, matching="greedy"), "matching"),
        (lambda m: simplugins.similarity(m, "cka-debiased", sigma=2.0)(X, Y), "sigma"),
        (lambda m: simplugins.estimate_cka(X, Y, measure=m, matching="greedy", batch_size=4), "matching"),
        (lambda m: simplugins.estimate_for(X, measure=m, certify=True), "certify"),
        (lambda m: simplugins.search(X, measure=m), "search"),
        (lambda m: simplugins.semantic_rsm(import_module("torch").ones(3, 2, 2), m), "measure"),
    ],
)
def test_a_measure_that_cannot_do_something_raises(call, parameter):
    with pytest.raises((ValueError, TypeError), match=rf"{parameter}.*'pooled-cosine'|'pooled-cosine'.*{parameter}"):
        call("pooled-cosine")


# Matchings.

MATCHING_FUNCTIONS = {
    name: (function, lambda m, call=call, **options: call("semantic-rbf", matching=m, **options))
    for name, (function, call) in MEASURE_FUNCTIONS.items()
    if name != "compute_rsms"
} | {
    "compute_rsms": (simplugins.compute_rsms, lambda m, **options: simplugins.compute_rsms(X, matching=m, **options)),
    "search": (simplugins.search, lambda m, **options: simplugins.search(X, k=2, matching=m, **options).similarities),
    "match": (simplugins.match, lambda m, **options: simplugins.match(X[0], Y[0], m, **options).value),
}


@pytest.mark.parametrize(("function", "option", "form"), crossed(MATCHING_FUNCTIONS, "object"))
def test_a_matching_works_in_every_function_with_every_option(function, option, form, request, tmp_path, capsys):
    matching = import_module("my_plugins.matchings").InOrderOfNorm() if form == "object" else "in-order-of-norm"
    check_finite(MATCHING_FUNCTIONS[function][1](matching, **options_of(option, request, tmp_path)))


def test_the_rsm_of_a_matching_equals_the_oracle():
    def in_order_of_norm(vectors):
        return vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")].astype(np.float64)

    expected = [[(in_order_of_norm(x) * in_order_of_norm(y)).sum() for y in OTHER] for x in X]
    rsm = simplugins.compute_rsm(X, "semantic-linear", other=OTHER, matching="in-order-of-norm", certify=True)
    np.testing.assert_allclose(rsm.values, expected, rtol=1e-5)
    assert (np.asarray(rsm.gap) >= 0).all()


# Comparisons.

RSM_A, RSM_B = (simplugins.RSM.from_similarities(side.reshape(N, -1) @ side.reshape(N, -1).T) for side in (X, Y))
COMPARISON_CALLS = {
    "compare": lambda m: simplugins.compare(RSM_A, RSM_B, m),
    "pairwise": lambda m: comparisons.pairwise(m, [RSM_A, RSM_B]),
    "compare_layers": lambda m: simplugins.compare_layers({"a": X}, {"b": Y, "c": X}, m, measure="pooled-cosine"),
    "similarity": lambda m: simplugins.similarity("pooled-cosine", m)(X, Y),
    "permutation_test": lambda m: simplugins.permutation_test(RSM_A, RSM_B, m, permutations=19).p_value,
    "bootstrap_interval": lambda m: simplugins.bootstrap_interval(RSM_A, RSM_B, m, resamples=20).value,
    "rank_models": lambda m: simplugins.rank_models(RSM_A, {"b": RSM_B}, m, permutations=19, resamples=20).values,
}


@pytest.mark.parametrize("form", ["name", "function"])
@pytest.mark.parametrize("function", COMPARISON_CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_comparison_works_in_every_function(function, form):
    plugin = import_module("my_plugins.comparisons").mean_absolute_difference
    method = plugin if form == "function" else "mean-absolute-difference"
    check_finite(COMPARISON_CALLS[function](method))


def test_the_value_of_a_comparison_equals_the_oracle():
    expected = np.abs(np.asarray(RSM_A.values) - np.asarray(RSM_B.values)).mean()
    assert simplugins.compare(RSM_A, RSM_B, "mean-absolute-difference") == pytest.approx(expected)
    similarity = simplugins.similarity("pooled-cosine", "mean-absolute-difference")
    assert similarity.larger_is_more_similar is False
    assert similarity.is_symmetric is True


# Adapters.


def test_an_adapter_works_by_name_and_in_results():
    rows = simplugins.to_tool("nested-lists", RSM_A)
    assert rows == RSM_A.to("nested-lists") == simplugins.adapter("nested-lists").to(RSM_A)
    assert simplugins.to_tool("nested-lists", {"a": RSM_A, "b": RSM_A}) == {"a": rows, "b": rows}
    back = simplugins.from_tool("nested-lists", rows, labels=LABELS)
    np.testing.assert_array_equal(back.values, RSM_A.values)
    assert list(back.labels) == LABELS


@pytest.mark.parametrize("item", ["similarity", "comparison"])
def test_an_adapter_that_cannot_carry_something_raises(item):
    items = {"similarity": simplugins.similarity(), "comparison": simplugins.compare_layers({"a": X}, {"b": Y})}
    with pytest.raises(TypeError, match=rf"nested lists.*{item!r}.*'rsm'"):
        simplugins.to_tool("nested-lists", items[item])


@pytest.mark.parametrize("tool", [plugin.name for plugin in plugins.available("simplugins.adapters")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_results_of_a_measure_go_to_every_tool(tool):
    adapter = simplugins.adapter(tool)
    if not adapter.available():
        pytest.skip(str(adapter.available()))
    if tool == "thingsvision":
        pytest.importorskip("torchtyping", reason="thingsvision is installed without its dependencies")
    options = {"estimator": "SVC"} if tool == "scikit-learn" else {}
    items = {
        "rsm": simplugins.compute_rsm(X, "pooled-cosine", labels=LABELS),
        "comparison": simplugins.compare_layers({"a": X, "b": Y}, {"c": Y}, measure="pooled-cosine"),
        "similarity": simplugins.similarity("pooled-cosine", "cka"),
    }
    for kind in set(adapter.capabilities()) & set(items):
        assert adapter.to(items[kind], **(options if kind == "rsm" else {})) is not None


# The command line.


@pytest.fixture
def files(tmp_path):
    for name, array in {"x": X, "y": Y, "other": OTHER, "mask": MASK}.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "layers.npz", a=X, b=Y)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    return tmp_path


COMMANDS = {
    "rsm": ["rsm", "x.npy", "-o", "rsm.npz"],
    "compare": ["compare", "layers.npz", "-o", "layers.csv"],
    "estimate": ["estimate", "x.npy", "--seconds", "0.1"],
}
PLUGIN_ARGUMENTS = {
    "measure": ["-m", "pooled-cosine"],
    "matching": ["--matching", "in-order-of-norm"],
    "method": ["--method", "mean-absolute-difference"],
}
COMMAND_OPTIONS = {
    "nothing": [],
    "labels": ["--labels", "labels.txt"],
    "mask": ["--mask", "mask.npy"],
    "subset": ["--subset", "6"],
    "other": ["--other", "other.npy"],
    "dtype": ["--dtype", "float64"],
    "memory": ["--memory", "8GB"],
    "store": ["--store", "run.zarr"],
    "threads": ["--threads", "1"],
}


def accepted(command):
    """Return the names of the parameters of a command."""
    return {parameter.name for parameter in get_command(app).commands[command].params}


@pytest.mark.parametrize(
    ("command", "plugin", "option"),
    [
        (command, plugin, option)
        for command, plugin, option in product(COMMANDS, PLUGIN_ARGUMENTS, COMMAND_OPTIONS)
        if plugin in accepted(command) and (option == "nothing" or option in accepted(command))
    ],
)
def test_plugins_work_in_every_command_with_every_option(files, monkeypatch, command, plugin, option):
    monkeypatch.chdir(files)
    arguments = [*COMMANDS[command], *PLUGIN_ARGUMENTS[plugin], *COMMAND_OPTIONS[option]]
    if option == "store":
        arguments = [argument for argument in arguments if argument not in ("-o", "rsm.npz")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


def test_commands_name_plugins_that_cannot_do_something(files, monkeypatch):
    monkeypatch.chdir(files)
    result = CliRunner().invoke(app, [*COMMANDS["rsm"], "-m", "pooled-cosine", "--certify"])
    assert result.exit_code == 2
    assert "pooled-cosine" in result.output
    assert "Traceback" not in result.output
