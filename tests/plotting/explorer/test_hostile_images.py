# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import simplugins
from simplugins.cli import app
from simplugins.plotting.explorer.input_images import image_sequence, read_image


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pixels(rng):
    """Few colours, in blocks, so that every format of files holds them without loss."""
    return rng.choice(np.array([[200, 30, 30], [20, 180, 60], [40, 40, 220]], np.uint8), (6, 5))


@pytest.fixture
def layers(rng):
    return {"a": rng.normal(size=(4, 3, 2, 2)), "b": rng.normal(size=(4, 5, 3))}


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "RGBA", "RGB", "RGBX"])
def test_colours_of_pillow_images_do_not_depend_on_their_mode(pixels, mode):
    image = Image.fromarray(pixels)
    converted = image.quantize(3) if mode == "P" else image.convert(mode)
    difference = np.abs(read_image(converted).astype(int) - pixels.astype(int))
    assert difference.max() <= (2 if mode == "YCbCr" else 0)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "1"])
def test_grey_pillow_images_are_grey(pixels, mode):
    grey = np.where(pixels[:, :, 0] > 100, 255, 0).astype(np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    np.testing.assert_array_equal(read_image(image), np.repeat(grey[:, :, None], 3, 2))


def test_transparent_colours_of_a_palette_are_white(pixels, tmp_path):
    image = Image.fromarray(pixels).quantize(3)
    image.save(tmp_path / "image.png", transparency=int(np.asarray(image)[0, 0]))
    result = read_image(tmp_path / "image.png")
    hidden = (pixels == pixels[0, 0]).all(2)
    assert (result[hidden] == 255).all()
    np.testing.assert_array_equal(result[~hidden], pixels[~hidden])


def test_channels_first_may_include_opacity(rng):
    image = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(image.transpose(2, 0, 1)), read_image(image))


@pytest.mark.parametrize("kind", [np.array, pd.Series, tuple])
def test_paths_may_be_in_any_sequence(pixels, tmp_path, kind):
    paths = [str(tmp_path / f"{number} ü 日.png") for number in range(3)]
    for path in paths:
        Image.fromarray(pixels).save(path)
    for path in image_sequence(kind(paths)):
        np.testing.assert_array_equal(read_image(path), pixels)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text", None])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_unreadable_files_are_errors_that_name_them(layers, pixels, tmp_path, content, ending):
    paths = [tmp_path / f"{number}.{ending}" for number in range(4)]
    for path in paths:
        Image.fromarray(pixels).save(path)
    paths[2].write_bytes(paths[0].read_bytes()[:80] if content is None else content)
    with pytest.raises(ValueError, match=rf"images: image 2.*2\.{ending}"):
        simplugins.explore(tmp_path / "page.html", layers, images=paths)
    paths[2].unlink()
    with pytest.raises(FileNotFoundError, match=rf"2\.{ending}"):
        simplugins.explore(tmp_path / "page.html", layers, images=paths)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (np.full((4, 2, 2, 3), 200.0), ValueError, "image 0.*200.*255"),
        (np.full((4, 2, 2, 3), 60000, np.uint16), ValueError, "image 0.*60000.*65535"),
        (np.full((4, 2, 2, 3), -0.5), ValueError, "image 0.*-0.5.*normalisation"),
        (np.full((4, 2, 2, 3), np.nan), ValueError, "image 0.*NaN"),
        (np.ones((4, 2, 2, 3)) + 1j, ValueError, "image 0.*complex128"),
        ((image for image in np.zeros((4, 2, 2))), TypeError, "images.*generator"),
        ({"a": np.zeros((2, 2))}, TypeError, "images.*dict"),
        ("folder", TypeError, "images.*single path"),
    ],
)
def test_what_is_no_image_is_an_error(layers, tmp_path, images, error, match):
    with pytest.raises(error, match=match):
        simplugins.explore(tmp_path / "page.html", layers, images=images)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"grid": (5,)}, ValueError, r"grid.*\(5,\)"),
        ({"grid": 5}, ValueError, "grid.*5"),
        ({"grid": (-5, -1)}, ValueError, "grid.*-5"),
        ({"grid": (5.0, 1.0)}, ValueError, "grid.*5.0"),
        ({"tokens": [None] * 4}, TypeError, "tokens.*None.*input 0"),
        ({"pairs": 3}, TypeError, "pairs.*3"),
        ({"rsms": 3}, TypeError, "rsms.*int"),
        ({"megabytes": float("nan")}, ValueError, "megabytes.*nan"),
        ({"megabytes": "25"}, ValueError, "megabytes.*'25'"),
    ],
)
def test_options_of_other_types_are_errors_that_name_them(layers, tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        simplugins.explore(tmp_path / "page.html", layers, **options)


@pytest.mark.parametrize("options", [{"comparison": "nonsense"}, {"measures": ["semantic-cosine", "nonsense"]}])
def test_unknown_names_are_errors_before_anything_is_computed(layers, tmp_path, options, monkeypatch):
    monkeypatch.setattr("simplugins.plotting.explorer.explored_layers.compute_rsm", None)
    with pytest.raises(ValueError, match="nonsense"):
        simplugins.explore(tmp_path / "page.html", layers, **options)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_replaced(layers, tmp_path, overwrite, monkeypatch):
    monkeypatch.setattr("simplugins.plotting.explorer.explored_layers.compute_rsm", None)
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match=r"page\.html"):
        simplugins.explore(tmp_path / "page.html", layers, overwrite=overwrite)
    assert (tmp_path / "page.html").is_dir()


def test_long_names_of_files_are_written(layers, tmp_path):
    assert simplugins.explore(tmp_path / f"{'x' * 250}.html", layers, measures="semantic-cosine").exists()


def test_layers_of_the_same_name_are_an_error(layers, tmp_path):
    with pytest.raises(ValueError, match="'1'"):
        simplugins.explore(tmp_path / "page.html", {1: layers["a"], "1": layers["a"]})


def test_titles_may_be_numbers(layers, tmp_path):
    assert "<title>3</title>" in simplugins.explore(tmp_path / "page.html", layers, title=3).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8-sig", "\n"), ("utf-8", "\r\n"), ("utf-16", "\n"), ("utf-8", "\n")]
)
def test_files_of_tokens_are_read_as_editors_save_them(layers, tmp_path, encoding, end):
    from typer.testing import CliRunner

    np.save(tmp_path / "b.npy", layers["b"][:, :3])
    tokens = [["The", "c\u2028at", "日本"], ["a", "nan", "\u00a0"], ["x", "", "y"], ["p", "q", "r"]]
    (tmp_path / "tokens.txt").write_bytes((end.join(map(" ".join, tokens)) + end).encode(encoding))
    command = ["explore", "b.npy", "--out", "page.html", "--tokens", "tokens.txt", "-m", "semantic-cosine", "-q"]
    paths = [str(tmp_path / part) if "." in part else part for part in command]
    result = CliRunner().invoke(app, paths)
    assert result.exit_code == 0, result.output
    page = Path(tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"tokens":[["The","c\\u2028at","\\u65e5\\u672c"],["a","nan","\\u00a0"],["x","","y"],["p","q","r"]]' in page


def test_a_missing_file_of_tokens_is_an_error(layers, tmp_path):
    from typer.testing import CliRunner

    np.save(tmp_path / "b.npy", layers["b"])
    command = ["explore", tmp_path / "b.npy", "--out", tmp_path / "page.html", "--tokens", tmp_path / "no.txt"]
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert (result.exit_code, "no.txt" in result.output) == (2, True)
