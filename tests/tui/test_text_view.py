"""TextView: what is marked looks marked, jumps arrive, nothing of a text is live, long texts come in pieces."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.pilot import Pilot
from textual.strip import Strip

from lrm import clock
from lrm_tui.themes import OWN
from lrm_tui.widgets import text_laid
from lrm_tui.widgets.text_view import SpanMark, TextView

PROSE = "".join(f"Line {number} says a few words about baking bread.\n" for number in range(1000))
NASTY = (
    "\x1b[31mred", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\link", "[/x]", "[@click=app.quit]x[/]", "[link=x]y[/link]",
    "\u202eabc\u2066", "a\u200bb\u2060", "nul\x00", "lone\ud800", "\x9b31m", "\r", "e\u0301", "\u0301" * 40, "👩\u200d👧", "❤\ufe0f",
    "\u2028", "\U000e0041", "\U000e0101",
)  # fmt: skip
LIVE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufe0f\U000e0000-\U000e01ef]")


class Counting(TextView):
    """Counts what it draws."""

    drawn = 0

    def render_line(self, y: int) -> Strip:
        self.drawn += 1
        return super().render_line(y)


class Holder(App[None]):
    """Two views side by side."""

    CSS = "#two { display: none; } .-both #two { display: block; }"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.animation_level = "none"
        self.one = Counting(id="one", **options)
        self.two = Counting(id="two", **options)
        self.pointed: list[int] = []

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.one
            yield self.two

    def on_text_view_pointed(self, message: TextView.Pointed) -> None:
        self.pointed.append(message.offset)

    def lines(self) -> list[str]:
        return [self.one.render_line(y).text.rstrip() for y in range(self.one.size.height)]

    def styled(self, attribute: str) -> str:
        """All text on the screen that has an attribute."""
        return "".join(
            segment.text
            for y in range(self.one.size.height)
            for segment in self.one.render_line(y)
            if segment.style is not None and getattr(segment.style, attribute)
        )

    def on_ground(self, name: str) -> str:
        """All text on the screen that has the background of a mark."""
        ground = self.one.get_component_rich_style(f"text--{name}").bgcolor
        return "".join(
            segment.text
            for y in range(self.one.size.height)
            for segment in self.one.render_line(y)
            if segment.style is not None and segment.style.bgcolor == ground
        )


async def settled(pilot: Pilot[None], *views: TextView) -> None:
    """Wait until all is laid out."""
    await pilot.pause()
    for _ in range(2000):
        if all(view.laid_out for view in views):
            break
        await pilot.pause(0)
    assert all(view.laid_out for view in views)
    await pilot.pause()


async def test_a_text_is_wrapped_and_its_title_stays() -> None:
    app = Holder(title="answer [b]bold[/b] \x1b[31m")
    async with app.run_test(size=(30, 10)) as pilot:
        app.one.show("one two three four five six seven\n\nlast\n")
        await settled(pilot, app.one)
        assert app.lines()[:4] == ["answer [b]bold[/b] ␛[31m", "one two three four five six", "seven", ""]
        assert app.lines()[4] == "last"
        app.one.show(PROSE)
        await settled(pilot, app.one)
        app.one.bottom()
        await pilot.pause()
        assert app.lines()[0].startswith("answer")
        assert app.lines()[0].endswith("100 %")
        assert app.lines()[-1] == "about baking bread."


async def test_no_text_says_why() -> None:
    app = Holder(instead="the model returned no thinking")
    async with app.run_test(size=(40, 5)) as pilot:
        app.one.show(None)
        await settled(pilot, app.one)
        assert app.lines() == ["the model returned no thinking", "", "", "", ""]
        app.one.show_cursor()
        app.one.move(1, 1)
        app.one.mark_start()
        assert app.one.mark_end() is None
        assert app.one.find("x") == 0
        assert app.one.next_match() is None
        assert app.one.next_span() is None


async def test_what_is_shown_before_there_is_a_screen_is_there_with_it() -> None:
    app = Holder()
    app.one.show(PROSE, [SpanMark(20_000, 20_010, 1)])
    assert app.one.go_to_span(1)
    async with app.run_test(size=(60, 10)) as pilot:
        await settled(pilot, app.one)
        assert "⟦1⟧" in "".join(app.lines())
        assert app.styled("underline") == PROSE[20_000:20_010].replace("\n", "")


@pytest.mark.parametrize("raw", [False, True])
async def test_passages_are_underlined_and_numbered_wherever_they_are(raw: bool) -> None:
    text = PROSE.replace("bread", "你好 bre\u0301ad\t\u200b\r")
    spans = [
        SpanMark(text.index("你好", 9000), text.index("你好", 9000) + 14, 2),
        SpanMark(5, 11, 1),
        SpanMark(3, 3, 7),
    ]
    app = Holder()
    async with app.run_test(size=(50, 12)) as pilot:
        app.one.set_raw(raw)
        app.one.show(text, spans)
        await settled(pilot, app.one)
        assert app.styled("underline") == "0 says"
        assert "Line ⟦1⟧0 says" in app.lines()[0]
        assert app.one.next_span() == 7
        assert app.one.next_span() == 1
        assert app.one.next_span() == 2
        await pilot.pause()
        shown = "你好 bre\u0301ad" + ("␉" if raw else "")
        assert re.sub(r"\s+$", "", app.styled("underline").split("⟨")[0]) == shown
        assert "⟦2⟧" in "".join(app.lines())
        assert app.one.next_span(-1) == 1
        assert not app.one.go_to_span(9)


async def test_other_passages_leave_the_text_where_it_is() -> None:
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show(PROSE)
        app.one.go_to(30_000)
        await settled(pilot, app.one)
        top = app.one.top_offset
        app.one.set_spans([SpanMark(0, 4, 1), SpanMark(50, 60, 2)])
        await settled(pilot, app.one)
        assert app.one.top_offset == top
        app.one.set_raw(True)
        await settled(pilot, app.one)
        assert app.one.top_offset == top
        await pilot.resize_terminal(40, 10)
        await settled(pilot, app.one)
        assert app.one.top_offset == top


async def test_matches_are_found_marked_and_walked_through() -> None:
    app = Holder(title="answer")
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show(PROSE)
        await settled(pilot, app.one)
        assert app.one.find("LINE 99") == 11
        await pilot.pause()
        assert app.on_ground("now") == "Line 99"
        assert "match 1 of 11" in app.lines()[0]
        assert app.one.next_match() == (2, 11)
        await pilot.pause()
        assert app.on_ground("now") == "Line 99"
        assert app.on_ground("match") == "Line 99" * 5
        assert app.one.next_match(-1) == (1, 11)
        assert app.one.next_match(-1) == (11, 11)
        assert app.one.next_match() == (1, 11)
        assert app.one.find("") == 0
        await pilot.pause()
        assert not app.on_ground("now")
        assert "match" not in app.lines()[0]


async def test_words_that_differ_are_marked() -> None:
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show("the same words and other words")
        app.one.show_difference([(19, 24), (4, 8)])
        await settled(pilot, app.one)
        assert app.on_ground("difference") == "sameother"
        app.one.show_difference(())
        assert app.on_ground("difference") == ""


@pytest.mark.parametrize("theme", ["lrm-light", "ansi-dark", "ansi-light", "lrm-dark"])
async def test_marks_take_the_colours_of_a_new_theme(theme: str) -> None:
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        for own in OWN:
            app.register_theme(own)
        app.one.show("one two three", [SpanMark(0, 3, 1)])
        app.one.show_difference([(4, 7)])
        await settled(pilot, app.one)
        before = [segment.style for segment in app.one.render_line(0)]
        app.theme = theme
        await pilot.pause()
        assert app.styled("underline") == "one"
        assert "two" in app.on_ground("difference")
        assert [segment.style for segment in app.one.render_line(0)] != before


async def test_more_than_the_most_is_counted_and_said() -> None:
    app = Holder(most=10_000)
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show("needle " * 3_000, [SpanMark(20_000, 20_006, 1)])
        assert not app.one.go_to_span(1)
        app.one.bottom()
        await settled(pilot, app.one)
        assert app.lines()[-1] == "… 11,000 characters more: O opens it"
        shown, beyond = app.one.find("needle"), app.one.matches_beyond
        assert shown == 1428
        assert shown + beyond in (2999, 3000), "the match on the edge may be cut in two"


async def test_folding_says_how_much() -> None:
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show(PROSE)
        app.one.fold(3)
        await settled(pilot, app.one)
        assert app.lines()[2:5] == ["Line 2 says a few words about baking bread.", "… 997 rows more, folded", ""]
        app.one.find("line 500")
        await pilot.pause()
        assert app.one.folded is None
        assert "Line 500" in "".join(app.lines())


async def test_the_text_cursor_marks_a_passage_of_the_original() -> None:
    text = "One \u200b two,  thr\u202eee\r\nfour fi\u0301ve 你好 end"
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show(text)
        await settled(pilot, app.one)
        app.one.show_cursor()
        assert app.one.cursor_offset == 0
        app.one.move_cursor(words=2)
        assert app.styled("reverse") == "t"
        app.one.mark_start()
        app.one.move_cursor(lines=1)
        assert app.one.selecting
        app.one.move_cursor(words=1)
        start, end = app.one.selection_span or (0, 0)
        assert start == text.index("two")
        assert end == len(text)
        await pilot.pause()
        assert app.on_ground("selected").startswith("two,  thr⟨U+202E⟩ee")
        assert app.one.mark_end() == (start, end)
        assert not app.one.selecting
        app.one.top()
        app.one.mark_start()
        app.one.move_cursor(characters=2)
        assert app.one.mark_end() == (0, 3)
        app.one.bottom()
        assert app.one.cursor_offset == len(text)
        app.one.move_cursor(characters=-1)
        assert app.one.cursor_offset == len(text) - 1
        app.one.move_cursor(words=-3)
        assert text[app.one.cursor_offset or 0 :].startswith("fi\u0301ve")
        app.one.show_cursor(False)
        assert app.one.cursor_offset is None


async def test_a_click_points_at_a_character() -> None:
    app = Holder(title="answer")
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show("ab\u200bcd\n你好x")
        await settled(pilot, app.one)
        app.one.show_cursor()
        await pilot.click(TextView, offset=(10, 1))
        await pilot.click(TextView, offset=(3, 2))
        await pilot.click(TextView, offset=(20, 5))
        await pilot.click(TextView, offset=(0, 0))
        await pilot.pause()
        assert app.pointed == [3, 7]
        assert app.one.cursor_offset == 7


async def test_moving_the_cursor_draws_few_lines() -> None:
    app = Holder()
    async with app.run_test(size=(60, 20)) as pilot:
        app.one.show(PROSE)
        await settled(pilot, app.one)
        app.one.show_cursor()
        await pilot.pause()
        for words, lines in ((1, 0), (0, 1), (-1, 0)):
            app.one.drawn = 0
            app.one.move_cursor(words, lines)
            await pilot.pause()
            assert 1 <= app.one.drawn <= 2


@pytest.mark.parametrize("by_line", [False, True])
async def test_two_views_scroll_together(by_line: bool) -> None:
    app = Holder()
    async with app.run_test(size=(80, 20)) as pilot:
        app.screen.add_class("-both")
        app.one.show(PROSE)
        app.two.show(PROSE + PROSE)
        await settled(pilot, app.one, app.two)
        app.two.follow(app.one, by_line=by_line)
        app.one.follow(app.two, by_line=by_line)
        app.one.scroll_lines(400)
        await pilot.pause()
        share = 400 if by_line else 400 / app.one.max_scroll_y * app.two.max_scroll_y
        assert app.two.scroll_offset.y == round(share)
        assert app.one.scroll_offset.y == 400
        app.two.top()
        await pilot.pause()
        assert app.one.scroll_offset.y == 0
        app.one.unfollow()
        app.two.unfollow()
        app.one.scroll_lines(5)
        await pilot.pause()
        assert app.two.scroll_offset.y == 0


async def test_scrolling() -> None:
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show(PROSE)
        await settled(pilot, app.one)
        app.one.move(2, 0)
        app.one.half_page(1)
        await pilot.pause()
        assert app.lines()[0].startswith("Line 7 ")
        app.one.half_page(-1)
        app.one.top()
        await pilot.pause()
        assert app.lines()[0].startswith("Line 0 ")
        app.one.set_raw(True)
        app.one.show("x" * 300 + "END\n")
        await settled(pilot, app.one)
        app.one.move(0, 31)
        await pilot.pause()
        assert app.lines()[0].endswith("END␊")


async def test_a_long_text_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]

    def monotonic() -> float:
        moment[0] += text_laid.AT_ONCE_S  # every look at the clock says that the time is up
        return moment[0]

    monkeypatch.setattr(clock, "monotonic", monotonic)
    app = Holder()
    async with app.run_test(size=(60, 10)) as pilot:
        app.one.show("你好 world\n" * 2_000)
        assert 0 < app.one._layout.laid <= text_laid.STEP + 100
        app.one.bottom()
        assert not app.one.laid_out
        await settled(pilot, app.one)
        assert app.one.rows == 2_000
        assert app.one.top_offset == 1_990 * len("你好 world\n"), "the jump was made when its target was there"


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "\n".join(NASTY),
        " ".join(NASTY) * 50,
        "x" * 1_000_000,
        "你\u202e" * 300_000,
        "\u0301" * 100_000,
        "\t" * 5000,
        "\x1b" * 5000,
    ],
    ids=["lines", "one line", "no blank", "wide and bidi", "combining", "tabs", "escapes"],
)
async def test_nothing_of_a_text_is_live(text: str, raw: bool) -> None:
    app = Holder(title=text[:500], most=60_000)
    async with app.run_test(size=(50, 24)) as pilot:
        app.one.set_raw(raw)
        app.one.show(text, [SpanMark(2, 30, 1)], instead=text[:100])
        app.one.find(text[1:3])
        await settled(pilot, app.one)
        for go in (app.one.top, app.one.bottom, lambda: app.one.move(0, 3000)):
            go()
            await pilot.pause()
            for y in range(24):
                strip = app.one.render_line(y)
                assert not LIVE.search(strip.text)
                assert strip.cell_length == cell_len(strip.text) == app.one.scrollable_content_region.width
                assert len(strip.text) < 1_000
                assert all(not segment.style.meta and not segment.style.link for segment in strip if segment.style)
