# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import simplugins
from simplugins import match
from simplugins.plotting.heatmaps import save_figure


@pytest.fixture(autouse=True)
def _no_windows():
    mpl.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def pair():
    maps = np.random.default_rng(0).normal(size=(2, 8, 6, 6))
    return match(maps[0], maps[1])


IMAGES = np.random.default_rng(1).integers(0, 256, size=(2, 24, 24, 3), dtype=np.uint8)


def patches(axes):
    """Return the colours of the patches, (S, 4)."""
    return np.asarray(axes.images[-1].get_array()).reshape(-1, 4)


def numbers(axes, cell):
    """Return the positions that carry a number, by number."""
    places = {}
    for text in axes.texts:
        x, y = text.get_position()
        places[text.get_text()] = int(y // cell) * 6 + int(x // cell)
    return places


def test_partners_have_the_same_colour_and_the_same_number(pair):
    left, right = pair.plot(*IMAGES).axes
    np.testing.assert_array_equal(patches(left), patches(right)[pair.columns])
    assert len(np.unique(patches(left), axis=0)) == 36
    first, second = numbers(left, 4), numbers(right, 4)
    assert first.keys() == second.keys() == {str(n) for n in range(1, len(first) + 1)}
    assert all(pair.columns[first[number]] == second[number] for number in first)
    assert first["1"] == pair.contributions.argmax()


def test_no_more_pairs_are_numbered_than_asked_for(pair):
    left, right = pair.plot(*IMAGES, numbered=3).axes
    assert len(left.texts) == len(right.texts) == 3
    assert sum(isinstance(patch, Rectangle) for patch in left.patches) == 3
    assert not pair.plot(*IMAGES, numbered=0).axes[0].texts


def test_positions_without_a_partner_are_crossed_out_and_uncoloured():
    maps = np.random.default_rng(0).normal(size=(2, 8, 6, 6))
    partial = match(maps[0], maps[1], simplugins.Partial(share=0.5))
    for axes, left_over in zip(
        partial.plot(*IMAGES).axes, (partial.unmatched_rows, partial.unmatched_columns), strict=True
    ):
        np.testing.assert_array_equal(np.flatnonzero(patches(axes)[:, 3] == 0), left_over)
        x, y = axes.lines[-1].get_data()
        np.testing.assert_array_equal(np.sort((y // 4 * 6 + x // 4).astype(int)), left_over)


def test_colours_of_contributions_have_a_colour_bar_from_zero(pair):
    figure = pair.plot(*IMAGES, color="contribution")
    left, right, bar = figure.axes
    assert bar.get_ylabel() == "contribution to the cosine"
    assert bar.get_ylim() == pytest.approx((min(0, pair.contributions.min()), pair.contributions.max()))
    np.testing.assert_array_equal(patches(left), patches(right)[pair.columns])


def test_images_of_any_library_and_order_of_channels_are_the_same(pair):
    torch = pytest.importorskip("torch")
    tensors = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    shown = pair.plot(*tensors).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, pair.plot(*IMAGES).axes[0].images[0].get_array(), atol=1e-6)


def test_maps_without_images_are_drawn_by_their_positions(pair):
    left, right = pair.plot().axes
    assert left.get_xlim() == (0, 6)
    np.testing.assert_array_equal(patches(left), patches(right)[pair.columns])


def test_tokens_of_a_vision_transformer_need_a_grid():
    tokens = np.random.default_rng(0).normal(size=(2, 36, 5))
    pair = match(tokens, inputs=(0, 1))
    with pytest.raises(ValueError, match=r"grid=\(6, 6\)"):
        pair.plot(*IMAGES)
    left, _ = pair.plot(*IMAGES, grid=(6, 6)).axes
    assert len(patches(left)) == 36
    with pytest.raises(ValueError, match=r"grid: 5 x 7.*36"):
        pair.plot(*IMAGES, grid=(5, 7))


def test_grids_may_differ():
    maps = np.random.default_rng(0).normal(size=(2, 5, 6, 6))
    pair = match(maps[0], maps[1][:, :3])
    left, right = pair.plot(*IMAGES).axes
    assert (len(patches(left)), len(patches(right))) == (36, 18)
    left, right = pair.plot(*IMAGES, grid=((6, 6), (3, 6))).axes
    assert (len(patches(left)), len(patches(right))) == (36, 18)


WORDS, OTHER = ["a", "cat", "sat"], ["cat", "the", "sat", "$x$"]


@pytest.fixture(scope="module")
def texts():
    vectors = dict(zip([*WORDS, *OTHER], np.eye(7), strict=True))
    vectors["a"] = -0.5 * vectors["the"]
    return match(
        np.stack([vectors[w] for w in WORDS]), np.stack([vectors[w] for w in OTHER]), simplugins.Partial(share=0.67)
    )


def test_lines_connect_matched_tokens(texts):
    (axes,) = texts.plot(WORDS, OTHER).axes
    lines = {tuple(map(int, line.get_ydata())) for line in axes.lines}
    assert lines == {(row, column) for row, column in enumerate(texts.columns.tolist()) if column >= 0}
    written = [text.get_text() for text in axes.texts]
    assert written[:7] == ["(a)", "cat", "sat", "cat", "(the)", "sat", "($x$)"]


def test_negative_contributions_are_dashed():
    pair = match(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, -1.0]]))
    (axes,) = pair.plot(["a", "b"], ["c", "d"]).axes
    styles = {int(line.get_ydata()[0]): line.is_dashed() for line in axes.lines}
    assert styles == {0: False, 1: True}


def test_sets_without_texts_show_the_numbers_of_their_positions(texts):
    (axes,) = texts.plot().axes
    assert [text.get_text() for text in axes.texts][:3] == ["(0)", "1", "2"]


def test_labels_are_the_titles():
    maps = simplugins.Activations.from_array(np.random.default_rng(0).normal(size=(2, 3, 4, 4)), labels=["$cat", "cup"])
    left, right = match(maps, inputs=(0, 1)).plot().axes
    assert (left.get_title(), right.get_title()) == ("$cat", "cup")
    assert not left.title.get_parse_math()


def test_axes_of_the_user_are_used(pair):
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert pair.plot(*IMAGES, axes=axes) is figure
    assert pyplot.get_fignums() == []
    assert figure.get_suptitle() == ""
    with pytest.raises(ValueError, match="axes"):
        pair.plot(*IMAGES, axes=axes[0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(float), r"a: .*0 to 1.*divide by 255"),
        (IMAGES - 300.0, "a: "),
        (np.ones((2, 5)), r"a: .*\(5,\)"),
        (np.full((2, 5, 5), np.nan), "a: "),
        (np.ones((2, 0, 0)), "a: "),
    ],
)
def test_other_arrays_than_images_raise(pair, images, message):
    with pytest.raises(ValueError, match=message):
        pair.plot(*images)


def test_inputs_that_do_not_fit_raise(pair, texts):
    with pytest.raises(ValueError, match="both inputs"):
        pair.plot(IMAGES[0])
    with pytest.raises(ValueError, match=r"b: expected 4\b.*\b3\b"):
        texts.plot(WORDS, WORDS)
    with pytest.raises(ValueError, match="color"):
        pair.plot(color="red")


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_figures_are_written_in_every_format(tmp_path, pair, texts, suffix):
    save_figure(pair.plot(*IMAGES), tmp_path / f"images.{suffix}")
    save_figure(texts.plot(WORDS, OTHER), tmp_path / f"texts.{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == {f"images.{suffix}", f"texts.{suffix}"}
