"""What every view does: work that is stopped, fails, or comes late; steps; copies; leaving; files."""

from __future__ import annotations

import base64
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from lrm.browse.places import MatrixPlace, MonitorPlace, Place, SqlPlace, TracePlace
from lrm.browse.reader import Stop, StoppedError
from lrm.errors import CatalogError
from lrm.run.fill import fill
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import View
from lrm_tui.lines import Line, elided
from lrm_tui.outward import outside, write_new
from lrm_tui.settings import Settings
from tests import builders
from tests.terminal import Terminal


@pytest.fixture
def app(tmp_path: Path) -> LrmApp:
    """Return the TUI of a small catalog, open on the console, which loads nothing by itself."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(builders.matrix([builders.model("m")], [builders.prompt_set("set", ["one", "two"])]), catalog)
    return LrmApp(catalog, MonitorPlace(), settings=Settings(), folder=tmp_path)


class Plain(View):
    """A view that loads nothing."""

    view: ClassVar[str] = "plan"
    seen: ClassVar[list[Place]] = []

    def turn_to(self, place: Place) -> None:
        """Note where it went."""
        self.seen.append(place)


class Ten:
    """A list of ten places."""

    count = 10

    def place_at(self, row: int) -> Place:
        """Return the place of a row."""
        return TracePlace(f"c1:{row:04}")


async def test_a_bug_in_a_worker_is_said_and_the_view_lives(app: LrmApp) -> None:
    async with app.run_test() as pilot:
        view = Plain(SqlPlace())
        await app.push_screen(view)

        def broken(_: Stop) -> int:
            raise ValueError("odd")

        view.ask("job", broken, lambda _: None)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert view.error is not None
        assert "a bug in lrm" in view.error.message
        assert "ValueError: odd" in view.error.message
        assert view.query_one("#banner").display
        await pilot.press("escape")
        assert view.error is None
        assert app.screen is view


async def test_an_error_of_the_user_s_is_said_with_what_to_do(app: LrmApp) -> None:
    async with app.run_test() as pilot:
        view = Plain(SqlPlace())
        await app.push_screen(view)

        def failing(_: Stop) -> int:
            raise CatalogError("it is broken", hint="mend it")

        view.ask("job", failing, lambda _: None)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert view.error is not None
        assert (view.error.message, view.error.hint) == ("it is broken", "mend it")


async def test_a_later_question_of_the_same_name_is_the_one_that_is_answered(app: LrmApp) -> None:
    async with app.run_test() as pilot:
        view = Plain(SqlPlace())
        await app.push_screen(view)
        answers: list[str] = []
        go_on, began = threading.Event(), threading.Event()

        def slow(stop: Stop) -> str:
            began.set()
            go_on.wait(30)
            stop.check()
            return "slow"

        view.ask("job", slow, answers.append)
        while not began.is_set():
            await pilot.pause()
        view.ask("job", lambda _: "quick", answers.append)
        go_on.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert answers == ["quick"]
        assert not view.loading_now


async def test_escape_stops_what_loads_and_then_goes_back(app: LrmApp) -> None:
    async with app.run_test() as pilot:
        view = Plain(SqlPlace())
        await app.push_screen(view)
        stopped = threading.Event()

        def endless(stop: Stop) -> int:
            while True:
                try:
                    stop.check()
                except StoppedError:
                    stopped.set()
                    raise

        view.ask("job", endless, lambda _: None)
        await pilot.press("escape")
        assert stopped.wait(30)
        await app.workers.wait_for_complete()
        assert app.screen is view
        await pilot.press("escape")
        assert app.screen is not view


async def test_three_quick_steps_are_three(app: LrmApp) -> None:
    Plain.seen.clear()
    async with app.run_test() as pilot:
        view = Plain(SqlPlace(), items=Ten(), row=0)
        await app.push_screen(view)
        for _ in range(3):
            view.action_next_item()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert view.row == 3
        assert Plain.seen[-1] == TracePlace("c1:0003")
        view.row = 9
        view.action_next_item()
        await app.workers.wait_for_complete()
        assert view.row == 9


async def test_leaving_asks_where_a_label_would_be_lost(app: LrmApp) -> None:
    async with app.run_test() as pilot:
        view = Plain(SqlPlace())
        view.unsaved = True  # type: ignore[attr-defined]
        await app.push_screen(view)
        await pilot.press("q")
        await pilot.pause()
        assert app.screen is not view
        await pilot.press("n")
        await pilot.pause()
        assert app.screen is view
        await pilot.press("q")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
    assert app.return_value == 0


async def test_the_top_line_opens_the_same_view(app: LrmApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRM_CATALOG", raising=False)
    async with app.run_test(size=(200, 30)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert f"lrm tui monitor --catalog {app.catalog.path}" in app.screen.query_one("#top", Line).said
        app.open(MatrixPlace())
        await pilot.pause()
        assert "monitor" in app.screen.query_one("#top", Line).said
        assert "matrix" in app.screen.query_one("#top", Line).said


def test_a_copy_reaches_the_terminal_in_front_of_the_user(app: LrmApp, tmp_path: Path) -> None:
    """By OSC 52, which goes through SSH and tmux."""
    command = [sys.executable, "-P", "-m", "lrm_tui", "--catalog", str(app.catalog.path), "sql"]
    with Terminal(command, columns=100, rows=30, env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.until(b"Help")
        terminal.settle()
        terminal.write(b"\t")
        terminal.settle()
        terminal.write(b"yl")
        terminal.until(b"\x1b]52;c;")
        terminal.settle()
        output = bytes(terminal.output)
        terminal.write(b"\x11")
        assert terminal.wait() == 0
    start = output.index(b"\x1b]52;c;") + 7
    assert (
        base64.b64decode(output[start : output.index(b"\x07", start)]).decode()
        == f"lrm tui sql --catalog {app.catalog.path}"
    )


# --- what leaves the TUI ----------------------------------------------------------------------------------------------


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    names = [write_new(tmp_path, "matrix/../x y", "csv", text).name for text in ("one", "two")]
    assert names == ["matrix-..-x-y.csv", "matrix-..-x-y-2.csv"]
    assert [(tmp_path / name).read_text() for name in names] == ["one", "two"]
    with pytest.raises(CatalogError, match="cannot be written"):
        write_new(tmp_path / "none", "x", "csv", "")


def test_a_pager_is_given_pictures_of_control_signs_and_an_editor_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []

    def run(command: list[str]) -> int:
        shown.append(Path(command[-1]).read_text(encoding="utf-8"))
        return 0

    monkeypatch.setenv("PAGER", "less -S")
    for variable in ("PAGER", "EDITOR"):
        assert outside(variable, "true", "a\x1b[2Jb\ud800", run) is None
    assert shown == ["a␛[2Jb�", "a\x1b[2Jb�"]
    assert outside("PAGER", "less", "x", lambda _: 3) == "less ended with exit code 3"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 5, "ab…fg"), ("abc", 1, "…"), ("abc", 0, ""), ("日本語日本", 6, "日…本")],
)
def test_a_long_text_loses_its_middle(text: str, width: int, shown: str) -> None:
    assert elided(text, width) == shown
