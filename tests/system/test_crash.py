"""A fill that is killed, interrupted, shut out or out of room loses nothing, in real processes against a real server."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lrm.errors import BusyError
from lrm.run.fill import fill
from lrm.store import journal
from lrm.store.catalog import Catalog
from lrm.store.lock import locked
from lrm.store.verify import verify
from tests import builders
from tests.filling import Filling, filling, spec_of
from tests.servers import Server, serving

PROMPTS = [f"prompt {n}" for n in range(260)]
IN_FLIGHT = 8
HANGS = ["behave: hang" + " " * n for n in range(2)]
KILLS = 14


@pytest.fixture(scope="module")
def slow_process() -> Iterator[Server]:
    with serving("--latency-ms", "25") as running:
        yield running


PATIENCE_S = 120
"""Seconds after which a fill that does nothing is taken to hang, so that the suite ends."""


@pytest.fixture
def slow(slow_process: Server) -> Server:
    """Return a server that takes its time, so that calls are in flight whenever a fill dies."""
    slow_process.reset()
    return slow_process


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def asked(server: Server) -> Counter[str]:
    """Return how often the server was asked each prompt.

    Two counts: what a dead client had sent has certainly been read when the second is taken.
    """
    server.count()
    count = server.count()
    prompts = {hashlib.sha256(body.encode()).hexdigest(): _prompt(json.loads(body)) for body in count["bodies"]}
    return Counter({prompts[digest]: times for digest, times in count["by_digest"].items()})


def _prompt(body: dict[str, list[dict[str, str]]]) -> str:
    return body["messages"][-1]["content"]


def stored(catalog: Catalog) -> set[str]:
    """Return the prompts whose response is in the catalog or in a journal."""
    messages = {
        record["messages"]
        for path in journal.segments(catalog.journal_folder)
        for record in journal.read(path).records
        if "raw" in record
    }
    if catalog.exists():
        messages |= {row[0] for row in builders.rows(catalog, "SELECT messages FROM traces")}
    return {json.loads(text)[-1]["content"] for text in messages}


def wait_for(server: Server, total: int, running: Filling) -> None:
    """Return when the server has been asked so often by a fill that still runs."""
    given_up = time.monotonic() + PATIENCE_S
    while server.total() < total:
        assert running.process.poll() is None
        assert time.monotonic() < given_up, "the fill hangs"


def check_complete(catalog: Catalog, server: Server, prompts: list[str]) -> None:
    """Assert that every cell is there, graded, sound, and that a further fill asks nothing."""
    assert builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state") == [("done", len(prompts))]
    assert builders.rows(catalog, "SELECT count(*) FROM verdicts WHERE status = 'not_judged'") == [(0,)]
    assert verify(catalog).problems == ()
    before = server.total()
    assert fill(spec_of(server.url, prompts), catalog).run is None
    assert server.total() == before
    assert not catalog.journal_folder.exists()


def test_a_fill_killed_again_and_again_asks_again_only_what_was_in_flight(catalog: Catalog, slow: Server) -> None:
    """The rule, exactly: a prompt is asked once, and once more for each run that asked it and died before it was stored.

    At a kill that is true of at most as many prompts as may be in flight.
    """
    expected: Counter[str] = Counter(PROMPTS)
    for kill in range(KILLS):
        before = asked(slow)
        with filling(slow.url, catalog, PROMPTS, max_in_flight=IN_FLIGHT) as running:
            running.line("planned")
            wait_for(slow, before.total() + 1 + (kill * 7) % 23, running)
            running.process.send_signal(signal.SIGKILL)
            running.process.wait(timeout=60)
        in_flight = set(asked(slow) - before) - stored(catalog)  # a prompt that this run did not reach again is not
        assert len(in_flight) <= IN_FLIGHT
        expected.update(in_flight)
    with filling(slow.url, catalog, PROMPTS, max_in_flight=IN_FLIGHT) as running:
        outcome = running.outcome()
    assert not outcome["left"]
    assert asked(slow) == expected
    assert expected.total() > len(PROMPTS)
    check_complete(catalog, slow, PROMPTS)


@pytest.mark.parametrize("sign", ["lock", "draft or catalog", "planned", "journal", "first merge"])
def test_a_fill_killed_at_each_step_of_its_start_is_no_obstacle(catalog: Catalog, slow: Server, sign: str) -> None:
    prompts = PROMPTS[:30]
    signs: dict[str, Callable[[], bool]] = {
        "lock": catalog.lock_file.exists,
        "draft or catalog": lambda: any(catalog.path.parent.glob("catalog.duckdb*new")) or catalog.exists(),
        "planned": lambda: True,
        "journal": catalog.journal_folder.exists,
        "first merge": lambda: catalog.journal_folder.exists() and not _first_segment(catalog),
    }
    with filling(slow.url, catalog, prompts, max_in_flight=2) as running:
        if sign == "planned":
            running.line("planned")
        while not signs[sign]():
            assert running.process.poll() is None
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(timeout=60)
    in_flight = set(asked(slow)) - stored(catalog)
    assert len(in_flight) <= 2
    with filling(slow.url, catalog, prompts) as running:
        assert running.outcome()["left"] == 0
    assert asked(slow) == Counter([*prompts, *in_flight])
    check_complete(catalog, slow, prompts)


def _first_segment(catalog: Catalog) -> bool:
    return any(path.name.endswith("-000001.jsonl") for path in journal.segments(catalog.journal_folder))


def test_one_interrupt_finishes_what_is_in_flight(catalog: Catalog, slow: Server) -> None:
    with filling(slow.url, catalog, PROMPTS, max_in_flight=IN_FLIGHT) as running:
        wait_for(slow, 40, running)
        running.process.send_signal(signal.SIGINT)
        assert "waiting for the calls in flight" in running.line("say")
        outcome = running.outcome()
    assert outcome["interrupted"]
    assert outcome["failed"] == 0
    assert outcome["done"] + outcome["left"] == len(PROMPTS)
    assert outcome["done"] == slow.total() < len(PROMPTS)
    assert builders.rows(catalog, "SELECT state, done FROM lrm.runs") == [("interrupted", outcome["done"])]
    assert not catalog.journal_folder.exists()
    with filling(slow.url, catalog, PROMPTS) as running:
        assert running.outcome()["done"] == outcome["left"]
    assert asked(slow) == Counter(PROMPTS)
    check_complete(catalog, slow, PROMPTS)


def test_an_interrupt_between_two_attempts_asks_nothing_more(catalog: Catalog, server: Server) -> None:
    prompts = [f"behave: 429-retry-after{' ' * n}" for n in range(4)]
    with filling(server.url, catalog, prompts, max_in_flight=len(prompts)) as running:
        wait_for(server, len(prompts), running)
        running.process.send_signal(signal.SIGINT)
        outcome = running.outcome()
    assert (outcome["interrupted"], outcome["failed"], outcome["left"]) == (True, 0, len(prompts))
    assert server.total() == len(prompts)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_stops_at_once_and_keeps_what_was_received(
    catalog: Catalog, server: Server, second: signal.Signals
) -> None:
    prompts = [*HANGS, *PROMPTS[:20]]
    with filling(server.url, catalog, prompts, max_in_flight=4, merge_s=60) as running:
        wait_for(server, len(prompts), running)
        running.process.send_signal(signal.SIGINT)
        running.line("say")
        running.process.send_signal(second)
        outcome = running.outcome()
    assert outcome["interrupted"]
    assert (outcome["done"], outcome["left"]) == (20, len(HANGS))
    assert stored(catalog) == set(PROMPTS[:20])
    assert builders.rows(catalog, "SELECT state FROM lrm.runs") == [("interrupted",)]
    assert verify(catalog).problems == ()


def test_an_import_is_told_who_fills_the_catalog(catalog: Catalog, server: Server) -> None:
    with filling(server.url, catalog, HANGS) as running:
        wait_for(server, len(HANGS), running)
        with pytest.raises(BusyError) as caught, locked(catalog, "lrm import"):
            pass
        assert f"process {running.process.pid} on " in caught.value.message
        assert "the filling test" in caught.value.message


def test_a_reader_and_a_fill_do_not_get_into_each_others_way(catalog: Catalog, slow: Server) -> None:
    """The reader opens the file for each look, as the TUI does, while the fill merges as often as it can."""
    prompts = PROMPTS[:150]
    looks: list[int] = []
    with filling(slow.url, catalog, prompts) as running:
        wait_for(slow, 1, running)
        while running.process.poll() is None:
            looks.append(builders.rows(catalog, "SELECT count(*) FROM cells WHERE state = 'done'")[0][0])
        assert running.outcome() == {"done": len(prompts), "failed": 0, "left": 0, "interrupted": False}
    assert looks == sorted(looks)
    assert len(set(looks)) > 2
    check_complete(catalog, slow, prompts)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 8 MB; skip where the system does not let us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk takes the right to mount, which this user lacks")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def make_room(disk: Path) -> None:
    """Make the disk as large as is needed."""
    subprocess.run(["mount", "-o", "remount,size=256m", str(disk)], check=True)


def use_up(disk: Path) -> Path:
    """Write a file until the disk is full; return it."""
    padding = disk / "padding"
    with padding.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return padding


@pytest.mark.parametrize("merge_s", [0.05, 600])
def test_a_disk_that_fills_up_stops_the_fill_and_costs_nothing_that_was_stored(
    small_disk: Path, slow: Server, merge_s: float
) -> None:
    """What may be asked again: what was in flight, and what was received when there was no room for it."""
    catalog = Catalog(small_disk / "catalog.duckdb")
    with filling(slow.url, catalog, PROMPTS, max_in_flight=IN_FLIGHT, merge_s=merge_s) as running:
        wait_for(slow, 40, running)
        padding = use_up(small_disk)
        error = running.error()
    assert error["type"] == "CatalogError"
    assert "disk space" in error["hint"]
    assert running.process.returncode == 2
    padding.unlink()
    make_room(small_disk)
    kept, before = stored(catalog), asked(slow)
    lost = set(before) - kept
    assert kept
    assert len(lost) <= 3 * IN_FLIGHT
    with filling(slow.url, catalog, PROMPTS) as running:
        assert running.outcome()["left"] == 0
    assert asked(slow) - before == Counter(set(PROMPTS) - kept)
    check_complete(catalog, slow, PROMPTS)


def test_a_disk_that_is_full_from_the_start_stops_the_fill_before_the_first_call(
    small_disk: Path, slow: Server
) -> None:
    catalog = Catalog(small_disk / "catalog.duckdb")
    prompts = [f"{n} " + hashlib.shake_256(str(n).encode()).hexdigest(4000) for n in range(900)]
    with filling(slow.url, catalog, prompts) as running:
        error = running.error()
    assert error["type"] == "CatalogError"
    assert "disk space" in error["hint"]
    assert slow.total() == 0
    assert builders.rows(catalog, "SELECT count(*) FROM cells") == [(0,)]
    make_room(small_disk)
    with filling(slow.url, catalog, PROMPTS[:20]) as running:
        assert running.outcome()["done"] == 20
    check_complete(catalog, slow, PROMPTS[:20])
