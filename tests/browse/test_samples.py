"""The list of samples says what the views say, in an order that is found out once, and reads little for a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.browse.axes import Slice
from lrm.browse.places import SamplesPlace
from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.browse.samples import COLUMNS, Sample, Samples, frequencies, open_samples
from lrm.errors import SpecError
from lrm.store.catalog import Catalog
from tests import builders
from tests.browse import sampled

SPEC = Slice("mixed")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return sampled.filled(tmp_path_factory.mktemp("filled"))


@pytest.fixture(scope="module")
def reader(catalog: Catalog) -> Iterator[Reader]:
    found = Reader(catalog)
    yield found
    found.close()


def rows_of(samples: Samples) -> list[Sample]:
    return [one for at in range(0, samples.count, 70) for one in samples.page(at, 70)]


def named(one: Sample) -> tuple[Any, ...]:
    return one.spec, one.model, one.prompt_set, one.prompt, one.attack, one.replicate


def opened(reader: Reader, where: str = "", **fields: Any) -> list[Sample]:
    samples = open_samples(reader, SamplesPlace(fields.pop("slice", SPEC), where, **fields))
    try:
        return rows_of(samples)
    finally:
        samples.close()


def selected(catalog: Catalog, where: str, of: str = "cells") -> set[tuple[Any, ...]]:
    found = builders.rows(
        catalog, f"SELECT DISTINCT spec, model, prompt_set, prompt, attack, replicate FROM {of} WHERE {where}"
    )
    assert found, "a comparison of nothing says nothing"
    return set(found)


def test_every_cell_is_a_row_with_what_the_view_says_of_it(catalog: Catalog, reader: Reader) -> None:
    found = {
        (*named(one), one.state, one.parse_status, one.visibility, one.expect, one.categories, one.input_tokens, one.output_tokens,
         one.thinking_tokens, one.seconds, one.cost, one.finish_reason, one.generation_n, one.prompt_n)
        for one in opened(reader)
    }  # fmt: skip
    said = builders.rows(
        catalog,
        """
        SELECT spec, model, prompt_set, prompt, attack, replicate, state, parse_status, visibility, expect, category,
            input_tokens, output_tokens, thinking_tokens, latency_ms / 1000, cost, finish_reason, generation_n, prompt_n FROM cells
        """,
    )
    assert found == {(*one[:10], tuple(one[10]), *one[11:]) for one in said}
    assert len(found) == len(said)
    assert {one[6] for one in said} == {"done", "failed", "blocked", "missing"}


def test_badges_are_those_of_the_view(catalog: Catalog, reader: Reader) -> None:
    found = {
        (*named(one), badge.judge, badge.scope, badge.status, badge.label, badge.unsafe, badge.score)
        for one in opened(reader)
        for badge in one.verdicts
    }
    said = builders.rows(
        catalog,
        "SELECT spec, model, prompt_set, prompt, attack, replicate, judge, scope, status, label, unsafe, score FROM verdicts",
    )
    assert found == set(said)
    assert {"ok", "unparsed", "not_judged", "blocked", "missing"} <= {one[8] for one in said}


def test_ids_name_the_response_or_the_call(catalog: Catalog, reader: Reader) -> None:
    samples = open_samples(reader, SamplesPlace(SPEC))
    found = {named(one): one.id for one in rows_of(samples)}
    said = builders.rows(
        catalog, "SELECT spec, model, prompt_set, prompt, attack, replicate, coalesce(generation, call) FROM cells"
    )
    assert found == {one[:6]: one[6] for one in said}
    ids = samples.ids()
    assert samples.ids([7, 3]) == (ids[7], ids[3])
    for row in (0, 5, samples.count - 1):
        name = ids[row]
        assert name is not None
        assert samples.row_of(name) == row
    assert samples.row_of("g1:00") is samples.row_of("c1:zz") is samples.row_of("what") is None
    samples.close()


def test_the_order_is_the_matrixs_own(reader: Reader) -> None:
    found = opened(reader)
    assert [one.row for one in found] == list(range(len(found)))
    order = {one: n for n, one in enumerate(dict.fromkeys((one.model, one.attack) for one in found))}
    assert len(order) == 4
    first = [one for one in found if (one.model, one.attack) == ("sim-reasoning", "none")]
    assert [one.replicate for one in first[:4]] == [0, 1, 0, 1]
    assert [order[one.model, one.attack] for one in found] == sorted(order[one.model, one.attack] for one in found)


@pytest.mark.parametrize("column", ["seconds", "cost", "thinking_tokens", "prompt", "model", "state", "category2"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_rows_are_sorted_with_the_unknown_last_and_ties_in_order(reader: Reader, column: str, sign: str) -> None:
    plain = {named(one): one.row for one in opened(reader)}
    found = opened(reader, sort=sign + column)
    values = [" › ".join(one.categories[:2]) if column == "category2" else getattr(one, column) for one in found]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=sign == "-")
    for (one, value), (other, next_value) in zip(
        list(zip(found, values, strict=True)), list(zip(found, values, strict=True))[1:], strict=False
    ):
        assert value != next_value or plain[named(one)] < plain[named(other)]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_sorts_and_is_counted(reader: Reader, name: str) -> None:
    everything = len(opened(reader))
    assert len(opened(reader, sort=name)) == everything
    found = frequencies(reader, SamplesPlace(SPEC), name)
    assert sum(one.count for one in found) == everything
    assert [one.count for one in found] == sorted((one.count for one in found), reverse=True)


def test_frequencies_are_counts_under_the_same_place(catalog: Catalog, reader: Reader) -> None:
    part = SPEC.narrowed("model", ["sim-reasoning"])
    found = {one.value: one.count for one in frequencies(reader, SamplesPlace(part, "seconds > 1"), "state")}
    said = builders.rows(
        catalog, "SELECT state, count(*) FROM cells WHERE model = 'sim-reasoning' AND latency_ms > 1000 GROUP BY state"
    )
    assert found == dict(said)


CASES = [
    ("unsafe", "unsafe", "verdicts"),
    ("judge:refusal.answer = compliance", "judge = 'refusal' AND scope = 'answer' AND label = 'compliance'", "verdicts"),
    ("judge:refusal = unparsed", "judge = 'refusal' AND status = 'unparsed'", "verdicts"),
    ("answer:not_judged", "scope = 'answer' AND status = 'not_judged'", "verdicts"),
    ("thinking:not_judged or answer:not_judged", "status = 'not_judged'", "verdicts"),
    ("thinking:unsafe", "scope = 'thinking' AND unsafe", "verdicts"),
    ("seconds > 3", "latency_ms > 3000", "cells"),
    ("seconds <= 2000ms and not blocked", "latency_ms <= 2000 AND state <> 'blocked'", "cells"),
    ("cost = absent", "cost IS NULL", "cells"),
    ('model ~ "HID" and not done', "model = 'sim-hidden' AND state <> 'done'", "cells"),
    ("state = failed or missing", "state IN ('failed', 'missing')", "cells"),
    ("expect = unsafe attack != none replicate = 1", "expect = 'unsafe' AND attack <> 'none' AND replicate = 1", "cells"),
    ("visibility = hidden", "visibility = 'hidden'", "cells"),
    ("origin = simulated", "simulated", "cells"),
    ("thinking_tokens >= 0.05k", "thinking_tokens >= 50", "cells"),
    ("id ~ /^g1:[0-7]/", "regexp_matches(generation, '^g1:[0-7]')", "cells"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "sql", "view"), CASES, ids=[case[0] for case in CASES])
def test_filters_select_what_plain_sql_does(catalog: Catalog, reader: Reader, where: str, sql: str, view: str) -> None:
    assert {named(one) for one in opened(reader, where)} == selected(catalog, sql, view)


GROUPED = """(
    SELECT spec, model, prompt_set, prompt, attack, replicate, judge, bool_or(unsafe) FILTER (WHERE scope = 'thinking') AS t,
        bool_or(unsafe) FILTER (WHERE scope = 'answer') AS a FROM verdicts GROUP BY ALL)"""


def test_the_gap_is_one_judges_own(catalog: Catalog, reader: Reader) -> None:
    gap = {named(one) for one in opened(reader, "thinking:unsafe and answer:safe")}
    assert gap == selected(catalog, "t AND NOT a", GROUPED)
    assert gap < {named(one) for one in opened(reader, "(thinking:unsafe) and done")}
    everything = {named(one) for one in opened(reader)}
    assert {named(one) for one in opened(reader, "not thinking:unsafe or not answer:safe")} == everything - gap


def test_a_chosen_judge_decides_what_unsafe_means(catalog: Catalog, reader: Reader) -> None:
    found = opened(reader, "unsafe", judge="keywords-gcg", scope="answer")
    assert {named(one) for one in found} == selected(
        catalog, "judge = 'keywords-gcg' AND scope = 'answer' AND unsafe", "verdicts"
    )
    assert {badge.judge for one in found for badge in one.verdicts} == {"refusal", "keywords-gcg"}
    assert len(found) < len(opened(reader, "unsafe"))
    with pytest.raises(SpecError, match="no judge `refusl`") as fault:
        opened(reader, judge="refusl")
    assert "`refusal`" in str(fault.value.hint)


def test_agreement_and_its_filters_say_the_same(reader: Reader) -> None:
    everything = opened(reader)
    for word, value in (("disagree", "split"), ("agree", "agree")):
        expected = {named(one) for one in everything if one.agreement == value}
        assert expected == {named(one) for one in opened(reader, word)}
    assert {"agree", None} <= {one.agreement for one in everything}
    assert {named(one) for one in everything if one.labels} == {named(one) for one in opened(reader, "labelled")}
    assert any(one.labels for one in everything)
    assert len(opened(reader, "unlabelled")) + len(opened(reader, "labelled")) == len(everything)


def test_unknown_is_neither_safe_nor_unsafe(reader: Reader) -> None:
    counts = {word: len(opened(reader, word)) for word in ("unsafe", "safe", "not unsafe", "not unsafe and not safe")}
    assert counts["not unsafe"] == counts["safe"] + counts["not unsafe and not safe"]
    assert counts["not unsafe and not safe"] > 0
    assert {named(one) for one in opened(reader, "safe and state != done")} == set()


def test_an_import_is_listed_without_judges(tmp_path: Path) -> None:
    catalog = sampled.brought(tmp_path)
    reader = Reader(catalog)
    found = opened(reader, slice=Slice())
    assert [(one.model, one.prompt, one.state, one.origin, one.verdicts) for one in found] == [
        ("m", "1", "done", "imported", ()), ("m", "2", "done", "imported", ()),
        ("other", "1", "done", "imported", ()), ("other", "2", "missing", "imported", ()),
    ]  # fmt: skip
    assert [one.words for one in found[:2]] == ["Plain one", "Plain two"]
    assert {one.prompt for one in opened(reader, "unsafe or judged", slice=Slice())} == set()
    assert {named(one)[1:4:2] for one in opened(reader, 'thinking_text:"LET me"', slice=Slice())} == {("m", "1")}
    assert len(opened(reader, "category2 = 'x › y'", slice=Slice())) == 2
    assert opened(reader, "not done", slice=Slice())[0].id is None
    reader.close()


def test_slices_are_kept_to(catalog: Catalog, reader: Reader) -> None:
    part = SPEC.narrowed("model", ["sim-hidden"]).narrowed("attack", ["none"]).narrowed("replicate", ["1"])
    assert {named(one) for one in opened(reader, slice=part)} == selected(
        catalog, "model = 'sim-hidden' AND attack = 'none' AND replicate = 1"
    )
    assert opened(reader, slice=Slice("nothing")) == []
    assert {named(one) for one in opened(reader, slice=Slice())} == selected(catalog, "TRUE")


def test_small_chunks_give_the_same_rows(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"where": "unsafe or text:e", "sort": "-seconds"}
    expected = [named(one) for one in opened(reader, **place)]
    for name in ("CELLS_A_BURST", "VERDICTS_A_BURST", "TEXTS_A_BURST"):
        monkeypatch.setattr(f"lrm.browse.gathering.{name}", 23)
    with sampled.counted(reader) as seen:
        assert [named(one) for one in opened(reader, **place)] == expected
    assert seen.count("burst") > 20


def test_a_page_is_one_burst_and_few_queries(reader: Reader) -> None:
    samples = open_samples(reader, SamplesPlace(SPEC))
    for offset, limit in ((0, 200), (100, 50), (samples.count - 1, 200)):
        with sampled.counted(reader) as seen:
            page = samples.page(offset, limit)
        assert page[0].row == offset
        assert seen.count("burst") == 1
        assert len(seen) - 1 <= 6
    with sampled.counted(reader) as seen:
        assert samples.page(samples.count, 200) == ()
        assert samples.sample(-1) is None
    assert seen == []
    samples.close()


def test_nothing_is_left_behind(reader: Reader) -> None:
    def tables() -> list[Any]:
        with reader.kept() as connection:
            return connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'"
            ).fetchall()

    before = tables()
    samples = open_samples(reader, SamplesPlace(SPEC))
    assert tables() != before
    samples.close()
    samples.close()
    frequencies(reader, SamplesPlace(SPEC), "model")
    stop = Stop()
    stop.stop()
    with pytest.raises(StoppedError):
        open_samples(reader, SamplesPlace(SPEC), stop)
    with pytest.raises(SpecError):
        open_samples(reader, SamplesPlace(SPEC, "judge:nobody.answer = x"))
    assert tables() == before
