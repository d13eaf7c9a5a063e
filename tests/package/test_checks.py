# SPDX-License-Identifier: Apache-2.0
"""Our own plugins pass the checks for authors of plugins, and each kind of mistake fails with its sentence."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import simplugins
from simplugins import plugins, testing

CHECKS = {
    "simplugins.measures": testing.check_measure,
    "simplugins.matchings": testing.check_matcher,
    "simplugins.comparisons": testing.check_comparison,
    "simplugins.similarities": testing.check_similarity,
    plugins.NEUTRAL: lambda name: testing.check_similarity(plugins.load(plugins.NEUTRAL, name)),
    "simplugins.adapters": testing.check_adapter,
}
REQUIRED: dict[str, dict[str, Any]] = {
    "scikit-learn": {"options": {"estimator": "SVC"}},
    "mne-rsa": {"back_options": {"dissimilarity": "complement"}},
    "numpy": {"round_trip": False},
    "thingsvision": {"round_trip": False},
    "partial": {"options": {"share": 0.5}},
}
"""What adapters need to be told to carry an RSM, which of them read back something else, and options of plugins."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("group", "name"), [(group, plugin.name) for group in plugins.GROUPS for plugin in plugins.available(group)]
)
def test_our_plugins_pass(group, name):
    CHECKS[group](name, **REQUIRED.get(name, {}))


# Measures.


def pooled(x, y=None):
    first, second = (np.array([s.mean(axis=0) for s in side.sets()]) for side in (x, y))
    return first @ second.T


def test_a_correct_function_passes():
    testing.check_measure(pooled)


@dataclass(frozen=True)
class Power:
    """A measure with an option and with true facts."""

    exponent: int = 2
    symmetric = True
    positive_semidefinite = True
    effects: ClassVar[dict[str, str]] = {"rotation": "none", "scaling": "scaling", "positions": "none"}

    def __call__(self, x, y=None):
        return pooled(x, y) ** self.exponent


@pytest.mark.parametrize("options", [None, {}, {"exponent": 3}])
def test_a_correct_dataclass_passes(options):
    testing.check_measure(Power, options)
    testing.check_measure(Power(3))


def declare(function, **facts):
    """Return a function with declared facts, under a name of its own at the top of this module, for pickling."""

    def plugin(*arguments):
        return function(*arguments)

    plugin.__name__ = plugin.__qualname__ = f"plugin_{len(globals())}"
    vars(plugin).update(facts)
    globals()[plugin.__name__] = plugin
    return plugin


def changed_in_place(x, y=None):
    x.squared_norms[:] = 1
    return pooled(x, y)


calls = itertools.count()
shared: dict[str, Any] = {}


def counting(x, y=None):
    return pooled(x, y) + next(calls)


def racing(x, y=None):
    """Keep the first input in a global between two steps."""
    shared["key"] = key = threading.get_ident()
    time.sleep(0.005)
    return pooled(x, y) + (shared["key"] != key)


def keyed(x, y=None):
    return {(5, 3): pooled(x, y)}[x.shape[1:]]


