# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import unicodedata

import numpy as np
import pytest

import simplugins
from simplugins._common.texts import printable, spreadsheet_cell


def test_no_control_character_or_direction_override_is_printed():
    for number in range(0x110000):
        text = printable(chr(number))
        if unicodedata.category(chr(number)) in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(chr(number)) in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        ):  # fmt: skip
            assert text.isascii()
            assert text.isprintable()
            assert text.encode().decode("unicode_escape") == chr(number)
        elif unicodedata.category(chr(number)) not in ("Cf", "Cn"):
            assert text == chr(number)


LANGUAGES = [
    "caf\u00e9", "\u8c93", "\u05d7\u05ea", "\u0645\u06cc\u200c\u062e",
    "\U0001f469\u200d\U0001f4bb", "[red]", ":cat:",
]  # fmt: skip


@pytest.mark.parametrize("text", LANGUAGES)
def test_text_of_any_language_is_kept(text):
    assert printable(text) == text


FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", " =1", "\u3000=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]
CONTROLS = ["\t=1", "\r=1", "\n=1", "\x00=1", "two\nlines", "two\rlines", "two\u2028lines", "\x1b[31mred"]


@pytest.mark.parametrize("text", FORMULAS)
def test_cells_that_spreadsheets_would_compute_are_quoted(text):
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", CONTROLS)
def test_cells_have_one_line_and_no_control_characters(text):
    cell = spreadsheet_cell(text)
    assert cell.isprintable()
    assert cell == printable(text)


@pytest.mark.parametrize("text", ["layer1", "a=b", "1-2", "", "'x", "block.0"])
def test_other_cells_are_kept(text):
    assert spreadsheet_cell(text) == text


def test_tables_of_layers_hold_no_formulas_and_one_record_per_layer(tmp_path):
    names = [*FORMULAS, *CONTROLS, 'quo"te', "com,ma"]
    layers = {name: np.random.default_rng(number).normal(size=(5, 3)) for number, name in enumerate(names)}
    comparison = simplugins.compare_layers(layers)
    comparison.save(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert len(rows) == len(names)
    assert header[1:] == [row[0] for row in rows] == [spreadsheet_cell(name) for name in names]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], float), comparison.values)
