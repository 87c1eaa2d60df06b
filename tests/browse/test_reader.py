"""The reader: open only while it reads, stopped from another thread, and no writer waits for it nor it for a writer."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.errors import BusyError, MissingError
from lrm.run.fill import fill
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders

HOLDING = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""
WRITING = """
import sys
from pathlib import Path
from lrm.store.catalog import Catalog
with Catalog(Path(sys.argv[1])).writing(patience_s=5) as connection:
    connection.execute("SELECT 1")
"""
LOOKING = """
import sys
from pathlib import Path
from lrm.browse.reader import Reader
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
reader, bursts = Reader(Catalog(Path(sys.argv[1]))), 0
print("begun", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    with reader.burst(patience_s=20) as connection:
        connection.execute("SELECT state, count(*) FROM cells GROUP BY ALL").fetchall()
    bursts += 1
reader.close()
print(bursts)
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return a catalog with six responses."""
    found = Catalog(tmp_path / "catalog.duckdb")
    fill(small(), found)
    return found


def small(prompts: int = 6) -> Matrix:
    """Return a matrix of one simulated model."""
    rows = [f"prompt {n}" for n in range(prompts)]
    return builders.matrix([builders.model("m")], [builders.prompt_set("set", rows)])


def opened_elsewhere(catalog: Catalog) -> subprocess.Popen[str]:
    """Return a process that has the file open to write."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDING, str(catalog.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def count(reader: Reader) -> int:
    with reader.burst() as connection:
        return int(connection.execute("SELECT count(*) FROM cells").fetchall()[0][0])


def test_between_bursts_the_file_is_free(catalog: Catalog) -> None:
    reader = Reader(catalog)
    for _ in range(2):
        assert count(reader) == 6
        written = subprocess.run(
            [sys.executable, "-P", "-c", WRITING, str(catalog.path)], capture_output=True, text=True, check=False
        )
        assert (written.returncode, written.stderr) == (0, "")


def test_bursts_that_follow_each_other_open_the_file_once_a_turn(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    attach = Catalog.attach

    def counted(*args: Any, **named: Any) -> None:
        opened.append("x")
        attach(*args, **named)

    monkeypatch.setattr(Catalog, "attach", counted)
    monkeypatch.setattr("lrm.browse.reader.LINGER_S", 60.0)
    for turn_s, times in ((60.0, 1), (0.0, 5)):
        monkeypatch.setattr("lrm.browse.reader.TURN_S", turn_s)
        reader = Reader(catalog)
        opened.clear()
        assert [count(reader) for _ in range(5)] == [6] * 5
        assert len(opened) == times
        reader.close()


def test_bursts_may_overlap_and_the_last_closes_the_file(catalog: Catalog) -> None:
    reader = Reader(catalog)
    with reader.burst() as one:
        with reader.burst() as other:
            assert one.execute("SELECT 1").fetchall() == other.execute("SELECT 1").fetchall()
        assert len(one.execute("SELECT * FROM cells").fetchall()) == 6
    reader.let_go()
    with opened_elsewhere(catalog) as process:
        process.communicate()


def test_a_holder_is_named_and_then_it_goes_on(catalog: Catalog) -> None:
    reader = Reader(catalog)
    with opened_elsewhere(catalog) as process:
        with pytest.raises(BusyError) as caught, reader.burst(patience_s=0.2):
            pass
        assert str(process.pid) in str(caught.value)
        process.communicate()
    assert count(reader) == 6


def test_what_was_kept_is_there_without_the_file(catalog: Catalog) -> None:
    reader = Reader(catalog)
    with reader.burst() as connection:
        connection.execute("CREATE TABLE memory.main.kept AS SELECT prompt FROM cells")
    reader.let_go()
    with opened_elsewhere(catalog) as process, reader.kept() as connection:
        assert connection.execute("SELECT count(*) FROM memory.main.kept").fetchall() == [(6,)]
        process.communicate()


def test_nothing_is_written_through_a_burst(catalog: Catalog) -> None:
    with Reader(catalog).burst() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM lrm.calls")


def test_a_long_query_is_stopped_from_another_thread(catalog: Catalog) -> None:
    reader, stop, began = Reader(catalog), Stop(), threading.Event()
    ended: list[str] = []

    def count_for_long() -> None:
        try:
            with reader.burst(stop) as connection:
                began.set()
                connection.execute(
                    "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE hash(a, b) = 1"
                ).fetchall()
        except StoppedError:
            ended.append("stopped")

    thread = threading.Thread(target=count_for_long)
    thread.start()
    assert began.wait(60)
    while thread.is_alive():
        stop.stop()
        thread.join(0.05)
    assert ended == ["stopped"]
    assert count(reader) == 6
    with pytest.raises(StoppedError), reader.burst(stop):
        pass


def test_alone_waits_for_bursts_and_lets_none_begin(catalog: Catalog) -> None:
    reader = Reader(catalog)
    order: list[str] = []

    def look() -> None:
        count(reader)
        order.append("looked")

    with reader.alone() as found:
        thread = threading.Thread(target=look)
        thread.start()
        with found.writing() as connection:
            connection.execute("SELECT 1")
        order.append("wrote")
    thread.join(60)
    assert order == ["wrote", "looked"]


def test_no_catalog_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="lrm matrix fill"), Reader(Catalog(tmp_path / "none.duckdb")).burst():
        pass


def test_a_stamp_tells_that_something_was_written(catalog: Catalog) -> None:
    reader = Reader(catalog)
    before = reader.stamp()
    count(reader)
    assert reader.stamp() == before
    fill(small(9), catalog)
    assert reader.stamp() != before


def test_somebody_who_looks_all_the_time_keeps_no_fill_waiting_and_the_other_way_round(tmp_path: Path) -> None:
    """P4, with two processes: one fills and merges often, one reads without a pause."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(small(), catalog)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", LOOKING, str(catalog.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        outcomes = [fill(small(size), catalog) for size in range(60, 600, 60)]
        out, err = process.communicate("\n")
    assert (process.returncode, err) == (0, "")
    assert int(out) > len(outcomes)
    assert [outcome.done for outcome in outcomes] == [54, *[60] * 8]
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.generations") == [(540,)]
