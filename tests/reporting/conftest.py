# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

VOID = {"meta", "img", "br", "image", "use", "link", "input", "hr", "path", "rect"}


class Page(HTMLParser):
    """A parsed page: its elements with attributes, the texts of cells, and whether all elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.tables, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        if tag == "table":
            self.tables.append((dict(attributes)["aria-label"], []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and {"td", "th"} & {*self.open}:
            self.tables[-1][1][-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def table(self, *words):
        """Return the rows of the only table whose caption has these words."""
        (rows,) = [rows for caption, rows in self.tables if all(word in caption for word in words)]
        return rows

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.fixture
def read_page():
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def labels():
    return ["cat", "dog", "fox", "owl"] * 3


@pytest.fixture
def network(labels):
    """Two layers of 12 inputs: classes differ in their concept vectors, inputs in where these are."""
    rng = np.random.default_rng(0)
    concepts = {name: rng.normal(size=(9, 6)) for name in ("cat", "dog", "fox", "owl")}
    early = np.stack([rng.permutation(concepts[label]) for label in labels]).transpose(0, 2, 1).reshape(12, 6, 3, 3)
    return {"early": early + 0.1 * rng.normal(size=early.shape), "late": rng.normal(size=(12, 8, 2, 2))}


@pytest.fixture
def images(network):
    return np.random.default_rng(1).integers(0, 255, (12, 20, 16, 3), np.uint8)
