from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.text import has_surrogates, visible, without_surrogates

NASTY = [
    "\x1b[31mred\x1b[0m",  # CSI
    "\x1b]0;title\x07",  # OSC ended by BEL
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",  # OSC 8 hyperlink
    "\x1b]52;c;aGk=\x07",  # writes the clipboard
    "\x1bP+q544e\x1b\\",  # DCS
    "\x1b[6n",  # asks for the cursor
    "\x1bc",  # full reset
    "\x9b31m",  # 8-bit CSI
    "\x9d0;t\x9c",  # 8-bit OSC and ST
    "\x90q\x9c\x85",  # 8-bit DCS, NEL
    "over\rwritten",
    "back\x08\x08\x08space",
    "bell\x07",
    "form\x0cfeed\x0b",
    "nul\x00del\x7f",
    "\u202egnp.exe",  # right-to-left override
    "\u2066isolate\u2069 \u2067x\u2068",
    "\u200ezero\u200bwidth\u200d\u200c\u2060\ufeff",
    "\u061carabic letter mark \u180e",
    "line\u2028paragraph\u2029",
    "\ufff9annotation\ufffa\ufffb",
    "lone \ud800 and \udfff surrogates",
]
INVISIBLE = frozenset("\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\u061c\u180e\ufeff\ufff9\ufffa\ufffb")


def drives_a_terminal(sign: str) -> bool:
    """Return whether a sign is a control, a bidirectional control, an invisible one or half of a surrogate pair."""
    bidirectional = unicodedata.bidirectional(sign) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} or bidirectional or sign in INVISIBLE


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("one_line", [False, True])
def test_nothing_that_drives_a_terminal_stays(text: str, one_line: bool) -> None:
    assert any(drives_a_terminal(sign) for sign in text)
    shown = visible(text, one_line=one_line)
    assert not [sign for sign in shown if drives_a_terminal(sign)]
    shown.encode()


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_drives_a_terminal_stays_of_any_text(text: str) -> None:
    assert not [sign for sign in visible(text) if drives_a_terminal(sign) and sign not in "\n\t"]
    assert not [sign for sign in visible(text, one_line=True) if drives_a_terminal(sign)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_showing_twice_is_showing_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)


def test_newline_and_tab_stay_unless_one_line_is_asked_for() -> None:
    assert visible("a\n\tb") == "a\n\tb"
    assert visible("a\n\tb", one_line=True) == "a␊␉b"


def test_what_is_replaced_can_still_be_told() -> None:
    assert visible("\x1b[2J\x00\x7f") == "␛[2J␀␡"
    assert visible("\u202ea\u200b") == "⟨U+202E⟩a⟨U+200B⟩"
    assert visible("\x9b") == visible("\ud800") == "�"


@pytest.mark.parametrize("text", ["", "plain", "Grüße 你好 مرحبا שלום 👩 e\u0301", "[bold]markup[/bold]"])
def test_harmless_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


def test_surrogates() -> None:
    assert has_surrogates("a\ud83d")
    assert not has_surrogates("😀")
    assert without_surrogates("a\ud83d😀") == "a�😀"
