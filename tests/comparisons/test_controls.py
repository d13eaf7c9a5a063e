# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

import simplugins

NAMES = [
    "semantic-cosine",
    "shift-cosine",
    "spatio-semantic-cosine",
    "max-sim-cosine",
    "second-order-cosine",
    "second-order-cosine-centred",
    "second-order-cosine-centred-by-input",
    "max-pooled-cosine",
    "mean-pooled-cosine",
]


@pytest.fixture(scope="module")
def controls(maps):
    return simplugins.controls(maps, labels=np.arange(len(maps)))


def test_rsms_are_those_of_the_measures(controls, maps):
    assert list(controls) == NAMES
    assert not controls.unavailable
    for name, rsm in controls.items():
        measure, centred, by_input = name.partition("-centred")
        center = "input" if by_input else "channel" if centred else None
        expected = simplugins.compute_rsm(maps, measure, center=center)
        np.testing.assert_allclose(rsm, expected, rtol=1e-6, atol=1e-9)
        assert rsm.labels.tolist() == list(range(len(maps)))


def test_tables_hold_times_and_similarities_to_the_semantic_rsm(controls):
    rows = controls.table()
    assert [row["measure"] for row in rows] == NAMES
    for row in rows:
        rsm = controls[row["measure"]]
        assert row["value"] == simplugins.compare(rsm, controls["semantic-cosine"], "cka-debiased")
        assert 0 < row["seconds_per_pair"] < 60
        assert row["measure"] in repr(controls)


@pytest.mark.parametrize(
    ("center", "centred", "by_input"),
    [
        ("channel", None, "input"),
        (("channel", "position"), None, ("input", "position")),
        ("position", ("channel", "position"), ("input", "position")),
        ("input", None, None),
    ],
)
def test_preparations_apply_to_all_measures(maps, center, centred, by_input):
    result = simplugins.controls(maps[:8], center=center, normalize="position")
    for name in ("mean-pooled-cosine", "semantic-cosine"):
        expected = simplugins.compute_rsm(maps[:8], name, center=center, normalize="position")
        np.testing.assert_allclose(result[name], expected, rtol=1e-5, atol=1e-7)
    for ending, combined in (("centred", centred), ("centred-by-input", by_input)):
        name = f"second-order-cosine-{ending}"
        assert (name in result.unavailable) == (combined is None)
        if combined is not None:
            expected = simplugins.compute_rsm(maps[:8], "second-order-cosine", center=combined, normalize="position")
            np.testing.assert_allclose(result[name], expected, rtol=1e-9)


def test_measures_that_sets_of_unequal_size_lack_are_named():
    rng = np.random.default_rng(0)
    result = simplugins.controls([rng.normal(size=(size, 4)) for size in (2, 5, 3, 4, 6)])
    assert set(result.unavailable) == {"shift-cosine", "spatio-semantic-cosine"}
    assert set(result) == {*NAMES} - set(result.unavailable)
    assert all(name in repr(result) for name in NAMES)


@pytest.mark.parametrize("normalize", ["matched", "mass", ("position", "mass")])
def test_normalisations_of_sets_change_only_measures_that_match_them(normalize):
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(size, 4)) for size in (2, 5, 3, 4, 6)]
    result = simplugins.controls(sets, normalize=normalize)
    assert set(result.unavailable) == {"shift-cosine", "spatio-semantic-cosine"}
    unit = "position" if "position" in normalize else None
    for name, rsm in result.items():
        options = {"normalize": normalize if name.startswith("semantic") else unit}
        measure, *centred = name.partition("-centred")
        options |= {"center": {"": None, "-centred": "channel", "-centred-by-input": "input"}["".join(centred)]}
        expected = simplugins.compute_rsm(sets, measure, **options)
        np.testing.assert_allclose(rsm, expected, rtol=1e-12)
        assert rsm.metadata.get("normalize") == expected.metadata.get("normalize")


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_other_kernels_methods_matchings_and_subsets_are_passed_on(maps, kernel):
    options = {"matching": "greedy", "subset": [0, 3, 4, 7, 9], "threads": 1}
    result = simplugins.controls(maps, kernel=kernel, method="rsa-pearson", **options)
    expected = simplugins.compute_rsm(maps, f"semantic-{kernel}", **options)
    np.testing.assert_allclose(result[f"semantic-{kernel}"], expected, rtol=1e-6)
    assert (result.method, result.kernel) == ("rsa-pearson", kernel)
    assert result.similarities[f"semantic-{kernel}"] == pytest.approx(1)


def test_too_few_inputs_for_the_method_leave_similarities_undefined(maps):
    assert all(math.isnan(value) for value in simplugins.controls(maps[:2]).similarities.values())


def test_networks_are_compared_measure_by_measure(controls, maps):
    other = simplugins.controls([vectors[: 3 + i % 2] for i, vectors in enumerate(maps.reshape(22, 32, 36))])
    for method, options in (("rsa-pearson", None), ("mutual-knn", {"k": 3})):
        values = controls.compare(other, method, method_options=options)
        assert set(values) == set(other)
        for name, value in values.items():
            assert value == simplugins.compare(controls[name], other[name], method, method_options=options)


def test_options_of_the_method_are_passed_on_and_shown(maps):
    result = simplugins.controls(maps[:8], method="mutual-knn", method_options={"k": 2})
    for name, rsm in result.items():
        expected = simplugins.compare(rsm, result["semantic-cosine"], "mutual-knn", method_options={"k": 2})
        assert result.similarities[name] == expected
    assert result.method == "mutual-knn (k=2)"


def test_rsms_become_objects_of_other_tools(controls):
    arrays = controls.to("numpy")
    assert list(arrays) == NAMES


def test_figures_show_each_rsm(controls):
    import matplotlib.pyplot as plt

    figure = controls.plot()
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes if axes.get_title()]
    plt.close(figure)
    assert titles == NAMES


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"kernel": "gaussian"}, ValueError, "kernel.*gaussian"),
        ({"method": "pearson"}, ValueError, "pearson"),
        ({"matching": "none"}, ValueError, "none"),
        ({"engine": "tpu"}, ValueError, "tpu"),
        ({"normalize": "matched", "kernel": "linear"}, ValueError, "matched"),
        ({"threads": 0}, ValueError, "threads"),
    ],
)
def test_invalid_options_raise(maps, options, error, match):
    with pytest.raises(error, match=match):
        simplugins.controls(maps, **options)
