"""The grid in an app: what is drawn, how little of it, keys' methods, the mouse, other models, hostile text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from rich.console import Console
from textual.app import App, ComposeResult
from textual.message import Message
from textual.strip import Strip

from lrm_tui.themes import DARK, LIGHT
from lrm_tui.widgets.grid_model import Shown, Table
from lrm_tui.widgets.grid_view import GridView
from lrm_tui.widgets.ramp import DARK as ON_DARK
from lrm_tui.widgets.ramp import LIGHT as ON_LIGHT

NASTY = [
    "\x1b]0;title\x07\x1b[2J", "[/x]", "[@click=app.quit]quit[/]", "[red]red[/red]",
    "\u202eevil\u202c", "a\u200bb\u200dc", "two\nlines\ttab",
    "👩\u200d👩\u200d👧\u200d👦 family ❤️ 🇩🇪", "漢字漢字漢字漢字", "é" + "̂" * 50, "x" * 10_000, "\x9b31m", "\ud800", "",
]  # fmt: skip


@dataclass
class Huge:
    """A model that counts how often it is asked."""

    height: int = 1000
    width: int = 1000
    row_title: str = "model"
    column_title: str = "prompt set"
    diverging: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [f"model-{number:04d}" for number in range(self.height)]
        self.columns = [f"set-{number}" for number in range(self.width)]

    def cell(self, row: int, column: int) -> Shown:
        self.asked.append((row, column))
        value = (row * 7 + column * 13) % 101
        return Shown(str(value), value / 100)

    def row_total(self, row: int) -> Shown:
        return Shown(f"r{row}")

    def column_total(self, column: int) -> Shown:
        return Shown(f"c{column}")

    def total(self) -> Shown:
        return Shown("T")


class Probe(GridView):
    """A grid that counts the lines it draws."""

    def __init__(self, model: Huge | Table) -> None:
        super().__init__(model)
        self.drawn: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class Desk(App[None]):
    """Nothing but a grid."""

    def __init__(self, model: Huge | Table) -> None:
        super().__init__()
        self.grid = Probe(model)
        self.heard: list[Message] = []
        self.animation_level = "none"

    def compose(self) -> ComposeResult:
        yield self.grid

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def on_grid_view_moved(self, message: GridView.Moved) -> None:
        self.heard.append(message)

    def on_grid_view_chosen(self, message: GridView.Chosen) -> None:
        self.heard.append(message)

    def on_grid_view_head_clicked(self, message: GridView.HeadClicked) -> None:
        self.heard.append(message)

    def on_grid_view_row_clicked(self, message: GridView.RowClicked) -> None:
        self.heard.append(message)

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(said.row, said.column) for said in self.heard if isinstance(said, GridView.Moved)]

    def lines(self) -> list[str]:
        return [self.grid.render_line(y).text.rstrip() for y in range(self.grid.scrollable_content_region.height)]

    def reversed(self) -> list[str]:
        """What stands under the cursor."""
        strips = [self.grid.render_line(y) for y in range(self.grid.scrollable_content_region.height)]
        found = ["".join(s.text for s in strip if s.style and s.style.reverse) for strip in strips]
        return [text.replace("▸", "").strip() for text in found if text]


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


def table(rows: list[str], columns: list[str], **more: object) -> Table:
    cells = {(r, c): Shown(f"{row}{column}", 0.5) for r, row in enumerate(rows) for c, column in enumerate(columns)}
    return replace(Table(tuple(rows), tuple(columns), cells), **more)  # type: ignore[arg-type]


async def test_only_what_is_seen_is_asked_for() -> None:
    model = Huge()
    app = Desk(model)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        seen = set(model.asked)
        assert max(row for row, _ in seen) < 36
        assert max(column for _, column in seen) < 15
        shown = app.lines()
        assert shown[0].startswith("prompt set →")
        assert shown[1].split()[:3] == ["model", "set-0", "set-1"]
        assert shown[2].startswith("model-0000")
        assert shown[-1].startswith("all")
        assert shown[2].endswith("r0")
        assert shown[-1].endswith("T")


@pytest.mark.parametrize(("rows", "columns", "lines"), [(1, 0, 2), (0, 1, 1), (1, 1, 2)])
async def test_a_key_draws_only_the_lines_that_changed(rows: int, columns: int, lines: int) -> None:
    model = Huge()
    app = Desk(model)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        app.grid.drawn.clear()
        model.asked.clear()
        app.grid.move(rows, columns)
        await pilot.pause()
        head = [line for line in app.grid.drawn if line < 2]
        assert len(app.grid.drawn) - len(head) == lines
        assert len(head) == (2 if columns else 0)
        assert len(model.asked) <= 2 * 15
        assert app.places == [(rows, columns)]


async def test_a_move_that_goes_nowhere_draws_nothing() -> None:
    app = Desk(Huge())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        app.grid.drawn.clear()
        app.grid.move(-1, -1)
        await pilot.pause()
        assert app.grid.drawn == []
        assert app.places == []


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 10), (12, 4)])
@pytest.mark.parametrize(
    "keys",
    [
        lambda grid: grid.jump(500, 500), lambda grid: grid.bottom(), lambda grid: grid.jump(1000, 1000),
        lambda grid: grid.last_column(), lambda grid: [grid.half_page(1) for _ in range(90)],
        lambda grid: [grid.move(1, 1) for _ in range(60)],
    ],
)  # fmt: skip
async def test_the_cursor_is_always_seen(keys: Callable[[GridView], object], size: tuple[int, int]) -> None:
    app = Desk(Huge())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        keys(app.grid)
        await pilot.pause()
        assert len(app.reversed()) == 1
        assert app.reversed()[0].rstrip("…") == app.grid.shown.text[: len(app.reversed()[0].rstrip("…"))]
        await pilot.resize_terminal(70, 20)
        await pilot.pause()
        assert app.reversed() == [app.grid.shown.text]
        for _ in range(30):
            app.grid.widen(1)
        await pilot.pause()
        assert app.grid.cell_width == 24
        assert app.reversed() == [app.grid.shown.text]
        for _ in range(30):
            app.grid.widen(-1)
        await pilot.pause()
        assert app.grid.cell_width == 4
        assert app.reversed() == [app.grid.shown.text]


async def test_keys_of_movement() -> None:
    app = Desk(Huge(50, 20))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        grid = app.grid
        grid.bottom()
        assert (grid.row, grid.column) == (49, 0)
        grid.bottom()
        assert grid.row == 50
        grid.half_page(-1)
        assert 25 < grid.row < 40
        grid.top()
        grid.last_column()
        assert (grid.row, grid.column) == (0, 19)
        grid.first_column()
        grid.half_page(1)
        assert 10 < grid.row < 20
        for _ in range(9):
            grid.half_page(1)
        assert grid.row == 49
        grid.jump(-5, 99)
        assert (grid.row, grid.column) == (0, 20)
        await pilot.pause()
        assert app.places[-1] == (0, 20)


async def test_the_mouse() -> None:
    app = Desk(Huge())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        first = next(x for x in range(120) if app.grid.place_at(x, 5)[1] == 0)
        await pilot.click(Probe, offset=(first + 8 * 2 + 3, 5))
        assert app.places == [(3, 2)]
        assert not any(isinstance(said, GridView.Chosen) for said in app.heard)
        await pilot.click(Probe, offset=(first + 8 * 2 + 3, 5), times=2)
        chosen = [said for said in app.heard if isinstance(said, GridView.Chosen)]
        assert [(said.row, said.column) for said in chosen] == [(3, 2)]
        await pilot.click(Probe, offset=(first + 8, 0))
        assert isinstance(app.heard[-1], GridView.HeadClicked)
        assert app.heard[-1].column == 1
        await pilot.click(Probe, offset=(2, 7))
        assert isinstance(app.heard[-1], GridView.RowClicked)
        assert app.heard[-1].row == 5
        heard = len(app.heard)
        await pilot.click(Probe, offset=(2, 0))
        assert len(app.heard) == heard
        assert (app.grid.row, app.grid.column) == (3, 2)


async def test_the_wheel_looks_further_and_the_next_key_comes_back() -> None:
    app = Desk(Huge())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        for _ in range(5):
            await pilot._post_mouse_events([_scroll_down()], Probe, offset=(60, 10))
        await pilot.pause()
        assert app.lines()[2].startswith("model-0015")
        assert app.grid.row == 0
        assert app.grid.scroll_offset.y == 15
        app.grid.move(1, 0)
        await pilot.pause()
        assert app.lines()[2].startswith("model-0001")
        assert app.reversed() == [app.grid.shown.text]


def _scroll_down() -> type:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def test_the_scrollbar_moves_by_whole_columns() -> None:
    app = Desk(Huge())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        app.grid.scroll_to(13, 7, animate=False)
        await pilot.pause()
        assert app.lines()[2].startswith("model-0007")
        assert app.lines()[1].split()[1] == "set-2"
        app.grid.scroll_to(app.grid.max_scroll_x, app.grid.max_scroll_y, animate=False)
        await pilot.pause()
        assert app.lines()[-2].startswith("model-0999")
        assert app.lines()[1].split()[-2:] == ["set-999", "all"]


async def test_another_model_keeps_the_place_by_its_labels() -> None:
    app = Desk(table(["a", "b", "c"], ["x", "y"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.grid.jump(1, 1)
        app.grid.show(table(["c", "d", "e", "b"], ["y", "z", "x"]))
        await pilot.pause()
        assert app.reversed() == ["by"]
        assert app.places[-1] == (3, 0)
        app.grid.show(table(["d"], ["z"]))
        assert (app.grid.row, app.grid.column) == (0, 0)  # what it stood on is gone; it does not slip on to the total
        app.grid.show(Table())
        await pilot.pause()
        assert (app.grid.row, app.grid.column) == (0, 0)
        app.grid.show(table(["a", "b"], ["x", "y"]))
        await pilot.pause()
        assert app.reversed() == ["ax"]
        app.grid.jump(2, 2)
        app.grid.show(table(["a", "b", "c"], ["x", "y", "z"]))
        assert (app.grid.row, app.grid.column) == (3, 3)  # it stays on the total
        app.grid.jump(0, 1)
        app.grid.show(table(["c", "a", "b"], ["x", "y"]), keep_cursor_by_label=False)
        await pilot.pause()
        assert app.reversed() == ["cy"]


async def test_another_model_keeps_the_view_where_the_eye_has_it() -> None:
    app = Desk(Huge())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        app.grid.jump(500, 200)
        app.grid.move(-10, -2)
        await pilot.pause()
        before = app.lines()
        other = Huge()
        other.rows = ["new-one", *other.rows[:-1]]
        app.grid.show(other)
        await pilot.pause()
        after = app.lines()
        assert app.grid.row == 491
        assert [line[:10] for line in after] == [line[:10] for line in before]


async def test_another_model_draws_only_the_lines_that_differ() -> None:
    one = table([f"r{number}" for number in range(10)], ["x", "y"])
    app = Desk(one)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.grid.drawn.clear()
        app.grid.show(replace(one, cells={**one.cells, (4, 1): Shown("41 ±6", 0.4)}))
        await pilot.pause()
        assert app.grid.drawn == [5]
        assert "41 ±6" in app.lines()[5]
        app.grid.drawn.clear()
        app.grid.show(replace(one, column_title="other"))
        await pilot.pause()
        assert 0 in app.grid.drawn


@pytest.mark.parametrize("model", [Table(), Table(("a",), ()), Table((), ("x",))])
async def test_an_empty_grid_takes_every_key(model: Table) -> None:
    app = Desk(model)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        grid = app.grid
        for key in (grid.top, grid.bottom, grid.first_column, grid.last_column):
            key()
        grid.half_page(1)
        grid.half_page(-1)
        grid.move(1, 1)
        grid.widen(1)
        await pilot.pause()
        assert len(app.lines()) == 24


async def test_long_labels_take_two_fifths_at_most() -> None:
    app = Desk(table(["begin-" + "x" * 200 + "-end"], ["y"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        line = app.lines()[1]
        assert line.startswith("begin-x")
        assert line[:31].endswith("-end")
        assert "…" in line[:31]


def styles(app: Desk, y: int) -> Iterator[tuple[str, str | None, str | None]]:
    for segment in app.grid.render_line(y):
        style = segment.style
        assert style is not None
        colours = (style.color, style.bgcolor)
        yield segment.text, *(None if one is None or one.triplet is None else one.triplet.hex for one in colours)  # type: ignore[misc]


async def test_shades_follow_the_theme() -> None:
    app = Desk(table(["a", "b"], ["x", "y"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        paint = ON_DARK.paint(0.5)
        assert [(ink, ground) for text, ink, ground in styles(app, 2) if "bx" in text] == [(paint.ink, paint.ground)]
        app.theme = LIGHT.name
        await pilot.pause()
        paint = ON_LIGHT.paint(0.5)
        assert [(ink, ground) for text, ink, ground in styles(app, 2) if "bx" in text] == [(paint.ink, paint.ground)]


async def test_a_dim_cell_has_a_swatch_of_its_shade() -> None:
    app = Desk(Table(("a", "b"), ("x",), {(1, 0): Shown("33", 1.0, dim=True)}))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        parts = [(text, ground) for text, _, ground in styles(app, 2)]
        assert (" ", ON_DARK.more[9].ground) in parts
        assert [ground for text, ground in parts if "33" in text] == [DARK.background]


async def test_differences_show_sign_and_hue() -> None:
    app = Desk(Table(("a", "b"), ("x", "y"), {(1, 0): Shown("7", 0.7), (1, 1): Shown("7", -0.7)}, diverging=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        grounds = {text.strip(): ground for text, _, ground in styles(app, 2)}
        assert grounds["+7"] == ON_DARK.more[7].ground
        assert grounds["−7"] == ON_DARK.less[7].ground


async def test_without_colour_shades_are_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    cells = {(1, c): Shown(str(c), c / 4) for c in range(5)}
    app = Desk(Table(("a", "b"), tuple("vwxyz"), cells))
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.pause()
        assert app.lines()[2].split() == ["b", "0", "░", "1", "▒", "2", "▓", "3", "█", "4"]
        assert {ground for _, _, ground in styles(app, 2)} <= {DARK.background, DARK.panel}


@pytest.mark.parametrize("how", ["standard", "ansi-dark"])
async def test_few_colours_or_the_terminals_own_leave_numbers_legible(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "standard":
        monkeypatch.setattr("textual.constants.COLOR_SYSTEM", how)
    app = Desk(Table(("a", "b"), ("x",), {(1, 0): Shown("99", 1.0)}))
    async with app.run_test(size=(80, 24)) as pilot:
        if how != "standard":
            app.theme = how
        await pilot.pause()
        assert app.lines()[2].split() == ["b", "█", "99"]


@pytest.mark.parametrize("lines", [24, 8])
async def test_hostile_text_is_inert_and_columns_stay_aligned(lines: int) -> None:
    model = Table(
        tuple(NASTY), tuple(NASTY),
        {(r, c): Shown(text, 0.3, note=text) for r, text in enumerate(NASTY) for c in range(len(NASTY))},
        tuple(Shown(text) for text in NASTY), tuple(Shown(text) for text in NASTY), Shown(NASTY[0]),
        row_title=NASTY[0], column_title=NASTY[2],
    )  # fmt: skip
    app = Desk(model)
    async with app.run_test(size=(120, lines)) as pilot:
        await pilot.pause()
        for row in range(len(NASTY) + 1):
            app.grid.jump(row, row)
            await pilot.pause()
            room = app.grid.scrollable_content_region
            for y in range(room.height):
                strip = app.grid.render_line(y)
                assert strip.cell_length == room.width
                assert sum(segment.cell_length for segment in strip) == room.width
                assert not set(strip.text) & set("\x1b\x07\x9b\n\t\u202e\u200b\u200d\ud800")
                assert all(segment.style is None or not segment.style.meta for segment in strip)
                assert all(segment.style is None or segment.style.link is None for segment in strip)
                assert strip.text.encode()
                console = Console(color_system="truecolor", force_terminal=True, width=room.width, legacy_windows=False)
                assert strip.render(console).replace("\x1b[", "").count("\x1b") == 0


async def test_markup_is_shown_as_it_is() -> None:
    app = Desk(table(["[red]x[/red]"], ["[/x]"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.lines()[1].startswith("[red]x[/red]")
        assert "[/x]" in app.lines()[0]
