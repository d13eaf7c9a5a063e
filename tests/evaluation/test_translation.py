# SPDX-License-Identifier: Apache-2.0
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import simplugins
from simplugins.evaluation import retrieval, translation
from simplugins.plotting.evaluation_figures import neighbours_figure

SEMANTIC, SPATIAL = "semantic-cosine", "spatio-semantic-cosine"


@pytest.fixture(scope="module")
def shifted():
    """Crops of 8 x 8 positions of two large random maps, at random places."""
    rng = np.random.default_rng(0)
    pictures = np.maximum(rng.normal(size=(2, 6, 30, 30)), 0)
    places = rng.integers(0, 22, size=(24, 2))
    images = np.arange(24) % 2
    crops = [pictures[k][:, r : r + 8, c : c + 8] for k, (r, c) in zip(images, places, strict=True)]
    return np.stack(crops), places, images


def test_pairs_shifts_and_similarities_are_those_of_the_rsms(shifted):
    crops, places, images = shifted
    found = translation({"maps": crops, "pooled": crops[:, :, ::2, ::2]}, places, images)
    assert found.layers == ["maps", "pooled"]
    assert found.measures == [SEMANTIC, SPATIAL]
    assert len(found.shifts) == 2 * 12 * 11 / 2
    for measure in (SEMANTIC, SPATIAL):
        values = simplugins.compute_rsm(crops, measure).values
        i, j = found.pairs.T
        np.testing.assert_allclose(found.similarities["maps", measure], values[i, j])
        assert found.apart["maps", measure] == pytest.approx(values[np.ix_(images == 0, images == 1)].mean())
    np.testing.assert_allclose(found.shifts, np.linalg.norm(places[i] - places[j], axis=1))
    assert (images[i] == images[j]).all()
    assert repr(found).startswith("Translation: 132 pairs of crops of one image, shifts up to ")


def test_curves_are_means_of_equally_many_pairs(shifted):
    crops, places, images = shifted
    found = translation({"maps": crops}, places, images)
    shifts, means, errors = found.curve("maps", SEMANTIC, bins=4)
    assert (np.diff(shifts) > 0).all()
    order = np.argsort(found.shifts, kind="stable")
    values = found.similarities["maps", SEMANTIC]
    assert means[0] > means[-1]
    nearest = values[found.shifts < np.quantile(found.shifts, 0.25)]
    assert means[0] == pytest.approx(nearest.mean())
    assert errors[0] == pytest.approx(nearest.std(ddof=1) / np.sqrt(len(nearest)))
    assert found.shifts[order][0] <= shifts[0]


def test_what_overlaps_is_similar_only_if_positions_are_matched(shifted):
    crops, places, images = shifted
    found = translation({"maps": crops}, places, images)
    near = (found.shifts > 0) & (found.shifts < 5)
    assert found.similarities["maps", SEMANTIC][near].mean() > found.apart["maps", SEMANTIC] + 0.02
    assert abs(found.similarities["maps", SPATIAL][near].mean() - found.apart["maps", SPATIAL]) < 0.05


def test_of_one_image_nothing_is_apart(shifted):
    crops, places, _ = shifted
    found = translation({"maps": crops[:5]}, places[:5], measures=[SEMANTIC])
    assert np.isnan(found.apart["maps", SEMANTIC])
    assert len(found.shifts) == 10


@pytest.mark.parametrize(
    ("layers", "places", "images", "error", "match"),
    [
        ([], np.zeros((3, 2)), None, TypeError, "layers: expected activations by layer's name, got list"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 3)), None, ValueError, "places: expected a finite row and column"),
        ({"a": np.ones((3, 2))}, np.full((3, 2), np.nan), None, ValueError, "places: expected a finite row and column"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 2)), [0, 0], ValueError, "images: expected 3, one a place"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 2)), [0, 1, 2], ValueError, "no two crops are of one image"),
        ({"a": np.ones((4, 2))}, np.zeros((3, 2)), None, ValueError, r"layers\['a'\]: expected 3 inputs, one a place"),
    ],
)
def test_bad_input_is_told(layers, places, images, error, match):
    with pytest.raises(error, match=match):
        translation(layers, places, images)


def test_pictures_show_what_was_found(shifted, photos):
    mpl.use("Agg")
    crops, places, images = shifted
    axes = translation({"ma$ps": crops}, places, images).plot(bins=5)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [SEMANTIC, SPATIAL]
    axes.figure.canvas.draw()
    pyplot.close("all")
    found = retrieval(simplugins.compute_rsm(photos["block10"], labels=photos["photo"]), k=3)
    figure = neighbours_figure(photos["thumbnails"], found.neighbours, relevant=found.relevant, queries=[0, 5])
    assert len(figure.axes) == 2 * 4
    np.testing.assert_array_equal(figure.axes[5].images[0].get_array(), photos["thumbnails"][found.neighbours[5, 0]])
    figure.canvas.draw()
    with pytest.raises(ValueError, match="images: expected 24, one a query, got 3"):
        neighbours_figure(photos["thumbnails"][:3], found.neighbours)
