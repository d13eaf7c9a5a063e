# SPDX-License-Identifier: Apache-2.0
"""Matchers of others: the contract, kept and broken, and one installed as a distribution of its own."""

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
from simplugins.matching.matcher import Assignments, BatchMatcher, Matcher, check_assignment
from simplugins.matching.optimal import Optimal
from simplugins.matching.options import matcher_options, resolve_matcher


class Reversed(Matcher):
    """A matcher as a third party may write it."""

    name = "reversed"

    def match(self, affinity):
        rows, cols = affinity.shape
        columns = np.full(rows, -1)
        columns[: min(rows, cols)] = np.arange(min(rows, cols))[::-1]
        return columns


class ByNorm(Reversed):
    """Smallest norms first: the largest of each set go together."""

    name = "by-norm"
    by_norm = True

    def match(self, affinity):
        rows, cols = affinity.shape
        return np.arange(rows) + cols - rows if rows <= cols else np.maximum(np.arange(rows) + cols - rows, -1)


def test_a_matcher_needs_only_match():
    affinities = np.zeros((5, 3), np.float32)
    found = Reversed().match_batch(affinities[:3], np.array([0, 3]))
    np.testing.assert_array_equal(found.columns, [2, 1, 0])
    assert found.prices is None


def test_a_matcher_gets_pairs_in_order_of_inputs_and_positions():
    seen = []

    class Watching(Reversed):
        def match(self, affinity):
            seen.append(affinity.copy())
            return super().match(affinity)

    sets = [np.random.default_rng(k).normal(size=(size, 3)) for k, size in enumerate((4, 6, 2))]
    simplugins.compute_rsm(sets, matching=Watching(), threads=1)
    expected = [sets[i] @ sets[j].T for i, j in [(0, 1), (0, 2), (1, 2)]]
    got = [affinity for affinity in seen if affinity.shape != (1, 1)]
    assert len(got) == len(expected)
    for affinity in expected:
        assert any(a.shape == affinity.shape and np.allclose(a, affinity) for a in got)


def test_a_matcher_by_norm_gets_the_smallest_first():
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    expected = (oracle.by_norm(x) * oracle.by_norm(y)).sum()
    assert simplugins.compute_rsm(np.stack([x, y]), "semantic-linear", matching=ByNorm()).values[0, 1] == pytest.approx(
        expected
    )
    pair = simplugins.match(x, y, ByNorm())
    assert pair.value == pytest.approx(expected)
    np.testing.assert_array_equal(pair.columns[(x**2).sum(1).argsort()], (y**2).sum(1).argsort())


def test_what_a_matcher_leaves_out_can_be_certified():
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
        (lambda c: c * 0, "a column was taken twice"),
        (lambda c: c * 0 - 1, "expected 4 matched rows, got 0"),
        (lambda c: c[:-3], "expected int64 columns for all .* rows of a batch, got an array of shape"),
        (lambda c: c * 1.0, "expected int64 columns .* dtype float64"),
        (lambda c: np.arange(len(c)), r"columns must lie in 0\.\.3"),
    ],
)
def test_what_a_batch_matcher_returns_is_checked(returned, message):
    class Wrong(BatchMatcher):
        name = "wrong"

        def match_batch(self, affinities, offsets):
            columns = np.concatenate([np.arange(n) for n in np.diff(offsets)])
            return Assignments(returned(columns) if len(affinities) > 1 else columns)

    for certify in (False, True):
        with pytest.raises(ValueError, match=f"matching 'wrong'.* {message}"):
            simplugins.compute_rsm(np.ones((5, 4, 2)), matching=Wrong(), certify=certify)


def test_a_batch_is_returned_as_assignments():
    class Bare(BatchMatcher):
        name = "bare"

        def match_batch(self, affinities, offsets):
            return np.zeros(len(affinities), np.int64)

    with pytest.raises(TypeError, match="matching 'bare': expected match_batch to return Assignments, got ndarray"):
        simplugins.compute_rsm(np.ones((5, 4, 2)), matching=Bare())


def test_a_matcher_may_be_unhashable_and_serves_all_measures():
    @dataclass
    class Plain(Reversed):
        name: ClassVar[str] = "plain"

    sets = np.random.default_rng(0).random((3, 4, 2))
    rsms = simplugins.compute_rsms(sets, matching=Plain())
    assert len(rsms) == 3


def test_affinities_are_read_only_for_a_matcher_of_others():
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
        (np.full((1, 4), np.nan), "prices must be finite, and where sides differ at least 0"),
        (np.full((1, 4), -1.0), "prices must be finite, and where sides differ at least 0"),
    ],
)
def test_what_cannot_be_prices_is_refused(prices, message):
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
        ([0, 1, 1], "a column was taken twice"),
        ([0, 1, -1], "expected 3 matched rows, got 2"),
    ],
)
def test_what_is_no_assignment_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        check_assignment(columns, 3, 3, name="theirs")


