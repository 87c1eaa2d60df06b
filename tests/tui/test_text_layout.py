"""Where the characters of a text stand: every one of them somewhere, and exactly there."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lrm.text import visible
from lrm_tui.widgets.text_layout import _ODD, _WIDE, NARROWEST, STRETCH, TAB, Layout, Piece, _joins
from lrm_tui.widgets.text_marks import MARKED, Stretches, matches, matches_beyond, next_word, previous_word, word_end

SIGNS = [
    "a", "b", " ", " ", "word ", "\n", "\r\n", "\r", "\t", "é", "e\u0301", "\u0301" * 12, "你", "好", "👩\u200d👧", "❤\ufe0f", "\ufe0f",
    "\x1b[31m",
    "\x1b]52;c;aGk=\x07", "[/x]", "[@click=app.quit]", "\u202e", "\u2066", "\u200b", "\x00", "\ud800", "\x9b", "\u2028", "\U000e0101",
    "\u0e33", "ﷺ", "🇩🇪", "longlonglonglonglong",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SIGNS) | st.characters(codec=None), max_size=120).map("".join)
WIDTHS = st.none() | st.integers(4, 40)
BAD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufe0e\ufe0f\ud800-\udfff\U000e0100-\U000e01ef]"
)


def laid(
    text: str, width: int | None, numbers: tuple[tuple[int, str], ...] = (), step: int = 7, most: int = 400_000
) -> Layout:
    layout = Layout(text, width, numbers, most=most)
    while not layout.done:
        layout.advance(step)
    return layout


def rows(layout: Layout) -> list[str]:
    return ["".join(piece.text for piece in layout.pieces(row)) for row in range(layout.height)]


def expected(text: str, at: int, after: int, raw: bool, piece: Piece) -> str:
    """What a cell's characters must look like, said in another way than the layout does."""
    first = text[at]
    if first == "\n" or (first == "\r" and text[at + 1 : at + 2] == "\n"):
        return visible(first, one_line=True) if raw else ""
    if first == "\t":
        return ("␉" if raw else " ").ljust(piece.width)
    shown = visible(first)
    hidden = re.match("[\ufe00-\ufe0f\U000e0100-\U000e01ef\u034f\u115f\u1160\u3164\uffa0]", first)
    if hidden or cell_len(shown) == 0:
        shown = f"⟨U+{ord(first):04X}⟩"
    return shown + re.sub("[\ufe0e\ufe0f]", "", text[at + 1 : after])


@settings(max_examples=400, deadline=None)
@given(TEXTS, WIDTHS, st.lists(st.integers(0, 150), max_size=4))
def test_every_character_stands_in_one_place_and_what_stands_there_was_made_from_it(
    text: str, width: int | None, numbered: list[int]
) -> None:
    numbers = tuple((offset, f"⟦{at}⟧") for at, offset in enumerate(sorted(numbered)))
    layout = laid(text, width, numbers)
    at, said = 0, []
    for row in range(layout.height):
        assert layout.bounds(row)[0] == at
        column = 0
        for piece in layout.pieces(row):
            assert (piece.start, piece.column) == (at, column)
            assert cell_len(piece.text) == piece.width
            assert not BAD.search(piece.text)
            if piece.start == piece.end:
                said.append(piece.text)
            elif piece.cells:
                assert piece.text == text[piece.start : piece.end]
                assert all(cell_len(sign) == piece.cells for sign in piece.text)
            else:
                assert piece.text == expected(text, piece.start, piece.end, width is None, piece)
            at, column = piece.end, column + piece.width
        assert layout.bounds(row)[1] == at
    assert at == len(text)
    assert said == [words for offset, words in numbers if offset < len(text)]


@settings(max_examples=200, deadline=None)
@given(TEXTS, WIDTHS)
def test_a_place_leads_back_to_its_character(text: str, width: int | None) -> None:
    layout = laid(text, width)
    for offset, sign in enumerate(text):
        found = layout.place(offset)
        assert found is not None
        row, column = found
        first, after = layout.bounds(row)
        assert first <= offset < after
        back = layout.offset(row, column)
        # What shares a cell shares its first character; what takes none cannot be pointed at.
        assert back == offset or (back < offset and (_joins(sign, width is None) or sign in "\r\n"))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(4, 40), st.integers(1, 50))
def test_rows_fit_their_width_and_do_not_depend_on_the_steps(text: str, width: int, step: int) -> None:
    layout = laid(text, width)
    for row, shown in enumerate(rows(layout)):
        assert cell_len(shown) <= max(width, NARROWEST) or len([*layout.pieces(row)]) <= 3
    assert rows(laid(text, width, step=step)) == rows(layout)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "bc", "def ", " ", "\n", "\r\n", "x" * 30]), max_size=80).map("".join),
    st.integers(8, 30),
)
def test_the_quick_way_and_the_careful_one_agree(text: str, width: int) -> None:
    quick, careful = laid(text, width), Layout(text, width)
    careful._wrapped = lambda: careful._wrapped_signs(1)  # type: ignore[method-assign]
    careful.advance(len(text))
    assert rows(careful) == rows(quick)


