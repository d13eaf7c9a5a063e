# SPDX-License-Identifier: Apache-2.0
"""Names and labels are data in figures, SVG and HTML."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

import simplugins
from simplugins.evaluation import translation
from simplugins.plotting import figure_texts
from simplugins.plotting.figure_texts import fitted_names, inches_of, literal_texts, width_of
from simplugins.plotting.heatmaps import rsm_figure, save_figure
from simplugins.plotting.layer_heatmaps import comparison_figure

HOSTILE = [
    r"$\frac$",
    "$",
    r"\$x$",
    "a_b^c",
    "_hidden",
    "--><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'\"&amp;",
    "]]><x/>",
    "\x1b[31mred",
    "\x01one",
    "two\nlines",
    "right\u202eleft",
    "\ud800",
    r"\input{/etc/passwd}",
    "x" * 5000,
]


@pytest.fixture(scope="module")
def rsm():
    return simplugins.compute_rsm(np.random.default_rng(0).normal(size=(len(HOSTILE), 4)), labels=HOSTILE)


@pytest.fixture(scope="module")
def comparison():
    layers = {name: np.random.default_rng(number).normal(size=(5, 4)) for number, name in enumerate(HOSTILE)}
    return simplugins.compare_layers(layers)


@pytest.mark.parametrize("fonttype", ["path", "none"])
@pytest.mark.parametrize("kind", ["rsm", "comparison"])
def test_svg_files_of_any_labels_are_well_formed_and_hold_no_markup(tmp_path, rsm, comparison, fonttype, kind):
    figure = rsm_figure(rsm) if kind == "rsm" else comparison_figure(comparison)
    with mpl.rc_context({"svg.fonttype": fonttype}):
        save_figure(figure, tmp_path / "x.svg")
    tags = {element.tag.split("}")[-1] for element in ElementTree.parse(tmp_path / "x.svg").iter()}
    assert not tags & {"script", "img", "x", "foreignObject"}
    assert tags >= {"svg", "g"}


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "ps"])
def test_figures_of_any_labels_are_drawn_without_warnings(tmp_path, rsm, comparison, suffix):
    save_figure(rsm_figure(rsm), tmp_path / f"rsm.{suffix}")
    save_figure(comparison_figure(comparison), tmp_path / f"comparison.{suffix}")


def test_labels_are_not_given_to_tex(rsm):
    with mpl.rc_context({"text.usetex": True}):
        figure = rsm_figure(rsm)
    assert not any(tick.get_usetex() for tick in figure.axes[0].get_yticklabels())
    assert figure.axes[0].get_yticklabels()[0].get_text() == HOSTILE[0]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)


@pytest.mark.parametrize("name", HOSTILE)
def test_html_holds_names_as_text(name):
    rsm = simplugins.RSM.from_similarities(
        np.eye(3), measure=name, labels=[name, "b", "c"], matching=name, metadata={name: name, "engine": name}
    )
    parser = Tags()
    parser.feed(rsm._repr_html_())
    assert parser.tags == {"div", "img", "table", "tr", "th", "td"}
    assert parser.attributes == {"style", "alt", "src", "height"}


def test_a_measure_whose_name_begins_with_an_underscore_has_its_place_in_the_legend(photos):
    def _hidden(x, y=None):
        return np.ones((len(x), len(x if y is None else y)))

    _hidden.symmetric = True
    result = translation({"a": photos["block15"]}, photos["boxes"][:, :2], photos["photo"], measures=[_hidden])
    axes = result.plot(Figure().add_subplot())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_hidden"]


@pytest.fixture
def font(tmp_path):
    """An installed font, with no other character than one that Matplotlib's own fonts lack."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 0))
    pen.lineTo((500, 500))
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord("\u8c93"): "cat"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "cat": (500, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Cats CJK", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "cats.ttf")
    known = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "cats.ttf")
    yield "Cats CJK"
    font_manager.fontManager.ttflist[:] = known


def test_a_font_that_has_the_characters_is_chosen(font):
    texts, style = literal_texts(["\u8c93", "cat"])
    assert texts == ["\u8c93", "cat"]
    assert style["fontfamily"] == [*mpl.rcParams["font.family"], font]
    figure = Figure()
    figure.text(0.5, 0.5, texts[0], **style)
    figure.savefig(io.BytesIO())


def own_fonts_only(monkeypatch, system=()):
    own = [font for font in font_manager.fontManager.ttflist if "matplotlib" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(system))


def test_characters_that_no_font_has_are_boxes_without_a_warning(monkeypatch, caplog):
    own_fonts_only(monkeypatch)
    rsm = simplugins.compute_rsm(np.eye(3), labels=["\u8c93", "\u72ac\u72ac", "caf\u00e9"])
    figure_texts._report.cache_clear()
    with caplog.at_level("INFO"):
        figure = rsm_figure(rsm)
    (message,) = [record.getMessage() for record in caplog.records if record.name == "simplugins.plotting"]
    assert "\u72ac\u8c93" in message
    figure.savefig(io.BytesIO())  # warnings are errors
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["\u25a1", "\u25a1\u25a1", "caf\u00e9"]


def test_a_font_installed_after_matplotlib_listed_its_fonts_is_found(monkeypatch, font, tmp_path):
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    own_fonts_only(monkeypatch, [str(tmp_path / "damaged.ttf"), str(tmp_path / "cats.ttf")])
    texts, style = literal_texts(["\u8c93"])
    assert texts == ["\u8c93"]
    assert font in style["fontfamily"]


@pytest.mark.parametrize("name", ["cat", "caf\u00e9", "\u03b1\u03b2", "\u043a\u043e\u0442"])
def test_characters_of_the_own_font_need_no_other(name):
    assert literal_texts([name]) == ([name], {"parse_math": False, "usetex": False})


@pytest.mark.parametrize("width", [3.3, 6.4, 11])
def test_fitted_names_leave_space_and_remain_distinct(width):
    axes = Figure(figsize=(width, 3)).subplots()
    names = [f"ILSVRC2012_val_0000{k:04d}_image {k} with a rather long description" for k in range(12)]
    fitted = fitted_names(names, axes, "y", 8)
    assert len(set(fitted)) == 12
    assert width_of(fitted, 8) <= max(0.6 * inches_of(axes)[0], width - 2.5)
    assert fitted_names(["a", "b"], axes, "y", 8) == ["a", "b"]
    assert len(set(fitted_names([names[0]] * 3, axes, "x", 8))) == 1
