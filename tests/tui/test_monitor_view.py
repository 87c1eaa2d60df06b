"""The view `monitor`: how runs stand, how old that is, and how they ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lrm.browse.places import MonitorPlace, Place, TracePlace
from lrm.browse.runs import AT_ONCE, Desks, End, Failure, RunLogTail, Sight, sight
from lrm.run.desk import RunState
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.panes import Items
from lrm_tui.screens.monitor import MonitorView
from lrm_tui.screens.monitor_state import Speeds, bar, eta_s, headline, list_lines, run_lines, span, totals
from tests.desks import LANE, SECOND, held

ROOT = Path(__file__).resolve().parents[2]
STATE = RunState("r1", "small", "lrm matrix fill small.toml", "here", 1, None, "running", (LANE, SECOND), speed=10.0)
SIGHT = Sight("r1", alive=True, state=STATE, age_s=1.0, journal_bytes=0, journal_age_s=None, end=None, died=False)
FAILURE = Failure("2026-01-01T10:00:00+00:00", "m", "c1:" + "ab" * 32, "server", 500, 2, None)


class Recording(LrmApp):
    """The app, which notes what the monitor opens."""

    def __init__(self, catalog: Catalog, place: Place, folder: Path) -> None:
        super().__init__(catalog, place, folder=folder)
        self.opened: list[Place] = []
        self.copied: list[str] = []

    def open(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Note all but the first."""
        if not any(isinstance(screen, MonitorView) for screen in self.screen_stack):
            super().open(place, items=items, row=row)
        else:
            self.opened.append(place)

    def copy(self, text: str, what: str) -> None:
        """Note it."""
        self.copied.append(text)

    @property
    def monitor(self) -> MonitorView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, MonitorView))


async def until(pilot: object, what: Callable[[], bool]) -> None:
    """Let the app go on until something is so."""
    given_up = time.monotonic() + 60
    while not what():
        assert time.monotonic() < given_up
        await pilot.pause(0.05)  # type: ignore[attr-defined]


def page(view: MonitorView) -> str:
    """Return what is shown."""
    return "\n".join(line.text for line in view.lines.lines)


def text_of(one: Sight, failures: tuple[Failure, ...] = ()) -> str:
    """Return the lines of a run."""
    return "\n".join(line.text for line in run_lines(one, Speeds(), failures, len(failures), width=120))


def test_numbers_of_a_running_fill() -> None:
    """Done, failed, in flight and left; speed, time to go and cost; each model with its bar."""
    shown = text_of(SIGHT)
    for words in (
        "130 done",
        "2 failed",
        "7 in flight",
        "418 left of 550",
        "10.0 calls/s",
        "about 42 s left",
        "cost $0.25",
    ):
        assert words in shown
    assert totals(STATE).left == 418


def test_old_numbers_are_never_shown_as_live() -> None:
    """After half a minute of silence there is no speed, no end in sight and nothing in flight, and it is said aloud."""
    shown = text_of(replace(SIGHT, age_s=31.0))
    assert "SILENT for 31 s" in shown
    for words in ("calls/s", "about", "7 in flight", "of 16"):
        assert words not in shown
    assert "0 in flight" in shown
    assert "SILENT" not in text_of(replace(SIGHT, age_s=29.0))


def test_a_model_that_is_not_asked_any_more_does_not_count_as_left() -> None:
    """Its calls are said apart, and the time to go is of the others."""
    stopped = replace(STATE, lanes=(replace(LANE, stopped="no key"), SECOND))
    assert (totals(stopped).left, totals(stopped).given_up) == (0, 418)
    shown = text_of(replace(SIGHT, state=stopped))
    assert "418 not asked any more" in shown
    assert "not asked any more: no key" in shown
    assert eta_s(replace(STATE, state="paused")) is None


@pytest.mark.parametrize(
    ("end", "words", "bad"),
    [
        (End("", "ended", None, 5, 0, 0.0), "everything that was planned was asked", False),
        (End("", "budget", "max_cost", 5, 0, 0.0), "its budget was used up (max_cost)", True),
        (End("", "interrupted", None, 5, 0, 0.0), "was stopped", True),
    ],
)
def test_how_it_ended(end: End, words: str, bad: bool) -> None:
    """In its own words; one that said nothing died."""
    said, is_bad = headline(replace(SIGHT, alive=False, state=None, end=end))
    assert words in said
    assert is_bad == bad
    assert headline(replace(SIGHT, alive=False, died=True))[0].startswith("died")


def test_failures_newest_first_with_what_became_of_them() -> None:
    """Given up or tried again; each can be opened."""
    again = replace(FAILURE, at="2026-01-01T10:00:05+00:00", again_in_s=2.0)
    lines = run_lines(SIGHT, Speeds(), (FAILURE, again), 17, width=120)
    shown = "\n".join(line.text for line in lines)
    assert "the last 2 of 17 failed attempts" in shown
    assert shown.index("tried again after 2 s") < shown.index("given up")
    assert [line.key[1] for line in lines if isinstance(line.key, tuple)] == [FAILURE.call, FAILURE.call]


