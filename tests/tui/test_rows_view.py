"""RowsView: pages asked once, few lines drawn, nothing of a row's text live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.strip import Strip

from lrm_tui.widgets.rows_model import GAP, KEPT, OPEN, PAGE, Pages, clipped, fitted
from lrm_tui.widgets.rows_view import Cell, Column, Row, RowsView

COLUMNS = (
    Column("id", "id", 12),
    Column("verdict", "verdict", 10),
    Column("tokens", "tokens", 8, "right"),
    Column("words", "words", 10, flexible=True),
)
NASTY = (
    "\x1b[31mred", "\x1b]52;c;aGk=\x07", "[/x]", "[@click=app.quit]x[/]", "\u202eabc\u2066", "a\u200bb\u2060", "nul\x00",
    "lone\ud800", "line\nline\r\n", "\x9b31m", "e\u0301\u0301", "👩\u200d👧", "❤\ufe0f", "你好" * 50, "x" * 1_000_000,
)  # fmt: skip


def _row(number: int) -> Row:
    return (f"g1:{number:08x}", Cell("UNSAFE", "unsafe"), Cell(str(number)), f"row {number}")


class Counting(RowsView):
    """Counts what it draws."""

    drawn = 0

    def render_line(self, y: int) -> Strip:
        self.drawn += 1
        return super().render_line(y)


class Holder(App[None]):
    """One list, with what it said."""

    def __init__(self, count: int, *, answer: Callable[[int], Row] | None = _row) -> None:
        super().__init__()
        self.animation_level = "none"
        self.list = Counting(COLUMNS, count, empty="nothing here: fill it")
        self.answer = answer
        self.wanted: list[tuple[int, int]] = []
        self.said: list[tuple[str, Any]] = []

    def compose(self) -> ComposeResult:
        yield self.list

    def on_rows_view_wanted(self, message: RowsView.Wanted) -> None:
        self.wanted.append((message.offset, message.limit))
        if self.answer is not None:
            rows = [self.answer(row) for row in range(message.offset, message.offset + message.limit)]
            message.control.give(message.offset, rows, turn=message.turn)

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        self.said.append(("moved", message.row))

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:
        self.said.append(("chosen", message.row))

    def on_rows_view_head_clicked(self, message: RowsView.HeadClicked) -> None:
        self.said.append(("head", message.column.key))

    def line(self, y: int) -> str:
        return self.list.render_line(y).text


# Columns and cells


@pytest.mark.parametrize(("width", "last"), [(80, 80 - 12 - 10 - 8 - 3 * GAP), (20, 10)])
def test_the_flexible_column_takes_the_rest_and_is_never_too_narrow(width: int, last: int) -> None:
    places = fitted(COLUMNS, width)
    assert places.widths == (12, 10, 8, last)
    assert places.total == max(width, 43)
    assert [places.at(x) for x in (0, 12, 13, places.total - 1, places.total + 1)] == [0, 0, 1, 3, None]


def test_several_flexible_columns_share_and_lose_nothing() -> None:
    places = fitted((Column("a", "a", 3, flexible=True), Column("b", "b", 4), Column("c", "c", 3, flexible=True)), 21)
    assert places.widths == (7, 4, 8)
    assert places.total == 21


@given(st.text(st.characters(codec=None), max_size=40) | st.sampled_from(NASTY), st.integers(1, 30))
def test_a_cell_takes_exactly_its_width_and_holds_no_control(text: str, width: int) -> None:
    for align in ("left", "right"):
        shown = clipped(text, width, align)
        assert cell_len(shown) == width
        assert not any(
            ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or sign in "\u200b\u202e\u200d\ufe0f" for sign in shown
        )


def test_what_was_cut_says_so() -> None:
    assert clipped("abcdef", 4) == "abc…"
    assert clipped("abcd", 4) == "abcd"
    assert clipped("ab", 4, "right") == "  ab"


# Pages


def test_a_page_is_asked_for_once_and_the_next_one_in_the_direction_of_travel() -> None:
    pages = Pages(5_000_000)
    assert pages.wanted(1000, 1020, 1) == ((1000, PAGE), (1200, PAGE))
    assert pages.wanted(1000, 1020, 1) == ()
    assert pages.wanted(1000, 1020, -1) == ((800, PAGE),)
    pages.give(1000, [()] * PAGE)
    assert pages.wanted(1000, 1020, 1) == ()
    pages.unask()
    assert pages.wanted(1000, 1020, 1) == ((1200, PAGE),)


def test_the_last_page_is_short_and_nothing_is_wanted_beyond_it() -> None:
    pages = Pages(PAGE + 7)
    assert pages.wanted(PAGE - 1, PAGE + 7, 1) == ((0, PAGE), (PAGE, 7))
    assert Pages(0).wanted(0, 20, 1) == ()


def test_few_pages_are_kept_and_few_are_open() -> None:
    pages = Pages(5_000_000)
    for page in range(KEPT + 5):
        pages.give(page * PAGE, [(str(page),)] * PAGE)
    assert pages.row(4 * PAGE) is None
    assert pages.row(5 * PAGE) == ("5",)
    dragged = [page for first in range(100_000, 4_000_000, 10_000) for page in pages.wanted(first, first + 30, 1)]
    assert len(dragged) == OPEN


def test_fewer_or_more_rows_forget_only_the_page_that_was_cut_short() -> None:
    pages = Pages(PAGE + 7)
    pages.give(0, [("a",)] * PAGE)
    pages.give(PAGE, [("b",)] * 7)
    pages.resize(PAGE + 9)
    assert pages.row(0) == ("a",)
    assert pages.row(PAGE) is None
    assert pages.wanted(0, PAGE + 9, 1) == ((PAGE, 9),)


@pytest.mark.parametrize(("offset", "rows", "keys"), [(1, 1, None), (0, PAGE + 1, None), (0, 2, ["one"])])
def test_what_is_no_page_is_refused(offset: int, rows: int, keys: list[str] | None) -> None:
    with pytest.raises(ValueError, match="a page begins"):
        Pages(5000).give(offset, [()] * rows, keys)


# The widget


async def test_a_row_that_is_not_there_says_so_until_it_comes() -> None:
    app = Holder(5_000_000, answer=None)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert app.wanted == [(0, PAGE), (PAGE, PAGE)]
        assert app.line(1).strip(" ›") == "…"
        app.list.give(0, [_row(row) for row in range(PAGE)])
        assert "g1:00000000" in app.line(1)
        assert app.line(0).split() == ["id", "verdict", "tokens", "words"]
        app.list.set_count(3)
        app.list.give(0, [_row(row) for row in range(PAGE)], turn=0)
        assert app.line(1).strip(" ›") == "…", "a page of rows long gone was shown"


async def test_the_end_of_five_million_rows_costs_two_pages() -> None:
    app = Holder(5_000_000)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        app.wanted.clear()
        app.list.bottom()
        await pilot.pause()
        assert app.wanted == [(4_999_800, PAGE)]
        assert "row 4999999" in app.line(19)
        app.list.move(-1, 0)
        await pilot.pause()
        assert len(app.wanted) <= 1
        app.list.top()
        await pilot.pause()
        assert "row 0" in app.line(1)
        assert len(app.wanted) <= 2


async def test_moving_draws_at_most_two_lines() -> None:
    app = Holder(1000)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        for rows, columns in ((1, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (5, 0)):
            app.list.drawn = 0
            app.list.move(rows, columns)
            await pilot.pause()
            assert 1 <= app.list.drawn <= 2
        app.list.drawn = 0
        assert app.list.mark() is True
        await pilot.pause()
        assert app.list.drawn == 1
        app.list.drawn = 0
        app.list.refresh_row(3, ("new",))
        await pilot.pause()
        assert app.list.drawn == 1
        assert "new" in app.line(4)
        assert [row for _, row in app.said] == [1, 2, 1, 6]


async def test_the_cursor_stays_within_and_in_sight() -> None:
    app = Holder(100)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        app.list.move(-1, -1)
        assert (app.list.row, app.list.column) == (0, 0)
        app.list.half_page(1)
        assert app.list.row == 9
        app.list.page(1)
        await pilot.pause()
        assert app.list.row == 27
        first, after = app.list.seen
        assert first <= 27 < after
        app.list.jump(10_000)
        app.list.move(0, 99)
        assert (app.list.row, app.list.column_key) == (99, "words")
        await pilot.pause()
        app.list.set_count(5)
        await pilot.pause()
        assert app.list.row == 4
        assert "row 4" in app.line(5)
        app.list.set_count(0)
        assert app.list.row == 0
        assert "nothing here: fill it" in app.line(2)
        app.list.choose()
        app.list.bottom()
        await pilot.pause()
        assert ("chosen", 0) not in app.said


async def test_marks_stay_with_keys_when_rows_change_places() -> None:
    app = Holder(3, answer=None)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert app.list.mark(1) is None, "a row that is not there has no key"
        app.list.give(0, ["a", "b", "c"], keys=["a", "b", "c"])
        assert app.list.mark(1) is True
        app.list.set_count(3)
        app.list.give(0, [("b",), ("c",), ("a",)], keys=["b", "c", "a"])
        assert app.list.marked == ("b",)
        assert app.line(1).startswith("›●b")
        assert app.list.mark(0) is False
        app.list.set_marks(["c", "a"])
        assert app.line(1).startswith("› b")
        assert app.line(2).startswith(" ●c")


async def test_the_mouse() -> None:
    app = Holder(1000)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        await pilot.click(RowsView, offset=(16, 4))
        assert (app.list.row, app.list.column) == (3, 1)
        await pilot.click(RowsView, offset=(20, 6), times=2)
        await pilot.click(RowsView, offset=(3, 0))
        await pilot.pause()
        assert app.said == [("moved", 3), ("moved", 5), ("chosen", 5), ("head", "id")]
        await pilot.click(RowsView, offset=(1, 2))
        assert app.list.marked == (1,)
        app.list.post_message(_wheel(app))
        await pilot.pause()
        assert app.list.seen[0] == 3
        assert app.list.row == 1, "the wheel moves what is seen, not the cursor"


def _wheel(app: Holder) -> Any:
    from textual.events import MouseScrollDown

    return MouseScrollDown(
        app.list, 5, 5, 0, 0, 0, shift=False, meta=False, ctrl=False, screen_x=5, screen_y=5, style=None
    )


async def test_a_narrow_list_scrolls_with_the_cursor_column() -> None:
    app = Holder(1000)
    async with app.run_test(size=(30, 12)) as pilot:
        await pilot.pause()
        assert "words" not in app.line(0)
        for _ in range(3):
            app.list.move(0, 1)
            await pilot.pause()
        assert "words" in app.line(0)
        assert app.line(1).rstrip().endswith("row 0")
        assert app.line(1).startswith("› ")
        app.list.move(0, -3)
        await pilot.pause()
        assert app.line(0).startswith("  id")


async def test_the_head_says_what_rows_are_sorted_by() -> None:
    app = Holder(3)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        app.list.set_sorted("tokens", down=True)
        assert "tokens ▼" in app.line(0)
        app.list.set_sorted(None)
        assert "▼" not in app.line(0)


async def test_requests_that_were_stopped_can_be_made_again() -> None:
    app = Holder(1000, answer=None)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        app.list.ask_again()
        await pilot.pause()
        assert app.wanted == [(0, PAGE), (PAGE, PAGE)] * 2


async def test_nothing_of_a_row_is_live() -> None:
    app = Holder(len(NASTY), answer=lambda row: (NASTY[row], Cell(NASTY[row], "unsafe"), Cell(NASTY[row]), NASTY[row]))
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        for y in range(20):
            strip = app.list.render_line(y)
            assert strip.cell_length == 80 == cell_len(strip.text)
            assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in strip.text)
            assert not any(sign in strip.text for sign in "\u202e\u2066\u200b\u2060\u200d\ud800")
            assert all(not segment.style.meta and not segment.style.link for segment in strip if segment.style)
        shown = "\n".join(app.line(y) for y in range(20))
        assert "[@click=app" in shown
        assert "␛[31mred" in shown