def test_resolving_a_matcher():
    assert resolve_matcher("optimal") == Optimal()
    own = Reversed()
    assert resolve_matcher(own) is own
    with pytest.raises(TypeError, match=r"options \['window'\] come with a matcher that is already made"):
        resolve_matcher(own, window=3)
    with pytest.raises(TypeError, match=r"unknown options \['windw'\]: .* matching 'optimal' takes no options"):
        resolve_matcher("optimal", windw=3)
    with pytest.raises(ValueError, match="nearest: optimal"):
        resolve_matcher("optimum")
    with pytest.raises(TypeError, match="matching must be a name or a Matcher, got int"):
        resolve_matcher(3)
    with pytest.raises(TypeError, match="a name or a Matcher, got the class Optimal, not an instance"):
        resolve_matcher(Optimal)


def test_a_matcher_has_a_name_and_a_possible_window():
    class Nameless(Matcher):
        match = Reversed.match

    class Narrow(Reversed):
        window = 0

    with pytest.raises(TypeError, match="Nameless has no name"):
        simplugins.compute_rsm(np.ones((3, 4, 2)), matching=Nameless())
    with pytest.raises(ValueError, match="window must be a whole number of at least 1, got 0"):
        simplugins.compute_rsm(np.ones((3, 4, 2)), matching=Narrow())


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (lambda affinity: affinity, "expected the plugin to be a subclass of Matcher, got function"),
        (Optimal(), "expected the plugin to be a subclass of Matcher, got Optimal"),
        (dict, "expected the plugin to be a subclass of Matcher, got the class dict"),
        (Matcher, "could not be created: Can't instantiate abstract class"),
    ],
)
def test_a_plugin_that_is_no_matcher_is_told_so(monkeypatch, plugin, message):
    monkeypatch.setattr("simplugins.plugins.load", lambda group, name: plugin)
    with pytest.raises(TypeError, match=f"matching 'theirs'.* {message}"):
        resolve_matcher("theirs")


def test_options_are_told_as_plain_values():
    @dataclass(frozen=True)
    class Optioned(Reversed):
        name: ClassVar[str] = "optioned"
        window_: int = np.int32(3)
        mode: object = (1, 2)

    assert matcher_options(Optioned()) == {"window_": 3, "mode": "(1, 2)"}
    assert matcher_options(Reversed()) == {}


THEIRS = """
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from simplugins.matching.contract import Matcher


    @dataclass(frozen=True)
    class Truncated(Matcher):
        '''Optimal on affinities cut to integers.'''

        name: ClassVar[str] = "truncated"
        steps: float = 1000.0

        def match(self, affinity):
            rows, columns = linear_sum_assignment(np.trunc(affinity * self.steps), maximize=True)
            found = np.full(len(affinity), -1)
            found[rows] = columns
            return found
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a distribution of another author, installed by pip, that brings a matcher."""
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


def run_with(site, *arguments):
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_matcher_is_used_by_name(site):
    code = """
        import json
        import numpy as np
        import simplugins

        sets = np.random.default_rng(2).random((5, 12, 4))
        rsm = simplugins.compute_rsm(sets, "semantic-linear", matching="truncated", steps=3.0, certify=True)
        pair = simplugins.match(sets[0], sets[1, :7], matching="truncated", steps=3.0)
        print(json.dumps([rsm.values.tolist(), rsm.gap.tolist(), rsm.metadata, pair.value, pair.columns.tolist()]))
    """
    values, gap, made, value, columns = json.loads(run_with(site, "-c", dedent(code)))
    values, gap, columns = (np.array(found) for found in (values, gap, columns))
    sets = np.random.default_rng(2).random((5, 12, 4))
    best = oracle.aligned_products(sets, sets)
    assert (made["matching"], made["matching_options"]) == ("truncated", {"steps": 3.0})
    off = ~np.eye(5, dtype=bool)
    assert (0.95 * best < values).all()
    assert (values[off] < best[off]).any()
    assert (values <= best + 1e-12).all()
    assert (values >= (1 - gap) * best - 1e-9).all()
    assert (columns >= 0).sum() == 7
    assert value == pytest.approx((sets[0] @ sets[1, :7].T)[columns >= 0, columns[columns >= 0]].sum())


def test_an_installed_matcher_is_used_by_name_on_the_command_line(site, tmp_path):
    np.save(tmp_path / "in.npy", np.random.default_rng(2).random((5, 12, 4)))
    out = tmp_path / "out.npz"
    command = ["-m", "simplugins", "rsm", str(tmp_path / "in.npy"), "-o", str(out), "--matching", "truncated"]
    run_with(site, *command, "-O", "steps=3", "--quiet")
    assert simplugins.load_rsm(out).metadata["matching_options"] == {"steps": 3}
    assert "truncated" in run_with(site, "-m", "simplugins", "plugins")
