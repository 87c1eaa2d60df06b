"""What a grid shows, without a screen: places of totals, windows on long axes, texts that fit their columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lrm_tui.widgets.grid_model import NOTHING, Shown, Table, at, moved
from lrm_tui.widgets.marks import NARROWEST, WIDEST, composed, fitted, head, head_lines, plain, signed
from lrm_tui.widgets.window import Window

WIDTHS = range(NARROWEST, WIDEST + 1)


def test_totals_stand_after_the_last_row_and_column() -> None:
    table = Table(("a",), ("x", "y"), {(0, 1): Shown("1")}, (Shown("2"),), (Shown("3"), Shown("4")), Shown("5"))
    assert [at(table, *place).text for place in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))] == [
        "",
        "1",
        "2",
        "3",
        "4",
        "5",
    ]
    assert at(Table(), 0, 0) is NOTHING


def test_places_are_found_again_by_their_label() -> None:
    assert moved(("a", "b"), ("b", "c", "a"), 0) == 2
    assert moved(("a", "b"), ("b", "c"), 0) is None
    assert moved(("a", "b"), ("b", "c", "d"), 2) == 3  # the total
    assert moved(("a", "a"), ("a", "a"), 1) == 1  # twice the same label


@given(st.integers(0, 50), st.integers(1, 20), st.integers(0, 60), st.booleans(), st.integers(0, 60))
def test_a_window_always_shows_what_is_asked_for(count: int, fit: int, first: int, pinned: bool, index: int) -> None:
    window = Window(count, fit, 0, pinned)
    index = min(index, count)
    window = Window(count, fit, min(first, window.last_first), pinned)
    there = Window(count, fit, window.first_for(index), pinned)
    assert 0 <= there.first <= there.last_first
    assert index in there.seen
    assert [there.index(slot) for slot in range(len(there.seen))] == list(there.seen)
    assert [there.slot(one) for one in there.seen] == list(range(len(there.seen)))
    assert there.index(len(there.seen)) is None
    assert window.slot(index) is None or there.first == window.first or pinned  # it does not jump about


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lead", ["", "▓"])
@given(text=st.text(max_size=12), mark=st.sampled_from(["", "·", "!", "≠"]), note=st.sampled_from(["", "s", "iΣ"]))
def test_a_cell_fits_its_column(width: int, lead: str, text: str, mark: str, note: str) -> None:
    line = composed(Shown(text, 0.5, mark, note=note), width, lead)  # type: ignore[arg-type]
    assert cell_len(line) == width
    assert mark in line
    assert line.startswith(lead)
    if width > NARROWEST or not lead:
        assert note in line


@pytest.mark.parametrize(
    ("text", "width", "expected"), [("100", 4, " 100"), ("12,345", 4, "12,…"), ("41", 8, "    41  "), ("41 ±6", 8, " 41 ±6  ")]
)  # fmt: skip
def test_a_number_is_never_cut_without_a_sign(text: str, width: int, expected: str) -> None:
    assert composed(Shown(text), width) == expected


def test_a_mark_stands_in_the_place_of_a_number() -> None:
    assert composed(Shown("", mark="·"), 8) == "     ·  "
    assert composed(Shown("41", mark="!", note="s"), 8) == "    41!s"


@pytest.mark.parametrize(
    ("text", "shade", "said"),
    [("4", 0.1, "+4"), ("4", -0.1, "−4"), ("-4", -0.1, "-4"), ("0", 0, "0"), ("4", None, "4")],
)
def test_differences_have_a_sign(text: str, shade: float | None, said: str) -> None:
    assert signed(text, shade) == said


@given(st.text(max_size=60), st.integers(0, 40), st.booleans())
def test_a_label_takes_exactly_its_room(text: str, width: int, right: bool) -> None:
    assert cell_len(fitted(plain(text), width, right=right)) == width


@pytest.mark.parametrize(
    "label", ["漢字のラベル", "é" * 40, "❤️\u200d🔥 emoji 👍🏽 🇩🇪", "\x1b[31mred", "\u202eabc", "a" * 5000]
)
@pytest.mark.parametrize("width", [1, 2, 3, 8, 24])
def test_nasty_labels_take_exactly_their_room(label: str, width: int) -> None:
    assert cell_len(fitted(plain(label), width)) == width
    assert all(cell_len(line) == width for line in head(plain(label), width, 3))


@given(st.text(max_size=60), st.integers(1, 24), st.integers(1, 3))
def test_a_head_fits_its_column(text: str, width: int, lines: int) -> None:
    found = head(plain(text), width, lines)
    assert len(found) == lines
    assert all(cell_len(line) == width for line in found)


def test_a_head_is_broken_where_words_end_and_its_middle_left_out_where_it_must() -> None:
    assert head("xstest-safe", 8, 2) == [" xstest-", "    safe"]
    assert head("safe", 8, 2) == [" " * 8, "    safe"]
    assert "…" in "".join(head("a-very-long-name-of-a-set", 8, 2))
    assert head_lines(["safe", "xstest-safe"], 8, 3) == 2
    assert head_lines([], 8, 3) == 1
