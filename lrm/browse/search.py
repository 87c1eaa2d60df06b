"""Words in thinking, answers and prompts: found chunk by chunk, so that a fill gets its turn between two of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm import regex
from lrm.browse import gathering
from lrm.browse.cells import cells
from lrm.browse.gathering import Parts
from lrm.browse.places import SearchPlace
from lrm.browse.reader import Reader, Stop
from lrm.errors import SpecError, known_names_hint
from lrm.text import without_surrogates

if TYPE_CHECKING:
    import duckdb

WITHIN = ("thinking", "answer", "prompt")
"""Where words can be looked for."""
CHUNK = 20_000
"""Responses whose texts one burst looks through, at most."""
MOST_HITS = 1_000
"""Hits that a search gives before it ends."""
EXCERPT = 160
"""Characters of an excerpt, at most."""
_BEFORE = 60
"""Characters of an excerpt before the hit."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Hit:
    """A text in which the words are: the first place in it."""

    id: str | None
    """`g1:…`, else `c1:…`; None for a prompt that no model of the slice was asked."""
    model: str
    prompt: str
    """The prompt's key."""
    attack: str
    start: int
    """Where the words begin, in characters of the text."""
    end: int
    excerpt: str
    """The text around them, at most EXCERPT characters as they came: show it through `lrm.text.visible`."""
    excerpt_start: int
    """Where the excerpt begins in the text, in characters."""
    spec: str
    prompt_set: str
    replicate: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one more chunk brought."""

    hits: tuple[Hit, ...]
    """Those of this chunk alone."""
    scanned: int
    """Cells gone through so far, of `total`."""
    total: int
    """Cells of the parts of the matrix that the slice touches; what it leaves out of them is gone through too."""
    capped: bool = False
    """Whether the search ended here because there were MOST_HITS hits, with more texts to look through."""

    @property
    def complete(self) -> bool:
        """Whether all was looked through."""
        return self.scanned >= self.total and not self.capped


def find(
    reader: Reader, place: SearchPlace, stop: Stop | None = None, *, most: int = MOST_HITS, chunk: int = CHUNK
) -> Iterator[Found]:
    """Look for words in texts of a slice, whatever their case; words between slashes are a regular expression.

    Yields after each chunk, with the catalog closed: where nothing is found too. A text that several cells share is a hit of
    each of them. Raises SpecError for no words, a pattern that cannot be used, or an unknown part; StoppedError.
    """
    stop = stop or Stop()
    words, is_regex = _wanted(place)
    if place.within not in WITHIN:
        raise SpecError(f"nothing is looked for in `{place.within}`", hint=known_names_hint(place.within, WITHIN))
    return _found(reader, place, words, stop, is_regex=is_regex, most=most, chunk=min(chunk, CHUNK))


def _wanted(place: SearchPlace) -> tuple[str, bool]:
    words = without_surrogates(place.words)
    is_regex = len(words) > 2 and words.startswith("/") and words.endswith("/")
    if is_regex:
        words = words[1:-1]
        fault = regex.fault(words)
        if fault is not None:
            raise SpecError(
                f"/{words}/ cannot be looked for: {fault}", hint="https://github.com/google/re2/wiki/Syntax"
            )
    if not words.strip():
        raise SpecError("there are no words to look for", hint='for example: lrm tui search "I should refuse"')
    return words, is_regex


def _found(
    reader: Reader, place: SearchPlace, words: str, stop: Stop, *, is_regex: bool, most: int, chunk: int
) -> Iterator[Found]:
    parts = gathering.parts_of(reader, place.slice, f"search_{next(_numbers)}", stop)
    try:
        total = sum(part.size * part.replicates for part in parts.parts.values())
        scanned, left = 0, most
        if not total:
            yield Found((), 0, 0)
        for piece in parts.chunks(chunk):
            with reader.burst(stop) as connection:
                rows = _look(connection, parts, place.within, words, piece, left + 1, is_regex=is_regex)
            scanned += parts.size(piece)
            hits = tuple(_hit(row, words, is_regex=is_regex) for row in rows[:left])
            left -= len(hits)
            capped = len(rows) > len(hits) or (left == 0 and scanned < total)
            yield Found(hits, scanned, total, capped)
            if capped:
                return
    finally:
        with reader.kept() as connection:
            connection.execute(f"DROP TABLE IF EXISTS memory.main.{parts.name}_keys")
            gathering.drop(connection, parts)


_KEYS = """
CREATE OR REPLACE TABLE {keys} AS
SELECT slice_n, ordinal, replicate, prompt_n, generation_n, call_n, spec, model, prompt_set, prompt, attack
FROM {cells} WHERE ordinal BETWEEN $first_row AND $last_row {kept}
"""
# The texts' own numbers are bounded by constants: without, every text of the catalog would be read for each chunk.
_LOOK = """
SELECT h.spec, h.model, h.prompt_set, h.prompt, h.attack, h.replicate,
    coalesce('g1:' || lower(hex(g.id)), 'c1:' || lower(hex(c.id))), h.text
