# SPDX-License-Identifier: Apache-2.0
"""The contract of matchers: declared facts, results, options, and a third-party matcher installed by pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import ClassVar

import numpy as np
import oracle
import pytest
from wheels import build_wheel, pip_install

import simplugins
from simplugins import (
    Assignments,
    Auction,
    BatchMatcher,
    BatchOptimal,
    Greedy,
    Identity,
    Matcher,
    Optimal,
    TopKGreedy,
)
from simplugins.matching.matcher import check_assignment
from simplugins.matching.matcher_options import matcher_options, resolve_matcher

OURS = [Optimal(), Auction(tolerance=0.2), BatchOptimal(window=5), Greedy(), TopKGreedy(k=4), Identity()]


class Reversed(Matcher):
    """A minimal third-party matcher."""

    name = "reversed"

    def match(self, affinity):
        rows, cols = affinity.shape
        columns = np.full(rows, -1)
        columns[: min(rows, cols)] = np.arange(min(rows, cols))[::-1]
        return columns


class ByNorm(Reversed):
    """Match the positions with the largest norms of both sets."""

    name = "by-norm"
    by_norm = True

    def match(self, affinity):
        rows, cols = affinity.shape
        return np.arange(rows) + cols - rows if rows <= cols else np.maximum(np.arange(rows) + cols - rows, -1)


def test_a_matcher_needs_only_match():
    affinities = np.zeros((5, 3), np.float32)
    assignments = Reversed().match_batch(affinities[:3], np.array([0, 3]))
    np.testing.assert_array_equal(assignments.columns, [2, 1, 0])
    assert assignments.prices is None
    assert repr(assignments) == "Assignments(3 of 3 rows matched)"


def test_a_matcher_receives_affinities_in_the_order_of_inputs_and_positions():
    seen = []

    class Watching(Reversed):
        def match(self, affinity):
            seen.append(affinity.copy())
            return super().match(affinity)

    sets = [np.random.default_rng(k).normal(size=(size, 3)) for k, size in enumerate((4, 6, 2))]
    simplugins.compute_rsm(sets, matching=Watching(), threads=1)
    expected = [sets[i] @ sets[j].T for i, j in [(0, 1), (0, 2), (1, 2)]]
    received = [affinity for affinity in seen if affinity.shape != (1, 1)]
    assert len(received) == len(expected)
    for affinity in expected:
        assert any(a.shape == affinity.shape and np.allclose(a, affinity) for a in received)


def test_a_matcher_by_norm_receives_the_smallest_norms_first():
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    expected = (oracle.by_norm(x) * oracle.by_norm(y)).sum()
    assert simplugins.compute_rsm(np.stack([x, y]), "semantic-linear", matching=ByNorm()).values[0, 1] == pytest.approx(
        expected
    )
    pair = simplugins.match(x, y, ByNorm())
    assert pair.value == pytest.approx(expected)
    np.testing.assert_array_equal(pair.columns[(x**2).sum(1).argsort()], (y**2).sum(1).argsort())


def test_matchers_without_dual_prices_are_certified():
    sets = np.random.default_rng(1).normal(size=(4, 9, 3))
    rsm = simplugins.compute_rsm(sets, "semantic-linear", matching=Reversed(), certify=True)
    best = oracle.aligned_products(sets, sets)
    off = ~np.eye(4, dtype=bool)
    upper = (rsm.values / (1 - rsm.gap))[off]
    assert (best[off] <= upper * (1 + 1e-12)).all()
    assert (upper <= best[off] * 1.01).all()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda c: c + 5, r"columns must lie in 0\.\.3"),
        (lambda c: c * 0, "assigned to two rows"),
        (lambda c: c * 0 - 1, "expected 4 matched rows, got 0"),
        (lambda c: c[:-3], "expected int64 columns for all .* rows of a batch, got an array of shape"),
        (lambda c: c * 1.0, "expected int64 columns .* dtype float64"),
        (lambda c: np.arange(len(c)), r"columns must lie in 0\.\.3"),
    ],
)
def test_results_of_batch_matchers_are_checked(returned, message):
    class Wrong(BatchMatcher):
        name = "wrong"

        def match_batch(self, affinities, offsets):
            columns = np.concatenate([np.arange(n) for n in np.diff(offsets)])
            return Assignments(returned(columns) if len(affinities) > 1 else columns)

    for certify in (False, True):
        with pytest.raises(ValueError, match=f"matching 'wrong'.* {message}"):
            simplugins.compute_rsm(np.ones((5, 4, 2)), matching=Wrong(), certify=certify)


def test_match_batch_must_return_assignments():
    class Bare(BatchMatcher):
        name = "bare"

        def match_batch(self, affinities, offsets):
            return np.zeros(len(affinities), np.int64)

    with pytest.raises(TypeError, match=r"'bare'.*Assignments.*ndarray"):
        simplugins.compute_rsm(np.ones((5, 4, 2)), matching=Bare())


def test_an_unhashable_matcher_serves_several_measures():
    @dataclass
    class Plain(Reversed):
        name: ClassVar[str] = "plain"

    sets = np.random.default_rng(0).random((3, 4, 2))
    rsms = simplugins.compute_rsms(sets, matching=Plain())
    assert len(rsms) == 3


def test_affinities_are_read_only_for_third_party_matchers():
    class Writing(Reversed):
        def match(self, affinity):
            affinity[:] = 0
            return super().match(affinity)

    with pytest.raises(ValueError, match="read-only"):
        simplugins.compute_rsm(np.ones((3, 4, 2)), matching=Writing())


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (np.zeros((1, 3)), r"expected float64 prices of at least shape \(1, 4\), got float64 of shape \(1, 3\)"),
        (np.zeros((1, 4), np.float32), r"expected float64 prices of at least shape \(1, 4\), got float32"),
        (np.full((1, 4), np.nan), "dual prices must be finite"),
        (np.full((1, 4), -1.0), "dual prices must be finite"),
    ],
)
def test_invalid_dual_prices_are_rejected(prices, message):
    class Priced(Reversed):
        def match_batch(self, affinities, offsets):
            return Assignments(super().match_batch(affinities, offsets).columns, prices)

    with pytest.raises(ValueError, match=f"matching 'reversed': {message}"):
        simplugins.match(np.ones((3, 2)), np.ones((4, 2)), Priced())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([0, 1], "expected 3 integer columns, got an array of shape"),
        ([0.0, 1.0, 2.0], "expected 3 integer columns, got an array of shape .* dtype float64"),
        ([0, 1, 3], r"columns must lie in 0\.\.2"),
        ([0, 1, -2], r"columns must lie in 0\.\.2"),
        ([0, 1, 1], "assigned to two rows"),
        ([0, 1, -1], "expected 3 matched rows, got 2"),
    ],
)
def test_invalid_assignments_are_rejected(columns, message):
    with pytest.raises(ValueError, match=message):
        check_assignment(columns, 3, 3, name="theirs")


def test_matchers_are_resolved_by_name_class_or_instance():
    assert resolve_matcher("optimal") == resolve_matcher(Optimal) == Optimal()
    assert resolve_matcher("batch-optimal", {"window": 3}) == BatchOptimal(window=3)
    assert resolve_matcher(BatchOptimal, {"window": 3}) == BatchOptimal(window=3)
    matcher = Reversed()
    assert resolve_matcher(matcher, {}) is matcher


@pytest.mark.parametrize(
    ("matching", "options", "error", "message"),
    [
        ("optimum", {}, ValueError, "'optimum'.*nearest: optimal"),
        (3, {}, TypeError, "matching.*int"),
        (dict, {}, TypeError, "matching.*the class dict"),
        (Reversed(), {"window": 3}, TypeError, r"'window'.*matcher instance"),
        ("batch-optimal", {"windw": 3}, TypeError, r"'batch-optimal'.*'windw'.*nearest: window.*options are window"),
        (BatchOptimal, {"depth": 3}, TypeError, r"'batch-optimal'.*'depth'; its options are window"),
        ("optimal", {"window": 3}, TypeError, "'optimal'.*'window'.*no options"),
    ],
)
def test_unresolvable_matchers_are_rejected(matching, options, error, message):
    with pytest.raises(error, match=message):
        resolve_matcher(matching, options)


def test_options_without_defaults_are_required():
    @dataclass(frozen=True)
    class Strict(Reversed):
        steps: int

    with pytest.raises(TypeError, match=r"'reversed'.*steps"):
        resolve_matcher(Strict)
    assert resolve_matcher(Strict, {"steps": 2}).steps == 2


def value_of(matcher, x, y):
    return simplugins.match(x, y, matcher).value


def matched(matcher, x, y):
    """The matched pairs of concept vectors of two sets, by their position."""
    return dict(enumerate(simplugins.match(x, y, matcher).columns.tolist()))


@pytest.mark.parametrize("matcher", OURS, ids=lambda matcher: matcher.name)
def test_declared_invariances_hold_and_others_do_not(matcher):
    rng = np.random.default_rng(3)
    unmoved, unordered, symmetric = [], [], []
    size = 150 if hasattr(matcher, "tolerance") else 12  # auctions of few rows are exact
    for _ in range(20):
        x, y = rng.normal(size=(2, size, 3))
        base, order, shift = matched(matcher, x, y), rng.permutation(size), 3 * rng.normal(size=3)
        unmoved.append(matched(matcher, x + shift, y + shift) == base)
        reordered = matched(matcher, x[order], y)
        value = value_of(matcher, x, y)
        tolerance = getattr(matcher, "tolerance", 1e-9)
        unordered.append(value == pytest.approx(value_of(matcher, x[order], y), rel=tolerance))
        if not hasattr(matcher, "tolerance"):
            assert unordered[-1] == all(reordered[k] == base[i] for k, i in enumerate(order))
        symmetric.append(value == pytest.approx(value_of(matcher, y, x), rel=1e-9))
    assert all(unmoved) == matcher.invariant_to_translation
    assert all(unordered) == matcher.invariant_to_order
    assert all(symmetric) == matcher.symmetric


def test_facts_are_unknown_until_declared_and_cuda_kernels_are_not_inherited():
    class Cautious(Greedy):
        name = "cautious"

    assert Reversed.invariant_to_order is Reversed.invariant_to_translation is Reversed.cuda_kernel is None
    assert not Reversed.symmetric
    assert Greedy.cuda_kernel == "greedy"
    assert Cautious.cuda_kernel is None


def test_a_matcher_needs_a_name_and_a_valid_window():
    class Nameless(Matcher):
        match = Reversed.match

    class Narrow(Reversed):
        window = 0

    with pytest.raises(TypeError, match=r"Nameless.*name"):
        simplugins.compute_rsm(np.ones((3, 4, 2)), matching=Nameless())
    with pytest.raises(ValueError, match=r"window.*\b0\b"):
        simplugins.compute_rsm(np.ones((3, 4, 2)), matching=Narrow())


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (lambda affinity: affinity, "expected the plugin to be a subclass of Matcher, got function"),
        (Optimal(), "expected the plugin to be a subclass of Matcher, got Optimal"),
        (dict, "expected the plugin to be a subclass of Matcher, got the class dict"),
        (Matcher, "abstract class"),
    ],
)
def test_plugins_that_are_not_matchers_are_rejected(monkeypatch, plugin, message):
    monkeypatch.setattr("simplugins.plugins.load", lambda group, name: plugin)
    with pytest.raises(TypeError, match=f"matching 'theirs'.* {message}"):
        resolve_matcher("theirs")


@pytest.mark.parametrize(
    ("match", "error", "message"),
    [
        (lambda self, affinity: None, TypeError, "'careless' must return integer columns, got NoneType"),
        (lambda self, affinity: np.ma.masked_equal(np.arange(len(affinity)), 0), TypeError, "'careless'.*masked"),
        (lambda self, affinity: affinity.fill(0), ValueError, "matching 'careless': .*read-only"),
        (lambda affinity: 0, TypeError, "matching 'careless': .*takes 1 positional argument"),
    ],
)
def test_mistakes_in_match_name_the_matcher(match, error, message):
    careless = type("Careless", (simplugins.Matcher,), {"name": "careless", "match": match})
    with pytest.raises(error, match=message):
        simplugins.compute_rsm(np.eye(3), matching=careless)


def test_options_are_reported_as_plain_values():
    @dataclass(frozen=True)
    class Optioned(Reversed):
        name: ClassVar[str] = "optioned"
        window_: int = np.int32(3)
        mode: object = (1, 2)

    assert matcher_options(Optioned()) == {"window_": 3, "mode": "(1, 2)"}
    assert matcher_options(Reversed()) == {}
    plain = Reversed()
    plain.shift = 3  # an attribute, where there are no fields
    assert matcher_options(plain) == {"shift": 3}


THEIRS = """
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from simplugins import Matcher


    @dataclass(frozen=True)
    class Truncated(Matcher):
        '''Optimal on affinities truncated to multiples of 1 / steps.'''

        name: ClassVar[str] = "truncated"
        steps: float = 1000.0

        def match(self, affinity):
            rows, columns = linear_sum_assignment(np.trunc(affinity * self.steps), maximize=True)
            assignment = np.full(len(affinity), -1)
            assignment[rows] = columns
            return assignment
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which pip installed a third-party distribution with a matcher."""
    wheel = build_wheel(
        tmp_path_factory.mktemp("wheels"),
        "truncated-matching",
        "0.1",
        {"truncated": "truncated_matching:Truncated"},
        {"truncated_matching": THEIRS},
        group="simplugins.matchings",
    )
    site = tmp_path_factory.mktemp("site")
    subprocess.run(pip_install(site, wheel), check=True)
    return site


def run_python(site, *arguments):
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_matcher_is_available_by_name(site):
    code = """
        import json
        import numpy as np
        import simplugins
        from simplugins.matching.matcher_options import matcher_options, resolve_matcher

        sets = np.random.default_rng(2).random((5, 12, 4))
        matcher = resolve_matcher("truncated", {"steps": 3.0})
        rsm = simplugins.compute_rsm(sets, "semantic-linear", matching=matcher, certify=True)
        pair = simplugins.match(sets[0], sets[1, :7], matching=matcher)
        options = matcher_options(matcher)
        print(json.dumps([rsm.values.tolist(), rsm.gap.tolist(), options, pair.value, pair.columns.tolist()]))
    """
    values, gap, options, value, columns = json.loads(run_python(site, "-c", dedent(code)))
    values, gap, columns = (np.array(numbers) for numbers in (values, gap, columns))
    sets = np.random.default_rng(2).random((5, 12, 4))
    best = oracle.aligned_products(sets, sets)
    assert options == {"steps": 3.0}
    off = ~np.eye(5, dtype=bool)
    assert (0.95 * best < values).all()
    assert (values[off] < best[off]).any()
    assert (values <= best + 1e-12).all()
    assert (values >= (1 - gap) * best - 1e-9).all()
    assert (columns >= 0).sum() == 7
    assert value == pytest.approx((sets[0] @ sets[1, :7].T)[columns >= 0, columns[columns >= 0]].sum())


def test_an_installed_matcher_is_available_on_the_command_line(site, tmp_path):
    np.save(tmp_path / "in.npy", np.random.default_rng(2).random((5, 12, 4)))
    out = tmp_path / "out.npz"
    command = ["-m", "simplugins", "rsm", str(tmp_path / "in.npy"), "-o", str(out), "--matching", "truncated"]
    run_python(site, *command, "-O", "steps=3", "--quiet")
    assert simplugins.load_rsm(out).metadata["matching_options"] == {"steps": 3}
    assert "truncated" in run_python(site, "-m", "simplugins", "plugins")
