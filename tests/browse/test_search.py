"""Words are found where they are, chunk by chunk, and a writer gets its turn between two chunks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from lrm.browse.axes import Slice
from lrm.browse.places import SearchPlace
from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.browse.search import CHUNK, EXCERPT, MOST_HITS, Found, find
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


def looked(
    reader: Reader, words: str, within: str = "thinking", part: Slice = SPEC, most: int = MOST_HITS, chunk: int = CHUNK
) -> list[Found]:
    return list(find(reader, SearchPlace(words, part, within), most=most, chunk=chunk))


@pytest.mark.parametrize(("within", "text"), [("thinking", "t.thinking"), ("answer", "t.answer"), ("prompt", "p.text")])
@pytest.mark.parametrize(("words", "sql"), [("THE", "ILIKE '%the%'"), ("/\\bs[a-z]+/", "~ '(?is).*\\bs[a-z]+.*'")])
def test_hits_are_what_plain_sql_finds(
    catalog: Catalog, reader: Reader, within: str, text: str, words: str, sql: str
) -> None:
    found = looked(reader, words, within, chunk=50)
    hits = [hit for one in found for hit in one.hits]
    expected = builders.rows(
        catalog,
        f"""
        SELECT c.model, c.prompt, c.attack, c.replicate, coalesce(c.generation, c.call) FROM cells c
        JOIN lrm.prompts p ON p.n = c.prompt_n LEFT JOIN lrm.traces t ON t.generation_n = c.generation_n
        WHERE {text} {sql}
        """,
    )
    assert len(expected) > 10
    assert sorted((hit.model, hit.prompt, hit.attack, hit.replicate, hit.id or "") for hit in hits) == sorted(expected)
    assert len(found) > 3
    assert [one.scanned for one in found] == sorted(one.scanned for one in found)
    assert found[-1].scanned == found[-1].total
    assert found[-1].complete


def test_an_excerpt_is_around_the_hit(catalog: Catalog, reader: Reader) -> None:
    for found in looked(reader, "the"):
        for hit in found.hits:
            assert len(hit.excerpt) <= EXCERPT
            inside = slice(hit.start - hit.excerpt_start, hit.end - hit.excerpt_start)
            assert hit.excerpt[inside].lower() == "the"
            whole = builders.rows(catalog, "SELECT thinking FROM traces WHERE generation = ?", hit.id)[0][0]
            assert whole[hit.start : hit.end].lower() == "the"
            assert whole[hit.excerpt_start :].startswith(hit.excerpt)


def test_a_letter_that_grows_when_made_small_moves_nothing(tmp_path: pytest.TempPathFactory) -> None:
    from lrm.browse.search import _where

    assert _where("İİ word", "WORD", is_regex=False) == (3, 7)
    assert _where("ab", "b", is_regex=False) == (1, 2)


def test_hits_are_capped_and_it_says_so(reader: Reader) -> None:
    everything = [hit for one in looked(reader, "the") for hit in one.hits]
    found = looked(reader, "the", most=5, chunk=50)
    hits = [hit for one in found for hit in one.hits]
    assert hits == everything[:5]
    assert found[-1].capped
    assert not found[-1].complete
    assert not any(one.capped for one in found[:-1])
    exact = looked(reader, "the", most=len(everything))
    assert not exact[-1].capped


def test_a_slice_is_kept_to(reader: Reader) -> None:
    part = SPEC.narrowed("model", ["sim-hidden"]).narrowed("replicate", ["1"])
    hits = [hit for one in looked(reader, "the", "answer", part) for hit in one.hits]
    assert {(hit.model, hit.replicate) for hit in hits} == {("sim-hidden", 1)}
    assert looked(reader, "the", part=Slice("nothing")) == [Found((), 0, 0)]


@pytest.mark.parametrize(
    ("words", "within", "said"),
    [("", "thinking", "no words"), ("/(/", "answer", "regular"), ("a", "verdict", "verdict")],
)
def test_what_cannot_be_looked_for_is_refused_at_once(reader: Reader, words: str, within: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        find(reader, SearchPlace(words, SPEC, within))


def test_signs_of_patterns_are_themselves_in_words(reader: Reader) -> None:
    assert [hit for one in looked(reader, "%") for hit in one.hits] == []
    assert [hit for one in looked(reader, "' OR TRUE --") for hit in one.hits] == []


def test_it_can_be_stopped_between_chunks_and_leaves_nothing(reader: Reader) -> None:
    stop = Stop()
    found = find(reader, SearchPlace("the", SPEC), stop, chunk=20)
    next(found)
    stop.stop()
    with pytest.raises(StoppedError):
        next(found)
    with reader.kept() as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'memory'").fetchall() == [
            (0,)
        ]


WRITER = """
import sys
from pathlib import Path
from lrm.store.catalog import Catalog
with Catalog(Path(sys.argv[1])).writing(patience_s=0) as connection:
    connection.execute("UPDATE lrm.runs SET reason = 'looked'")
"""


def test_a_writer_in_another_process_gets_its_turn_between_chunks(catalog: Catalog, reader: Reader) -> None:
    found = find(reader, SearchPlace("the", SPEC), chunk=100)
    chunks = [next(found)]
    written = subprocess.run(
        [sys.executable, "-c", WRITER, str(catalog.path)], capture_output=True, text=True, check=False
    )
    assert written.returncode == 0, written.stderr
    assert builders.rows(catalog, "SELECT DISTINCT reason FROM lrm.runs") == [("looked",)]
    chunks += found
    assert chunks[-1].complete
    assert len(chunks) > 2


def test_each_chunk_is_one_burst(reader: Reader) -> None:
    with sampled.counted(reader) as seen:
        chunks = looked(reader, "the", chunk=50)
    assert seen.count("burst") == len(chunks) + 1
    assert len(seen) <= 4 * len(chunks) + 10
