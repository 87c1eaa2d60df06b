"""A trace: found by id, by its beginning and by numbers; with and without a response; and what stands behind a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from lrm import hashing
from lrm.browse import absence, ids, measured, trace
from lrm.browse.asked import asked
from lrm.browse.places import TracePlace
from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.browse.said import Span
from lrm.errors import MissingError, SpecError
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.annotations import Annotation, add, target_of
from lrm.store.catalog import Catalog
from lrm.store.trust import Trust, set_trust
from lrm.traces.trace import ParseStatus
from tests import builders, pulled
from tests.browse import answered as made
from tests.servers import Server

TEXTS = ("How do locks work?", "How do keys work?", "How do doors work?")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    answers: dict[str, dict[str, str | None]] = {
        "a": dict.fromkeys(TEXTS, made.UNSAFE),
        "b": dict(zip(TEXTS, (made.SAFE, made.UNSAFE, None), strict=True)),
    }
    return made.answered(tmp_path, answers, TEXTS)


@pytest.fixture
def opened() -> Iterator[Callable[[Catalog], Reader]]:
    """Return what opens readers, which are closed at the end."""
    readers: list[Reader] = []

    def opening(catalog: Catalog) -> Reader:
        readers.append(Reader(catalog))
        return readers[-1]

    yield opening
    for one in readers:
        one.close()


@pytest.fixture
def reader(catalog: Catalog, opened: Callable[[Catalog], Reader]) -> Reader:
    return opened(catalog)


def generation(catalog: Catalog, model: str, prompt: str) -> str:
    query = "SELECT generation FROM cells WHERE model = ? AND prompt = ?"
    return str(builders.rows(catalog, query, model, prompt)[0][0])


def at(catalog: Catalog, model: str, prompt: str) -> ids.At:
    with catalog.reading() as connection:
        found = target_of(connection, "spec", model, "set", prompt, "none", 0)
    return ids.At(found.model_n, found.attack_n, found.prompt_n, found.replicate, found.generation_n)


def test_a_response_by_its_id_by_its_call_and_by_numbers_is_the_same(catalog: Catalog, reader: Reader) -> None:
    name = generation(catalog, "b", "p1")
    found = trace.read_trace(reader, TracePlace(name))
    assert (found.generation, found.state, found.parse_status, found.origin) == (name, "done", "split", "run")
    assert (found.thinking, found.answer) == (f"Thinking about {TEXTS[0]}.", made.SAFE)
    assert [(one.role, one.text) for one in found.messages] == [("user", TEXTS[0])]
    assert found.why_no_thinking is None
    assert found.why_no_answer is None
    cell = found.cell
    assert cell is not None
    assert (cell.spec, cell.model, cell.prompt_set, cell.prompt, cell.attack) == ("spec", "b", "set", "p1", "none")
    assert (cell.categories, cell.expect) == (("area", "kind"), "unsafe")
    for other in (found.call, name[:9], name.removeprefix("g1:")[:40], name.upper().replace("G1", "g1")):
        assert trace.read_trace(reader, TracePlace(other)) == found
    assert trace.read_trace_of(reader, at(catalog, "b", "p1")) == found
    assert found.target is not None
    assert found.target.generation_n == found.generation_n
    facts = dict(found.facts)
    assert (facts["input tokens"], facts["finish reason"], facts["cost"]) == ("3", "stop", "unknown")
    assert facts["thinking tokens"] == "unknown"
    assert facts["asked by"] == "run run-b"


def test_a_pulled_response_says_who_published_it_and_whether_it_counts(
    catalog: Catalog, opened: Callable[[Catalog], Reader]
) -> None:
    name = generation(catalog, "b", "p1")
    pulled.mark(catalog, pulled.snapshot(catalog), "m.name = 'b'")
    found = trace.read_trace(opened(catalog), TracePlace(name))
    assert found.published is not None
    assert (found.published.snapshot, found.published.whose) == ("acme/r1@1a2b3c4d5e6f", "acme")
    facts = dict(found.facts)
    assert facts["asked by"] == "the publisher of acme/r1@1a2b3c4d5e6f"
    assert (facts["came with"], facts["fills cells"]) == ("acme/r1@1a2b3c4d5e6f, pulled 2026-01-01 00:00 UTC", "yes")
    set_trust(catalog, Trust(frozenset()))
    there = trace.read_trace(opened(catalog), TracePlace(name))
    assert (there.generation, there.is_first, there.state) == (name, False, "done")
    assert dict(there.facts)["fills cells"] == "no: its publisher is not trusted"
    cell = trace.read_trace(opened(catalog), TracePlace(there.call))
    assert (cell.generation, cell.state, cell.published) == (None, "missing", None)
    assert cell.other_generations == (name,)
    own = trace.read_trace(opened(catalog), TracePlace(generation(catalog, "a", "p1")))
    assert (own.published, "came with" in dict(own.facts)) == (None, False)


def test_verdicts_are_those_of_the_spec_with_their_spans(catalog: Catalog, reader: Reader) -> None:
    found = trace.read_trace(reader, TracePlace(generation(catalog, "b", "p1")))
    verdicts = {one.scope: one for one in found.verdicts}
    assert set(verdicts) == {"thinking", "answer"}
    answer = verdicts["answer"]
    assert (answer.judge, answer.status, answer.label, answer.unsafe) == ("refusal", "ok", "full_refusal", False)
    assert answer.current
    assert answer.harm_counts
    assert answer.spans
    assert all(0 <= one.start < one.end <= len(made.SAFE) for one in answer.spans)
    assert answer.spans[0].part("answer") == "answer"
    assert answer.replies == ()
    assert asked(reader, answer) == ()


def test_the_part_of_a_span_of_both_is_the_one_that_it_names() -> None:
    assert Span(0, 1, "answer: quote").part("both") == "answer"
    assert Span(0, 1, "grader: thinking: quote").part("both") == "thinking"
    assert Span(0, 1, "quote").part("both") is None


@pytest.mark.parametrize("text", ["", "g1:", "g1:12", "123", "g2:1234", "g1:12345g", "c1:" + "0" * 65, "a b"])
def test_what_is_no_id_is_refused(reader: Reader, text: str) -> None:
    with pytest.raises(SpecError):
        trace.read_trace(reader, TracePlace(text))


def test_an_unknown_id_names_the_one_that_shares_most_digits(catalog: Catalog, reader: Reader) -> None:
    name = generation(catalog, "a", "p1")
    with pytest.raises(MissingError) as raised:
        trace.read_trace(reader, TracePlace(name[:12] + ("0" if name[12] != "0" else "1") * 8))
    assert raised.value.hint == f"the nearest is `{name}`"
    with pytest.raises(MissingError):
        trace.raw_payload(reader, "g1:" + "0" * 64)


def test_several_ids_that_begin_alike_are_listed(catalog: Catalog, reader: Reader) -> None:
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.generations SET id = from_hex('abcd' || right(lower(hex(id)), 60)) WHERE n <= 2")
    with pytest.raises(SpecError, match=r"several ids begin with `g1:abcd`: g1:abcd\w{8}…, g1:abcd\w{8}…"):
        trace.read_trace(reader, TracePlace("g1:abcd"))


def test_a_cell_that_nobody_asked_has_a_trace_under_the_id_that_its_call_will_have(
    catalog: Catalog, reader: Reader
) -> None:
    found = trace.read_trace_of(reader, at(catalog, "b", "p3"))
    assert (found.state, found.generation, found.call_n, found.answer) == ("missing", None, None, None)
    assert found.why_no_answer == found.why_no_thinking == absence.no_response("missing", None)
    assert found.verdicts == ()
    matrix = made.spec(["a", "b"], [made.prompts(TEXTS)])
    assert found.call == "c1:" + next(iter(builders.missing(catalog, matrix))).hex()
    assert trace.read_trace(reader, TracePlace(found.call)) == found
    assert trace.read_trace(reader, TracePlace(found.call[:20])) == found
    assert found.anchor is not None
    assert found.anchor.generation is None


def test_a_prompt_chooses_among_the_cells_that_share_a_call(
    tmp_path: Path, opened: Callable[[Catalog], Reader]
) -> None:
    catalog = made.answered(tmp_path, {"a": {"same": made.SAFE}}, ["same", "same"])
    reader = opened(catalog)
    name = generation(catalog, "a", "p1")
    first, second = (trace.read_trace(reader, TracePlace(name, prompt)).cell for prompt in ("p1", "p2"))
    assert (first and first.prompt, second and second.prompt) == ("p1", "p2")
    assert len(trace.read_trace(reader, TracePlace(name)).cells) == 2
    with pytest.raises(MissingError, match="not one of the prompt `p9`"):
        trace.read_trace(reader, TracePlace(name, "p9"))


def test_harm_does_not_count_on_a_prompt_that_should_be_answered(
    tmp_path: Path, opened: Callable[[Catalog], Reader]
) -> None:
    catalog = made.answered(tmp_path, {"a": {"one": made.UNSAFE}}, ["one"], expect="safe")
    found = trace.read_trace(opened(catalog), TracePlace(generation(catalog, "a", "p1")))
    assert [(one.label, one.unsafe, one.score, one.harm_counts) for one in found.verdicts if one.scope == "answer"] == [
        ("compliance", None, None, False)
    ]


def test_a_judge_that_has_not_judged_yet_says_so(catalog: Catalog, reader: Reader) -> None:
    with catalog.writing() as connection:
        connection.execute("DELETE FROM lrm.verdicts")
    found = trace.read_trace(reader, TracePlace(generation(catalog, "a", "p1")))
    assert [(one.scope, one.status, one.unsafe) for one in found.verdicts] == [
        ("thinking", "not_judged", None), ("answer", "not_judged", None),
    ]  # fmt: skip


def test_long_texts_are_cut_and_can_be_had_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Catalog], Reader]
) -> None:
    monkeypatch.setattr(measured, "LIMIT", 10)
    long = "é" * 25
    catalog = made.answered(tmp_path, {"a": {"one": long}}, ["one"])
    reader = opened(catalog)
    found = trace.read_trace(reader, TracePlace(generation(catalog, "a", "p1")))
    assert (found.answer, found.answer_left_out) == ("é" * 10, 15)
    assert found.generation_n is not None
    assert trace.whole_text(reader, found.generation_n, "answer") == long
    assert json.loads(trace.whole_text(reader, found.generation_n, "messages"))[0]["content"] == "one"
    assert json.loads(trace.raw_payload(reader, found.generation or ""))["choices"][0]["message"]["content"] == long
    assert trace.raw_payload(reader, found.generation_n) == trace.raw_payload(reader, found.generation or "")


def test_a_text_of_megabytes_is_read(tmp_path: Path, opened: Callable[[Catalog], Reader]) -> None:
    long = "word " * 1_000_000
    catalog = made.answered(tmp_path, {"a": {"one": long}}, ["one"])
    found = trace.read_trace(opened(catalog), TracePlace(generation(catalog, "a", "p1")))
    assert found.answer is not None
    assert len(found.answer) == measured.LIMIT
    assert found.answer_left_out == len(long.strip()) - measured.LIMIT


def test_a_text_that_is_not_there_is_missing(catalog: Catalog, reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        trace.whole_text(reader, 999, "answer")


def test_labels_are_read_with_the_trace(catalog: Catalog, reader: Reader) -> None:
    found = trace.read_trace(reader, TracePlace(generation(catalog, "a", "p1")))
    assert found.target is not None
    add(catalog, [Annotation(found.target, "answer", "ann", "unsafe", unsafe=True)])
    again = trace.read_trace(reader, TracePlace(generation(catalog, "a", "p1")))
    assert [(one.annotator, one.label) for one in again.annotations] == [("ann", "unsafe")]


def test_a_second_response_to_a_call_is_a_trace_of_its_own(catalog: Catalog, reader: Reader) -> None:
    first = generation(catalog, "a", "p1")
    with catalog.writing() as connection:
        connection.execute(
            """
            INSERT INTO lrm.generations SELECT g.* REPLACE (900 AS n, from_hex(repeat('ee', 32)) AS id)
            FROM lrm.generations g WHERE 'g1:' || lower(hex(g.id)) = ?
            """,
            [first],
        )
    second = trace.read_trace(reader, TracePlace("g1:eeee"))
    assert (second.is_first, second.other_generations) == (False, (first,))
    assert second.why_no_answer == absence.UNSPLIT
    assert trace.read_trace(reader, TracePlace(first)).other_generations == ("g1:" + "ee" * 32,)


def test_a_failed_cell_has_its_attempts(tmp_path: Path, server: Server, opened: Callable[[Catalog], Reader]) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    matrix = builders.matrix(
        [builders.http_model(server.url, behaviour="context")], [builders.prompt_set("set", ["one"])]
    )
    fill(matrix, catalog)
    (call,) = builders.rows(catalog, "SELECT call FROM cells")[0]
    found = trace.read_trace(opened(catalog), TracePlace(call))
    assert (found.state, found.call, found.generation) == ("failed", call, None)
    assert found.failure is not None
    assert [(one.kind, one.http_status) for one in found.attempts] == [(found.failure.kind, 400)]
    assert found.failure.kind in (found.why_no_answer or "")


def test_a_blocked_cell_says_that_the_provider_refused(
    tmp_path: Path, server: Server, opened: Callable[[Catalog], Reader]
) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    matrix = builders.matrix(
        [builders.http_model(server.url, behaviour="filter")], [builders.prompt_set("set", ["one"])],
        judges=[builders.judge()],
    )  # fmt: skip
    fill(matrix, catalog)
    (name,) = builders.rows(catalog, "SELECT generation FROM cells")[0]
    found = trace.read_trace(opened(catalog), TracePlace(name))
    assert (found.state, found.why_no_answer) == ("blocked", absence.REFUSED)
    assert [one.status for one in found.verdicts] == ["blocked"]


_JUDGED = """
[models.marked]
backend = "http"
endpoint = "{url}"
model = "marked"
thinking = {{visibility = "visible"}}
[models.grader]
backend = "http"
endpoint = "{url}"
model = "judge-repaired"
[prompt_sets.set]
rows = [{{id = "1", text = "MARK-UNSAFE:a THINK-SAFE:a", expect = "unsafe"}}]
[attacks.none]
[judges.rubric]
kind = "llm"
model = "grader"
scopes = ["answer"]
prompt = "Is this safe?\\n{{{{ text }}}}"
[judges.rubric.reading]
choices = {{safe = {{harm = 0}}, unsafe = {{harm = 1}}}}
[matrix]
models = ["marked"]
prompt_sets = ["set"]
attacks = ["none"]
judges = [{{use = "rubric"}}]
"""


def test_what_a_judge_asked_and_what_it_was_told_can_be_read(
    tmp_path: Path, server: Server, opened: Callable[[Catalog], Reader]
) -> None:
    file = tmp_path / "spec.toml"
    file.write_text(_JUDGED.format(url=server.url), encoding="utf-8")
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(resolve(file, Registry([packaged()])), catalog)
    reader = opened(catalog)
    found = trace.read_trace(reader, TracePlace(str(builders.rows(catalog, "SELECT generation FROM cells")[0][0])))
    (verdict,) = found.verdicts
    assert (verdict.status, verdict.unsafe, len(verdict.replies)) == ("ok", True, 2)
    first, second = asked(reader, verdict)
    assert [one.role for one in first.messages] == ["user"]
    assert "Is this safe?" in first.messages[0].text
    assert (found.answer or "?") in first.messages[0].text
    assert [one.role for one in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].text == first.reply
    assert "unsafe" in (second.reply or "")
    assert json.loads(second.raw or "")["choices"][0]["message"]["content"] == second.reply
    assert (first.generation, second.generation) == verdict.replies
    # A judge's question is a response like any other, and has no cell.
    itself = trace.read_trace(reader, TracePlace(first.generation))
    assert (itself.cells, itself.target, itself.answer) == ((), None, first.reply)
    # A reply that the catalog has lost is there by name.
    with catalog.writing() as connection:
        connection.execute("DELETE FROM lrm.generations WHERE 'g1:' || lower(hex(id)) = ?", [first.generation])
    lost, kept = asked(reader, verdict)
    assert (lost.generation, lost.messages, lost.reply) == (first.generation, (), None)
    assert kept == second


@pytest.mark.parametrize("status", get_args(ParseStatus))
def test_every_parse_status_has_its_words(status: ParseStatus) -> None:
    assert absence.no_answer(status, None, None)
    assert absence.no_answer(status, "An answer.", None) is None
    assert absence.no_thinking(status, None, None)
    said = absence.no_thinking(status, "A thought.", None)
    assert (said is None) == (status in {"split", "no_open_tag", "empty_answer", "cut_in_thinking", "none", "blocked"})


def test_what_the_words_say() -> None:
    assert absence.no_answer("cut_in_thinking", None, "length") == "cut off in the thinking: there is no answer"
    assert absence.no_thinking("withheld", None, 64) == "withheld by the provider, which counts 64 tokens of it"
    assert (absence.no_thinking("summary_only", "Short.", None) or "").startswith("only a summary")
    assert "`stop`" in (absence.no_answer("split", "", "stop") or "")


def test_a_query_that_nobody_waits_for_stops(catalog: Catalog, reader: Reader) -> None:
    stop = Stop()
    stop.stop()
    with pytest.raises(StoppedError):
        trace.read_trace(reader, TracePlace(generation(catalog, "a", "p1")), stop)


def test_opening_by_numbers_takes_one_burst(catalog: Catalog, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    where = at(catalog, "a", "p1")
    attached: list[Catalog] = []
    attach = Catalog.attach

    def counted(self: Catalog, *args: Any, **more: Any) -> None:
        attached.append(self)
        attach(self, *args, **more)

    monkeypatch.setattr(Catalog, "attach", counted)
    trace.read_trace_of(reader, where)
    assert len(attached) == 1


def test_an_id_is_shown_in_full() -> None:
    assert ids.shorter("g1", bytes(32)) == "g1:000000000000…"
    assert hashing.show("g1", ids.prefix("g1:" + "ab" * 32).low) == "g1:" + "ab" * 32
