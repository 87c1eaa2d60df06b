"""The list of samples: what it says of each, the filters that keys write, and what one comes back to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.axes import Slice
from lrm.browse.parsing import parse
from lrm.browse.places import AnnotatePlace, ComparePlace, Place, SamplesPlace, SearchPlace, SqlPlace, TracePlace
from lrm.browse.reader import Reader, Stop
from lrm.browse.samples import Badge, Sample, Samples, open_samples
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import View
from lrm_tui.screens import frequencies, samples_files
from lrm_tui.screens import samples_state as state
from lrm_tui.screens.samples import SamplesView, match_row
from lrm_tui.screens.samples_detail import head
from lrm_tui.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    found = Catalog(tmp_path_factory.mktemp("samples") / "catalog.duckdb")
    fill(resolve(ROOT / "specs" / "quickstart.toml", Registry([packaged()])), found)
    return found


@pytest.fixture
def reader(catalog: Catalog) -> Iterator[Reader]:
    made = Reader(catalog)
    yield made
    made.close()


def badge(scope: str = "answer", *, judge: str = "j", **fields: Any) -> Badge:
    return Badge(judge, scope, **{"status": "ok", **fields})


def sample(**fields: Any) -> Sample:
    given: dict[str, Any] = {
        "row": 0, "model_n": 1, "set_n": 1, "attack_n": 1, "prompt_n": 1, "replicate": 0, "generation_n": 1, "call_n": 1,
        "id": "g1:00", "spec": "s", "model": "m", "prompt_set": "set", "prompt": "p", "categories": (), "expect": "unsafe",
        "attack": "none", "state": "done", "parse_status": "split", "visibility": "visible", "origin": "run",
        "condition": "default", "verdicts": (), "agreement": None, "labels": 0, "input_tokens": 1, "output_tokens": 2,
        "thinking_tokens": 3, "seconds": 1.0, "cost": None, "finish_reason": "stop", "words": "one two",
    }  # fmt: skip
    return Sample(**{**given, **fields})


# --- what it says ---


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ((), ""),
        ((badge(unsafe=True),), "UNSAFE"),
        ((badge(unsafe=False),), "safe"),
        ((badge(unsafe=True), badge(judge="k", unsafe=False)), "UNSAFE 1/2"),
        ((badge(unsafe=False), badge(judge="k", unsafe=False)), "safe 2/2"),
        ((badge(unsafe=False), badge(judge="k", status="unparsed")), "safe 1?"),
        ((badge(status="unparsed"),), "? unparsed"),
        ((badge(status="judge_failed"),), "! failed"),
        ((badge(status="not_judged"),), "· not yet"),
        ((badge(status="unparsed"), badge(judge="k", status="no_text")), "? several"),
        ((badge(label="full_refusal"),), "refused"),
        ((badge(label="full_refusal"), badge(judge="k", label="compliance"), badge(judge="l", label="compliance")), "complied 2/3"),
        ((badge(),), "?"),
        ((badge("thinking", unsafe=True),), ""),
    ],
)  # fmt: skip
def test_verdicts_in_words(verdicts: tuple[Badge, ...], words: str) -> None:
    cell = state.verdict_cell(sample(verdicts=verdicts), "answer")
    assert (cell if isinstance(cell, str) else cell.text) == words


def test_unknown_is_never_safe() -> None:
    for status in (
        "unparsed",
        "no_text",
        "truncated",
        "judge_blocked",
        "judge_failed",
        "not_judged",
        "blocked",
        "missing",
    ):
        cell = state.verdict_cell(sample(verdicts=(badge(status=status),)), "answer")
        assert not isinstance(cell, str)
        assert cell.style not in {"safe", "unsafe"}
        assert "safe" not in cell.text.lower()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "done"),
        ({"origin": "simulated"}, "sim"),
        ({"origin": "imported"}, "imp"),
        ({"origin": "imported", "visibility": "summary"}, "imp+sum"),
        ({"visibility": "summary"}, "sum"),
        ({"state": "failed"}, "! failed"),
        ({"state": "missing"}, "· none"),
        ({"state": "blocked"}, "! block"),
    ],
)
def test_where_it_comes_from(fields: dict[str, Any], words: str) -> None:
    cell = state.state_cell(sample(**fields))
    assert (cell if isinstance(cell, str) else cell.text) == words


def test_columns_leave_out_what_is_the_same_everywhere() -> None:
    judges = (("j", "thinking"), ("j", "answer"))
    wide = state.layout(SamplesPlace(), judges, (sample(),), 3)
    assert {"model", "prompt_set", "attack", "T", "A"} <= {one.key for one in wide.columns}
    assert "agreement" not in {one.key for one in wide.columns}
    part = Slice("s", (("attack", ("none",)), ("model", ("m",)), ("prompt_set", ("a", "b"))))
    narrow = state.layout(SamplesPlace(part), (*judges, ("k", "answer")), (sample(),), 3)
    keys = {one.key for one in narrow.columns}
    assert keys & {"model", "attack"} == set()
    assert {"prompt_set", "agreement"} <= keys
    assert len(narrow.row(sample())) == len(narrow.columns)


def test_the_pane_names_every_judge() -> None:
    lines = head(sample(verdicts=(badge(unsafe=True, score=0.93), badge("thinking", judge="k", status="unparsed"))))
    words = [text.split() for text, _ in lines]
    assert ["UNSAFE", "0.93", "answer:", "j"] in words
    assert ["?", "unparsed", "thinking:", "k"] in words


# --- filters ---


@pytest.mark.parametrize(
    ("where", "wanted", "after"),
    [
        ("", "unsafe", "unsafe"),
        ("unsafe", "unsafe", ""),
        ("seconds > 3s", "unsafe", "seconds > 3s and unsafe"),
        ("seconds > 3s and unsafe", "unsafe", "seconds > 3s"),
        ("unsafe and seconds > 3", "unsafe", "seconds > 3"),
        ("done or failed", "unsafe", "(done or failed) and unsafe"),
        ("(done or failed) and unsafe", "unsafe", "done or failed"),
        ("", state.UNSAFE_THINKING, state.UNSAFE_THINKING),
        ("unsafe and thinking:unsafe and answer:safe", state.UNSAFE_THINKING, "unsafe"),
        ('"or and"', "unsafe", '"or and" and unsafe'),
        ("done or unsafe", "unsafe", "(done or unsafe) and unsafe"),
    ],
)
def test_keys_write_filters(where: str, wanted: str, after: str) -> None:
    assert state.toggled(where, wanted) == after
    if not state.has(where, wanted):
        assert parse(state.toggled(after, wanted)) == parse(where)


@pytest.mark.parametrize("column", ["model", "prompt", "seconds", "thinking_tokens", "unsafe", "agreement", "category"])
def test_a_value_of_the_frequencies_is_a_filter(reader: Reader, column: str) -> None:
    from lrm.browse.samples import frequencies as counted

    for one in counted(reader, SamplesPlace(), column)[:3]:
        where = state.equals(column, one.value)
        found = open_samples(reader, SamplesPlace(where=where))
        assert found.count == one.count, where
        found.close()


def test_frequencies_say_count_and_share(reader: Reader) -> None:
    from lrm.browse.samples import Frequency

    lines = dict(frequencies.lines((Frequency("a", 30), Frequency(None, 10))))
    assert "30" in lines["a"]
    assert "75.0%" in lines["a"]
    assert "25.0%" in lines[frequencies.NOTHING]


# --- files ---


def test_files_have_every_row(reader: Reader) -> None:
    samples = open_samples(reader, SamplesPlace(where="unsafe"))
    rows = [json.loads(line) for line in samples_files.as_jsonl(samples).splitlines()]
    assert len(rows) == samples.count > 0
    assert "thinking" not in rows[0]
    assert samples_files.as_csv(samples).count("\n") == samples.count + 1
    texts = [json.loads(line) for line in samples_files.as_jsonl_with_texts(reader, samples).splitlines()]
    assert [row["id"] for row in texts] == [row["id"] for row in rows]
    assert all(row["messages"] for row in texts)
    assert any(row["thinking"] for row in texts)
    assert samples_files.as_ids(samples).split() == [row["id"] for row in rows]
    samples.close()


@pytest.mark.parametrize(
    "place",
    [
        SamplesPlace(),
        SamplesPlace(Slice("quickstart", (("model", ("sim-hidden",)), ("category", ("money",))))),
        SamplesPlace(where="unsafe and thinking_tokens > 100"),
        SamplesPlace(where="not unsafe and attack != none and model ~ DISTILLED", sort="-seconds"),
        SamplesPlace(where="blocked"),
        SamplesPlace(where="unsafe", judge="refusal", scope="answer"),
    ],
)
def test_the_sql_lists_the_same(reader: Reader, place: SamplesPlace) -> None:
    from lrm.browse.console import run

    samples = open_samples(reader, place)
    sql = samples_files.as_sql(place)
    assert "not in this SQL" not in sql
    answer = run(reader, sql)
    ids = {row[answer.columns.index("generation")] for row in answer.rows}
    assert len(answer.rows) == samples.count
    assert ids == set(samples.ids())
    samples.close()


def test_the_sql_says_what_it_leaves_out() -> None:
    assert "-- not in this SQL: disagree" in samples_files.as_sql(SamplesPlace(where="disagree"))


def test_the_nearest_match_takes_few_questions(reader: Reader) -> None:
    samples = open_samples(reader, SamplesPlace())
    matches = open_samples(reader, SamplesPlace(where='"coat"'))
    rows = sorted(samples.row_of(str(name)) or 0 for name in matches.ids())
    assert len(rows) > 2
    assert match_row(samples, matches, 0, 1, here=True) == rows[0]
    assert match_row(samples, matches, rows[0], 1) == rows[1]
    assert match_row(samples, matches, rows[1], -1) == rows[0]
    assert match_row(samples, matches, rows[0], -1) is None
    assert match_row(samples, matches, rows[-1], 1) is None


# --- the view ---


@contextmanager
def counting(app: LrmApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    bursts: list[str] = []
    real = app.reader.burst

    @contextmanager
    def burst(*args: Any, **kwargs: Any) -> Iterator[Any]:
        bursts.append("burst")
        with real(*args, **kwargs) as connection:
            yield connection

    monkeypatch.setattr(app.reader, "burst", burst)
    yield bursts


def app_of(catalog: Catalog, tmp_path: Path, place: Place | None = None) -> LrmApp:
    return LrmApp(catalog, place or SamplesPlace(), settings=Settings(annotator="a"), folder=tmp_path)


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


def _lines(path: str | None) -> list[str]:
    return Path(str(path)).read_text().splitlines()


def view_of(app: LrmApp) -> SamplesView:
    found = [screen for screen in app.screen_stack if isinstance(screen, SamplesView)]
    return found[-1]


def opened(app: LrmApp, monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    places: list[Place] = []
    monkeypatch.setattr(app, "open", lambda place, **_: places.append(place))
    return places


async def test_a_page_and_the_first_sample(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "1 of 540" in view.status()
        assert view.rows.cells(0) is not None
        view._look()
        await settle(pilot)
        words = str(view.detail.children[0].render())
        assert "PROMPT" in words
        assert "THINKING" in words
        await pilot.press("G")
        await settle(pilot)
        assert view.rows.cells(539) is not None


async def test_one_question_where_the_cursor_rests(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrm_tui.screens.samples.REST_S", 3600.0)
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        with counting(app, monkeypatch) as bursts:
            await pilot.press(*"jjjjjjjjjj")
            await settle(pilot)
            assert bursts == []
            view_of(app)._look()
            await settle(pilot)
            assert bursts == ["burst"]


async def test_filters_by_keys_and_back(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        await pilot.press("u")
        await settle(pilot)
        assert view.place == SamplesPlace(where="unsafe")
        few = view.samples.count if view.samples else 0
        assert 0 < few < 540
        await pilot.press("t")
        await settle(pilot)
        assert view.listed.where == f"unsafe and {state.UNSAFE_THINKING}"
        await pilot.press("escape")
        await settle(pilot)
        assert view.place == SamplesPlace()
        assert view.samples is not None
        assert view.samples.count == 540
        assert app.screen is view


async def test_nothing_matches_and_escape_clears(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="model = nobody"))
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "no sample matches: model = nobody" in view.rows.empty
        await pilot.press("escape")
        await settle(pilot)
        assert view.place == SamplesPlace()
        assert view.rows.count == 540


async def test_a_bad_filter_says_where(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="mdel = x"))
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.error is not None
        assert "model" in str(view.error)
        await pilot.press("f")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is not view  # the question stays, as the filter is still wrong


async def test_sorting_by_the_column_under_the_cursor(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.rows.to_column([one.key for one in view.rows.columns].index("thinking_tokens"))
        await pilot.press("S")
        await settle(pilot)
        assert view.listed.sort == "-thinking_tokens"
        tokens = [one.thinking_tokens or 0 for one in view.held.pages[0]]
        assert tokens == sorted(tokens, reverse=True)
        await pilot.press("S")
        await settle(pilot)
        assert view.listed.sort == ""


async def test_every_column_can_be_sorted_and_counted(catalog: Catalog, tmp_path: Path) -> None:
    from lrm.browse.columns import COLUMNS

    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        assert {state.sort_name(one.key) for one in view_of(app).rows.columns} <= set(COLUMNS)


async def test_frequencies_filter(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.rows.to_column([one.key for one in view.rows.columns].index("model"))
        await pilot.press("F")
        await settle(pilot)
        assert app.screen is not view
        await pilot.press("enter")
        await settle(pilot)
        assert view.listed.where.startswith("model = ")
        assert view.rows.count == 180


async def test_the_trace_comes_back_to_where_it_went(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        await pilot.press("j", "enter")
        await settle(pilot)
        child = app.screen
        assert isinstance(child, View)
        assert isinstance(child.place, TracePlace)
        assert child.items is not None
        assert (child.items.count, child.row) == (540, 1)
        for _ in range(2):
            await pilot.press("J")
            await settle(pilot)
        assert child.row == 3
        app.back()
        await settle(pilot)
        assert app.screen is view
        assert view.rows.row == 3


async def test_finding_goes_to_the_next_match(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.held.find = "coat"
        view.rows.jump(5)
        await pilot.press("n")
        await settle(pilot)
        found = view.rows.row
        assert found > 5
        await settle(pilot)
        assert "coat" in str(view.samples and view.samples.sample(found))
        await pilot.press("n")
        await settle(pilot)
        assert view.rows.row > found
        await pilot.press("N")
        await settle(pilot)
        assert view.rows.row == found
        await pilot.press("escape")
        assert "coat" not in view.status()


async def test_marks_are_compared_and_labelled(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="prompt = money-1-safe and attack = none"))
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        places = opened(app, monkeypatch)
        await pilot.press("space", "space", "c")
        assert isinstance(places[-1], ComparePlace)
        assert len(set(places[-1].models)) == 2
        assert places[-1].at == "money-1-safe"
        assert "2 marked" in view.status()
        await pilot.press("A")
        await settle(pilot)
        assert isinstance(places[-1], AnnotatePlace)
        queue = _lines(places[-1].queue)
        assert queue == [one.id for one in view.held.marked.values()]
        await pilot.press("escape", "A")
        assert places[-1] == AnnotatePlace(samples=view.listed)


async def test_where_keys_lead(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        places = opened(app, monkeypatch)
        await pilot.press("ctrl+f")
        assert places[-1] == SearchPlace()
        await pilot.press("Q")
        assert isinstance(places[-1], SqlPlace)
        copied = {letter: get() for letter, (_, get) in view_of(app).copies().items()}
        assert str(copied["i"]).startswith("g1:")
        assert copied["p"]
        assert copied["t"]
        assert copied["w"] is None


@pytest.mark.parametrize(("width", "shown"), [(80, False), (99, False), (100, True), (160, True)])
async def test_the_pane_needs_room(catalog: Catalog, tmp_path: Path, width: int, shown: bool) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(width, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.detail.display == shown
        await pilot.press("w", "w")
        await pilot.pause()
        assert not view.detail.display


async def test_an_empty_catalog_says_what_to_do(tmp_path: Path) -> None:
    empty = Catalog(tmp_path / "empty.duckdb")
    with empty.writing():
        pass
    app = app_of(empty, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "lrm matrix fill" in view_of(app).rows.empty


async def test_hostile_words_are_inert(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        nasty = "\x1b]0;title\x07[@click=app.quit]x[/]\u202e"
        found = sample(words=nasty, model=nasty, verdicts=(badge(judge=nasty, unsafe=True),))
        view = view_of(app)
        view.detail.show(head(found))
        await pilot.pause()
        shown = str(view.detail.children[0].render())
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[@click=app.quit]x[/]" in shown


async def test_a_filter_that_is_given_up_leaves_the_list(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)

        def endless(reader: Reader, place: SamplesPlace, stop: Stop) -> Samples:
            while True:
                stop.check()

        monkeypatch.setattr("lrm.browse.samples.open_samples", endless)
        await pilot.press("u")
        assert view.place == SamplesPlace(where="unsafe")
        assert "540" not in view.status()
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is view
        assert view.place == SamplesPlace()
        assert "1 of 540" in view.status()


async def test_a_bad_filter_is_dismissed_with_its_error(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view._go(SamplesPlace(where="judge:nobody"))
        await settle(pilot)
        assert view.error is not None
        assert view.rows.count == 540
        await pilot.press("escape")
        await settle(pilot)
        assert view.error is None
        assert view.place == SamplesPlace()
