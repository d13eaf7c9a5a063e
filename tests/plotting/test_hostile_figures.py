# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import simplugins
from simplugins.plotting.heatmaps import plot_rsms

MAPS = np.random.default_rng(0).normal(size=(6, 4, 4, 4))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def matching():
    return simplugins.match(MAPS, inputs=(0, 3))


def test_images_of_a_matching_may_be_files_or_pillow_images(matching, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    drawn = []
    for image in (pixels, Image.fromarray(pixels), tmp_path / "a.png", str(tmp_path / "a.png")):
        figure = matching.plot(image, image)
        drawn.append(np.asarray(figure.axes[0].images[0].get_array()))
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


@pytest.mark.parametrize(
    ("options", "match"),
    [({"grid": (-4, -4)}, "grid.*-4"), ({"numbered": -1}, "numbered.*-1"), ({"numbered": "a"}, "numbered.*'a'")],
)
def test_invalid_options_of_a_picture_are_errors(matching, options, match):
    with pytest.raises(ValueError, match=match):
        matching.plot(**options)


def test_long_tokens_have_room(matching):
    texts = ["x" * 300, "日本" * 40, *"abcdefghijklmn"]
    figure = matching.plot(texts, texts)
    figure.canvas.draw()  # a warning that the layout does not fit would be an error
    assert figure.get_figwidth() > matching.plot(["a"] * 16, ["a"] * 16).get_figwidth()


@pytest.mark.parametrize("option", ["vmin", "vmax"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a"])
def test_ends_of_scales_are_finite_numbers(option, value):
    rsm = simplugins.compute_rsm(MAPS)
    comparison = simplugins.compare_layers({"a": MAPS, "b": MAPS**2})
    for draw in (rsm.plot, comparison.plot, lambda **ends: plot_rsms({"a": rsm}, **ends)):
        with pytest.raises(ValueError, match=f"{option}.*{value}"):
            draw(**{option: value})


@pytest.mark.parametrize("rsms", [3, {"a": 3}])
def test_only_rsms_by_name_are_drawn(rsms):
    with pytest.raises(TypeError, match=r"rsms.*int"):
        plot_rsms(rsms)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"columns": []}, ValueError, "columns"),
        ({"columns": 3}, TypeError, "columns.*3"),
        ({"colors": ["red"]}, ValueError, "colors.*2.*1"),
        ({"limits": (0,)}, ValueError, "limits"),
        ({"limits": (0, float("nan"))}, ValueError, "limits.*nan"),
        ({"limits": "ab"}, ValueError, "limits.*'ab'"),
    ],
)
def test_invalid_options_of_curves_are_errors(options, error, match):
    with pytest.raises(error, match=match):
        simplugins.compare_layers({"a": MAPS, "b": MAPS**2}).trend(**options)
