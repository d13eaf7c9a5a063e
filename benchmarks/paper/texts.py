# SPDX-License-Identifier: Apache-2.0
"""Generated texts: the same content in several wordings, and others with the same words but another content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np

PEOPLE = ("nurse", "pilot", "teacher", "soldier", "doctor", "farmer", "judge", "artist", "lawyer", "sailor")


class Act(NamedTuple):
    """A verb in the past tense, its participle, and a synonym in both forms."""

    past: str
    participle: str
    other_past: str
    other_participle: str


ACTS = (
    Act("helped", "helped", "assisted", "assisted"),
    Act("hired", "hired", "employed", "employed"),
    Act("paid", "paid", "gave money to", "given money"),
    Act("warned", "warned", "alerted", "alerted"),
    Act("saved", "saved", "rescued", "rescued"),
    Act("called", "called", "telephoned", "telephoned"),
    Act("followed", "followed", "went after", "pursued"),
    Act("blamed", "blamed", "accused", "accused"),
)
PLACES = ("school", "harbor", "station", "market", "church", "bridge")
TIMES = {
    "last night": "yesterday evening after dark",
    "this morning": "today before noon",
    "last week": "in the course of the previous week",
    "last summer": "in the warm months of last year",
}


@dataclass(frozen=True)
class Texts:
    """Texts, with the content of each.

    Attributes
    ----------
    sentences : sequence of N str
    contents : sequence of N int
        Texts of the same content are relevant to each other.
    groups : sequence of N int
        Contents of the same words are not independent.
    wordings : int
        Texts per content.
    """

    sentences: Sequence[str]
    contents: Sequence[int]
    groups: Sequence[int]
    wordings: int


class _Fact(NamedTuple):
    subject: str
    act: Act
    object: str

    def reversed(self) -> _Fact:
        return _Fact(self.object, self.act, self.subject)


def reordered(count: int) -> Texts:
    """Return texts of three clauses, in four orders each, all of equal length, since all words are single tokens.

    Each content has a twin, in which subjects and objects are exchanged: other content in the same words.
    """
    rng = np.random.default_rng(5)
    orders = [order for number, order in enumerate(permutations(range(3))) if number in (0, 2, 3, 5)]
    wordings = []
    for _ in range(count):
        facts = _facts(rng, 3)
        for content in (facts, [fact.reversed() for fact in facts]):
            clauses = [f"the {fact.subject} {fact.act.past} the {fact.object}." for fact in content]
            wordings.append([" ".join(clauses[place] for place in order) for order in orders])
    return _texts(wordings, contents_per_group=2)


def paraphrased(count: int) -> Texts:
    """Return sentences in five wordings each: other orders, voices, synonyms and lengths.

    Different contents share many words, because all are drawn from the same few.
    """
    rng = np.random.default_rng(6)
    contents: set[tuple[_Fact, str, str]] = set()
    while len(contents) < count:
        contents.add((_facts(rng, 1)[0], str(rng.choice(PLACES)), str(rng.choice(list(TIMES)))))
    return _texts([_paraphrases(*content) for content in sorted(contents)], contents_per_group=1)


def _facts(rng: np.random.Generator, count: int) -> list[_Fact]:
    """Draw facts whose people and acts all differ."""
    people = rng.permutation(PEOPLE)[: 2 * count].tolist()
    acts = rng.permutation(len(ACTS))[:count]
    return [_Fact(people[2 * k], ACTS[acts[k]], people[2 * k + 1]) for k in range(count)]


def _paraphrases(fact: _Fact, place: str, time: str) -> list[str]:
    subject, act, other = fact
    return [
        f"The {subject} {act.past} the {other} at the {place} {time}.",
        f"{time.capitalize()}, at the {place}, the {other} was {act.participle} by the {subject}.",
        f"It was at the {place} that the {subject} {act.other_past} the {other}, and it happened {TIMES[time]}.",
        f"Near the {place}, {TIMES[time]}, the {other} was {act.other_participle} by someone: the {subject}.",
        f"The one who {act.past} the {other} {time} was the {subject}; they had met at the {place}.",
    ]


def _texts(wordings: Sequence[Sequence[str]], contents_per_group: int) -> Texts:
    contents = [number for number, each in enumerate(wordings) for _ in each]
    return Texts(
        sentences=[text for each in wordings for text in each],
        contents=contents,
        groups=[content // contents_per_group for content in contents],
        wordings=len(wordings[0]),
    )
