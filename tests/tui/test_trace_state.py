"""What the view `trace` says of a response, without a screen: badges, passages, failures, the whole as text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from lrm.browse.places import TracePlace
from lrm.browse.reader import Reader
from lrm.browse.said import Span, TraceVerdict
from lrm.browse.trace import Trace, read_trace
from lrm.store.catalog import Catalog
from lrm.store.trust import Published
from lrm_tui.screens.trace import asked_text
from lrm_tui.screens.trace_state import (
    TraceState,
    as_json,
    badge,
    facts,
    head,
    kinds,
    panel,
    prompt_text,
    verdicts_text,
    whole,
    why_empty,
)
from tests import trace_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with a response of each kind."""
    return trace_catalog.filled(tmp_path_factory.mktemp("traces"))


@pytest.fixture(scope="module")
def ids(catalog: Catalog) -> dict[tuple[str, str], str]:
    """Return its ids by model and prompt."""
    return trace_catalog.ids(catalog)


def verdict(judge: str = "one", scope: str = "answer", **fields: Any) -> TraceVerdict:
    """Return a verdict."""
    given: dict[str, Any] = {
        "status": "ok", "label": None, "unsafe": None, "score": None, "explanation": None, "spans": (), "coverage": None,
        "detail": None, "judged_at": None, "harm_counts": True, "current": True, "against": None, **fields,
    }  # fmt: skip
    return TraceVerdict(judge, scope, **given)


def read(catalog: Catalog, name: str) -> Trace:
    """Return a trace."""
    reader = Reader(catalog)
    try:
        return read_trace(reader, TracePlace(name))
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unsafe": True, "score": 0.934}, "UNSAFE 0.93"),
        ({"unsafe": False}, "safe"),
        ({"label": "full_refusal"}, "full_refusal"),
        ({"status": "unparsed"}, "? unparsed"),
        ({"status": "judge_failed"}, "! judge failed"),
        ({"status": "judge_blocked"}, "! judge blocked"),
        ({"status": "not_judged"}, "· not judged"),
        ({"status": "truncated"}, "? truncated"),
        ({"status": "no_text"}, "– no text"),
        ({"status": "missing"}, "– missing"),
    ],
)
def test_a_badge_says_what_is_known_and_nothing_else(given: dict[str, Any], words: str) -> None:
    said, look = badge(verdict(**given))
    assert said == words
    assert (look in ("safe", "unsafe")) == (given.get("unsafe") is not None)


def test_passages_are_numbered_through_the_texts(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    spans = (
        Span(4, 9, "answer: late"),
        Span(0, 3, "thinking: early"),
        Span(0, 2, "nowhere"),
        Span(2, 3, "answer: mid"),
    )
    state = TraceState(replace(trace, verdicts=(verdict(scope="both", spans=spans),)))
    assert [(one.number, one.part, one.start) for one in state.cited] == [
        (1, "thinking", 0), (2, "answer", 2), (3, "answer", 4), (4, None, 0),
    ]  # fmt: skip
    assert [state.step(1), state.step(1)] == [state.cited[0], state.cited[1]]
    assert state.step(-1) == state.cited[0]
    assert state.step(-1) == state.cited[3]
    assert state.jump(9) is None
    assert state.jump(2) == state.cited[1]


def test_the_next_response_keeps_judge_and_scope(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    one, two = verdict("one"), verdict("two", "thinking", unsafe=True)
    state = TraceState(replace(trace, verdicts=(one, two)), 1)
    state.follow(replace(trace, verdicts=(two, one)))
    assert state.judge == 0
    state.follow(replace(trace, verdicts=(one, verdict("three", unsafe=True))))
    assert state.judge == 1


def test_panel_names_every_status(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    unparsed = verdict("two", status="unparsed", current=False)
    shown = panel(TraceState(replace(trace, verdicts=(verdict(unsafe=True, explanation="why"), unparsed)), 1))
    said = "\n".join(" ".join(words for words, _ in line) for line in shown)
    assert "UNSAFE" in said
    assert "its reply could not be read" in said
    assert "no longer names" in said
    many = tuple(verdict(f"judge-{n}", unsafe=False) for n in range(8))
    assert len(panel(TraceState(replace(trace, verdicts=many)))) < 8
    assert "not judged" in str(panel(TraceState(replace(trace, verdicts=(), generation=None))))


def test_several_messages_stand_under_their_roles(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    first = trace.messages[0]
    assert prompt_text(trace.messages) == first.text
    assert prompt_text((replace(first, role="system"), first)) == f"[system]\n{first.text}\n\n[user]\n{first.text}"


def test_the_whole_is_text_markdown_and_json(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = replace(read(catalog, ids["alpha", "plain"]), answer="a fence: ```` closes", thinking="thought")
    assert trace.generation is not None
    markdown = whole(trace, markdown=True)
    assert "`````text\na fence: ```` closes\n`````" in markdown
    for part in (trace.generation, "thought", "refusal", "finish reason"):
        assert part in whole(trace)
    loaded = json.loads(as_json(trace))
    assert loaded["thinking"] == "thought"
    assert loaded["verdicts"][0]["judge"] == "refusal"
    assert verdicts_text(replace(trace, verdicts=())) is None


def test_kinds_are_always_said(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    assert kinds(trace) == ()
    assert kinds(replace(trace, origin="imported", visibility="summary")) == ("IMPORTED", "SUMMARY ONLY")
    assert "SIMULATED" in head(replace(trace, origin="simulated"))[0][0]
    assert "no current cell" in str(head(replace(trace, cells=())))


@pytest.mark.parametrize(
    ("trusted", "shown"),
    [
        (True, "another response to the same call, which was received first"),
        (False, "no response of a publisher who is not trusted"),
    ],
)
def test_who_published_a_response_is_said(
    catalog: Catalog, ids: dict[tuple[str, str], str], trusted: bool, shown: str
) -> None:
    trace = read(catalog, ids["alpha", "plain"])
    assert "published" not in str(head(trace))
    published = Published("acme/r1@1a2b3c4d5e6f", "acme", trusted, datetime(2026, 1, 1))  # noqa: DTZ001 - as catalogs have it
    pulled = replace(trace, published=published, is_first=False)
    assert ("published as acme/r1@1a2b3c4d5e6f", "dim") in head(pulled)
    assert dict(facts(pulled))["shown by cells"] == shown
    assert json.loads(as_json(pulled))["published"]["whose"] == "acme"


def test_a_failure_says_class_attempts_and_message(catalog: Catalog, ids: dict[tuple[str, str], str]) -> None:
    trace = read(catalog, ids["alpha", "failed"])
    assert kinds(trace) == ("FAILED",)
    said = why_empty(trace, "answer")
    assert "timeout" in said
    assert "4 attempts" in said
    assert "no reply in 60 s" in said
    assert ("last message", trace.failure.message if trace.failure else "") in facts(trace)


def test_what_a_judge_was_asked_is_said_even_if_it_is_not_there() -> None:
    from lrm.browse.asked import Asked
    from lrm.browse.trace import Message

    there = Asked("g1:aa", "grader", (Message("user", "grade it"),), None, "safe", "{}")
    gone = Asked("g1:bb", None, (), None, None, None)
    said = asked_text(verdict(), (there, gone))
    assert "grade it" in said
    assert "the catalog does not have this reply" in said
    assert asked_text(verdict(), ()) == ""
