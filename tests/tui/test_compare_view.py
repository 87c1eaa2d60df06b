"""The view `compare`: pairs under a filter, the paired test, columns that scroll together, words that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.axes import Slice
from lrm.browse.places import ComparePlace, Place, TracePlace, command
from lrm.browse.reader import Stop, StoppedError
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.panes import Items
from lrm_tui.screens.compare import CompareView
from lrm_tui.screens.compare_state import differences, p_words, swapped, toggled
from lrm_tui.screens.trace_panel import WordsLine
from tests import trace_catalog

HARM = {
    ("alpha", "plain"): True, ("beta", "plain"): False, ("alpha", "long"): False, ("beta", "long"): True,
    ("alpha", "nasty"): False, ("beta", "nasty"): False,
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog in which only one of two models is unsafe on some prompts."""
    catalog = trace_catalog.filled(tmp_path_factory.mktemp("pairs"))
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.prompts SET expect = 'unsafe'")
        for (model, prompt), unsafe in HARM.items():
            connection.execute(
                """
                UPDATE lrm.verdicts SET unsafe = $unsafe, score = 0.5 WHERE generation_n IN (
                    SELECT generation_n FROM cells WHERE model = $model AND prompt = $prompt)
                """,
                {"unsafe": unsafe, "model": model, "prompt": prompt},
            )
    return catalog


PLACE = ComparePlace(Slice("spec"), ("alpha", "beta"), judge="refusal", scope="answer")


