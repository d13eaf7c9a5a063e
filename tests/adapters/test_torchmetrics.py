# SPDX-License-Identifier: Apache-2.0
import copy
import pickle

import numpy as np
import pytest
import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.functional import (
    kendall_rank_corrcoef,
    pairwise_cosine_similarity,
    pearson_corrcoef,
    spearman_corrcoef,
)

import simplugins

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*was called before the ..update.. method:UserWarning"  # by torchmetrics, before it fails
)


@pytest.fixture
def responses(photos):
    return tuple(torch.from_numpy(photos[layer]) for layer in ("block10", "block15"))


def in_batches(metric, x, y, size=7):
    for start in range(0, len(x), size):
        metric.update(x[start : start + size], y[start : start + size])
    return metric


def test_the_page_prints_what_it_shows(run_page):
    run_page("torchmetrics")


@pytest.mark.parametrize(
    ("theirs", "ours", "tolerance"),
    [
        (spearman_corrcoef, "rsa-spearman", 1e-5),
        (pearson_corrcoef, "rsa-pearson", 1e-6),
        (kendall_rank_corrcoef, "rsa-kendall-tau-b", 1e-5),
    ],
)
def test_correlations_of_vectors_are_rsa(indefinite, kernel, theirs, ours, tolerance, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    vectors = [rsm.to("torchmetrics") for rsm in pair]
    assert vectors[0].dtype == torch.float64
    assert vectors[0].shape == (118 * 117 / 2,)
    assert theirs(*vectors).item() == pytest.approx(simplugins.compare(*pair, ours), abs=tolerance)
    vectors[0][:] = 0


def test_correlations_with_ties_are_rsa():
    rng = np.random.default_rng(0)
    rsms = [
        simplugins.RSM.from_similarities(np.tril(k, -1) + np.tril(k, -1).T + np.eye(30))
        for k in rng.integers(0, 4, (2, 30, 30))
    ]
    result = spearman_corrcoef(*(rsm.to("torchmetrics") for rsm in rsms)).item()
    assert result == pytest.approx(simplugins.compare(*rsms, "rsa-spearman"), abs=1e-5)


def test_vectors_of_dissimilarities(indefinite, kernel):
    pair = indefinite[kernel]
    vectors = [rsm.to("torchmetrics", dissimilarity="distance") for rsm in pair]
    np.testing.assert_array_equal(vectors[0].numpy(), pair[0].rdm()[np.triu_indices(118, 1)])
    expected = simplugins.compare(*(-rsm.rdm() for rsm in pair), "rsa-spearman")
    assert spearman_corrcoef(*vectors).item() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        pair[0].to("torchmetrics", dissimilarity="l1")


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("torchmetrics", (a, permuted(b)))
    _, aligned = simplugins.to_tool("torchmetrics", (a, permuted(b)), align=True)
    assert torch.equal(aligned, b.to("torchmetrics"))


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:])
    with pytest.raises(ValueError, match=r"torchmetrics.* 4 .* 20 "):
        between.to("torchmetrics")


def test_matrices_of_the_tool_without_a_diagonal_are_an_error():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="diagonal"):
        simplugins.from_tool("numpy", pairwise_cosine_similarity(x))
    result = simplugins.from_tool("numpy", pairwise_cosine_similarity(x, zero_diagonal=False))
    np.testing.assert_allclose(result.values.diagonal(), 1, atol=1e-6)


@pytest.mark.parametrize("method", ["cka", "rsa-spearman", "norm-difference"])
def test_batches_give_the_similarity_of_all_inputs(responses, kernel, method):
    similarity = simplugins.similarity(f"semantic-{kernel}", method)
    metric = similarity.to("torchmetrics")
    assert isinstance(metric, Metric)
    result = in_batches(metric, *responses).compute()
    assert (result.shape, result.dtype) == ((), torch.float32)
    assert result.item() == pytest.approx(similarity(*responses), rel=1e-6)
    assert metric.higher_is_better is similarity.larger_is_more_similar
    in_float64 = similarity.to("torchmetrics").set_dtype(torch.float64)
    result = in_batches(in_float64, *responses).compute()
    assert result.dtype == torch.float64
    assert result.item() == pytest.approx(similarity(*responses), rel=1e-12)


@pytest.mark.parametrize(
    ("layout", "arrange"),
    [
        ("nhwc", lambda maps: maps.permute(0, 2, 3, 1)),
        ("ntd", lambda maps: maps.flatten(2).transpose(1, 2)),
        ("auto", lambda maps: maps.flatten(2).transpose(1, 2)),
        ("nd", lambda maps: maps.float().mean((2, 3))),
        ("auto", lambda maps: maps.float().mean((2, 3))),
    ],
)
def test_layouts(responses, layout, arrange):
    similarity = simplugins.similarity()
    x, y = map(arrange, responses)
    result = in_batches(similarity.to("torchmetrics", layout=layout), x, y).compute()
    assert result.item() == pytest.approx(similarity(x, y, layout), rel=1e-6)


