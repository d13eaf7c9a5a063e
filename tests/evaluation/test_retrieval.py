# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, ndcg_score, precision_score, recall_score

import simplugins
from simplugins import RSM, partial_labels
from simplugins.evaluation import retrieval

few_queries = pytest.mark.filterwarnings("ignore:an interval at 95 % needs:RuntimeWarning")


def similarities(inputs, seed=0):
    values = np.random.default_rng(seed).normal(size=(inputs, inputs))
    return values + values.T


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_crops_of_one_photograph_find_each_other(photos, kernel):
    hits = {}
    for kind in ("spatio-semantic", "semantic"):
        rsm = simplugins.compute_rsm(photos["block10"], f"{kind}-{kernel}", labels=photos["photo"])
        result = retrieval(rsm)
        hits[kind] = result.metrics["precision@1"].value
        assert result.metrics["F1@1"].value == hits[kind]
    assert hits["semantic"] == 1.0
    if kernel == "rbf":
        assert hits["spatio-semantic"] == 0.625


@pytest.mark.parametrize("k", [1, 3, 11])
def test_metrics_equal_those_of_scikit_learn(k):
    values, labels = similarities(12), np.array(list("aabbccddaaef"))
    result = retrieval(values, labels, k=k)
    for i in range(12):
        candidates = np.delete(np.arange(12), i)
        scores, relevant = values[i, candidates], labels[candidates] == labels[i]
        retrieved = np.isin(np.arange(11), np.argsort(-scores)[:k])
        assert result.per_query[f"precision@{k}"][i] == pytest.approx(precision_score(relevant, retrieved))
        assert set(candidates[retrieved]) == set(result.neighbours[i])
        if relevant.any():
            assert result.per_query[f"recall@{k}"][i] == pytest.approx(recall_score(relevant, retrieved))
            assert result.per_query["AP"][i] == pytest.approx(average_precision_score(relevant, scores))
            assert ndcg_score([relevant.astype(float)], [scores]) <= 1
        else:
            assert np.isnan(result.per_query[f"recall@{k}"][i])
            assert np.isnan(result.per_query["AP"][i])
    assert result.metrics["mAP"].queries == 10
    assert result.metrics["mAP"].value == pytest.approx(np.nanmean(result.per_query["AP"]))


@few_queries
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16), k=st.integers(1, 4))
def test_f1_of_sets_equals_that_of_scikit_learn(seed, k):
    rng = np.random.default_rng(seed)
    sets, gallery_sets = rng.random((6, 5)) < 0.4, rng.random((7, 5)) < 0.4
    values = rng.normal(size=(6, 7))
    result = retrieval(values, sets, other_labels=gallery_sets, k=k)
    for i, neighbours in enumerate(result.neighbours):
        scores = f1_score(np.tile(sets[i], (k, 1)), gallery_sets[neighbours], average="samples", zero_division=1.0)
        assert result.per_query[f"F1@{k}"][i] == pytest.approx(scores)
        relevant = (gallery_sets & sets[i]).any(1)
        assert result.per_query[f"precision@{k}"][i] == pytest.approx(relevant[neighbours].mean())
    names = [{"abcde"[place] for place in np.flatnonzero(row)} for row in sets]
    gallery = [["abcde"[place] for place in np.flatnonzero(row)] for row in gallery_sets]
    same = retrieval(values, names, other_labels=gallery, k=k)
    for name, of_queries in result.per_query.items():
        np.testing.assert_array_equal(same.per_query[name], of_queries)


