# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot

import simplugins

with np.errstate():  # importing it changes NumPy's settings for the whole process
    from neurora.corr_cal_by_rdm import rdms_corr
    from neurora.rdm_corr import rdm_correlation_spearman
    from neurora.rsa_plot import plot_rdm
    from neurora.stuff import normalize_rdm


def test_the_page_prints_what_it_shows(run_page):
    run_page("neurora")


def test_correlations_are_rsa(indefinite, kernel, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    rdms = [rsm.to("neurora") for rsm in pair]
    expected = simplugins.compare(*pair, "rsa-spearman")
    assert rdm_correlation_spearman(*rdms)[0] == pytest.approx(expected, abs=1e-10)
    for rdm in rdms:
        assert rdm.dtype == np.float64
        np.testing.assert_array_equal(rdm, rdm.T)
        np.testing.assert_array_equal(rdm.diagonal(), 0)
        assert rdm.min() == 0
        rdm[:] = 7


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance", "complement"])
def test_dissimilarities_of_equal_inputs_are_0(kernel, dissimilarity):
    maps = np.random.default_rng(0).normal(size=(6, 8, 3, 3)).astype(np.float32)
    maps[3], maps[4], maps[5] = maps[0], 0, 0
    rdm = simplugins.compute_rsm(maps, f"semantic-{kernel}").to("neurora", dissimilarity=dissimilarity)
    if (kernel, dissimilarity) != ("linear", "complement"):  # the largest value minus each value
        assert rdm[0, 3] == 0 < rdm[0, 1]
    if (kernel, dissimilarity) == ("cosine", "complement"):
        assert rdm[4, 5] == 1  # responses of 0 have cosine 0 to everything


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance"])
def test_correlations_of_distances_are_rsa_of_distances(indefinite, kernel, dissimilarity):
    pair = indefinite[kernel]
    rdms = simplugins.to_tool("neurora", pair, dissimilarity=dissimilarity)
    distances = [rsm.rdm(squared=dissimilarity == "squared-distance") for rsm in pair]
    np.testing.assert_array_equal(rdms, distances)
    expected = simplugins.compare(*(-matrix for matrix in distances), "rsa-spearman")
    assert rdm_correlation_spearman(*rdms)[0] == pytest.approx(expected, abs=1e-10)


def test_layers_become_a_stack_of_models(photo_rsms, unchanged):
    unchanged(*photo_rsms.values())
    models = simplugins.to_tool("neurora", photo_rsms)
    assert models.shape == (2, 24, 24)
    assert models.dtype == np.float64
    recorded = np.stack([models[::-1], models])[:, None]  # 2 subjects, 1 channel, 2 times
    result = rdms_corr(models, recorded)
    between = simplugins.compare(*photo_rsms.values(), "rsa-spearman")
    expected = [[[between, 1], [1, between]], [[1, between], [between, 1]]]
    np.testing.assert_allclose(result[:, 0, :, :, 0], expected, atol=1e-10)
    models[:] = 7


def test_a_list_of_one_rsm_becomes_a_stack(photo_rsms):
    rsm = photo_rsms["block10"]
    models = simplugins.to_tool("neurora", [rsm])
    np.testing.assert_array_equal(models, rsm.to("neurora")[None])
    assert rdms_corr(models, models[0])[0, 0] == pytest.approx(1, abs=1e-12)


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("neurora", (a, permuted(b)))
    aligned = simplugins.to_tool("neurora", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned, simplugins.to_tool("neurora", (a, b)))


def test_rdms_can_be_drawn_and_normalised(indefinite):
    rsm, _ = indefinite["linear"]
    rdm = rsm.to("neurora", dissimilarity="distance")
    assert rdm.max() > 1
    figure, axes = plot_rdm(rdm, lim=(0, rdm.max()), conditions=rsm.labels, show=False)
    (picture,) = axes.images
    np.testing.assert_array_equal(picture.get_array(), rdm)
    assert picture.get_clim() == (0, rdm.max())
    assert [text.get_text() for text in axes.get_xticklabels()] == rsm.labels.tolist()
    pyplot.close(figure)
    scaled = normalize_rdm(rdm)
    pairs = ~np.eye(len(rsm), dtype=bool)
    assert (scaled[pairs].min(), scaled[pairs].max()) == (0, 1)


def test_error_settings_of_numpy_are_unchanged():
    script = (
        "import numpy as np, simplugins, sys\n"
        "before = np.geterr()\n"
        "rsm = simplugins.RSM.from_similarities(np.eye(3))\n"
        "assert simplugins.to_tool('neurora', [rsm, rsm]).shape == (2, 3, 3)\n"
        "assert 'neurora' not in sys.modules\n"
        "assert np.geterr() == before\n"
        "with np.errstate(): import neurora.stuff; inside = np.geterr()\n"
        "assert np.geterr() == before != inside\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_two_inputs(photos):
    rsm = simplugins.compute_rsm(photos["block15"][:2])
    d = 1 - rsm.values[0, 1]
    np.testing.assert_array_equal(rsm.to("neurora"), [[0, d], [d, 0]])


def test_unsupported_conversions_are_an_error(photos, photo_rsms):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:])
    with pytest.raises(ValueError, match=r"NeuroRA.* 4 .* 20 "):
        between.to("neurora")
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        photo_rsms["block10"].to("neurora", dissimilarity="l1")
    with pytest.raises(TypeError, match=r"NeuroRA.*'reader'.*'rsm', 'rsms'"):
        simplugins.from_tool("neurora", photo_rsms["block10"].values)
