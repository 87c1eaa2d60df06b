from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from lrm import hashing
from lrm.errors import CatalogError
from lrm.store import journal
from lrm.store.catalog import Catalog
from lrm.store.journal import Journal, Record
from lrm.store.merge import merge_dead
from lrm.store.verify import verify
from tests import builders

SPEC = builders.matrix(prompt_sets=[builders.prompt_set(rows=["one", "two", "three"])])


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


@pytest.fixture
def records(catalog: Catalog) -> list[Record]:
    """Return a response to each call of SPEC."""
    return [
        builders.record(call, by, builders.payload(f"To {call.messages}"))
        for by, call in builders.calls_of(catalog, SPEC)
    ]


def raws(catalog: Catalog) -> list[str]:
    """Return what the catalog has received, sorted."""
    return sorted(row[0] for row in builders.rows(catalog, "SELECT raw FROM lrm.generations"))


def test_what_is_written_is_read_back(catalog: Catalog, records: list[Record]) -> None:
    failure = Record(
        call=records[0]["call"], model=records[0]["model"], messages=records[0]["messages"], replicate=0, at=1,
        attempts=5, kind="server", message="It broke.",
    )  # fmt: skip
    segment = journal.read(builders.write_journal(catalog, SPEC, [*records, failure]))
    assert segment.records == (*records, failure)
    assert segment.header["models"] == builders.cards(SPEC)
    assert segment.header["run"] == "r1"
    assert not segment.damaged
    assert not segment.cut


def test_records_are_with_the_system_once_they_are_written(catalog: Catalog, records: list[Record]) -> None:
    run = Journal(catalog.journal_folder, "r1", builders.cards(SPEC))
    for count, record in enumerate(records, start=1):
        run.append(record)
        run.write()
        assert len(journal.read(run.path).records) == count
    assert run.written == 3
    assert run.bytes == sum(len(orjson.dumps(record)) + 1 for record in records)


def test_segments_follow_each_other(catalog: Catalog, records: list[Record]) -> None:
    run = Journal(catalog.journal_folder, "r1", builders.cards(SPEC))
    assert run.rotate() is None
    closed = []
    for record in records:
        run.append(record)
        closed.append(run.rotate())
    assert run.close() is None
    assert tuple(closed) == journal.segments(catalog.journal_folder)
    assert [journal.read(path).records for path in closed if path] == [(record,) for record in records]


def test_a_run_that_received_nothing_leaves_nothing(catalog: Catalog) -> None:
    run = Journal(catalog.journal_folder, "r1", {})
    assert run.close() is None
    assert run.close() is None
    assert not catalog.journal_folder.exists()


def test_a_folder_that_another_run_takes_away_is_made_again(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends removes the folder while it is empty, which may be just before this one's first segment."""
    folder, whole, taken = catalog.journal_folder, os.open, 0

    def opened(path: Path, flags: int, mode: int) -> int:
        nonlocal taken
        if taken < 3:
            taken += 1
            folder.rmdir()
        return whole(path, flags, mode)

    monkeypatch.setattr("lrm.store.journal.os.open", opened)
    begun = Journal(folder, "run", {})
    assert (taken, begun.path.is_file()) == (3, True)
    monkeypatch.undo()
    assert begun.close() is None
    assert not folder.exists()


def test_a_run_never_writes_over_another_ones_segment(catalog: Catalog, records: list[Record]) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    before = path.read_bytes()
    with pytest.raises(CatalogError, match="File exists"):
        Journal(catalog.journal_folder, "r1", {})
    assert path.read_bytes() == before


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_last_line_that_was_cut_anywhere_costs_that_line_only(catalog: Catalog, records: list[Record]) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        segment = journal.read(path)
        assert segment.records == tuple(records[:2])
        assert segment.cut == (end > start)
        assert not segment.damaged


@pytest.mark.parametrize("kept", [1, 60, -1])
def test_merging_a_cut_segment_says_so_and_keeps_the_rest(catalog: Catalog, records: list[Record], kept: int) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: start + kept] if kept > 0 else whole[:kept])
    merged = builders.merge(catalog, path)
    assert merged.generations == 2
    assert "cut off" in merged.notes[0]
    assert not path.exists()
    assert raws(catalog) == sorted(record["raw"] for record in records[:2])