@few_queries
def test_ties_go_to_the_lower_index_and_no_query_finds_itself():
    result = retrieval(np.ones((4, 4)), list("abab"), k=3)
    np.testing.assert_array_equal(result.neighbours, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    np.testing.assert_array_equal(result.per_query["AP"], [1 / 2, 1 / 3, 1, 1 / 2])


def test_queries_find_inputs_of_a_gallery(photos):
    maps, labels = photos["block15"], photos["photo_names"][photos["photo"]]
    rsm = simplugins.compute_rsm(maps[::4], other=maps, labels=labels[::4], other_labels=labels)
    result = retrieval(rsm, k=4)
    np.testing.assert_array_equal(result.neighbours[:, 0], np.arange(0, 24, 4))  # the gallery has the queries too
    np.testing.assert_allclose(result.similarities, np.sort(rsm.values, 1)[:, :-5:-1])
    by_array = retrieval(rsm.values, labels[::4], other_labels=labels, k=4)
    assert {name: str(metric) for name, metric in by_array.metrics.items()} == {
        name: str(metric) for name, metric in result.metrics.items()
    }


def test_intervals_resample_queries():
    values, labels = similarities(40), np.arange(40) % 4
    result = retrieval(values, labels, k=5, resamples=2000).metrics["precision@5"]
    of_queries = retrieval(values, labels, k=5).per_query["precision@5"]
    spread = 1.96 * of_queries.std() / np.sqrt(40)
    assert result.low == pytest.approx(of_queries.mean() - spread, abs=0.02)
    assert result.high == pytest.approx(of_queries.mean() + spread, abs=0.02)
    wider = retrieval(values, labels, k=5, confidence=0.99).metrics["precision@5"]
    assert wider.low < result.low < result.value < result.high < wider.high
    assert str(retrieval(values, labels, k=5, seed=3).metrics) == str(retrieval(values, labels, k=5, seed=3).metrics)


@pytest.mark.parametrize("inputs", [5, 30])
def test_equal_values_have_the_exact_interval_of_a_share(inputs):
    labels = [*"ab"] * inputs
    values = np.equal.outer(labels, labels) + np.eye(2 * inputs)
    metric = retrieval(values, labels).metrics["precision@1"]
    expected = binomtest(2 * inputs, 2 * inputs).proportion_ci(0.95, method="exact")
    assert (metric.value, metric.low, metric.high) == pytest.approx((1, expected.low, 1))
    apart = retrieval(values, range(2 * inputs)).metrics["precision@1"]
    assert (apart.value, apart.low, apart.high) == pytest.approx((0, 0, 1 - expected.low))


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_too_few_queries_have_no_interval(inputs):
    values = np.ones((inputs, inputs)) + np.eye(inputs)
    with pytest.warns(RuntimeWarning, match=rf"at least 5 queries.*precision@1 \({inputs}\)") as caught:
        metrics = retrieval(values, ["a"] * inputs).metrics
    assert len(caught) == 1
    assert all(np.isnan([metric.low, metric.high]).all() for metric in metrics.values())
    assert metrics["precision@1"].value == 1


def test_distances_are_not_ranked_as_similarities():
    x = np.random.default_rng(0).normal(size=(8, 3))
    distances = np.linalg.norm(x[:, None] - x, axis=-1)
    with pytest.raises(ValueError, match=r"rsm.*RSM\.from_distances"):
        retrieval(distances, [*"aabbccdd"])
    nearest = retrieval(RSM.from_distances(distances), [*"aabbccdd"]).neighbours
    assert nearest.shape == (8, 1)
    np.testing.assert_array_equal(
        retrieval(-distances, [*"aabbccdd"]).neighbours[:, 0], np.argsort(distances, axis=1, kind="stable")[:, 1]
    )


def test_queries_without_relevant_inputs_have_no_recall():
    result = retrieval(similarities(6), list("abcdef"))
    assert result.metrics["mAP"].queries == 0
    assert np.isnan(result.metrics["mAP"].value)
    assert result.metrics["precision@1"].value == 0
    assert repr(result).startswith("Retrieval of 1 for each of 6 queries: precision@1 0.0000 (0.0000 to 0.4593)")


@pytest.mark.parametrize("other", [False, True])
def test_neighbours_of_a_search_give_the_metrics_of_the_rsm(photos, other):
    maps, labels = photos["block15"], photos["photo"]
    queries, gallery = (maps[:6], {"other": maps, "other_labels": labels}) if other else (maps, {})
    rsm = simplugins.compute_rsm(queries, labels=labels[: len(queries)], **gallery)
    neighbours = simplugins.search(queries, k=5, labels=labels[: len(queries)], **gallery)
    result, expected = retrieval(neighbours, k=3), retrieval(rsm, k=3)
    np.testing.assert_array_equal(result.neighbours, expected.neighbours)
    np.testing.assert_array_equal(result.relevant, expected.relevant)
    np.testing.assert_allclose(result.similarities, expected.similarities, rtol=1e-5)
    assert set(expected.metrics) - set(result.metrics) == {"mAP"}  # it needs the whole ranking
    for name, metric in result.metrics.items():
        assert metric.value == expected.metrics[name].value
    renamed = retrieval(simplugins.search(maps[:6], other=maps, k=3), labels[:6], other_labels=labels, k=3)
    np.testing.assert_array_equal(renamed.neighbours[:, 0], np.arange(6))
    with pytest.raises(ValueError, match=r"k must be at most 5\b.*\b6\b"):
        retrieval(neighbours, k=6)


def test_a_complete_search_has_average_precision(photos):
    maps, labels = photos["block15"][:8], photos["photo"][:8]
    result = retrieval(simplugins.search(maps, k=7, labels=labels), k=2)
    expected = retrieval(simplugins.compute_rsm(maps, labels=labels), k=2)
    np.testing.assert_array_equal(result.per_query["AP"], expected.per_query["AP"])


@pytest.mark.parametrize("how", ["rsm", "labels", "sets", "search"])
def test_inputs_without_a_label_are_neither_queries_nor_relevant(how):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 6))
    x[5:] = x[5] + 0.01 * rng.normal(size=(4, 6))  # those without a label are alike
    names = ["cat", "dog", "cat", "dog", "cat", None, None, None, None]
    labels = partial_labels([None if name is None else {name} for name in names] if how == "sets" else names)
    rsm = simplugins.compute_rsm(x, labels=labels if how == "rsm" else None)
    if how == "search":
        result = retrieval(simplugins.search(x, k=8, labels=labels), k=3)
    else:
        result = retrieval(rsm, None if how == "rsm" else labels, k=3)
    unique = [name or str(i) for i, name in enumerate(names)]  # each in a class of its own
    expected = retrieval(rsm, unique, k=3)
    np.testing.assert_array_equal(result.relevant, expected.relevant)
    assert not result.relevant[5:].any()
    for name, values in result.per_query.items():
        np.testing.assert_array_equal(values[:5], expected.per_query[name][:5])
        assert np.isnan(values[5:]).all()
    assert result.metrics["precision@3"].queries == 5
    assert result.metrics["precision@3"].value == expected.per_query["precision@3"][:5].mean()


