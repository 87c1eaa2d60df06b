"""The console's SQL: it reads this catalog and nothing else, says where it is wrong, stops, and gives way to a fill."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.browse.console import EXAMPLES, QueryError, documented, run
from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.errors import MissingError
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm.store.live import living
from lrm.store.views import COMMENTS

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range * b.range % 7 = 3"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("console") / "catalog.duckdb"
    fill(resolve(ROOT / "specs" / "quickstart.toml", Registry([packaged()])), Catalog(found))
    return found


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    made = Reader(Catalog(path))
    yield made
    made.close()


def test_rows_and_columns(reader: Reader) -> None:
    answer = run(reader, "SELECT model, count(*) AS n, 1 AS n, now() AS t FROM cells GROUP BY ALL ORDER BY model;")
    assert answer.columns == ("model", "n", "n_2", "t")
    assert [row[:2] for row in answer.rows] == [("sim-distilled", 180), ("sim-hidden", 180), ("sim-reasoning", 180)]
    assert isinstance(answer.rows[0][3], str)
    assert answer.cut is None


@pytest.mark.parametrize(("rows", "cut"), [(9, False), (10, False), (11, True)])
def test_the_limit_is_said(reader: Reader, rows: int, cut: bool) -> None:
    answer = run(reader, f"FROM range({rows})", limit=10)
    assert len(answer.rows) == min(rows, 10)
    assert (answer.cut is not None) == cut
    assert answer.cut is None or "10 rows" in answer.cut


def test_long_texts_are_a_limit_too(reader: Reader) -> None:
    answer = run(reader, "SELECT repeat('x', 1000000) FROM range(2000)")
    assert len(answer.rows) < 2000
    assert answer.cut is not None


@pytest.mark.parametrize(
    ("query", "at", "word"),
    [
        ("SELECT 1,\n  'ü', nope", 17, "line 2, column 8"),
        ("SELEC 1", 0, "line 1, column 1"),
        ("SELECT nope FROM cells", 7, "nope"),
        ("FROM read_csv('/etc/passwd')", 5, "no other file"),
        ("FROM '/etc/passwd'", None, ""),
        ("ATTACH '/tmp/other.duckdb'", None, "no other file"),
        ("COPY (SELECT 1) TO '/tmp/made.csv'", None, "no other file"),
        ("CREATE TABLE t (a INT)", None, "only reads"),
        ("DELETE FROM lrm.models", None, "only reads"),
        ("SET enable_external_access = true", None, "locked"),
        ("COMMIT", None, ""),
        ("-- nothing", None, "empty"),
        (" ; ", None, "empty"),
        ("SELECT '\ud800'", None, "UTF-8"),
    ],
)
def test_what_does_not_run_says_where(reader: Reader, query: str, at: int | None, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        run(reader, query)
    assert word in caught.value.message
    assert caught.value.hint
    if at is not None:
        assert caught.value.at == at


def test_nothing_is_left_locked_behind(reader: Reader, path: Path) -> None:
    with pytest.raises(QueryError):
        run(reader, "nonsense")
    run(reader, "SELECT 1")
    with reader.burst() as connection:
        assert connection.execute("SELECT count(*) FROM lrm.models").fetchall() == [(3,)]
    writes = f"import duckdb; duckdb.connect({str(path)!r}).execute('CHECKPOINT')"
    subprocess.run([sys.executable, "-P", "-c", writes], check=True)


def test_it_is_stopped(reader: Reader) -> None:
    stop = Stop()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            run(reader, ENDLESS, stop)
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not stop._running:
        assert thread.is_alive()
    stop.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert len(ended) == 1
    with pytest.raises(StoppedError):
        run(reader, "SELECT 1", stop)


def test_it_gives_way_to_a_fill(reader: Reader) -> None:
    with living(reader.catalog, "somebody"), pytest.raises(QueryError, match="a fill is running"):
        run(reader, ENDLESS, held_s=0.01)


def test_what_is_documented(reader: Reader) -> None:
    found = documented(reader)
    assert [one.view for one in found if one.column is None] == list(COMMENTS)
    assert ("cells", "state") in {(one.view, one.column) for one in found}


@pytest.mark.parametrize("example", [query for _, query in EXAMPLES])
def test_examples_run(reader: Reader, example: str) -> None:
    assert run(reader, example).columns


def test_without_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        run(Reader(Catalog(tmp_path / "none.duckdb")), "SELECT 1")
