# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import simplugins
from simplugins.evaluation import translation

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


def test_similarities_equal_those_of_the_rsms(shifted):
    crops, places, images = shifted
    result = translation({"maps": crops, "pooled": crops[:, :, ::2, ::2]}, places, images)
    assert result.layers == ["maps", "pooled"]
    assert result.measures == [SEMANTIC, SPATIAL]
    assert len(result.shifts) == 2 * 12 * 11 / 2
    for measure in (SEMANTIC, SPATIAL):
        values = simplugins.compute_rsm(crops, measure).values
        i, j = result.pairs.T
        np.testing.assert_allclose(result.similarities["maps", measure], values[i, j])
        assert result.apart["maps", measure] == pytest.approx(values[np.ix_(images == 0, images == 1)].mean())
    np.testing.assert_allclose(result.shifts, np.linalg.norm(places[i] - places[j], axis=1))
    assert (images[i] == images[j]).all()
    assert repr(result).startswith("Translation: 132 pairs of crops of one image, shifts up to ")


def test_curves_average_ranges_with_equal_numbers_of_pairs(shifted):
    crops, places, images = shifted
    result = translation({"maps": crops}, places, images)
    shifts, means, errors = result.curve("maps", SEMANTIC, bins=4)
    assert (np.diff(shifts) > 0).all()
    order = np.argsort(result.shifts, kind="stable")
    values = result.similarities["maps", SEMANTIC]
    assert means[0] > means[-1]
    nearest = values[result.shifts < np.quantile(result.shifts, 0.25)]
    assert means[0] == pytest.approx(nearest.mean())
    assert errors[0] == pytest.approx(nearest.std(ddof=1) / np.sqrt(len(nearest)))
    assert result.shifts[order][0] <= shifts[0]


def test_overlapping_crops_are_similar_only_if_positions_are_matched(shifted):
    crops, places, images = shifted
    result = translation({"maps": crops}, places, images)
    near = (result.shifts > 0) & (result.shifts < 5)
    assert result.similarities["maps", SEMANTIC][near].mean() > result.apart["maps", SEMANTIC] + 0.02
    assert abs(result.similarities["maps", SPATIAL][near].mean() - result.apart["maps", SPATIAL]) < 0.05


def test_without_a_second_image_there_is_no_baseline(shifted):
    crops, places, _ = shifted
    result = translation({"maps": crops[:5]}, places[:5], measures=[SEMANTIC])
    assert np.isnan(result.apart["maps", SEMANTIC])
    assert len(result.shifts) == 10


def norm_products(x, y=None):
    """A third-party measure."""
    return np.outer(x.squared_norms, (x if y is None else y).squared_norms)


def test_options_and_third_party_measures_reach_the_rsms(shifted):
    crops, places, images = shifted
    mask = np.ones((24, 8, 8), bool)
    mask[:, 0] = False
    result = translation(
        {"maps": crops}, places, images, measures=[SEMANTIC, norm_products], mask=mask, dtype="float64", threads=1
    )
    i, j = result.pairs.T
    for measure in (SEMANTIC, norm_products):
        rsm = simplugins.compute_rsm(crops, measure, mask=mask, dtype="float64")
        np.testing.assert_allclose(result.similarities["maps", rsm.measure], rsm.values[i, j])
    windowed = translation(
        {"maps": crops}, places, images, measures=[SEMANTIC], matching="batch-optimal", matching_options={"window": 8}
    )
    expected = simplugins.compute_rsm(crops, SEMANTIC, matching=simplugins.BatchOptimal(window=8)).values[i, j]
    np.testing.assert_allclose(windowed.similarities["maps", SEMANTIC], expected)


@pytest.mark.parametrize(
    ("layers", "places", "images", "error", "match"),
    [
        ([], np.zeros((3, 2)), None, TypeError, "layers: .*list"),
        ({}, np.zeros((3, 2)), None, ValueError, "at least one layer, got none"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 3)), None, ValueError, r"places: .*\(3, 3\)"),
        ({"a": np.ones((3, 2))}, np.full((3, 2), np.nan), None, ValueError, "places: .*finite"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 2)), [0, 0], ValueError, r"images: expected 3\b.*\b2\b"),
        ({"a": np.ones((3, 2))}, np.zeros((3, 2)), [0, 1, 2], ValueError, "images: .*different images"),
        ({"a": np.ones((4, 2))}, np.zeros((3, 2)), None, ValueError, r"layers\['a'\]: expected 3 inputs.*\b4\b"),
    ],
)
def test_bad_input_raises(layers, places, images, error, match):
    with pytest.raises(error, match=match):
        translation(layers, places, images)


def test_crops_of_unknown_images_are_an_error(shifted):
    crops, places, images = shifted
    with pytest.raises(ValueError, match="images: input 3 has no label"):
        translation({"maps": crops}, places, [None if i == 3 else int(image) for i, image in enumerate(images)])
    with pytest.raises(ValueError, match="layers: 1 and '1'"):
        translation({1: crops, "1": crops}, places, images)