@pytest.mark.parametrize("end", ["empty", "half a header", "header"])
def test_a_segment_without_a_record_is_merged_to_nothing(catalog: Catalog, records: list[Record], end: str) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    header = path.read_bytes().partition(b"\n")[0] + b"\n"
    path.write_bytes({"empty": b"", "half a header": header[:30], "header": header}[end])
    merged = builders.merge(catalog, path)
    assert merged.generations == 0
    assert not path.exists()
    assert not catalog.exists()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda line: b"\x00" * len(line),
    "half": lambda line: line[: len(line) // 2],
    "two in one": lambda line: line[:40] + line,
    "no object": lambda _: b"[1, 2]",
    "no call": lambda line: orjson.dumps({k: v for k, v in orjson.loads(line).items() if k != "call"}),
    "no response": lambda line: orjson.dumps({k: v for k, v in orjson.loads(line).items() if k != "raw"}),
    "another call's id": lambda line: orjson.dumps({**orjson.loads(line), "call": "00" * 32}),
    "no id": lambda line: orjson.dumps({**orjson.loads(line), "model": "xyz"}),
    "another replicate": lambda line: orjson.dumps({**orjson.loads(line), "replicate": 1}),
    "a flipped sign": lambda line: line.replace(b"two", b"twp"),
    "a model of no card": lambda line: orjson.dumps({**orjson.loads(line), "model": "11" * 32}),
    "no time": lambda line: orjson.dumps({**orjson.loads(line), "at": None}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_is_left_out_and_its_file_kept_aside(
    catalog: Catalog, records: list[Record], damage: str
) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    lines = path.read_bytes().split(b"\n")
    at = next(n for n, line in enumerate(lines) if b'two\\"' in line)
    lines[at] = DAMAGE[damage](lines[at])
    path.write_bytes(b"\n".join(lines))
    assert journal.read(path).damaged == (at + 1,)
    merged = builders.merge(catalog, path)
    assert merged.generations == 2
    assert "1 lines could not be read" in merged.notes[0]
    aside = path.with_name(path.name + ".damaged")
    assert aside.read_bytes() == b"\n".join(lines)
    assert journal.segments(catalog.journal_folder) == ()
    assert set(builders.missing(catalog, SPEC).values()) == {"two"}
    assert verify(catalog).problems == ()


def test_a_segment_of_a_newer_format_is_refused_and_stays(catalog: Catalog, records: list[Record]) -> None:
    path = builders.write_journal(catalog, SPEC, records)
    header, _, rest = path.read_bytes().partition(b"\n")
    newer = json.dumps({**json.loads(header), "journal": journal.FORMAT + 1, "lrm": "99.0"}).encode()
    path.write_bytes(newer + b"\n" + rest)
    before = path.read_bytes()
    with pytest.raises(CatalogError, match=r"lrm 99\.0") as caught:
        builders.merge(catalog, path)
    assert "newer" in str(caught.value.hint)
    assert path.read_bytes() == before


@pytest.mark.parametrize("header", [b"hello", b"[]", b"{}", b'{"journal": "one"}', b'{"journal": null}'])
def test_a_file_that_is_no_journal_is_refused_and_stays(catalog: Catalog, header: bytes) -> None:
    catalog.journal_folder.mkdir()
    path = catalog.journal_folder / "notes.jsonl"
    path.write_bytes(header + b"\n{}\n")
    with pytest.raises(CatalogError, match="not a journal"):
        builders.merge(catalog, path)
    assert path.exists()


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: a write that would is cut short, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 200, -1])
def test_a_write_that_does_not_fit_leaves_whole_lines_only(catalog: Catalog, records: list[Record], room: int) -> None:
    run = Journal(catalog.journal_folder, "r1", builders.cards(SPEC))
    run.append(records[0])
    run.write()
    run.append(records[1])
    size = run.path.stat().st_size
    fits = room if room >= 0 else len(orjson.dumps(records[1]))
    with files_end_at(size + fits), pytest.raises(CatalogError, match="cannot be written") as caught:
        run.write()
    assert "free some disk space" in str(caught.value.hint)
    assert run.path.stat().st_size == size
    run.append(records[2])
    path = run.close()
    assert path is not None
    assert journal.read(path).records == (records[0], records[2])
    assert not journal.read(path).damaged


def test_of_several_lines_those_that_fit_are_kept(catalog: Catalog, records: list[Record]) -> None:
    run = Journal(catalog.journal_folder, "r1", builders.cards(SPEC))
    size = run.path.stat().st_size
    for record in records:
        run.append(record)
    with files_end_at(size + len(orjson.dumps(records[0])) + 10), pytest.raises(CatalogError):
        run.write()
    assert journal.read(run.path).records == (records[0],)


def test_a_segment_that_cannot_be_begun_is_no_segment(catalog: Catalog, records: list[Record]) -> None:
    run = Journal(catalog.journal_folder, "r1", builders.cards(SPEC))
    run.append(records[0])
    run.write()
    run.flush()
    with files_end_at(10), pytest.raises(CatalogError, match="cannot be written"):
        run.rotate()
    run.append(records[1])
    with pytest.raises(CatalogError, match="cannot be written"):
        run.write()
    merge_dead(catalog, say=lambda _: None)
    assert raws(catalog) == [records[0]["raw"]]


# --- merging ----------------------------------------------------------------------------------------------------------


def test_merging_twice_changes_nothing(catalog: Catalog, records: list[Record]) -> None:
    failure = Record(
        call=records[2]["call"], model=records[2]["model"], messages=records[2]["messages"], replicate=0, at=9,
        attempts=5, kind="server", message="It broke.",
    )  # fmt: skip
    path = builders.write_journal(catalog, SPEC, [*records[:2], failure])
    content = path.read_bytes()
    first = builders.merge(catalog, path)
    assert (first.generations, first.failures) == (2, 1)
    tables = ("models", "messages", "calls", "generations", "traces", "failures")
    before = {table: builders.rows(catalog, f"FROM lrm.{table} ORDER BY ALL") for table in tables}
    catalog.journal_folder.mkdir(exist_ok=True)
    path.write_bytes(content)
    second = builders.merge(catalog, path)
    assert (second.generations, second.failures) == (0, 0)
    assert {table: builders.rows(catalog, f"FROM lrm.{table} ORDER BY ALL") for table in tables} == before


