"""What is marked in a text: passages, matches, words; all in characters of the original."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

_BREAKS = r"!-/:-@\[-^`{-~\u00a1-\u00bf\u2010-\u205e\u3000-\u303f"
# By what ends a word, not by what is in one: `\w` has no vowel signs and no combining accents.
_WORD = re.compile(rf"[^\s{_BREAKS}]+|[{_BREAKS}]+")
_FAR = 4_000
"""Characters looked back for the beginning of a word."""
MARKED = 5_000
"""Matches that are marked and can be walked through; more are only counted."""


@dataclass(frozen=True, slots=True)
class SpanMark:
    """A passage that somebody cited."""

    start: int
    """Its first character in the original."""
    end: int
    """The one after its last."""
    number: int
    """What it is called; shown in front of it."""
    what: str = ""
    """Who cites it, or why; for lists beside the text."""


class Stretches:
    """Parts of a text that do not overlap, found quickly."""

    def __init__(self, parts: Iterable[tuple[int, int]]) -> None:
        """Join the parts that overlap; empty ones are left out."""
        self.parts: list[tuple[int, int]] = []
        for start, end in sorted(part for part in parts if part[0] < part[1]):
            if self.parts and start < self.parts[-1][1]:
                self.parts[-1] = (self.parts[-1][0], max(end, self.parts[-1][1]))
            else:
                self.parts.append((start, end))
        self._starts = [start for start, _ in self.parts]

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts that have characters between `start` and before `end`."""
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self.parts[at][1] <= start:
            at += 1
        found = []
        while at < len(self.parts) and self.parts[at][0] < end:
            found.append(self.parts[at])
            at += 1
        return found

    def cover(self, start: int, end: int) -> bool:
        """Return whether a part has characters between `start` and before `end`."""
        at = bisect_right(self._starts, start) - 1
        return (at >= 0 and self.parts[at][1] > start) or (at + 1 < len(self.parts) and self.parts[at + 1][0] < end)


def matches(text: str, words: str, end: int) -> tuple[list[tuple[int, int]], int]:
    """Return where `words` stand before `end`, in whatever case, none overlapping: the first `MARKED` of them, and how many there are."""
    if not words:
        return [], 0
    part = text[:end]
    lower, sought = part.lower(), words.lower()
    if len(lower) != len(part):  # a few capitals become two signs: offsets would be those of another text
        spans = [found.span() for found in re.finditer(re.escape(words), part, re.IGNORECASE)]
        return spans[:MARKED], len(spans)
    found: list[tuple[int, int]] = []
    at = lower.find(sought)
    while at >= 0 and len(found) < MARKED:
        found.append((at, at + len(sought)))
        at = lower.find(sought, at + len(sought))
    return found, lower.count(sought)


def matches_beyond(text: str, words: str, start: int) -> int:
    """Return how many matches begin at or after `start`."""
    return text[start:].lower().count(words.lower()) if words else 0


def next_word(text: str, at: int) -> int:
    """Return where the next word begins, or the end of the text."""
    found = _WORD.search(text, at)
    if found is not None and found.start() <= at:
        found = _WORD.search(text, found.end())
    return len(text) if found is None else found.start()


def previous_word(text: str, at: int) -> int:
    """Return where the word before begins, or the beginning of the text."""
    first = max(at - _FAR, 0)
    begin = first
    for found in _WORD.finditer(text, first, at):
        begin = found.start()
    return begin


def word_end(text: str, at: int) -> int:
    """Return the character after the word at `at`; the next one where there is none."""
    found = _WORD.match(text, at)
    return min(at + 1, len(text)) if found is None else found.end()
