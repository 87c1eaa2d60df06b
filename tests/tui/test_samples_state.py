"""What the list of samples says of each, the filters that keys write, and its files, without a screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lrm.browse.axes import Slice
from lrm.browse.parsing import parse
from lrm.browse.places import SamplesPlace
from lrm.browse.reader import Reader
from lrm.browse.samples import Badge, open_samples
from lrm.store.catalog import Catalog
from lrm_tui.screens import frequencies, samples_files
from lrm_tui.screens import samples_state as state
from lrm_tui.screens.samples import match_row
from lrm_tui.screens.samples_detail import head
from tests.tui import quickstarts
from tests.tui.made_samples import badge, sample


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return quickstarts.filled(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def reader(catalog: Catalog) -> Iterator[Reader]:
    made = Reader(catalog)
    yield made
    made.close()


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