def test_a_journal_restores_a_catalog_that_was_deleted(catalog: Catalog, records: list[Record]) -> None:
    builders.answer(catalog, SPEC, limit=0)
    path = builders.write_journal(catalog, SPEC, records)
    catalog.path.unlink()
    builders.merge(catalog, path)
    assert raws(catalog) == sorted(record["raw"] for record in records)
    assert verify(catalog).problems == ()
    assert builders.planned(catalog, SPEC).calls == 0
    builders.answer(catalog, SPEC)
    assert builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state") == [("done", 3)]


def test_a_call_answered_twice_keeps_both_and_the_earlier_is_its_first(catalog: Catalog, records: list[Record]) -> None:
    later, earlier = dict(records[0]), dict(records[0])
    later |= {"raw": builders.payload("later"), "at": builders.AT + 1}
    earlier |= {"raw": builders.payload("earlier"), "at": builders.AT - 1}
    for run, one in (("r2", later), ("r1", earlier)):
        builders.merge(catalog, builders.write_journal(catalog, SPEC, [one], run=run))  # type: ignore[list-item]
    found = builders.rows(catalog, "SELECT answer, is_first FROM traces ORDER BY received_at")
    assert found == [("earlier", True), ("later", False)]
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.calls") == [(1,)]
    assert verify(catalog).problems == ()


def test_the_same_bytes_twice_are_one_response(catalog: Catalog, records: list[Record]) -> None:
    again = records[0].copy()
    again["at"] += 5
    merged = builders.merge(catalog, builders.write_journal(catalog, SPEC, [records[0], again]))
    assert merged.generations == 1
    assert raws(catalog) == [records[0]["raw"]]
    assert verify(catalog).problems == ()


def test_a_failure_and_a_later_response_is_a_response(catalog: Catalog, records: list[Record]) -> None:
    failure = Record(
        call=records[0]["call"], model=records[0]["model"], messages=records[0]["messages"], replicate=0, at=1,
        attempts=5, kind="timeout", message="late",
    )  # fmt: skip
    builders.answer(catalog, SPEC, limit=0)
    builders.merge(catalog, builders.write_journal(catalog, SPEC, [failure, records[0]]))
    states = builders.rows(catalog, "SELECT state, failure FROM cells ORDER BY ALL")
    assert states == [("done", None), ("missing", None), ("missing", None)]


STRANGE = {
    "nul": "before\x00after",
    "escapes": "\x1b[31m\x9b2J\u202e\u200b\u2028",
    "not in the basic plane": "😀𝕏",
    "quotes": "'; DROP TABLE lrm.calls; --\"",
    "newlines": "a\r\nb\u0085c\x1ed",
    "empty": "",
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_text_comes_back_as_it_was(catalog: Catalog, records: list[Record], name: str) -> None:
    text = f"<{STRANGE[name]}>"
    records[0]["raw"] = builders.payload(text, thinking=text)
    segment = builders.write_journal(catalog, SPEC, records[:1])
    assert segment.read_bytes().count(b"\n") == 2
    builders.merge(catalog, segment)
    assert raws(catalog) == [records[0]["raw"]]
    assert builders.rows(catalog, "SELECT thinking, answer FROM traces") == [(text, text)]
    assert verify(catalog).problems == ()


@pytest.mark.parametrize(
    "raw", ["", "not JSON", "\x00", "[]", "{", '{"choices": 3}', '{"choices":[{"message":{"content":"\\ud800"}}]}']
)
def test_a_payload_that_nobody_understands_is_kept(catalog: Catalog, records: list[Record], raw: str) -> None:
    records[0]["raw"] = raw
    builders.merge(catalog, builders.write_journal(catalog, SPEC, records[:1]))
    assert raws(catalog) == [raw]
    assert verify(catalog).problems == ()


def test_a_count_of_tokens_beyond_32_bits_is_kept(catalog: Catalog, records: list[Record]) -> None:
    many = 2**40
    records[0]["raw"] = json.dumps({**json.loads(builders.payload()), "usage": {"completion_tokens": many}})
    builders.merge(catalog, builders.write_journal(catalog, SPEC, records[:1]))
    assert builders.rows(catalog, "SELECT output_tokens FROM traces") == [(many,)]


def test_a_response_of_8_mb_is_kept(catalog: Catalog, records: list[Record]) -> None:
    text = "".join(hashing.text_digest(str(n)) or "" for n in range(8 * 2**20 // 64))
    records[0]["raw"] = builders.payload(text)
    builders.merge(catalog, builders.write_journal(catalog, SPEC, records))
    assert raws(catalog) == sorted(record["raw"] for record in records)
    assert builders.rows(catalog, "SELECT answer FROM traces WHERE length(answer) > 1000") == [(text,)]
    assert verify(catalog).problems == ()