@pytest.mark.filterwarnings("ignore:an interval at:RuntimeWarning")
def test_a_gallery_may_have_inputs_without_labels():
    values = similarities(4)[:2]
    labels = partial_labels(["a", None])
    result = retrieval(values, labels, other_labels=partial_labels(["b", None, "a", "a"]), k=4)
    relevant = np.array([False, False, True, True])
    np.testing.assert_array_equal(result.relevant[0], relevant[result.neighbours[0]])
    assert result.per_query["recall@4"].tolist()[0] == 1
    assert np.isnan(result.per_query["precision@4"][1])


@pytest.mark.filterwarnings("ignore:an interval at:RuntimeWarning")
@pytest.mark.parametrize("sets", [False, True])
def test_numbers_and_their_texts_are_one_class(sets):
    values = similarities(4)[:2]
    numbers, texts = ([1, 2], ["1", "2", "02", "1"])
    if sets:
        numbers, texts = [{1, 3}, [2.0]], [["1"], ("2", "x"), {"02"}, {"1"}]
    relevant = np.array([[True, False, False, True], [False, True, False, False]])
    for labels, others in ((numbers, texts), (list(map(str, [1, 2])), [1, 2, "02", 1] if not sets else texts)):
        result = retrieval(values, labels, other_labels=others, k=4)
        np.testing.assert_array_equal(result.relevant, np.take_along_axis(relevant, result.neighbours, 1))