WRONG_MEASURES = {
    "takes one argument": (lambda x: 1, "must take two Activations"),
    "not a function": (3, "must be a name, a function"),
    "scalar": (declare(lambda x, y: 1.0), r"one value per pair, shape \(4, 3\), got shape \(\)"),
    "square": (declare(lambda x, y: pooled(x, x)), r"one value per pair, shape \(4, 3\), got shape \(4, 4\)"),
    "complex": (declare(lambda x, y: pooled(x, y) * 1j), "must return real numbers, got an array of dtype complex64"),
    "nan": (declare(lambda x, y: pooled(x, y) * np.nan), "returned nan for row 0, column 0"),
    "one position": (declare(lambda x, y: pooled(x, y) / (x.shape[1] - 1)), "3 and 1 inputs of 1 positions"),
    "in place": (changed_in_place, "changes its inputs in place|read-only"),
    "inside": (keyed, "fails on 4 and 3 inputs of 5 positions in float32: KeyError"),
    "stateful": (counting, "returns different values"),
    "racing": (racing, "several threads"),
    "symmetric": (declare(lambda x, y: pooled(x, y) + x.shape[0], symmetric=True), "symmetric = True"),
    "pairwise": (declare(lambda x, y: pooled(x, y) - pooled(x, y).mean()), "declare pairwise = False"),
    "definite": (declare(lambda x, y: -pooled(x, y), positive_semidefinite=True), "positive_semidefinite = True"),
    "scaling": (
        declare(lambda x, y: np.tanh(pooled(x, y)), effects={"scaling": "none"}),
        r"effects\['scaling'\] = 'none', but the observed effect is 'other'",
    ),
    "no effect": (declare(pooled, effects={"rotation": "other"}), r"effects\['rotation'\] = 'other'.* 'none'"),
    "translation": (declare(lambda x, y: pooled(x, y) ** 2, effects={"translation": "translation"}), "'translation'"),
    "linear": (declare(pooled, effects={"linear": "scaling"}), r"effects\['linear'\] = 'scaling'.* is 'other'"),
    "unknown effect": (declare(pooled, effects={"rotation": "small"}), "effect 'small' of 'rotation'"),
    "no pickle": (lambda x, y: pooled(x, y), "cannot be pickled"),
}


@pytest.mark.parametrize("mistake", WRONG_MEASURES)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_wrong_measures_fail(mistake):
    measure, sentence = WRONG_MEASURES[mistake]
    with pytest.raises(AssertionError, match=sentence):
        testing.check_measure(measure)


def test_an_unsupported_size_must_be_a_sentence():
    measure = declare(lambda x, y: [pooled(x, y)][0 if x.shape[1] else 1])
    with pytest.raises(AssertionError, match="sets of unequal size or raise a ValueError, but raised IndexError"):
        testing.check_measure(measure)


def test_a_misspelt_option_names_the_nearest():
    with pytest.raises(AssertionError, match=r"'exponnet'.*'exponent'"):
        testing.check_measure(Power, {"exponnet": 3})


# Matchers.


def matcher(match, base=simplugins.Matcher, **facts):
    """Return an instance of a matcher class at the top of this module."""
    name = f"Matcher{len(globals())}"
    methods = {"match_batch" if base is simplugins.BatchMatcher else "match": match}
    cls = type(name, (base,), {"name": name, "__module__": __name__, **methods, **facts})
    globals()[name] = cls
    return cls()


def best_columns(self, affinity):
    """The optimum, by SciPy."""
    from scipy.optimize import linear_sum_assignment

    columns = np.full(len(affinity), -1)
    rows, matched = linear_sum_assignment(affinity, maximize=True)
    columns[rows] = matched
    return columns


def in_order(self, affinity):
    rows, columns = affinity.shape
    return np.where(np.arange(rows) < columns, np.arange(rows), -1)


def test_a_correct_matcher_passes():
    testing.check_matcher(matcher(best_columns, invariant_to_order=True, invariant_to_translation=True, symmetric=True))


def write_to_affinity(self, affinity):
    affinity.flags.writeable = True
    affinity += 1
    return in_order(self, affinity)


def random_columns(self, affinity):
    affinity = np.random.default_rng().normal(size=affinity.shape)
    return best_columns(self, affinity)


def with_prices(prices):
    def match_batch(self, affinities, offsets):
        columns = [best_columns(self, affinities[a:b]) for a, b in itertools.pairwise(offsets)]
        needed = max(affinities.shape[1], np.diff(offsets).max())
        return simplugins.Assignments(np.concatenate(columns), prices((len(offsets) - 1, needed)))

    return match_batch


def shifted_in_batches(self, affinities, offsets):
    sizes = np.diff(offsets)
    columns = [in_order(self, affinities[a:b]) for a, b in itertools.pairwise(offsets)]
    if len(sizes) > 1:
        columns = [column[::-1] for column in columns]
    return simplugins.Assignments(np.concatenate(columns))


