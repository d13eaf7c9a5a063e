# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, ndcg_score, precision_score, recall_score

import simplugins
from simplugins import RSM
from simplugins.evaluation import retrieval


def similarities(inputs, seed=0):
    values = np.random.default_rng(seed).normal(size=(inputs, inputs))
    return values + values.T


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_crops_of_one_photograph_find_each_other(photos, kernel):
    hits = {}
    for kind in ("spatio-semantic", "semantic"):
        rsm = simplugins.compute_rsm(photos["block10"], f"{kind}-{kernel}", labels=photos["photo"])
        found = retrieval(rsm)
        hits[kind] = found.metrics["precision@1"].mean
        assert found.metrics["F1@1"].mean == hits[kind]
    assert hits["semantic"] == 1.0
    if kernel == "rbf":
        assert hits["spatio-semantic"] == 0.625


@pytest.mark.parametrize("k", [1, 3, 11])
def test_metrics_are_those_of_scikit_learn(k):
    values, labels = similarities(12), np.array(list("aabbccddaaef"))
    found = retrieval(values, labels, k=k)
    for i in range(12):
        others = np.delete(np.arange(12), i)
        scores, relevant = values[i, others], labels[others] == labels[i]
        retrieved = np.isin(np.arange(11), np.argsort(-scores)[:k])
        assert found.per_query[f"precision@{k}"][i] == pytest.approx(precision_score(relevant, retrieved))
        assert set(others[retrieved]) == set(found.neighbours[i])
        if relevant.any():
            assert found.per_query[f"recall@{k}"][i] == pytest.approx(recall_score(relevant, retrieved))
            assert found.per_query["AP"][i] == pytest.approx(average_precision_score(relevant, scores))
            assert ndcg_score([relevant.astype(float)], [scores]) <= 1
        else:
            assert np.isnan(found.per_query[f"recall@{k}"][i])
            assert np.isnan(found.per_query["AP"][i])
    assert found.metrics["mAP"].queries == 10
    assert found.metrics["mAP"].mean == pytest.approx(np.nanmean(found.per_query["AP"]))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16), k=st.integers(1, 4))
def test_f1_of_sets_is_that_of_scikit_learn(seed, k):
    rng = np.random.default_rng(seed)
    own, others = rng.random((6, 5)) < 0.4, rng.random((7, 5)) < 0.4
    values = rng.normal(size=(6, 7))
    found = retrieval(values, own, gallery_labels=others, k=k)
    for i, neighbours in enumerate(found.neighbours):
        scores = f1_score(np.tile(own[i], (k, 1)), others[neighbours], average="samples", zero_division=1.0)
        assert found.per_query[f"F1@{k}"][i] == pytest.approx(scores)
        relevant = (others & own[i]).any(1)
        assert found.per_query[f"precision@{k}"][i] == pytest.approx(relevant[neighbours].mean())
    names = [{"abcde"[place] for place in np.flatnonzero(row)} for row in own]
    gallery = [["abcde"[place] for place in np.flatnonzero(row)] for row in others]
    same = retrieval(values, names, gallery_labels=gallery, k=k)
    for name, of_queries in found.per_query.items():
        np.testing.assert_array_equal(same.per_query[name], of_queries)


def test_ties_go_by_index_and_no_query_finds_itself():
    found = retrieval(np.ones((4, 4)), list("abab"), k=3)
    np.testing.assert_array_equal(found.neighbours, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    np.testing.assert_array_equal(found.per_query["AP"], [1 / 2, 1 / 3, 1, 1 / 2])


def test_queries_find_inputs_of_a_gallery(photos):
    maps, labels = photos["block15"], photos["photo_names"][photos["photo"]]
    rsm = simplugins.compute_rsm(maps[::4], other=maps, labels=labels[::4], other_labels=labels)
    found = retrieval(rsm, k=4)
    np.testing.assert_array_equal(found.neighbours[:, 0], np.arange(0, 24, 4))  # the gallery has the queries too
    np.testing.assert_allclose(found.similarities, np.sort(rsm.values, 1)[:, :-5:-1])
    given_ = retrieval(rsm.values, labels[::4], gallery_labels=labels, k=4)
    assert {name: str(metric) for name, metric in given_.metrics.items()} == {
        name: str(metric) for name, metric in found.metrics.items()
    }


def test_the_interval_is_over_queries():
    values, labels = similarities(40), np.arange(40) % 4
    found = retrieval(values, labels, k=5, resamples=2000).metrics["precision@5"]
    of_queries = retrieval(values, labels, k=5).per_query["precision@5"]
    spread = 1.96 * of_queries.std() / np.sqrt(40)
    assert found.low == pytest.approx(of_queries.mean() - spread, abs=0.02)
    assert found.high == pytest.approx(of_queries.mean() + spread, abs=0.02)
    wider = retrieval(values, labels, k=5, confidence=0.99).metrics["precision@5"]
    assert wider.low < found.low < found.mean < found.high < wider.high
    assert str(retrieval(values, labels, k=5, seed=3).metrics) == str(retrieval(values, labels, k=5, seed=3).metrics)


def test_labels_without_company_have_no_recall():
    found = retrieval(similarities(4), list("abcd"))
    assert found.metrics["mAP"].queries == 0
    assert np.isnan(found.metrics["mAP"].mean)
    assert found.metrics["precision@1"].mean == 0
    assert repr(found).startswith("Retrieval of 1 for each of 4 queries: precision@1 0.0000 (0.0000 to 0.0000)")


@pytest.mark.parametrize(
    ("values", "labels", "options", "match"),
    [
        (np.eye(3), None, {}, "the RSM has no labels: give labels"),
        (RSM.from_similarities(np.eye(3)), None, {}, "the RSM has no labels: give labels"),
        (np.ones((2, 3)), ["a", "b"], {}, "the RSM has no other_labels: give gallery_labels"),
        (np.eye(3), ["a", "b"], {}, "labels: expected 3, one an input, got 2"),
        (np.eye(3), ["a", {"b"}, "c"], {}, "labels: expected a label for each input, or a collection of labels"),
        (np.eye(3), np.ones((3, 2)), {}, "or booleans of shape .inputs, labels.; got float64 of shape"),
        (np.eye(3), list("abc"), {"k": 3}, "k: there are 2 neighbours to find for each query, got 3"),
        (np.eye(3), list("abc"), {"k": 0}, "k must be"),
        (np.eye(3), list("abc"), {"gallery_labels": list("abc")}, "here every input is both"),
        (np.eye(3), list("abc"), {"confidence": 2}, "confidence must be"),
        (
            [[1.0, np.nan], [0.0, 1.0]],
            list("ab"),
            {},
            "rsm holds 1 NaN or infinite values, the first at row 0, column 1",
        ),
        (np.ones(3), list("abc"), {}, "rsm: expected a matrix"),
    ],
)
def test_bad_input_is_told(values, labels, options, match):
    with pytest.raises(ValueError, match=match):
        retrieval(values, labels, **options)
