# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: what it shows is what `compute_rsm` and `match` say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from headless_browser import WHY_MISSING, Browser

import simplugins

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(WHY_MISSING is not None, reason=str(WHY_MISSING)),
]

SMALL = 12
MATCHINGS = {0: "optimal", 1: "identity", 3: simplugins.Partial(share=0.5)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    window = Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.quit()


@pytest.fixture(autouse=True)
def no_messages(browser):
    """The console stays empty."""
    browser.resize(1280, 1000)
    browser.messages()
    yield
    assert browser.messages() == []


@pytest.fixture(scope="module")
def layers(photos):
    return {"block10": photos["block10"][:SMALL], "block15": photos["block15"][:SMALL]}


@pytest.fixture(scope="module")
def file(layers, photos, tmp_path_factory):
    names = [str(photos["photo_names"][k]) for k in photos["photo"][:SMALL]]
    path = tmp_path_factory.mktemp("pages") / "photos.html"
    return simplugins.explore(path, layers, images=photos["thumbnails"][:SMALL], labels=names)


@pytest.fixture
def page(browser, file):
    browser.open(file)
    return browser


def top(page, identifier):
    page.run("document.getElementById(arguments[0]).scrollIntoView({behavior: 'instant'})", identifier)
    page.run("return explorer.redrawn()")


def hover_cell(page, i, j):
    top(page, "map-section")
    page.hover(*page.run("return explorer.cell(arguments[0], arguments[1])", i, j))


def click_cell(page, i, j):
    top(page, "map-section")
    page.click(*page.run("return explorer.cell(arguments[0], arguments[1])", i, j))
    page.wait(f"document.getElementById('input-i').value == {i} && document.getElementById('input-j').value == {j}")
    page.run("return explorer.settled()")


def shown_value(page, measure):
    return float(
        page.run("return document.querySelector(`#cell [data-measure='${arguments[0]}']`).textContent", measure)
    )


@pytest.mark.parametrize("order", ["input", "label", "cluster"])
def test_hovering_a_cell_shows_its_inputs_and_similarities(page, layers, order):
    page.choose("order", order)
    page.run("return explorer.settled()")
    for i, j in ((0, 1), (5, 2), (11, 7), (4, 4)):
        hover_cell(page, i, j)
        captions = page.value("[...document.querySelectorAll('#cell figcaption')].map((one) => one.textContent)")
        assert [int(re.match(r"#(\d+)", caption)[1]) for caption in captions] == [i, j]
        for name in ("semantic-cosine", "spatio-semantic-cosine", "shift-cosine"):
            expected = simplugins.compute_rsm(layers["block10"], name).values[i, j]
            assert shown_value(page, name) == pytest.approx(expected, rel=1e-4)


def test_images_of_the_pair_under_the_pointer_are_the_inputs(page):
    hover_cell(page, 3, 9)
    sources = page.value("[...document.querySelectorAll('#cell img')].map((one) => one.src)")
    images = page.run("return JSON.parse(document.getElementById('data').textContent).images")
    assert sources == [images[3], images[9]]


@pytest.mark.parametrize("measure", MATCHINGS)
@pytest.mark.parametrize(("i", "j"), [(0, 3), (8, 1)])
def test_hovering_a_position_shows_its_partner_and_contribution(page, layers, measure, i, j):
    page.choose("layer-a", 1)
    page.choose("measure-a", measure)
    page.run("return explorer.settled()")
    click_cell(page, i, j)
    top(page, "pair-section")
    expected = simplugins.match(layers["block15"][i], layers["block15"][j], MATCHINGS[measure])
    partners = np.full(49, -1)
    partners[expected.columns[expected.columns >= 0]] = np.flatnonzero(expected.columns >= 0)
    for position in (0, 10, 24, 33, 48):
        check_patch(page, 0, position, i, j, (position, expected.columns[position]), expected)
        check_patch(page, 1, position, i, j, (partners[position], position), expected)


def check_patch(page, side, position, i, j, ends, expected):
    page.hover(*page.run("return explorer.patch(arguments[0], arguments[1])", side, position))
    text = page.text("patch")
    if min(ends) < 0:
        row, column = divmod(position, 7)
        assert f"row {row}, column {column} of #{(i, j)[side]} has no partner" in text
        return
    places = [f"row {end // 7}, column {end % 7} of #{number}" for end, number in zip(ends, (i, j), strict=True)]
    assert text.startswith(f"{places[0]} and {places[1]} contribute ")
    value, total = re.search(r"contribute (?:0 \(exactly\)|(\S+)).* product (\S+)\.$", text).groups()
    affinity = expected.affinity[ends]
    assert float(value or 0) == pytest.approx(affinity, rel=2e-3, abs=1e-4 * expected.affinity.max())
    assert float(total) == pytest.approx(expected.value, rel=1e-4)


def test_shifted_positions_are_those_of_best_shift(page, layers):
    page.choose("layer-a", 1)
    page.choose("measure-a", 2)
    page.run("return explorer.settled()")
    click_cell(page, 2, 9)
    top(page, "pair-section")
    down, right = simplugins.best_shift(layers["block15"][2], layers["block15"][9]).shift
    for row, column in ((0, 0), (3, 5), (6, 2)):
        page.hover(*page.run("return explorer.patch(0, arguments[0])", row * 7 + column))
        assert f"and row {(row + down) % 7}, column {(column + right) % 7} of #9" in page.text("patch")


def test_neighbours_are_those_of_the_rsm(page, layers):
    page.choose("input-of", 6)
    values = simplugins.compute_rsm(layers["block10"]).values[6].copy()
    values[6] = -np.inf
    numbers = page.value("[...document.querySelectorAll('#neighbours [data-input]')].map((one) => +one.dataset.input)")
    assert numbers == np.argsort(-values, kind="stable")[: SMALL - 1].tolist()


def test_a_cell_of_the_table_opens_both_maps(page, layers):
    label = page.value("document.querySelectorAll('#table td button')[1].getAttribute('aria-label')")
    rsms = [simplugins.compute_rsm(maps) for maps in layers.values()]
    assert f"block10 and block15: {simplugins.compare(*rsms):.3f}" in label
    page.run("document.querySelectorAll('#table td button')[1].click(); return explorer.settled()")
    names = page.value("[...document.querySelectorAll('#maps .map-name')].map((one) => one.textContent)")
    assert names == ["block10, semantic-cosine", "block15, semantic-cosine"]
    hover_cell(page, 1, 4)
    assert shown_value(page, "compared") == pytest.approx(rsms[1].values[1, 4], rel=1e-4)


def test_the_table_shows_the_chosen_measures(page, layers):
    page.choose("table-rows", 1)
    rows, columns = (
        [simplugins.compute_rsm(maps, measure) for maps in layers.values()]
        for measure in ("spatio-semantic-cosine", "semantic-cosine")
    )
    shown = page.value(
        "[...document.querySelectorAll('#table td button')].map((one) => one.getAttribute('aria-label'))"
    )
    names = [f"{a} and {b}" for a in layers for b in layers]
    values = [simplugins.compare(row, column) for row in rows for column in columns]
    assert shown == [f"{name}: {value:.3f}, open" for name, value in zip(names, values, strict=True)]


def test_what_a_finger_pointed_at_stays(page):
    top(page, "pair-section")
    x, y = page.run("return explorer.patch(0, 24)")
    page.cdp("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.run("return explorer.redrawn()")
    assert page.text("patch").startswith("row 1, column 10 of #0 and ")


def test_images_of_a_pair_are_drawn_without_pointing_at_them(page):
    page.choose("input-i", 7)
    page.wait(
        "(() => { const canvas = document.querySelector('#pair-surface canvas');"
        "const {width, height} = canvas, pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
        "return new Set(new Uint32Array(pixels.buffer)).size > 1000; })()"  # contributions alone have 196
    )


def test_the_difference_of_two_maps_is_drawn(page, layers):
    page.choose("view", "difference")
    page.choose("measure-b", 1)
    page.run("return explorer.settled()")
    assert "semantic-cosine minus block10, spatio-semantic-cosine" in page.text("maps")
    rsms = [
        simplugins.compute_rsm(layers["block10"], name).values for name in ("semantic-cosine", "spatio-semantic-cosine")
    ]
    largest = np.abs(rsms[0] - rsms[1])[~np.eye(SMALL, dtype=bool)].max()
    bars = page.value("[...document.querySelectorAll('#legend .number')].map((one) => +one.textContent)")
    assert bars == pytest.approx([-largest, largest], rel=1e-3)


def test_keys_move_the_cursor_open_pairs_and_change_layers(page):
    page.value("document.getElementById('map-a').focus()")
    page.choose("input-i", 2)
    page.choose("input-j", 2)
    page.value("document.getElementById('map-a').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):  # the first one shows the cursor
        page.press(key)
    assert page.text("live").startswith("#3 astronaut and #3 astronaut")
    page.press("ArrowRight")
    page.press("Enter")
    page.run("return explorer.settled()")
    assert page.value("[explorer.state.pair[0], explorer.state.pair[1]]") == [3, 4]
    page.press("PageDown")
    page.run("return explorer.settled()")
    assert page.value("explorer.state.a.layer") == 1
    page.press("m")
    page.run("return explorer.settled()")
    assert "spatio-semantic-cosine" in page.text("pair-values")
    page.press("+")
    assert page.value("explorer.view.zoom") > 1
    page.press("0")
    assert page.value("explorer.view.zoom") == 1
    page.press("?")
    assert page.value("document.getElementById('help').open")


def test_arrow_keys_move_from_position_to_position(page):
    page.value("document.getElementById('pair-surface').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.press(key)
    assert page.text("patch").startswith("row 1, column 1 of #0 and ")
    assert page.text("live") == page.text("patch")


HOSTILE = [
    "</script><script>document.title='hit'</script>",
    "\"'&<img src=x onerror=alert(1)>",
    "猫の写真",
    "قطة‮",
    "\ud800",
    "<!--",
]


def test_hostile_labels_tokens_and_names_are_shown_as_texts(browser, tmp_path):
    rng = np.random.default_rng(0)
    texts = [rng.normal(size=(3, 4)) for _ in HOSTILE]
    tokens = [[label, "", "<b>bold</b>"] for label in HOSTILE]
    path = simplugins.explore(
        tmp_path / "page.html", {"<i>l</i>": texts}, labels=HOSTILE, tokens=tokens, title="</title>&"
    )
    browser.open(path)
    assert browser.value("document.title") == "</title>&"
    hover_cell(browser, 0, 1)
    captions = browser.value("[...document.querySelectorAll('#cell figcaption')].map((one) => one.textContent)")
    assert captions == [f"#0 {HOSTILE[0]}", f"#1 {HOSTILE[1]}"]
    assert browser.value("document.querySelectorAll('main b, main i, main img').length") == 0
    expected = simplugins.match(texts[2], texts[5])
    click_cell(browser, 2, 5)
    top(browser, "pair-section")
    for position, partner in enumerate(expected.columns.tolist()):
        x, y = browser.run(
            "const box = document.querySelector(`.chip[data-side='0'][data-position='${arguments[0]}']`)"
            ".getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]",
            position,
        )
        browser.hover(x, y)
        assert f"token {partner} “{tokens[5][partner]}” of #5" in browser.text("patch")
        assert browser.value("document.querySelector(\".chip.on[data-side='1']\").dataset.position") == str(partner)


def test_missing_and_zero_similarities_look_as_the_legend_says(browser, tmp_path):
    values = np.array([[1.0, 0, np.nan, 0.25], [0, 1, 0.5, 0.75], [np.nan, 0.5, 1, 0.125], [0.25, 0.75, 0.125, 1]])
    browser.open(simplugins.RSM.from_similarities(values, missing="omit").explore(tmp_path / "page.html"))
    colours = browser.run(
        "const pixels = explorer.pixels();"
        "return [1, 2, 8].map((cell) => [...pixels.slice(4 * cell, 4 * cell + 4)])"  # (0, 1), (0, 2) and (2, 0)
    )
    assert colours[0] == [255, 255, 255, 255]
    assert colours[1][3] == colours[2][3] == 0  # transparent: the hatching shows through
    for j, text in ((1, "0 (exactly)"), (2, "no value"), (3, "0.25")):
        hover_cell(browser, 0, j)
        assert browser.run("return document.querySelector('#cell [data-measure]').textContent") == text
    assert "only its RSM is in the file" in browser.text("pair-note")


def test_pairs_outside_the_file_are_said_to_be_missing(browser, layers, tmp_path):
    path = simplugins.explore(
        tmp_path / "page.html", layers, measures="semantic-cosine", megabytes=0.115, pairs=[(0, 11)]
    )
    browser.open(path)
    click_cell(browser, 11, 0)
    assert browser.value("document.getElementById('pair-note').hidden")
    assert browser.run("return explorer.stored(0, 11) && !explorer.stored(3, 10)")
    click_cell(browser, 3, 10)
    assert "not in the file" in browser.text("pair-note")
    assert "pairs=[(3, 10)]" in browser.text("pair-note")


def test_many_inputs_have_a_map_of_their_neighbours(browser, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("simplugins.plotting.explorer.nearest_inputs.MOST_INPUTS", 10)
    maps = photos["block15"]
    browser.open(
        simplugins.explore(tmp_path / "page.html", {"block15": maps}, images=photos["thumbnails"], neighbours=4)
    )
    values = simplugins.compute_rsm(maps).values - 9 * np.eye(24)
    near = np.argsort(-values, axis=1, kind="stable")[:, :4]
    for i, rank in ((0, 0), (13, 3), (23, 1)):
        j = int(near[i, rank])
        hover_cell(browser, i, j)
        assert browser.value(
            "[+document.getElementById('cell').dataset.i, +document.getElementById('cell').dataset.j]"
        ) == [i, j]
        assert shown_value(browser, "semantic-cosine") == pytest.approx(values[i, j], rel=1e-4)
    click_cell(browser, 13, int(near[13, 3]))
    numbers = browser.value(
        "[...document.querySelectorAll('#neighbours [data-input]')].map((one) => +one.dataset.input)"
    )
    assert numbers == near[13].tolist()
    far = int(np.argsort(-values[0])[20])
    browser.choose("input-i", 0)
    browser.choose("input-j", far)
    browser.run("return explorer.settled()")
    assert 0 not in near[far]
    assert "semantic-cosine not in the file" in browser.text("pair-values")
    browser.value("document.getElementById('map-a').focus()")
    browser.choose("input-j", int(near[0, 0]))
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        browser.press(key)
    assert browser.text("live").startswith(f"#1 and #{near[1, 1]}: ")


@pytest.mark.parametrize("width", [400, 1280, 3840])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width(page, width, theme):
    page.resize(width, 900)
    page.theme(theme)
    page.run("return explorer.redrawn()")
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value("document.documentElement.hasAttribute('data-dark')") == (theme == "dark")
    hover_cell(page, 0, 5)
    assert page.value("document.getElementById('cell').dataset.j") == "5"


def test_500_inputs_and_20_layers_fit_25_megabytes(browser, tmp_path):
    rng = np.random.default_rng(0)
    layers = {}
    for number in range(20):
        values = rng.random((500, 500))
        layers[f"rsm {number}"] = simplugins.RSM.from_similarities((values + values.T) / 2, measure="semantic-cosine")
    layers["activations"] = rng.normal(size=(500, 8, 4, 4)).astype(np.float32)
    path = simplugins.explore(
        tmp_path / "page.html",
        layers,
        measures="semantic-cosine",
        images=rng.integers(0, 256, (500, 32, 32, 3), np.uint8),
    )
    assert path.stat().st_size < 25e6
    browser.open(path)
    browser.run("document.getElementById('slider-a').focus()")
    for layer in (1, 20):
        browser.choose("slider-a", layer)
        browser.run("return explorer.settled()")
        assert f"in {list(layers)[layer]} (" in browser.text("pair-values")
    hover_cell(browser, 123, 456)
    expected = simplugins.compute_rsm(layers["activations"]).values[123, 456]
    assert shown_value(browser, "semantic-cosine") == pytest.approx(expected, rel=1e-4)