def test_plain_signs_are_what_they_are_taken_for() -> None:
    plain = [chr(code) for code in range(0x3000) if not _ODD.match(chr(code))]
    assert len(plain) > 2000
    for sign in plain:
        assert visible(sign, one_line=True) == sign
        assert cell_len(sign) == 1
        assert not _joins(sign, False)
    wide = [chr(code) for code in range(0x3000, 0x10000) if _WIDE.match(chr(code))]
    assert len(wide) > 30_000
    for sign in wide:
        assert visible(sign, one_line=True) == sign
        assert cell_len(sign) == 2
        assert _ODD.match(sign)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("", 10, [""]),
        ("one two three", 10, ["one two ", "three"]),
        ("one two\nthree\n", 10, ["one two", "three"]),
        ("a\r\n\r\nb", 10, ["a", "", "b"]),
        ("a\rb", 10, ["a␍b"]),
        ("123456789 x", 10, ["123456789 ", "x"]),
        ("123456789 \nx", 10, ["123456789 ", "x"]),
        ("1234567890123", 10, ["123456789", "0123"]),
        ("    1234567890", 10, ["    12345", "67890"]),
        ("a\tb", 10, ["a   b"]),
        ("你好你好你好", 10, ["你好你好", "你好"]),
        ("a\u0301\u200bb", None, ["a\u0301⟨U+200B⟩b"]),
        ("a\tb\r\nc", None, ["a␉  b␍␊", "c"]),
        ("❤\ufe0f", 10, ["❤"]),
        ("❤\ufe0f", None, ["❤⟨U+FE0F⟩"]),
        ("\u0301a", 10, ["⟨U+0301⟩a"]),
    ],
)
def test_rows(text: str, width: int | None, shown: list[str]) -> None:
    assert rows(laid(text, width)) == shown


def test_a_number_stands_before_its_passage() -> None:
    assert rows(laid("one two three", 20, ((4, "⟦1⟧"),))) == ["one ⟦1⟧two three"]


def test_one_line_without_a_blank_is_found_by_its_middle() -> None:
    layout = laid("ab你" * 40_000, None, step=1000)
    assert layout.height == 1
    assert layout.widest == 160_000
    pieces = [*layout.pieces(0, 80_000, 80_100)]
    assert len(pieces) < STRETCH * 4
    assert pieces[0].column <= 80_000
    assert layout.place(60_000) == (0, 80_000)
    assert layout.offset(0, 80_000) == 60_000


def test_what_is_beyond_the_most_is_not_laid_out() -> None:
    layout = laid("x" * 1000, 11, most=95)
    assert layout.height == 10
    assert layout.place(96) is None
    assert layout.bounds(9) == (90, 95)


def test_a_tab_stops_at_multiples() -> None:
    layout = laid("\ta\tbcd\te", 40)
    assert [piece.column for piece in layout.pieces(0) if piece.text.strip()] == [TAB, 2 * TAB, 3 * TAB]


# Marks


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(0, 50), st.integers(1, 20))
def test_stretches_are_exactly_the_characters_of_their_parts(
    parts: list[tuple[int, int]], start: int, length: int
) -> None:
    stretches = Stretches(parts)
    assert all(one[1] <= other[0] for one, other in pairwise(stretches.parts))
    found = {at for a, b in stretches.within(start, start + length) for at in range(a, b)} & set(
        range(start, start + length)
    )
    assert found == {at for a, b in parts for at in range(a, b)} & set(range(start, start + length))
    assert stretches.cover(start, start + length) == bool(found)


@given(st.text(st.sampled_from("abABİß \n"), max_size=40), st.text(st.sampled_from("abAİ"), min_size=1, max_size=2))
def test_matches_are_where_the_words_stand(text: str, words: str) -> None:
    found, count = matches(text, words, len(text))
    assert len(found) == count
    for start, end in found:
        assert text[start:end].lower() == words.lower() or text[start:end].casefold() == words.casefold() or "İ" in text


def test_matches_before_and_beyond() -> None:
    assert matches("Ab ab aB", "AB", 8) == ([(0, 2), (3, 5), (6, 8)], 3)
    assert matches("Ab ab aB", "AB", 4) == ([(0, 2)], 1)
    assert matches_beyond("Ab ab aB", "AB", 3) == 2
    assert matches("abc", "", 3) == ([], 0)
    assert matches("İab", "AB", 3) == ([(1, 3)], 1)
    assert matches("a" * 20_000, "A", 20_000)[0][-1] == (MARKED - 1, MARKED)
    assert matches("a" * 20_000, "A", 20_000)[1] == 20_000


def test_words() -> None:
    text = "one, two  three"
    assert [next_word(text, at) for at in (0, 3, 4, 5, 10)] == [3, 5, 5, 10, 15]
    assert [previous_word(text, at) for at in (15, 10, 5, 3, 0)] == [10, 5, 3, 0, 0]
    assert [word_end(text, at) for at in (0, 3, 4, 14)] == [3, 4, 5, 15]
