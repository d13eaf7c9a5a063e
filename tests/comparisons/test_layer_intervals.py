# SPDX-License-Identifier: Apache-2.0
"""Intervals of tables of layers: every cell against `bootstrap_interval` with the same resamples."""

from __future__ import annotations

import csv
import json
import threading
import warnings

import numpy as np
import pytest
from comparison_data import METHODS, gram, method_name

import simplugins
from simplugins import RSM, bootstrap_interval, compare_layers, load_comparison
from simplugins.comparisons import all_pairs
from simplugins.comparisons.neighbourhoods.shared_neighbours import MutualKnn
from simplugins.plotting.layer_heatmaps import comparison_figure

GROUPS = [0, 0, 1, 1, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 8, 8]


def layers(seed, inputs=16, names=("early", "middle", "late")):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(inputs, 5))
    noise = np.random.default_rng(seed)
    return {
        name: RSM.from_similarities(gram(x + 0.5 * (k + 1) * noise.normal(size=x.shape)))
        for k, name in enumerate(names)
    }


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["inputs", "groups"])
@pytest.mark.parametrize("method", [*METHODS, MutualKnn(k=3)], ids=method_name)
def test_each_cell_has_the_interval_of_its_pair_of_layers(method, groups):
    a, b = layers(1), layers(2, names=("first", "last"))
    options = {"resamples": 50, "confidence": 0.9, "seed": 3, "groups": groups}
    intervals = compare_layers(a, b, method, intervals=True, **options).intervals
    for i, row in enumerate(a.values()):
        for j, column in enumerate(b.values()):
            expected = bootstrap_interval(row, column, method, **options)
            np.testing.assert_allclose(intervals.distribution[:, i, j], expected.distribution, rtol=0, atol=1e-9)
            ends = intervals.low[i, j], intervals.high[i, j]
            assert ends == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (intervals.resamples, intervals.confidence) == (50, 0.9)
    assert intervals.groups == (None if groups is None else 9)


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman"])
def test_a_network_compared_with_itself_has_symmetric_intervals(method):
    intervals = compare_layers(layers(1), method=method, intervals=True, resamples=50).intervals
    np.testing.assert_allclose(intervals.distribution, intervals.distribution.swapaxes(1, 2), atol=1e-12)
    np.testing.assert_allclose([intervals.low.diagonal(), intervals.high.diagonal()], 1)


def test_results_do_not_depend_on_the_number_of_threads():
    tables = [compare_layers(layers(1), intervals=True, threads=threads).intervals for threads in (1, 2, 5)]
    for table in tables[1:]:
        np.testing.assert_array_equal(table.distribution, tables[0].distribution)


def test_threads_are_limited_by_memory(monkeypatch):
    monkeypatch.setattr(all_pairs, "_THREAD_BYTES", 1)
    used = set()

    class Watched:
        least_inputs = 3

        def __call__(self, a, b):
            used.add(threading.get_ident())
            return float((a * b).sum())

    with pytest.warns(RuntimeWarning, match="plain function"):
        compare_layers(layers(1), method=Watched(), intervals=True, threads=4)
    assert len(used - {threading.get_ident()}) == 1


def test_labels_are_groups_if_asked():
    a = {name: RSM.from_similarities(rsm.values, labels=GROUPS) for name, rsm in layers(1).items()}
    by_name, by_values = (
        compare_layers(a, intervals=True, resamples=40, groups=groups).intervals for groups in ("labels", GROUPS)
    )
    np.testing.assert_array_equal(by_name.distribution, by_values.distribution)
    with pytest.raises(ValueError, match=r"groups.*none"):
        compare_layers(layers(1), intervals=True, groups="labels")


def test_missing_pairs_are_left_out():
    a = {name: rsm.values.copy() for name, rsm in layers(1).items()}
    a["early"][0, 1] = a["early"][1, 0] = np.nan
    rsms = {name: RSM.from_similarities(values, missing="omit") for name, values in a.items()}
    options = {"resamples": 40, "missing": "omit"}
    intervals = compare_layers(rsms, method="rsa-pearson", intervals=True, **options).intervals
    expected = bootstrap_interval(rsms["early"], rsms["late"], "rsa-pearson", **options)
    np.testing.assert_allclose(intervals.distribution[:, 0, 2], expected.distribution, atol=1e-12)


def test_a_constant_layer_has_no_interval():
    a = {**layers(1), "constant": RSM.from_similarities(np.ones((16, 16)))}
    with pytest.warns(RuntimeWarning) as caught:
        intervals = compare_layers(a, intervals=True, resamples=50).intervals
    assert any("50 of 50 resamples are NaN" in str(warning.message) for warning in caught)
    assert np.isnan(intervals.low[3]).all()
    assert np.isnan(intervals.high[:, 3]).all()
    assert not np.isnan(intervals.low[:3, :3]).any()


