# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, from a file, without a network."""

from __future__ import annotations

import pytest
from headless_browser import WHY_MISSING, Browser

import simplugins

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(WHY_MISSING is not None, reason=str(WHY_MISSING)),
]

SHOWN = "document.querySelector('iframe.explorer').contentDocument.documentElement.dataset.ready"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    window = Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.quit()


@pytest.fixture(scope="module")
def file(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "report.html"
    layers = {name: photos[name][:12] for name in ("block10", "block15")}
    labels = photos["photo_names"][photos["photo"][:12]]
    simplugins.report(
        layers, None, path, labels=labels, images=photos["thumbnails"][:12], permutations=39, resamples=50
    )
    return path


@pytest.fixture
def page(browser, file):
    browser.resize(1280, 1000)
    browser.messages()
    browser._call("POST", "/url", {"url": file.resolve().as_uri()})
    yield browser
    assert browser.messages() == []


def test_the_explorer_appears_when_it_comes_into_view(page):
    page.run("document.querySelector('iframe.explorer').scrollIntoView({behavior: 'instant'})")
    page.wait(SHOWN)
    assert page.value("document.querySelector('iframe.explorer').contentDocument.querySelectorAll('canvas').length") > 0


@pytest.mark.parametrize("width", [400, 1280, 3840])
def test_nothing_but_tables_and_drawings_scrolls_sideways(page, width):
    page.resize(width, 1000)
    assert page.value("document.documentElement.scrollWidth") <= width
    texts = page.run(
        "return [...document.querySelectorAll('p, li, h1, h2, h3, figcaption')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent)"
    )
    assert texts == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_from_their_background(page, theme):
    page.theme(theme)
    colors = page.run(
        "const [body, caption] = ['body', 'figcaption'].map(name => getComputedStyle(document.querySelector(name)));"
        "return [body.backgroundColor, body.color, caption.color]"
    )
    background, *inks = [luminance(color) for color in colors]
    for ink in inks:
        light, dark = max(background, ink), min(background, ink)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(color):
    parts = [int(part) / 255 for part in color[4:-1].split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
