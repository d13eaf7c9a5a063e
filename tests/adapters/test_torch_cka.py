# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from torch.utils.data import DataLoader
from torch_cka import CKA

import simplugins
from simplugins import RSM

NOT_SHOWN = "ignore:FigureCanvasAgg is non-interactive"
TENSOR_DRAWN = "ignore:__array__ implementation:DeprecationWarning"


def compared(one, other, *loaders):
    """Return the results of torch_cka for two models, of one loader for both, or of two."""
    result = CKA(one.model, other.model)
    result.compare(*(loaders or (one.loader, one.loader)))
    return result.export()


def model_of(*rsms, name="one"):
    return simplugins.to_tool("torch-cka", rsms, name=name)


@pytest.mark.filterwarnings(NOT_SHOWN, TENSOR_DRAWN)
def test_the_page_prints_what_it_shows(run_page):
    run_page("torch-cka")


def test_cka_of_the_tool_is_debiased_cka_even_for_indefinite_rsms(indefinite, kernel, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    one, other = model_of(pair[0]), model_of(pair[1], name="other")
    result = compared(one, other)["CKA"].item()
    assert result == pytest.approx(simplugins.compare(*pair, "cka-debiased"), abs=1e-6)
    assert abs(result - simplugins.compare(*pair, "cka")) > 0.01
    one.model.layers[0].weight.zero_()
    one.loader.dataset.tensors[0].zero_()


def test_all_layers_are_compared_with_all(indefinite):
    rows = {"stem.0": indefinite["linear"][0], "": indefinite["rbf"][0]}
    columns = {"block (a)": indefinite["cosine"][0], "block (b)": indefinite["cosine"][1], "c": indefinite["rbf"][1]}
    one, other = (simplugins.to_tool("torch-cka", layers, name=name) for name, layers in (("A", rows), ("B", columns)))
    result = compared(one, other)
    expected = simplugins.compare_layers(rows, columns, "cka-debiased")
    np.testing.assert_allclose(result["CKA"], expected.values, atol=1e-6)
    assert (result["model1_layers"], result["model2_layers"]) == (list(rows), list(columns))
    assert (result["model1_name"], result["model2_name"]) == ("A", "B")
    few = CKA(one.model, other.model, model1_layers=["stem.0"], model2_layers=["c"])
    few.compare(one.loader, one.loader)
    np.testing.assert_allclose(few.export()["CKA"], expected.values[:1, 2:], atol=1e-6)


def test_neither_a_large_mean_nor_scale_costs_digits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 50))
    pair = [RSM.from_similarities(1e12 * (y + 100) @ (y + 100).T) for y in (x, x + 0.5 * rng.normal(size=x.shape))]
    result = compared(model_of(pair[0]), model_of(pair[1], name="other"))["CKA"].item()
    assert result == pytest.approx(simplugins.compare(*pair, "cka-debiased"), abs=1e-6)


def test_batches_give_minibatch_cka(indefinite, kernel):
    pair = [replace(rsm, labels=None) for rsm in indefinite[kernel]]
    one, other = model_of(pair[0]), model_of(pair[1], name="other")
    loader = DataLoader(one.loader.dataset, batch_size=20)
    batches = [range(start, min(start + 20, 118)) for start in range(0, 118, 20)]
    expected = simplugins.minibatch_cka([[rsm.values[np.ix_(batch, batch)] for rsm in pair] for batch in batches])
    assert compared(one, other, loader, loader)["CKA"].item() == pytest.approx(expected, abs=1e-5)


def test_batches_that_are_too_small_are_an_error(photo_rsms):
    one, other = model_of(photo_rsms["block10"]), model_of(photo_rsms["block15"], name="other")
    loader = DataLoader(one.loader.dataset, batch_size=7)
    with pytest.raises(ValueError, match=r"batch_size.*\b4\b.*\b3\b"):
        compared(one, other, loader, loader)
    rest = DataLoader(one.loader.dataset, batch_size=7, drop_last=True)
    assert 0.9 < compared(one, other, rest, rest)["CKA"].item() < 1


@pytest.mark.parametrize("count", [2, 3])
def test_fewer_than_four_inputs_are_an_error(photos, count):
    rsm = simplugins.compute_rsm(photos["block15"][:count])
    with pytest.raises(ValueError, match=f"needs at least 4 inputs, got {count}"):
        rsm.to("torch-cka")


