# SPDX-License-Identifier: Apache-2.0
import ckatorch
import numpy as np
import pytest
import torch
from ckatorch import hsic0, hsic1
from matplotlib import pyplot

import simplugins


def cka(hsic, x, y):
    return (hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()).item()


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_the_page_prints_what_it_shows(run_page):
    run_page("ckatorch")


@pytest.mark.parametrize(
    ("hsic", "method"), [(hsic0, "cka"), (lambda x, y: hsic1(x[None], y[None]), "cka-debiased")], ids=["hsic0", "hsic1"]
)
def test_cka_of_the_tool_is_ours_even_for_indefinite_rsms(indefinite, kernel, unchanged, hsic, method):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    x, y = (rsm.to("ckatorch") for rsm in pair)
    assert cka(hsic, x, y) == pytest.approx(simplugins.compare(*pair, method), abs=1e-9)
    x.zero_()


def test_a_stack_goes_through_hsic1_at_once(photo_rsms, unchanged):
    unchanged(*photo_rsms.values())
    grams = simplugins.to_tool("ckatorch", photo_rsms)
    assert (grams.shape, grams.dtype) == ((2, 24, 24), torch.float64)
    i, j = torch.cartesian_prod(torch.arange(2), torch.arange(2)).T
    hsic = hsic1(grams[i], grams[j]).reshape(2, 2)
    result = hsic / torch.outer(hsic.diagonal(), hsic.diagonal()).sqrt()
    np.testing.assert_allclose(result, simplugins.compare_layers(photo_rsms, method="cka-debiased").values, atol=1e-12)
    grams.zero_()


def test_rounding_of_float32_is_no_asymmetry(photos):
    rsm = simplugins.compute_rsm(photos["block15"], dtype="float32")
    gram = rsm.to("ckatorch")
    assert torch.equal(gram, gram.T)
    assert ckatorch.center_gram_matrix(gram).shape == (24, 24)


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("ckatorch", (a, permuted(b)))
    aligned = simplugins.to_tool("ckatorch", (a, permuted(b)), align=True)
    assert torch.equal(aligned, simplugins.to_tool("ckatorch", (a, b)))


def test_rsms_come_back(indefinite, kernel):
    rsm, _ = indefinite[kernel]
    back = simplugins.RSM.from_similarities(rsm.to("ckatorch"), labels=rsm.labels, measure=rsm.measure)
    np.testing.assert_allclose(back.values, rsm.values, atol=1e-12 * np.abs(rsm.values).max())


@pytest.mark.parametrize("method", ["cka", "norm-difference"])
def test_the_tool_plots_comparisons(photo_rsms, method):
    rows = {"net.stem.0": photo_rsms["block10"], "net.head": photo_rsms["block15"]}
    comparison = simplugins.compare_layers(rows, {"block15": photo_rsms["block15"]}, method)
    arguments = comparison.to("ckatorch", names=("A", "B"))
    ckatorch.plot_cka(**arguments, show_img=False)
    axes = pyplot.gcf().axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_array(), comparison.values)
    assert axes.get_title() == f"{method} of semantic-cosine RSMs"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("B layers", "A layers")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["net-stem-0", "net-head"]
    pyplot.close("all")
    before = comparison.values.copy()
    arguments["cka_matrix"].zero_()
    np.testing.assert_array_equal(comparison.values, before)
    with pytest.raises(ValueError, match=r"names.*'AB'"):
        comparison.to("ckatorch", names="AB")


def test_the_tool_has_the_pitfalls_of_its_page(photos):
    """Which of ckatorch's options yields debiased CKA, and how it treats tokens."""
    x, y = (torch.tensor(photos[layer].mean((2, 3), dtype=float)) for layer in ("block10", "block15"))
    grams = [simplugins.RSM.from_similarities(z @ z.T) for z in (x, y)]
    biased, debiased = (simplugins.compare(*grams, method) for method in ("cka", "cka-debiased"))
    assert ckatorch.cka_base(x, y, unbiased=True).item() == pytest.approx(debiased, abs=1e-9)
    assert ckatorch.cka_base(x, y, unbiased=True, method="hsic").item() == pytest.approx(biased, abs=1e-9)
    tokens = [torch.tensor(photos[layer][:, :, ::2, ::2], dtype=torch.float64).flatten(2).mT for layer in ("block10",)]
    within = [simplugins.RSM.from_similarities(image @ image.T) for image in tokens[0]]
    assert len(within[0]) == tokens[0].shape[1] != len(tokens[0])
    assert ckatorch.cka_batch(tokens[0], tokens[0]).item() == pytest.approx(
        simplugins.minibatch_cka((rsm, rsm) for rsm in within), abs=1e-9
    )


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:8])
    with pytest.raises(ValueError, match=r"ckatorch.* 4 .* 4 "):
        between.to("ckatorch")