@pytest.mark.parametrize(
    ("done", "failed", "total"),
    [(0, 0, 10), (1, 0, 10_000), (9_999, 0, 10_000), (10, 0, 10), (5, 1, 1_000), (0, 10, 10), (0, 0, 0)],
)
def test_bars_are_full_only_when_all_is_done(done: int, failed: int, total: int) -> None:
    """What is there has a cell, what is left has one, and the width is kept."""
    text = "".join(piece.text for piece in bar(done, failed, total, 20))
    assert len(text) == 20
    assert ("█" in text) == (done > 0)
    assert ("▓" in text) == (failed > 0)
    assert ("░" in text) == (done + failed < total or total == 0)


def test_spans_and_sparks() -> None:
    """Time as people say it; the greatest speed is the highest bar, taken once a state."""
    assert [span(one) for one in (8, 180, 7500, 400_000, None)] == ["8 s", "3 min", "2 h 05 min", "4 d 15 h", "?"]
    speeds = Speeds()
    for moment, speed in (("a", 0.0), ("b", 5.0), ("b", 7.0), ("c", 10.0)):
        speeds.take(replace(STATE, updated=moment, speed=speed))
    assert speeds.spark() == "▁▄█"


def _event(**fields: object) -> bytes:
    return json.dumps({"at": "2026-01-01T10:00:00+00:00", "t": 1.0, **fields}).encode() + b"\n"