BATCH = simplugins.BatchMatcher
WRONG_MATCHERS = {
    "not a matcher": (best_columns, "not a matcher.*function"),
    "same column": (matcher(lambda self, affinity: np.zeros(len(affinity), int)), "5 x 5 random affinities"),
    "float columns": (matcher(lambda self, affinity: in_order(self, affinity) * 1.0), "integer columns"),
    "unmatched": (matcher(lambda self, affinity: np.full(len(affinity), -1)), "expected 1 matched rows, got 0"),
    "in place": (matcher(write_to_affinity), "changes affinities in place"),
    "random": (matcher(random_columns), "differently|different values"),
    "positionwise": (matcher(best_columns, positionwise=True), "positionwise = True"),
    "window": (matcher(best_columns, window=2), "window = 2"),
    "order": (matcher(in_order, invariant_to_order=True), "invariant_to_order = True"),
    "translation": (
        matcher(lambda self, affinity: best_columns(self, affinity**2), invariant_to_translation=True),
        "invariant_to_translation = True",
    ),
    "symmetric": (matcher(lambda self, a: best_columns(self, a * np.arange(len(a))[:, None]), symmetric=True), "comes"),
    "negative prices": (matcher(with_prices(lambda shape: -np.ones(shape)), BATCH), "negative dual prices"),
    "shape of prices": (matcher(with_prices(lambda shape: np.ones(shape)[:, :1]), BATCH), "prices of shape"),
    "infinite prices": (matcher(with_prices(lambda shape: np.full(shape, np.inf)), BATCH), "not finite"),
    "batches": (matcher(shifted_in_batches, BATCH), "in a batch differently"),
}


@pytest.mark.parametrize("mistake", WRONG_MATCHERS)
def test_wrong_matchers_fail(mistake):
    wrong, sentence = WRONG_MATCHERS[mistake]
    with pytest.raises(AssertionError, match=sentence):
        testing.check_matcher(wrong)


# Comparisons and similarities.


def correlation(a, b):
    upper = np.triu_indices(len(a), 1)
    return float(np.corrcoef(a[upper], b[upper])[0, 1])


def distance(a, b):
    return float(np.linalg.norm(a - b))


def test_correct_comparisons_pass():
    testing.check_comparison(
        declare(
            correlation,
            larger_is_more_similar=True,
            range=(-1, 1),
            is_symmetric=True,
            least_inputs=3,
            invariances=frozenset({"scaling", "constant", "diagonal"}),
        )
    )
    testing.check_comparison(declare(distance, larger_is_more_similar=False, is_symmetric=True, is_metric=True))


def change_in_place(a, b):
    a *= 2
    return distance(a, b)


WRONG_COMPARISONS = {
    "not callable": (3, "this is not a comparison"),
    "array": (declare(lambda a, b: a), "must return a number, got ndarray"),
    "nan": (declare(lambda a, b: np.nan), "returned nan for random RSMs"),
    "inside": (declare(lambda a, b: a[99]), "fails on two RSMs of 12 inputs: IndexError"),
    "in place": (change_in_place, "changes RSMs in place"),
    "order": (declare(lambda a, b: a[0, 1] * b[0, 1]), "depends on the order of the inputs"),
    "range": (declare(distance, range=(0, 1)), r"declares range = .*, but returned"),
    "direction": (declare(distance, larger_is_more_similar=True), "larger_is_more_similar = True, but returned 0"),
    "symmetric": (declare(lambda a, b: distance(a, 2 * b), is_symmetric=True), "is_symmetric = True"),
    "zero": (declare(lambda a, b: 1 + distance(a, b), is_metric=True), "the distance of equal RSMs is 1"),
    "triangle": (declare(lambda a, b: distance(a, b) ** 8, is_metric=True), "triangle inequality"),
    "least": (declare(correlation, least_inputs=2), "least_inputs = 2, but returned nan"),
    "invariance": (declare(distance, invariances={"scaling"}), "the invariance 'scaling'"),
    "unknown": (declare(distance, invariances={"rotation"}), "invariance.*'rotation'"),
    "random": (declare(lambda a, b: np.random.default_rng().random()), "returns other values|depends on"),
    "no pickle": (lambda a, b: distance(a, b), "cannot be pickled"),
}


