# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import simplugins
from simplugins.plotting.heatmaps import color_limits, plot_rsm, plot_rsms, rsm_figure, save_figure

RSM = simplugins.RSM.from_similarities(
    [[9.0, 2.0, 1.0], [2.0, 9.0, 3.0], [1.0, 3.0, 9.0]], labels=["cat", "cat", "cup"], measure="semantic-linear"
)


def test_given_axes_are_used_and_pyplot_is_left_alone():
    axes = Figure().add_subplot()
    assert RSM.plot(axes) is axes
    assert pyplot.get_fignums() == []
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), RSM.values)


def test_colours_span_the_values_off_the_diagonal():
    axes = plot_rsm(RSM, Figure().add_subplot())
    assert axes.get_images()[0].get_clim() == (1, 3) == color_limits(RSM)
    assert axes.get_images()[0].colorbar.extend == "max"


def test_a_single_input_is_drawn():
    rsm = simplugins.RSM.from_similarities([[2.0]])
    assert color_limits(rsm) == (2, 2)
    assert rsm._repr_html_().startswith("<div")


def test_consecutive_equal_labels_are_named_once():
    axes = plot_rsm(RSM, Figure().add_subplot())
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "cup"]
    assert axes.get_yticks().tolist() == [0.5, 2]


def test_without_axes_a_pyplot_figure_is_created():
    pyplot.switch_backend("Agg")
    axes = RSM.plot(title="mine")
    assert axes.get_title() == "mine"
    assert pyplot.get_fignums() == [axes.figure.number]
    pyplot.close("all")


def test_unknown_formats_raise_and_write_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"'bmpx'.*png"):
        save_figure(rsm_figure(RSM), tmp_path / "rsm.bmpx")
    assert list(tmp_path.iterdir()) == []
    save_figure(rsm_figure(RSM), tmp_path / "rsm.pdf")
    assert (tmp_path / "rsm.pdf").read_bytes().startswith(b"%PDF")


def test_labels_are_not_read_as_formulas():
    rsm = replace(simplugins.compute_rsm(np.eye(3), labels=["$a", "$b_", "c"]), measure="$m_")
    figure = rsm_figure(rsm)
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["$a", "$b_", "c"]
    assert not any(tick.get_parse_math() for tick in figure.axes[0].get_yticklabels())


def test_inputs_without_a_label_are_in_no_group():
    labels = simplugins.partial_labels(["cat", "cat", None, None, "cup"])
    axes = plot_rsm(simplugins.RSM.from_similarities(np.eye(5), labels=labels), Figure().add_subplot())
    named = {tick.get_text(): tick.get_position()[1] for tick in axes.get_yticklabels() if tick.get_text()}
    assert named == {"cat": 0.5, "cup": 4}


def test_limits_of_the_colours_may_be_chosen():
    axes = RSM.plot(Figure().add_subplot(), vmin=0, vmax=2)
    assert axes.get_images()[0].get_clim() == (0, 2)
    assert axes.get_images()[0].colorbar.extend == "max"
    assert RSM.plot(Figure().add_subplot(), vmin=0).get_images()[0].get_clim() == (0, 3)
    with pytest.raises(ValueError, match="vmin"):
        RSM.plot(Figure().add_subplot(), vmin=2, vmax=1)


def test_several_rsms_share_one_scale_and_one_colour_bar():
    other = replace(RSM, source=type(RSM.source)(RSM.values / 4))
    axes = Figure().subplots(1, 2)
    figure = plot_rsms({"$one": RSM, "two": other}, axes=axes)
    assert [panel.get_images()[0].get_clim() for panel in axes] == [(0.25, 3), (0.25, 3)]
    assert [panel.get_title() for panel in axes] == ["$one", "two"]
    assert [[text.get_text() for text in panel.get_yticklabels()] for panel in axes] == [["cat", "cup"], []]
    assert len(figure.axes) == 3
    limits = plot_rsms({"one": RSM}, axes=Figure().subplots(), vmin=0, vmax=1).axes[0].get_images()[0].get_clim()
    assert limits == (0, 1)
    with pytest.raises(ValueError, match=r"axes: expected 2\b.*\b1\b"):
        plot_rsms({"one": RSM, "two": other}, axes=[axes[0]])
    with pytest.raises(ValueError, match="at least one"):
        plot_rsms({})


LONG = [f"a very long label of condition {number} in somebody's data set, with its date" for number in range(20)]


def test_nothing_is_clipped_however_long_the_labels_are():
    rsm = simplugins.RSM.from_similarities(np.eye(20), labels=LONG)
    assert_inside(rsm_figure(rsm))


def assert_inside(figure):
    """All texts lie within the figure, and no map is squeezed to nothing."""
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= -1, (axes.get_title(), box)
        assert box.y0 >= -1, (axes.get_title(), box)
        assert box.x1 <= width + 1, (axes.get_title(), box)
        assert box.y1 <= height + 1, (axes.get_title(), box)
    assert all(axes.bbox.width > 40 for axes in figure.axes if axes.get_images() and axes.get_title())
