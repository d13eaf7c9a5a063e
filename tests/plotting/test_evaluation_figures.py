# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import simplugins
from simplugins.evaluation import retrieval, translation
from simplugins.plotting.evaluation_figures import neighbours_figure

MEASURES = ["semantic-cosine", "spatio-semantic-cosine"]


@pytest.fixture(scope="module")
def result(photos):
    layers = {"block$10": photos["block10"], "block15": photos["block15"]}
    return translation(layers, photos["boxes"][:, :2], photos["photo"], measures=MEASURES)


def test_translation_has_a_curve_and_a_baseline_per_measure(result):
    axes = Figure().add_subplot()
    assert result.plot(axes, bins=5) is axes
    assert pyplot.get_fignums() == []
    assert [text.get_text() for text in axes.get_legend().get_texts()] == MEASURES
    assert axes.get_title() == "block$10"  # the first layer
    assert not axes.title.get_parse_math()
    baselines = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert baselines == [result.apart["block$10", measure] for measure in MEASURES]
    axes.figure.draw_without_rendering()
    titled = result.plot(Figure().add_subplot(), layer="block15", title="mine")
    assert titled.get_title() == "mine"


def test_neighbours_are_drawn_next_to_their_query(photos):
    ranked = retrieval(simplugins.compute_rsm(photos["block10"], labels=photos["photo"]), k=3)
    figure = neighbours_figure(photos["thumbnails"], ranked.neighbours, relevant=ranked.relevant, queries=[0, 5])
    assert len(figure.axes) == 2 * 4
    np.testing.assert_array_equal(figure.axes[5].images[0].get_array(), photos["thumbnails"][ranked.neighbours[5, 0]])
    figure.draw_without_rendering()


def test_neighbours_may_come_from_a_gallery(photos):
    maps, images = photos["block15"], photos["thumbnails"]
    neighbours = simplugins.search(maps[:2], other=maps[2:], k=2)
    figure = neighbours_figure(images[:2], neighbours.indices, gallery=images[2:])
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), images[2 + neighbours.indices[0, 0]])


def test_unequal_numbers_of_images_and_queries_raise(photos):
    with pytest.raises(ValueError, match=r"images: expected 24\b.*\b3\b"):
        neighbours_figure(photos["thumbnails"][:3], np.zeros((24, 1), int))


def test_signs_and_lines_tell_relevant_neighbours_apart_without_colours(photos):
    figure = neighbours_figure(photos["thumbnails"][:2], np.array([[1, 0], [0, 1]]), relevant=np.eye(2, dtype=bool))
    first, second = figure.axes[1], figure.axes[2]
    assert [text.get_text() for axes in (first, second) for text in axes.texts] == ["\u2713", "\u2717"]
    assert first.spines["left"].get_linestyle() != second.spines["left"].get_linestyle()
    assert not figure.axes[0].texts
    figure.draw_without_rendering()  # warnings of missing characters are errors


def test_curves_have_different_markers(result):
    axes = result.plot(Figure().add_subplot())
    markers = [line.get_marker() for line in axes.lines if line.get_marker() in set("osD^vPX*")]
    assert len(set(markers)) == len(MEASURES)