FROM (
    SELECT k.*, t.{text} AS text FROM lrm.{table} t JOIN {keys} k ON k.{key} = t.{column}
    WHERE t.{column} BETWEEN $low AND $high AND {found}
    ORDER BY k.slice_n, k.ordinal, k.replicate LIMIT $most
) h
LEFT JOIN lrm.calls c ON c.n = h.call_n LEFT JOIN lrm.generations g ON g.n = h.generation_n
ORDER BY h.slice_n, h.ordinal, h.replicate
"""


def _look(
    connection: duckdb.DuckDBPyConnection, parts: Parts, within: str, words: str, piece: tuple[int, int, int, int], most: int,
    *, is_regex: bool,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return the texts of a chunk with the words in them, with their cells."""
    of = cells(
        parts.slice,
        f"(SELECT * FROM memory.main.{parts.name}_parts WHERE slice_n BETWEEN $first_part AND $last_part)",
    )
    keys = f"memory.main.{parts.name}_keys"
    text, table, column, key = _TEXTS[within]
    kept = "" if within == "prompt" else "AND generation_n IS NOT NULL"
    bounds = dict(zip(("first_part", "last_part", "first_row", "last_row"), piece, strict=True))
    connection.execute(_KEYS.format(keys=keys, cells=of.sql, kept=kept), {**of.values, **bounds})
    low, high = connection.execute(f"SELECT min({key}), max({key}) FROM {keys}").fetchall()[0]
    if low is None:
        return []
    found = f"regexp_matches(t.{text}, $words)" if is_regex else f"contains(lower(t.{text}), lower($words))"
    return connection.execute(
        _LOOK.format(text=text, table=table, column=column, keys=keys, key=key, found=found),
        {"low": low, "high": high, "words": f"(?i){words}" if is_regex else words, "most": most},
    ).fetchall()


_TEXTS = {
    "thinking": ("thinking", "traces", "generation_n", "generation_n"),
    "answer": ("answer", "traces", "generation_n", "generation_n"),
    "prompt": ("text", "prompts", "n", "prompt_n"),
}
"""Column of the text, its table, its number there, and the number of the cell that it is found by."""


def _hit(row: tuple[Any, ...], words: str, *, is_regex: bool) -> Hit:
    spec, model, prompt_set, prompt, attack, replicate, id_, text = row
    start, end = _where(text, words, is_regex=is_regex)
    begin = max(0, min(start - _BEFORE, len(text) - EXCERPT))
    excerpt = text[begin : begin + EXCERPT]
    return Hit(id_, model, prompt, attack, start, end, excerpt, begin, spec, prompt_set, replicate)


def _where(text: str, words: str, *, is_regex: bool) -> tuple[int, int]:
    """Return where the words are, in characters. What the database folds in another way than Python is at the beginning."""
    found = regex.first(words, text, ignore_case=True) if is_regex else _plain(text, words)
    return found or (0, 0)


def _plain(text: str, words: str) -> tuple[int, int] | None:
    folded = text.lower()
    at = folded.find(words.lower())
    if at < 0:
        return None
    if len(folded) == len(text):
        return at, at + len(words)
    # A few letters become two when they are made small, so the place in the folded text is counted back.
    before = list(itertools.accumulate((len(letter.lower()) for letter in text), initial=0))
    start = next(n for n, size in enumerate(before) if size >= at)
    return start, min(len(text), start + len(words))