@dataclass(frozen=True)
class Zeroing:
    zero: bool = False

    def __call__(self, a, b):
        difference = np.abs(a - b).max()
        if self.zero:
            a[:] = 0
        return difference


def test_options_reach_comparisons_by_name(monkeypatch):
    monkeypatch.setattr(plugins, "load", lambda group, name: Zeroing)
    testing.check_comparison("zeroing")
    with pytest.raises(AssertionError, match="comparison 'zeroing' changes RSMs in place"):
        testing.check_comparison("zeroing", {"zero": True})


@pytest.mark.parametrize("mistake", WRONG_COMPARISONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_wrong_comparisons_fail(mistake):
    comparison, sentence = WRONG_COMPARISONS[mistake]
    with pytest.raises(AssertionError, match=sentence):
        testing.check_comparison(comparison)


def network_distance(x, y):
    return float(np.linalg.norm(x @ x.swapaxes(1, 2)) - np.linalg.norm(y @ y.swapaxes(1, 2))) ** 2


WRONG_SIMILARITIES = {
    "not callable": (3, "must be callable, got int"),
    "unknown": ("semantic-cka", "no plugin 'semantic-cka'"),
    "array": (declare(lambda x, y: x), "must return a number, got ndarray"),
    "equal shapes": (
        declare(lambda x, y: float((x - y).sum())),
        r"fails on .*\(24, 6, 5\) and \(24, 4, 7\): ValueError",
    ),
    "direction": (declare(network_distance, larger_is_more_similar=True), "larger_is_more_similar = True"),
    "symmetric": (declare(lambda x, y: float(x.sum()), is_symmetric=True), "is_symmetric = True"),
    "scaling": (declare(network_distance, invariant_to_isotropic_scaling=True), "invariant_to_isotropic_scaling"),
    "linear": (declare(network_distance, invariant_to_affine=True), "invariant_to_affine = True"),
    "no pickle": (lambda x, y: 1.0, "cannot be pickled"),
}


@pytest.mark.parametrize("mistake", WRONG_SIMILARITIES)
def test_wrong_similarities_fail(mistake):
    similarity, sentence = WRONG_SIMILARITIES[mistake]
    with pytest.raises(AssertionError, match=sentence):
        testing.check_similarity(similarity)


# Adapters.


def adapter(**parts):
    return simplugins.Adapter(**{"tool": "lists", "modules": (), "install": "pip install lists"} | parts)


def as_list(rsm):
    return rsm.values.tolist()


def from_list(rows):
    return simplugins.RSM.from_similarities(rows)


def zeroed(rsm):
    rsm.values.flags.writeable = True
    rsm.values[:] = 0


WRONG_ADAPTERS = {
    "not an adapter": (3, "must be a simplugins.Adapter, got int"),
    "unknown": ("rsatolbox", "nearest: rsatoolbox"),
    "nothing": (adapter(), "carries nothing"),
    "install": (adapter(rsm=as_list, install=" "), "must declare install as a text"),
    "fails": (adapter(rsm=lambda rsm: rsm.nothing), "cannot carry an RSM: AttributeError"),
    "in place": (adapter(rsm=zeroed), "changes an RSM in place|cannot set WRITEABLE"),
    "options": (adapter(rsm=lambda rsm, **options: as_list(rsm)), "ignores unknown options"),
    "back": (adapter(rsm=as_list, reader=lambda rows: rows), "must read an RSM back, got list"),
    "values": (adapter(rsm=as_list, reader=lambda rows: from_list(np.square(rows))), "changes the values of an RSM"),
}


@pytest.mark.parametrize("mistake", WRONG_ADAPTERS)
def test_wrong_adapters_fail(mistake):
    wrong, sentence = WRONG_ADAPTERS[mistake]
    with pytest.raises(AssertionError, match=sentence):
        testing.check_adapter(wrong)


def test_a_correct_adapter_passes():
    testing.check_adapter(adapter(rsm=as_list, reader=from_list))


def test_an_adapter_of_a_missing_tool_passes_if_it_says_what_to_install():
    testing.check_adapter(adapter(rsm=as_list, modules=("no_such_module",)))