def test_few_inputs_have_no_intervals():
    with pytest.warns(RuntimeWarning, match="6 inputs"):
        comparison = compare_layers(layers(1, inputs=5), intervals=True)
    assert np.isnan(comparison.intervals.low).all()
    with pytest.warns(RuntimeWarning, match="at least 40"):
        assert np.isnan(compare_layers(layers(1), intervals=True, resamples=39).intervals.high).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "resamples"),
        ({"confidence": 1.0}, "confidence"),
        ({"groups": GROUPS[1:]}, r"groups.*16.*15"),
        ({"groups": GROUPS, "intervals": False}, r"groups.*intervals=True"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        compare_layers(layers(1), **{"intervals": True, **options})


def test_interrupts_propagate_from_threads():
    def interrupted(a, b):
        if len({tuple(row) for row in a.tolist()}) < len(a):  # a resample
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings(action="ignore"):
        compare_layers(layers(1), method=interrupted, intervals=True)


def test_progress_goes_to_standard_error(capsys):
    compare_layers(layers(1), intervals=True, resamples=40, progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert "resampling: 100%" in output.err


# Differences of cells


def test_differences_of_cells_are_those_of_a_paired_test():
    a, b = layers(1), layers(2)
    comparison = compare_layers(a, b, "rsa-spearman", intervals=True, resamples=60, groups=GROUPS)
    result = comparison.difference(("early", "early"), ("late", "middle"))
    pairs = (a["early"], b["early"]), (a["late"], b["middle"])
    expected = simplugins.difference_test(*pairs, "rsa-spearman", resamples=60, groups=GROUPS)
    np.testing.assert_allclose(result.distribution, expected.distribution, atol=1e-9)
    assert result.values == pytest.approx(expected.values)
    assert (result.low, result.high, result.p_value) == pytest.approx((expected.low, expected.high, expected.p_value))
    assert result.names == ("early x early", "late x middle")


def test_differences_need_resamples_and_existing_layers():
    comparison = compare_layers(layers(1), intervals=True, resamples=40)
    with pytest.raises(ValueError, match=r"second.*'later'"):
        comparison.difference(("early", "late"), ("early", "later"))
    with pytest.raises(ValueError, match=r"first.*'late'"):
        comparison.difference("late", ("early", "late"))
    with pytest.raises(ValueError, match="intervals=True"):
        compare_layers(layers(1)).difference(("early", "late"), ("early", "early"))


# Files, tables and pictures


@pytest.fixture(scope="module")
def comparison():
    return compare_layers(layers(1), layers(2, names=("first", "last")), intervals=True, resamples=40, groups=GROUPS)


def test_saved_intervals_can_be_loaded(comparison, tmp_path):
    comparison.save(tmp_path / "table.npz")
    loaded = load_comparison(tmp_path / "table.npz").intervals
    for name in ("low", "high", "distribution"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(comparison.intervals, name))
    assert (loaded.confidence, loaded.groups) == (0.95, 9)
    assert loaded.distribution.dtype == np.float64


def test_tables_as_text_have_the_ends(comparison, tmp_path):
    comparison.save(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert [*rows[0]] == ["row", "column", "value", "low", "high"]
    assert float(rows[3]["low"]) == comparison.intervals.low[1, 1]
    assert comparison.table()[3]["high"] == comparison.intervals.high[1, 1]
    comparison.save(tmp_path / "table.json")
    saved = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["intervals"]
    assert saved["high"] == comparison.intervals.high.tolist()
    assert (saved["confidence"], saved["resamples"], saved["groups"]) == (0.95, 40, 9)


def test_the_repr_says_how_wide_intervals_are(comparison):
    width = (comparison.intervals.high - comparison.intervals.low).max()
    assert f"intervals at 95 % from 40 resamples of 9 groups, at most {width:.2g} wide" in repr(comparison)


def test_intervals_are_written_below_the_values(comparison):
    texts = {text.get_text() for text in comparison_figure(comparison).axes[0].texts}
    low, high = comparison.intervals.low[2, 0], comparison.intervals.high[2, 0]
    assert {f"{comparison.values[2, 0]:.2f}", f"{low:.2f} to {high:.2f}"} <= texts


def test_values_with_intervals_are_drawn_beside_calibrated_scores():
    calibrated = compare_layers(layers(1), intervals=True, calibrate="each", permutations=30, resamples=40)
    scores, values = (axes for axes in comparison_figure(calibrated).axes if axes.get_title())
    assert not any(" to " in text.get_text() for text in scores.texts)
    assert sum(" to " in text.get_text() for text in values.texts) == 9
    assert values.get_title() == "not calibrated"


def test_wrong_shapes_are_refused(comparison):
    with pytest.raises(ValueError, match=r"intervals\.low"):
        simplugins.Comparison([[1.0]], ("a",), ("b",), {"method": "cka"}, intervals=comparison.intervals)