@pytest.mark.parametrize("values", [np.full((5, 5), 0.1), np.eye(5), np.zeros((5, 5))])
def test_rsms_without_debiased_cka_are_an_error(values):
    with pytest.raises(ValueError, match=r"flat.*undefined"):
        simplugins.to_tool("torch-cka", {"flat": RSM.from_similarities(values)})


def test_permuted_inputs_are_found_by_their_labels(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        model_of(a, permuted(b))
    expected = simplugins.compare(a, b, "cka-debiased")
    one, other = model_of(a), model_of(permuted(b), name="other")
    assert compared(one, other)["CKA"].item() == pytest.approx(expected, abs=1e-6)
    assert compared(one, other, one.loader, other.loader)["CKA"].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "labels", [[1] * 12 + [2] * 12, [*range(12), *map(str, range(12))], None], ids=["twice", "mixed", "none"]
)
def test_labels_of_any_kind(photo_rsms, labels):
    if labels is not None:
        labels = np.array(labels)
    a, b = (replace(rsm, labels=labels) for rsm in photo_rsms.values())
    result = compared(model_of(a), model_of(b, name="other"))["CKA"].item()
    assert result == pytest.approx(simplugins.compare(a, b, "cka-debiased"), abs=1e-6)


def test_unknown_inputs_are_an_error(photo_rsms):
    a, b = photo_rsms.values()
    for rsm in (replace(b, labels=b.labels + "!"), replace(b, labels=None), RSM.from_similarities(b.values[:9, :9])):
        with pytest.raises(ValueError, match=r"loader.*\bother\b.*labels"):
            compared(model_of(a), model_of(rsm, name="other"))


@pytest.mark.parametrize("method", ["cka", "cka-debiased"])
def test_comparisons_are_exported_in_the_format_of_the_tool(photo_rsms, method):
    comparison = simplugins.compare_layers(photo_rsms, method=method)
    theirs = compared(model_of(*photo_rsms.values()), model_of(*photo_rsms.values(), name="other"))
    results = comparison.to("torch-cka")
    result = results.export()
    assert {key: type(value) for key, value in result.items()} == {key: type(value) for key, value in theirs.items()}
    assert result["CKA"].dtype == theirs["CKA"].dtype == torch.float32
    np.testing.assert_array_equal(result["CKA"], comparison.values.astype(np.float32))
    assert result["model1_layers"] == result["model2_layers"] == ["block10", "block15"]
    assert result["model1_name"] == result["model2_name"] == "network"
    estimator = {"cka": "biased CKA", "cka-debiased": r"debiased CKA (Song)"}[method]
    assert result["dataset1_name"] == result["dataset2_name"] == f"24 inputs, {estimator} of semantic-cosine RSMs"
    before = comparison.values.copy()
    result["CKA"].zero_()
    np.testing.assert_array_equal(comparison.values, before)
    with pytest.raises(TypeError, match="no networks"):
        results.compare(None)


@pytest.mark.filterwarnings(NOT_SHOWN, TENSOR_DRAWN)
def test_the_tool_plots_comparisons(photo_rsms):
    comparison = simplugins.compare_layers(photo_rsms, {"late": photo_rsms["block15"]}, "cka-debiased")
    comparison.to("torch-cka", names=("A", "B")).plot_results()
    axes = pyplot.gcf().axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), comparison.values, atol=1e-7)
    assert axes.get_title() == "A vs B"
    pyplot.close("all")
    assert comparison.to("torch-cka").export()["model2_name"] == "other network"


def test_other_methods_and_wrong_names_are_an_error(photo_rsms):
    with pytest.raises(ValueError, match=r"'cka', 'cka-debiased'.*'rsa-spearman'"):
        simplugins.compare_layers(photo_rsms, method="rsa-spearman").to("torch-cka")
    for names in ("AB", ("A",)):
        with pytest.raises(ValueError, match="names"):
            simplugins.compare_layers(photo_rsms).to("torch-cka", names=names)


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:8])
    with pytest.raises(ValueError, match=r"torch_cka.* 4 .* 4 "):
        between.to("torch-cka")