@pytest.mark.parametrize(
    ("values", "labels", "options", "match"),
    [
        (np.eye(3), None, {}, "labels must be given"),
        (RSM.from_similarities(np.eye(3)), None, {}, "labels must be given"),
        (np.ones((2, 3)), ["a", "b"], {}, "other_labels must be given"),
        (np.eye(3), ["a", "b"], {}, r"labels: expected 3\b.*\b2\b"),
        (np.eye(3), ["a", {"b"}, "c"], {}, "labels: expected either"),
        (np.eye(3), ["a", None, "c"], {}, "labels: input 1 has no label .*partial_labels"),
        (np.eye(3), [{"a"}, None, {"c"}], {}, "labels: expected either"),
        (np.eye(3), [{"a"}, {"b", None}, {"c"}], {}, "labels: input 1 has a missing label"),
        (np.eye(3), [{"a"}, ["b", float("nan")], {"c"}], {}, "labels: input 1 has a missing label"),
        (np.eye(3), [{1}, {"1"}, {"c"}], {}, "labels: both the number 1 and the text '1'"),
        (np.ones((2, 3)), np.eye(2, dtype=bool), {"other_labels": list("abc")}, "2 columns and names"),
        (np.ones((2, 3)), np.eye(2, dtype=bool), {"other_labels": np.eye(3, dtype=bool)}, "2 columns and 3 columns"),
        (np.eye(3), np.ones((3, 2)), {}, r"labels: .*float64.*\(3, 2\)"),
        (np.eye(3), list("abc"), {"k": 3}, r"k must be at most 2\b.*\b3\b"),
        (np.eye(3), list("abc"), {"k": 0}, r"k must be .*\b0\b"),
        (np.eye(3), list("abc"), {"other_labels": list("abc")}, "other_labels"),
        (np.eye(3), list("abc"), {"confidence": 2}, r"confidence must be .*\b2\b"),
        (np.eye(3), list("abc"), {"resamples": 0}, r"resamples must be .*\b0\b"),
        ([[1.0, np.nan], [0.0, 1.0]], list("ab"), {}, "rsm .*NaN.*row 0, column 1"),
        (np.ones(3), list("abc"), {}, r"rsm: .*\(3,\)"),
    ],
)
def test_bad_input_raises(values, labels, options, match):
    with pytest.raises(ValueError, match=match):
        retrieval(values, labels, **options)


@few_queries
def test_unknown_file_endings_raise(tmp_path):
    with pytest.raises(ValueError, match=r"table\.txt.*\.csv or \.json"):
        retrieval(np.eye(3), list("aab")).save(tmp_path / "table.txt")


def test_evaluation_names_work_after_importing_only_the_package():
    code = "import simplugins; print(simplugins.evaluation.retrieval.__name__, simplugins.evaluation.search.__name__)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["retrieval", "search"]


def test_importing_evaluation_loads_no_engine():
    code = (
        "import sys, simplugins.evaluation\n"
        "print([m for m in sys.modules if m.startswith(('simplugins.compute', 'matplotlib', 'scipy', 'numba'))])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_columns_of_collections_are_read_as_lists_of_them():
    rsm, labels = np.eye(6) + 1, [["a"], ["b"], ["a", "b"], ["b"], ["a"], ["a", "c"]]
    expected = retrieval(rsm, labels).per_query["precision@1"]
    column = pd.Series(labels)
    for values in (column, column.to_numpy()):
        np.testing.assert_array_equal(retrieval(rsm, values).per_query["precision@1"], expected)
