# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import codecs
import os

import pytest

from simplugins.activations.label_files import (
    read_label_sets,
    read_labels,
    read_partial_label_sets,
    read_partial_labels,
)

TEXT = "Katze\nH\u00fcndin\nKatze\n"
ENCODINGS = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a byte-order mark": TEXT.encode("utf-8-sig"),
    "UTF-16 LE": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "UTF-16 BE": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "CR": TEXT.replace("\n", "\r").encode("utf-8-sig"),
    "blank lines at the end": TEXT.encode() + b"\n  \r\n\n",
    "no end of the last line": TEXT.rstrip().encode(),
    "white space": TEXT.replace("\n", " \t\n  ").encode(),
    "quotes": '"Katze"\nH\u00fcndin\n"Katze"\n'.encode(),
}


@pytest.fixture
def file(tmp_path):
    def write(content, name="labels.txt"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


@pytest.mark.parametrize("content", ENCODINGS.values(), ids=ENCODINGS)
def test_labels_are_the_lines_of_texts_in_any_unicode_encoding(file, content):
    assert read_labels(file(content)) == ["Katze", "H\u00fcndin", "Katze"]
    assert read_label_sets(file(content)) == [["Katze"], ["H\u00fcndin"], ["Katze"]]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85"])
def test_only_ends_of_lines_separate_labels(file, character):
    assert read_labels(file(f"a{character}b\nc\n")) == [f"a{character}b", "c"]


@pytest.mark.parametrize("read", [read_labels, read_label_sets])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (TEXT.encode("latin-1"), r"labels\.txt is not UTF-8 text: .* line 2;.*Latin-1.*iconv"),
        (TEXT.encode("utf-16-le"), r"labels\.txt, line 1: .*NUL"),
        (b"a\nb\0\n", r"labels\.txt, line 2: .*NUL"),
        (codecs.BOM_UTF16_LE + b"a", "not UTF-16 text"),
        (b"a\n\nb\n", "line 2 is blank, so input 1 has no label.*--partial-labels"),
        (b"\na\nb\n", "line 1 is blank, so input 0 has no label"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b'"a\nb"\n', "line 1: double quotes"),
        (b'a\n"b" c\n', "line 2: double quotes"),
        (b"a\tb\nc\td\n", "line 1: .*'a\\\\tb'"),
    ],
)
def test_files_that_are_not_labels_are_errors(file, read, content, match):
    with pytest.raises(ValueError, match=match):
        read(file(content))


def test_commas_belong_to_labels_but_not_in_tables(file):
    assert read_labels(file("tench, Tinca tinca\ngoldfish\n")) == ["tench, Tinca tinca", "goldfish"]
    assert read_labels(file('"tench, Tinca tinca"\n"say ""a"""\n', "labels.csv")) == ["tench, Tinca tinca", 'say "a"']
    for content in ("0,cat\n1,dog\n", "0;cat\n1;dog\n", '"0","cat"\n', "0\tcat\n"):
        with pytest.raises(ValueError, match=r"labels\.CSV, line 1: .*several columns"):
            read_labels(file(content, "labels.CSV"))


def test_sets_of_labels_are_separated_by_commas_and_may_be_empty(file):
    assert read_label_sets(file("cup, dog\n,\ncat\n , cup,\n")) == [["cup", "dog"], [], ["cat"], ["cup"]]
    assert read_label_sets(file('cup, "black, white"\r\n"dog"', "sets.csv")) == [["cup", "black, white"], ["dog"]]
    with pytest.raises(ValueError, match=r"sets\.csv, line 2: .*commas"):
        read_label_sets(file("cup\ncup;dog\n", "sets.csv"))


def test_blank_lines_may_stand_for_inputs_without_labels(file):
    path = file("cup, dog\n\n,\ncat\n\n")
    assert read_partial_labels(path) == ["cup, dog", "", ",", "cat"]
    assert read_partial_label_sets(path) == [["cup", "dog"], None, [], ["cat"]]


def test_a_missing_file_is_an_error(tmp_path):
    for read in (read_labels, read_label_sets):
        with pytest.raises(FileNotFoundError, match="no such file"):
            read(tmp_path / "none.txt")


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u200e", "\u202a", "\u00ad", "\u2060 \ufeff"])
def test_invisible_characters_around_labels_do_not_make_other_labels(file, mark):
    assert read_labels(file(f'{mark}cat\ncat{mark}\n{mark}"cat"\n')) == ["cat"] * 3
    assert read_label_sets(file(f"{mark}cat,dog{mark}\n")) == [["cat", "dog"]]


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NA", "<NA>", "NaT", "#N/A", "NULL"])
def test_words_for_missing_values_are_labels_only_in_quotes(file, word):
    for read in (read_labels, read_label_sets, read_partial_labels, read_partial_label_sets):
        with pytest.raises(ValueError, match=rf"labels\.txt, line 2: {word}"):
            read(file(f"cat\n{word}\n"))
    assert read_labels(file(f'cat\n"{word}"\n{word}e\n')) == ["cat", word, f"{word}e"]
    assert read_label_sets(file(f'cat\n"{word}"\n')) == [["cat"], [word]]


@pytest.mark.parametrize("start", [0, 1])
def test_a_column_of_line_numbers_is_not_a_label(file, start):
    rows = "".join(f"{number + start},cat\n" for number in range(3))
    with pytest.raises(ValueError, match=r"sets\.csv: the first column numbers the lines"):
        read_label_sets(file(rows, "sets.csv"))
    assert read_label_sets(file("".join(f"{number}\n" for number in range(3)))) == [["0"], ["1"], ["2"]]
    assert read_label_sets(file("3,cat\n1,dog\n", "sets.csv")) == [["3", "cat"], ["1", "dog"]]


def test_labels_are_read_from_pipes_but_not_from_folders(tmp_path):
    (tmp_path / "folder").mkdir()
    for read in (read_labels, read_label_sets):
        with pytest.raises(ValueError, match="folder is a folder"):
            read(tmp_path / "folder")
    source, target = os.pipe()
    with os.fdopen(target, "wb") as pipe:
        pipe.write(b"cat\r\ndog\r\n\x1a")
    with os.fdopen(source, "rb"):
        assert read_labels(f"/dev/fd/{source}") == ["cat", "dog"]
