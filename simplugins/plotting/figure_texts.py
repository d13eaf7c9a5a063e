# SPDX-License-Identifier: Apache-2.0
"""Names and labels in figures, drawn literally rather than as formulas or TeX, in fonts with their characters."""

from __future__ import annotations

import logging
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from simplugins._common.texts import printable

_BOX = "\u25a1"
_DOTS = "\u2026"
_LONGEST = 64
_WIDE = 0.62
"""Mean width of a character, relative to the size of the text."""
_NAMES_SHARE = 0.6
"""Width that names may have, relative to that of the axes before they are written."""
_LEAST_AXES = 2.6
"""Inches that names leave to the axes and what else surrounds them, if there are as many."""
_AXES_SHARE = 0.77
"""Part of a figure that axes have before anything is written next to them."""
_NARROW = 2.9
"""Inches below which labels are small."""

_LIKELY = ("CJK", "Noto", "Han", "Unicode", "Gothic", "Hei", "Ming", "Song")
"""Words in the names of fonts with many characters; these are searched first."""


def literal_texts(names: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Return names to draw, and the properties of Matplotlib texts that draw them literally.

    Long names are shortened in the middle. Characters that no installed font has become boxes; the logger
    ``simplugins.plotting`` names them at level INFO, once.
    """
    texts = [_shortened(printable(str(name))) for name in names]
    style: dict[str, Any] = {"parse_math": False, "usetex": False}
    characters = {character for text in texts if not text.isascii() for character in text}
    if not characters:
        return texts, style
    families, missing = _fonts_for(characters)
    if families:
        from matplotlib import rcParams

        style["fontfamily"] = [*rcParams["font.family"], *families]
    if missing:
        _report("".join(sorted(missing)[:12]))
        boxes = dict.fromkeys(map(ord, missing), _BOX)
        texts = [text.translate(boxes) for text in texts]
    return texts, style


@cache
def _report(characters: str) -> None:
    """Log once per process, because figures often have the same labels on both axes."""
    logging.getLogger("simplugins.plotting").info(
        "no installed font has %s, drawn as boxes: install a font that does, such as Noto Sans CJK", characters
    )


def fitted_names(names: Iterable[str], axes: Any, side: str, size: float) -> list[str]:
    """Return names that leave space for the axes when they are written next to them in points of `size`.

    Long names are shortened in the middle. If that makes different names equal, what all have in common is left out
    first.

    Parameters
    ----------
    names : iterable of str
    axes : matplotlib Axes
    side : {"x", "y"}
        The axis; names at the x axis are written upwards.
    size : float
    """
    length = inches_of(axes)[0 if side == "y" else 1]
    most = max(8, int(max(_NAMES_SHARE * length, length / _AXES_SHARE - _LEAST_AXES) * 72 / (_WIDE * size)))
    texts = [printable(str(name)) for name in names]
    fitted = [_shortened(text, most) for text in texts]
    if len(set(fitted)) < len(set(texts)):
        before = _common(texts)
        after = _common([text[before:][::-1] for text in texts])
        parts = [text[before : len(text) - after] for text in texts]
        dots = _DOTS if before else "", _DOTS if after else ""
        fitted = [_shortened(f"{dots[0]}{part}{dots[1]}", most) for part in parts]
    return fitted


def _common(texts: Sequence[str]) -> int:
    """Return the number of characters with which all texts begin."""
    places = enumerate(zip(*texts, strict=False))
    return next((place for place, characters in places if len(set(characters)) > 1), min(map(len, texts)))


def set_literal_texts(texts: Sequence[Any], names: Iterable[str]) -> None:
    """Set the names of existing Matplotlib texts, such as those of a legend; see `literal_texts`."""
    names, style = literal_texts(names)
    for text, name in zip(texts, names, strict=True):
        text.update({"text": name, **style})


def width_of(texts: Iterable[str], size: float = 10) -> float:
    """Return the approximate width in inches of the widest text, as `literal_texts` draws it in points of `size`."""
    shown = (_shortened(printable(str(text))) for text in texts)
    return (
        max((sum(1.0 if unicodedata.east_asian_width(c) in "WF" else _WIDE for c in text) for text in shown), default=0)
        * size
        / 72
    )


def text_size(axes: Any) -> float:
    """Return the points of labels: 10, or 7 in narrow axes, such as those of a figure for a column of a paper."""
    return 7.0 if inches_of(axes)[0] < _NARROW else 10.0


def inches_of(axes: Any) -> tuple[float, float]:
    """Return the approximate width and height of axes, before the layout is known."""
    width, height = axes.bbox.size / axes.figure.dpi
    return float(width), float(height)


def wrapped(text: str, inches: float, size: float) -> tuple[str, dict[str, Any]]:
    """Return a text of lines of about `inches`, and the properties that draw it literally."""
    (text,), style = literal_texts([text])
    lines = textwrap.wrap(text, max(12, int(inches * 72 / (_WIDE * size))))
    return "\n".join(lines), {"fontsize": size, **style}


def label_color_bar(bar: Any, label: str) -> None:
    """Label a colour bar, in several lines if the text is longer than the bar."""
    size = 0.9 * text_size(bar.ax)
    text, style = wrapped(label, 0.8 * inches_of(bar.ax)[1], size)
    bar.set_label(text, **style)
    bar.ax.tick_params(labelsize=size)


def _shortened(text: str, most: int = _LONGEST) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[: most - half - 1]}{_DOTS}{text[-half:]}"


def _fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """Return font families with characters that the current font lacks, and the characters that no font has."""
    from matplotlib import font_manager

    missing = characters - _characters_of(font_manager.findfont(font_manager.FontProperties()))
    families: list[str] = []
    for family, path in _candidates(font_manager) if missing else ():
        if added := missing & _characters_of(path):
            families.append(family)
            missing = missing - added
        if not missing:
            break
    return families, missing


def _candidates(font_manager: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and path of one upright font of each installed family, likely ones first.

    Fonts that were installed after Matplotlib listed them, in its cache, come last.
    """
    known = font_manager.fontManager.ttflist
    yield from _ordered(known)
    listed = {font.fname for font in known}
    later = [path for path in font_manager.findSystemFonts() if path not in listed]
    for path in sorted(later, key=lambda path: (not any(word in path for word in _LIKELY), "Regular" not in path)):
        before = len(known)
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError):  # damaged
            continue
        yield from _ordered(known[before:])


def _ordered(fonts: Sequence[Any]) -> list[tuple[str, str]]:
    paths = {font.name: font.fname for font in fonts if font.style == "normal"}
    likely = [name for name in paths if any(word in name for word in _LIKELY)]
    names = dict.fromkeys([*sorted(likely), *sorted(paths)])
    return [(name, paths[name]) for name in names if "Last Resort" not in name]  # which has every character


def _characters_of(path: Any) -> set[str]:
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(path)
        return set(map(chr, font.get_charmap())) if font.scalable else set()
    except (OSError, RuntimeError):  # a font that has been removed, or is damaged
        return set()