def test_states_are_unconverted_copies(responses):
    metric = simplugins.similarity().to("torchmetrics")
    x, y = (maps.clone() for maps in responses)
    x = x.float().requires_grad_()
    in_batches(metric, x, y, size=24)
    y[:] = 0
    assert metric.y[0].dtype == torch.float16
    assert torch.equal(metric.y[0], responses[1])
    assert not metric.x[0].requires_grad


def test_metrics_can_be_reset_copied_and_pickled(responses):
    similarity = simplugins.similarity(
        "semantic-linear", "cka-debiased", matching="topk-greedy", matching_options={"k": 32}
    )
    metric = similarity.to("torchmetrics")
    expected = similarity(*responses)
    in_batches(metric, *responses)
    for copied in (metric, copy.deepcopy(metric), metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert copied.compute().item() == pytest.approx(expected, rel=1e-6)
        assert "semantic-linear-cka-debiased" in repr(copied)
        copied.reset()
        assert copied.x == copied.y == []
        assert in_batches(copied, *responses, size=9).compute().item() == pytest.approx(expected, rel=1e-6)


def test_forward_returns_the_similarity_of_the_batch(responses):
    similarity = simplugins.similarity()
    metric = similarity.to("torchmetrics")
    x, y = responses
    for start in (0, 12):
        batch = x[start : start + 12], y[start : start + 12]
        assert metric(*batch).item() == pytest.approx(similarity(*batch), rel=1e-6)
    assert metric.compute().item() == pytest.approx(similarity(x, y), rel=1e-6)


def test_collections_share_states(responses):
    names = {"matched": "semantic-cosine", "by position": "spatio-semantic-cosine"}
    similarities = {name: simplugins.similarity(measure) for name, measure in names.items()}
    metrics = MetricCollection({name: result.to("torchmetrics") for name, result in similarities.items()})
    in_batches(metrics, *responses)
    result = metrics.compute()
    for name, similarity in similarities.items():
        assert result[name].item() == pytest.approx(similarity(*responses), rel=1e-6)
    assert metrics.compute_groups == {0: ["by position", "matched"]}


def test_states_of_several_processes_are_gathered(responses):
    """Two processes with half of the inputs each, simulated by the function that gathers states."""
    x, y = responses
    remote = iter([x[12:], y[12:]])
    metric = simplugins.similarity().to(
        "torchmetrics",
        metric_options={
            "dist_sync_fn": lambda state, group: [state, next(remote)],
            "distributed_available_fn": lambda: True,
        },
    )
    metric.update(x[:6], y[:6])
    metric.update(x[6:12], y[6:12])
    assert metric.compute().item() == pytest.approx(simplugins.similarity()(x, y), rel=1e-6)
    assert sum(map(len, metric.x)) == 12


def test_the_metric_plots_its_value(responses):
    metric = simplugins.similarity().to("torchmetrics")
    in_batches(metric, *responses)
    _, axes = metric.plot()
    assert axes.get_ylabel() == "semantic-cosine-cka-debiased"
    value = metric.compute()
    assert axes.lines[0].get_ydata()[0] == pytest.approx(value.item())
    _, same = metric.plot([value, value], axes)
    assert same is axes


def test_bad_batches_and_options_are_an_error(responses):
    x, y = responses
    similarity = simplugins.similarity()
    metric = similarity.to("torchmetrics")
    with pytest.raises(ValueError, match=r"x and y.*\b24\b.*\b23\b"):
        metric.update(x, y[1:])
    with pytest.raises(ValueError, match="No samples to concatenate"):
        similarity.to("torchmetrics").compute()
    metric.update(x * torch.nan, y)
    with pytest.raises(ValueError, match=r"first network.*NaN"):
        metric.compute()
    with pytest.raises(ValueError, match=r"layout 'chw'.* n"):
        similarity.to("torchmetrics", layout="chw")
    with pytest.raises(ValueError, match="colour"):
        similarity.to("torchmetrics", metric_options={"colour": 1})
    with pytest.raises(TypeError, match=r"'layot'.*'layout'"):
        similarity.to("torchmetrics", layot="nchw")


def test_plain_callables_become_metrics(responses):
    def squared(x, y):
        return len(x) + len(y)

    metric = in_batches(simplugins.to_tool("torchmetrics", squared), *responses)
    assert metric.compute().item() == 48
    assert metric.higher_is_better is None
    assert "squared" in repr(metric)