def test_a_log_is_read_on_as_it_grows(tmp_path: Path) -> None:
    """Half a line waits for its other half; what is no line of it is left out; the end is known."""
    path = tmp_path / "r.log.jsonl"
    tail = RunLogTail(path)
    assert not tail.read()
    failed = _event(event="attempt failed", model="m", call="ab", kind="server", status=500, attempt=1, again_in_s=2.5)
    path.write_bytes(_event(event="begin") + b"no json\n[1]\n" + failed[:20])
    assert tail.read()
    assert (len(tail.lines), tail.failed_attempts) == (1, 0)
    with path.open("ab") as file:
        file.write(failed[20:] + _event(event="end", state="budget", reason="max_cost", done=3, failed=1, cost=0.5))
    assert tail.read()
    assert not tail.read()
    assert [(one.call, one.kind, one.again_in_s) for one in tail.failures] == [("c1:ab", "server", 2.5)]
    assert tail.end == End("2026-01-01T10:00:00+00:00", "budget", "max_cost", 3, 1, 0.5)


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    """The first look reads so many bytes, and drops the line that it begins within."""
    path = tmp_path / "r.log.jsonl"
    one = _event(event="merged", responses=1, failures=0)
    path.write_bytes(one * (3 * AT_ONCE // len(one)))
    tail = RunLogTail(path)
    assert tail.read()
    assert not tail.whole
    assert set(tail.lines) == {one.decode().strip()}


def test_a_run_that_left_a_journal_and_no_end_died(tmp_path: Path) -> None:
    """It is dead, and said nothing of its end."""
    catalog = Catalog(tmp_path / "c.duckdb")
    catalog.journal_folder.mkdir()
    (catalog.journal_folder / "r9-0001.jsonl").write_bytes(b"x" * 10)
    one = sight(catalog, "r9", RunLogTail(catalog.runs_folder / "r9.log.jsonl"))
    assert (one.alive, one.died, one.journal_bytes) == (False, True, 10)


def test_without_runs_it_says_what_begins_one() -> None:
    """An empty list is no blank page."""
    shown = "\n".join(line.text for line in list_lines(Desks((), ()), ()))
    assert "no fill is running" in shown
    assert "lrm matrix fill" in shown


async def test_it_watches_the_only_fill_pauses_it_and_says_that_it_died(tmp_path: Path) -> None:
    """Another process is the fill; P is obeyed; the stop command names it; killed, it is said to have died."""
    catalog = Catalog(tmp_path / "c.duckdb")
    with held(catalog, "r1", "small") as fill:
        app = Recording(catalog, MonitorPlace(), tmp_path)
        async with app.run_test(size=(120, 36)) as pilot:
            view = app.monitor
            await until(pilot, lambda: "130 done" in page(view))
            assert view.place == MonitorPlace("r1")
            await pilot.press("exclamation_mark")
            assert app.copied == [f"lrm matrix stop r1 --catalog {catalog.path}"]
            assert app.copied[0] in view.status()
            await pilot.press("escape", "P")
            await until(pilot, lambda: "PAUSED" in page(view))
            assert fill.said() == "Pause()"
            await pilot.press("P")
            await until(pilot, lambda: "running" in page(view))
            fill.kill()
            await until(pilot, lambda: "died" in page(view))


async def test_only_what_changed_is_drawn(tmp_path: Path) -> None:
    """Look after look at a fill that stands still draws the line with its speed, once for each state, and no other."""
    catalog = Catalog(tmp_path / "c.duckdb")
    with held(catalog, "r1", "small"):
        app = Recording(catalog, MonitorPlace("small"), tmp_path)
        async with app.run_test(size=(120, 36)) as pilot:
            view = app.monitor
            await until(pilot, lambda: "calls/s" in page(view))
            settled = view.looks + 2
            await until(pilot, lambda: view.looks >= settled)
            before, looks, lines = view.lines.drawn, view.looks, page(view).splitlines()
            await until(pilot, lambda: view.looks >= looks + 4)
            assert view.lines.drawn - before <= view.looks - looks
            changed = [now for now, then in zip(page(view).splitlines(), lines, strict=True) if now != then]
            assert all("calls/s" in line for line in changed)


async def test_what_a_fill_says_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Names and notes are made safe when they are drawn, and in what a pager gets."""
    app = Recording(Catalog(tmp_path / "c.duckdb"), MonitorPlace(), tmp_path)
    nasty = "x\x1b]0;owned\x07[red]\u202e"
    state = replace(STATE, spec=nasty, note=nasty, lanes=(replace(LANE, label=nasty, waiting=nasty),))
    async with app.run_test(size=(120, 36)) as pilot:
        view = app.monitor
        await until(pilot, lambda: view.looks > 0)
        view.lines.show(run_lines(replace(SIGHT, state=state), Speeds(), (replace(FAILURE, kind=nasty),), 1, width=118))
        drawn = "".join(view.lines.render_line(y).text for y in range(20))
        assert "owned" in drawn
        assert not {"\x1b", "\x07", "\u202e"} & set(drawn)


async def test_frozen_it_stands_still(tmp_path: Path) -> None:
    """Space stops the display and says so; the fill's end is shown when it moves again."""
    catalog = Catalog(tmp_path / "c.duckdb")
    with held(catalog, "r1", "small") as fill:
        app = Recording(catalog, MonitorPlace(), tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            view = app.monitor
            await until(pilot, lambda: "130 done" in page(view))
            await pilot.press("space")
            frozen = page(view)
            fill.end()
            looks = view.looks
            await until(pilot, lambda: view.looks >= looks + 2)
            assert page(view) == frozen
            assert "FROZEN" in view.status()
            await pilot.press("space")
            await until(pilot, lambda: "is over" in page(view))


SPEC = """
[matrix]
models = ["slow"]
prompt_sets = ["small"]
attacks = ["none"]
judges = [{use = "refusal", scopes = ["answer"]}]
[models.slow]
backend = "simulated"
model = "slow"
simulation = { latency_ms = 60 }
limits = { max_in_flight = 2 }
[prompt_sets.small]
rows = [ROWS]
"""


def filling(spec: Path, catalog: Catalog) -> subprocess.Popen[bytes]:
    """Begin a fill in another process."""
    program = "import sys; from lrm_cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "matrix", "fill", str(spec), "--catalog", str(catalog.path), "--quiet"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})


async def test_a_real_fill_is_watched_to_its_end(tmp_path: Path) -> None:
    """Numbers come from the fill's own files; the end from its log; then it is among the earlier runs."""
    spec, catalog = tmp_path / "s.toml", Catalog(tmp_path / "c.duckdb")
    rows = ", ".join(f'{{ id = "p{n}", text = "prompt {n}" }}' for n in range(60))
    spec.write_text(SPEC.replace("ROWS", rows))
    app = Recording(catalog, MonitorPlace(), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        view = app.monitor
        await until(pilot, lambda: "no fill is running" in page(view))
        with filling(spec, catalog) as process:
            await until(pilot, lambda: view.run is not None)
            await until(pilot, lambda: "in flight" in page(view))
            assert process.wait(timeout=60) == 0
        await until(pilot, lambda: "everything that was planned was asked" in page(view))
        assert "60 done" in page(view)
        run = view.run
    again = Recording(catalog, MonitorPlace("nobody"), tmp_path)
    async with again.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: again.monitor.error is not None)
    listed = Recording(catalog, MonitorPlace(), tmp_path)
    async with listed.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "earlier runs" in page(listed.monitor))
        await pilot.press("enter")
        assert run is not None
        assert listed.opened == [MonitorPlace(run)]


async def test_a_failure_opens_its_cell(tmp_path: Path) -> None:
    """Enter on a failed attempt opens the call; the log is its own page."""
    catalog = Catalog(tmp_path / "c.duckdb")
    with held(catalog, "r1", "small"):
        (catalog.runs_folder / "r1.log.jsonl").write_bytes(
            _event(
                event="attempt failed", model="m", call="ab" * 32, kind="server", status=500, attempt=4, again_in_s=None
            )
        )
        app = Recording(catalog, MonitorPlace(), tmp_path)
        async with app.run_test(size=(120, 36)) as pilot:
            view = app.monitor
            await until(pilot, lambda: "given up" in page(view))
            await pilot.press("enter")
            assert app.opened == [TracePlace("c1:" + "ab" * 32)]
            await pilot.press("L")
            assert "attempt failed" in page(view)
            await pilot.press("escape")
            assert "130 done" in page(view)