class App(LrmApp):
    """The app, which notes what is opened and told."""

    def __init__(self, catalog: Catalog, place: Place, folder: Path) -> None:
        super().__init__(catalog, place, folder=folder)
        self.opened: list[Place] = []
        self.told: list[str] = []
        self.copied: dict[str, str] = {}

    def open(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Open the first place, note the others."""
        if any(isinstance(screen, CompareView) for screen in self.screen_stack):
            self.opened.append(place)
        else:
            super().open(place, items=items, row=row)

    def tell(self, words: str, *, bad: bool = False) -> None:
        """Note it."""
        self.told.append(words)

    def copy(self, text: str, what: str) -> None:
        """Note it."""
        self.copied[what] = text

    @property
    def seen(self) -> CompareView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, CompareView))

    @property
    def prompt(self) -> str:
        """The prompt that is shown."""
        assert self.seen.state.pair is not None
        return self.seen.state.pair.prompt

    def line(self, name: str) -> str:
        """Return what a line says."""
        return self.seen.query_one(f"#{name}", WordsLine).said


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being done."""
    for _ in range(4):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys one after the other, each when the one before is done."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def screen_text(app: LrmApp) -> str:
    """Return what stands on the screen."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


# --- the state alone --------------------------------------------------------------------------------------------------


def parts(text: str, found: list[tuple[int, int]]) -> list[str]:
    """Return the parts of a text."""
    return [text[start:end] for start, end in found]


def test_words_that_differ_are_found() -> None:
    one, other = "same line\nthe quick brown fox\nend", "same line\nthe slow brown fox jumps\nend"
    mine, theirs = differences(one, other)
    assert parts(one, mine) == ["quick"]
    assert parts(other, theirs) == ["slow", "jumps"]
    assert differences(one, one) == ([], [])
    assert differences("", "all new") == ([], [(0, 7)])


def test_long_texts_that_differ_in_one_line_take_few_steps() -> None:
    lines = [f"line {n} of a long text" for n in range(20_000)]
    other = [*lines[:9_999], "something else here", *lines[10_000:]]
    mine, theirs = differences("\n".join(lines), "\n".join(other))
    assert parts("\n".join(other), theirs)[0].startswith("something")
    assert sum(end - start for start, end in mine) < 60


def test_two_huge_lines_are_not_matched_word_by_word() -> None:
    one, other = " ".join(f"a{n}" for n in range(9_000)), " ".join(f"b{n}" for n in range(9_000))
    mine, theirs = differences(one, other)
    assert mine == [(0, len(one))]
    assert theirs == [(0, len(other))]


def test_a_difference_can_be_stopped() -> None:
    stop = Stop()
    stop.stop()
    with pytest.raises(StoppedError):
        differences("one", "two", stop)


def test_filters_toggle_and_swap() -> None:
    assert toggled("all", "only_a") == "only_a"
    assert toggled("only_a", "only_a") == "all"
    assert swapped("only_a") == "only_b"
    assert swapped("both_safe") == "both_safe"
    assert [p_words(p) for p in (0.00001, 0.0042, 0.5)] == ["< 0.0001", "0.0042", "0.50"]


# --- the view ---------------------------------------------------------------------------------------------------------


async def test_counts_and_the_paired_test_are_said(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, PLACE, tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert app.line("counts") == "1 both safe 1  2 only A 1  3 only B 1  4 both unsafe 0  undecided 3"
        assert "unsafe A − B +0.0%" in app.line("tested")
        assert "McNemar p 1.00" in app.line("tested")
        assert "1 beta: blocked" in app.line("tested")
        assert app.prompt == "plain"
        heads = [column.head.said for column in app.seen.columns]
        assert "UNSAFE 0.50" in heads[0]
        assert "SUMMARY ONLY" in heads[1]
        assert "safe 0.50" in heads[1]


async def test_filters_keep_only_their_pairs(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, PLACE, tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert app.prompt == "long"
        assert "pair 1 of 1" in app.seen.status()
        assert "--outcome only_b" in command(app.seen.place)
        await press(pilot, "J")
        assert app.told == ["that is the last pair"]
        await press(pilot, "4")
        assert "no pair is “both unsafe”" in app.line("which")
        assert app.seen.state.pair is None
        await press(pilot, "j", "h", "l", "D", "t", "enter", "n", "escape")
        assert "pair 1 of 6" in app.seen.status()
        await press(pilot, "2", "X")
        assert app.seen.at.models == ("beta", "alpha")
        assert app.seen.at.outcome == "only_b"
        assert app.prompt == "plain"
        await press(pilot, "3")
        assert "filter" not in app.seen.status()


async def test_stepping_follows_the_prompt_in_the_command(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, PLACE, tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "J")
        assert app.prompt == "long"
        assert app.seen.at.at == "long"
        asked: list[str] = []
        ask = app.seen.ask

        def noted(job: str, *args: Any) -> None:
            asked.append(job)
            ask(job, *args)

        app.seen.ask = noted  # type: ignore[method-assign,assignment]
        await press(pilot, "J", "K")
        assert asked == []  # what follows was read ahead, what was before is kept
        again = App(catalog, app.seen.place, tmp_path)
    async with again.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert again.prompt == "long"
        assert "pair 2 of 6" in again.seen.status()


async def test_columns_scroll_together_until_unlocked(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, ComparePlace(Slice("spec"), ("alpha", "beta"), at="long"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        left, right = (column.shown for column in app.seen.columns)
        for _ in range(400):
            if left.laid_out and right.laid_out:
                break
            await pilot.pause()
        await press(pilot, "ctrl+d")
        assert left.scroll_offset.y > 0
        assert right.scroll_offset.y == left.scroll_offset.y
        await press(pilot, "L", "l", "g")
        assert (app.seen.state.active, right.scroll_offset.y) == (1, 0)
        assert left.scroll_offset.y > 0


async def test_differences_are_marked_in_both(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, PLACE, tmp_path)
    marks: dict[int, list[tuple[int, int]]] = {}
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        for at, column in enumerate(app.seen.columns):
            column.shown.show_difference = lambda found, at=at: marks.__setitem__(at, list(found))  # type: ignore[misc,method-assign]
        await press(pilot, "D")
        assert marks == {0: [], 1: []}  # both said the same
        app.seen.state.traces = tuple(
            None if one is None else _answering(one, words)
            for one, words in zip(app.seen.state.traces, ("a red door", "a blue door"), strict=True)
        )
        await press(pilot, "D", "D")
        assert marks == {0: [(2, 5)], 1: [(2, 6)]}


def _answering(trace: Any, words: str) -> Any:
    from dataclasses import replace

    return replace(trace, answer=words)


async def test_a_column_without_a_result_says_how_to_fill_it(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, ComparePlace(Slice("spec"), ("alpha", "gamma")), tmp_path)
    async with app.run_test(size=(160, 36)) as pilot:
        await settle(pilot)
        said = app.seen.columns[1].shown.content
        assert "gamma has no result for this prompt" in said
        assert "spec.toml --only model=gamma --only prompt_set=set --only attack=none" in said
        assert "lrm matrix fill" in said
        await press(pilot, "l", "enter")
        assert isinstance(app.opened[-1], TracePlace)
        await press(pilot, "h", "enter")
        assert app.opened[-1] == TracePlace(trace_catalog.ids(catalog)["alpha", "plain"], "plain")


async def test_three_models_stand_side_by_side(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, ComparePlace(Slice("spec"), ("alpha", "beta", "gamma"), at="nasty"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert len(app.seen.columns) == 3
        await press(pilot, "l", "l", "l", "D", "slash", *"Answer", "enter", "y", "i")
        assert app.seen.state.active == 2
        assert not set(screen_text(app)) & {"\x1b", "\x07", "\x9b", "\u202e", "\u200b"}
        assert "[link=file:///x]" in "\n".join(column.shown.content for column in app.seen.columns)


async def test_models_are_asked_for_where_none_are_named(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, ComparePlace(Slice("spec")), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert app.screen is not app.seen
        await press(pilot, "tab", "down", "tab", "enter")
        assert app.seen.at.models == ("alpha", "beta")
        assert app.prompt == "plain"
        await press(pilot, "v", "down", "enter")
        assert app.seen.at.scope == "thinking"


async def test_all_pairs_are_exported(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, PLACE, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert all(column.shown.size.height >= 5 for column in app.seen.columns)
        rows = app.seen.exports()["csv"]().splitlines()
        assert len(rows) == 7
        assert rows[0].startswith("prompt_set,prompt,attack,replicate,outcome,alpha verdict,alpha id")
        assert "── B  SUMMARY ONLY" in (app.seen.text() or "")


async def test_an_unknown_model_is_said_in_the_banner(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, ComparePlace(Slice("spec"), ("alpha", "bета")), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert app.seen.error is not None
        await press(pilot, "1", "2", "D", "t", "L", "J", "n", "h", "enter", "X")
        assert app.seen.error is not None
