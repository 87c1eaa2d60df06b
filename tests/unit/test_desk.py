"""The desk of a running fill: what other processes find of it, tell it, and clear away when it is dead."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrm import clock
from lrm.errors import CatalogError, MissingError
from lrm.run import desk as desks
from lrm.run.desk import Desk, Died, RunState, died, find, running, sweep, tell
from lrm.run.wishes import LONGEST, InFlight, Pause, Resume, Stop, Wish, Wishes, append, written
from lrm.store.catalog import Catalog
from lrm.store.live import is_live, living
from tests.desks import LANE, ROOT, held


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


@pytest.fixture
def said() -> list[str]:
    return []


@contextmanager
def opened(catalog: Catalog, said: list[str], run: str = "r1", spec: str = "small") -> Iterator[Desk]:
    with Desk.open(catalog, run, spec=spec, doing=f"lrm matrix fill {spec}.toml", say=said.append) as desk:
        yield desk


def left(catalog: Catalog) -> set[str]:
    return {path.name for path in catalog.runs_folder.iterdir()}


def full(*_: Any, **__: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_nothing_runs_where_there_is_no_folder(catalog: Catalog) -> None:
    assert running(catalog) == ()
    assert died(catalog) == ()
    sweep(catalog)
    assert not catalog.runs_folder.exists()


def test_what_a_fill_says_is_read_back(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said) as desk:
        (planning,) = running(catalog)
        assert (planning.run, planning.spec, planning.state, planning.pid) == ("r1", "small", "planning", os.getpid())
        desk.publish(state="running", lanes=(LANE,), budget="$0.25 of $1", note="a note")
        (now,) = running(catalog)
        assert now.lanes == (LANE,)
        assert (now.state, now.budget, now.note, now.heard) == ("running", "$0.25 of $1", "a note", ())
        desk.log_file.write_text("kept\n")
    assert running(catalog) == ()
    assert left(catalog) == {"r1.log.jsonl"}
    assert said == []


def test_a_state_is_not_written_more_often_than_it_is_worth(
    catalog: Catalog, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    def shown() -> tuple[str, int, float | None]:
        (state,) = running(catalog)
        return state.state, sum(lane.done for lane in state.lanes), state.speed

    with opened(catalog, said) as desk:
        now += 1
        desk.publish(state="running", lanes=(replace(LANE, done=10),))
        now += 0.5
        desk.publish(state="running", lanes=(replace(LANE, done=15),))
        assert shown()[:2] == ("running", 10)
        now += 0.5
        desk.publish(state="running", lanes=(replace(LANE, done=30),))
        assert shown() == ("running", 30, 16.0)  # 30 done and 2 failed, within 2 s
        desk.publish(state="paused", lanes=(replace(LANE, done=31),))
        assert shown()[:2] == ("paused", 31)
        for _ in range(12):
            now += 1
            desk.publish(state="paused", lanes=(replace(LANE, done=31),))
        assert shown() == ("paused", 31, 0.0)


def test_a_killed_fill_is_dead_at_once_and_swept_by_the_next(catalog: Catalog, said: list[str]) -> None:
    with held(catalog, "r1") as holder:
        assert [one.run for one in running(catalog)] == ["r1"]
        holder.kill()
        assert running(catalog) == ()
        assert left(catalog) == {"r1.json", "r1.wishes", "r1.lock"}
        (dead,) = died(catalog)
        assert (dead.run, dead.segments) == ("r1", 0)
        assert dead.last is not None
        assert (dead.last.spec, dead.last.pid) == ("small", holder.process.pid)
    (catalog.runs_folder / "r1.log.jsonl").touch()
    with opened(catalog, said, "r2"):
        assert left(catalog) == {"r1.log.jsonl", "r2.json", "r2.wishes", "r2.lock"}


def test_a_live_fill_is_not_swept_by_another_process(catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        before = left(catalog)
        sweep(catalog)
        assert left(catalog) == before
        holder.end()
        assert left(catalog) == set()


def test_a_pid_that_was_used_again_makes_no_dead_fill_live(catalog: Catalog) -> None:
    catalog.runs_folder.mkdir()
    mine = RunState("r1", "small", "x", "here", os.getpid(), "2026-01-01T00:00:00+00:00", "running")
    (catalog.runs_folder / "r1.json").write_bytes(desks._dumped(mine))
    (catalog.runs_folder / "r1.lock").touch()
    assert running(catalog) == ()
    assert [one.run for one in died(catalog)] == ["r1"]


def test_a_run_that_begins_while_another_sweeps_keeps_a_lock(catalog: Catalog) -> None:
    """The sweeper holds the lock while it removes the file; who waits for it then takes a new file."""
    catalog.runs_folder.mkdir()
    lock = catalog.runs_folder / "r1.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    words = [sys.executable, "-m", "tests.desks", str(catalog.path), "r1", "small"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lock.unlink()
        os.close(descriptor)
        assert process.stdout.readline() == "open\n"
        assert is_live(catalog, "r1")
        sweep(catalog)
        assert is_live(catalog, "r1")
        process.stdin.close()


def test_what_dead_runs_left_in_the_journal_is_named(catalog: Catalog) -> None:
    catalog.journal_folder.mkdir()
    (catalog.journal_folder / "r1-000001.jsonl").write_bytes(b"12345")
    (catalog.journal_folder / "r1-000002.jsonl").write_bytes(b"123")
    (catalog.journal_folder / "r2-000001.jsonl").write_bytes(b"1")
    with living(catalog, "r2"):
        assert died(catalog) == (Died("r1", None, 2, 8),)
    assert [one.run for one in died(catalog)] == ["r1", "r2"]


TORN = [
    b"", b"{", b"\x00", b"[]", b"null", b'{"run": "r1"', b'{"run": "r2", "state": "running"}', b'{"run": 5}',
    b'{"run": "r1", "state": "on fire"}', b'{"run": "../../x", "state": "running"}', b"[" * 100_000,
    b'{"run": "r1", "state": "running", "pid": "me"}', b'{"run": "r1", "state": "running", "speed": 1e999}',
    b'{"run": "r1", "state": "running", "speed": NaN}', b'{"run": "\\ud800", "state": "running"}',
]  # fmt: skip


@pytest.mark.parametrize("torn", TORN, ids=[repr(one[:40]) for one in TORN])
def test_a_live_fill_whose_state_cannot_be_read_is_still_there(catalog: Catalog, torn: bytes) -> None:
    with living(catalog, "r1"):
        assert running(catalog) == (RunState("r1"),)
        (catalog.runs_folder / "r1.json").write_bytes(torn)
        assert running(catalog) == (RunState("r1"),)
        assert find(catalog, None).state == "unknown"
    assert [one.last for one in died(catalog)] == [None]


def test_a_state_with_more_in_it_than_is_known_is_read(catalog: Catalog) -> None:
    with living(catalog, "r1"):
        value = {"run": "r1", "state": "running", "mood": "good", "lanes": [{**lane_object(), "colour": "red"}]}
        (catalog.runs_folder / "r1.json").write_text(json.dumps(value))
        assert running(catalog) == (RunState("r1", state="running", lanes=(LANE,)),)


def lane_object() -> dict[str, Any]:
    return {name: getattr(LANE, name) for name in LANE.__slots__}


def test_text_that_no_file_can_hold_does_not_stop_a_fill(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said, spec="small\udcff") as desk:
        desk.publish(state="running", lanes=(replace(LANE, stopped="half \ud83d of a sign"),))
        (state,) = running(catalog)
        assert (state.spec, state.lanes[0].stopped) == ("small�", "half � of a sign")
    assert said == []


# --- wishes ---


ALL: list[Wish] = [Pause(), Resume(), Stop(), Stop(now=True), InFlight("*", 5), InFlight("qwen*", 0)]


def test_each_wish_is_heard_once_and_in_order(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said) as desk:
        for wish in ALL:
            assert tell(catalog, "r1", wish).answer == "none"
        assert desk.wishes() == ALL
        assert desk.wishes() == []


def test_a_fill_says_that_it_has_obeyed(catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        told = tell(catalog, None, Pause(), patience_s=60)
        assert (told.answer, told.state.state) == ("obeyed", "paused")
        told = tell(catalog, "small", InFlight("m", 3), patience_s=60)
        assert (told.answer, [lane.limit for lane in told.state.lanes]) == ("obeyed", [3, 8])
        assert tell(catalog, "r", Resume(), patience_s=60).state.state == "running"
        assert tell(catalog, "r1", Stop(now=True), patience_s=60).answer == "ended"
        assert [holder.said() for _ in range(4)] == [
            "Pause()", "InFlight(model='m', most=3)", "Resume()", "Stop(now=True)",
        ]  # fmt: skip


def test_a_fill_that_is_killed_or_deaf_has_not_obeyed(catalog: Catalog) -> None:
    with held(catalog, "r1", deaf=True) as holder:
        assert tell(catalog, None, Pause()).answer == "none"
        holder.kill()
        with pytest.raises(MissingError, match="no fill is running"):
            tell(catalog, None, Pause())


TELLER = """
import sys
from pathlib import Path
from lrm.run.wishes import InFlight, append
for number in range(200):
    append(Path(sys.argv[1]), InFlight(sys.argv[2], number))
"""


def test_no_wish_of_several_processes_is_lost_or_mixed_up(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said) as desk:
        path = catalog.runs_folder / "r1.wishes"
        tellers = [
            subprocess.Popen([sys.executable, "-c", TELLER, str(path), f"m{each}"], cwd=ROOT) for each in range(4)
        ]
        heard: list[Wish] = []
        while any(teller.poll() is None for teller in tellers):
            heard += desk.wishes()
        assert [teller.returncode for teller in tellers] == [0, 0, 0, 0]
        while new := desk.wishes():
            heard += new
    for each in range(4):
        mine = [one.most for one in heard if isinstance(one, InFlight) and one.model == f"m{each}"]
        assert mine == list(range(200))


def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "r1.wishes"
    wishes = Wishes(path)
    assert wishes.new() == []
    line = written(Pause(), "a")
    path.write_bytes(line[:9])
    assert wishes.new() == []
    with path.open("ab") as file:
        file.write(line[9:])
    assert wishes.new() == [Pause()]
    assert wishes.heard == ("a",)


def test_a_wish_after_half_a_line_is_heard(tmp_path: Path) -> None:
    """A full disk cut the line before off."""
    path = tmp_path / "r1.wishes"
    path.write_bytes(written(Pause(), "a")[:9])
    name = append(path, Resume())
    wishes = Wishes(path)
    assert wishes.new() == [Resume()]
    assert wishes.heard == (name,)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"null", b"5", b'"pause"', b"{}", b'{"wish": "explode"}', b'{"wish": ["pause"]}', b"\x00\xff",
        b'{"wish": "in_flight", "model": "*", "most": -1}', b'{"wish": "in_flight", "model": "*", "most": true}',
        b'{"wish": "in_flight", "model": "*", "most": 1.5}', b'{"wish": "in_flight", "model": 5, "most": 1}',
        b'{"wish": "in_flight", "model": "*", "most": 100000000000000000000000}', b"[" * 10_000, b"x" * (3 * LONGEST),
    ],
    ids=lambda line: repr(line[:50]),
)  # fmt: skip
def test_what_is_no_wish_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "r1.wishes"
    path.write_bytes(line + b"\n")
    append(path, Pause())
    wishes = Wishes(path)
    assert [wish for _ in range(5) for wish in wishes.new()] == [Pause()]


def test_a_wish_without_an_id_or_with_a_silly_one_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "r1.wishes"
    silly = {"wish": "pause", "id": "x" * 1000}
    path.write_text(f'{{"wish": "stop"}}\n{json.dumps(silly)}\n{{"wish": "resume", "id": 5}}\n')
    wishes = Wishes(path)
    assert wishes.new() == [Stop(), Pause(), Resume()]
    assert wishes.heard == ()


# --- names ---


def test_a_fill_is_named_by_its_run_its_beginning_or_its_spec(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said, "r20260101-1", "small"), opened(catalog, said, "r20260102-2", "large"):
        for name in ("r20260101-1", "r20260101", "small", "specs/small.toml", "sm"):
            assert find(catalog, name).run == "r20260101-1"
        with pytest.raises(MissingError, match="several fills are running") as several:
            find(catalog, None)
        assert "r20260101-1 (small), r20260102-2 (large)" in str(several.value)
        with pytest.raises(MissingError, match="`r2026` means several"):
            find(catalog, "r2026")
        with pytest.raises(MissingError, match="no running fill is called `lrge`") as unknown:
            find(catalog, "lrge")
        assert "did you mean `large`?" in str(unknown.value)
        with pytest.raises(MissingError):
            find(catalog, "")


def test_a_whole_run_id_counts_before_the_beginning_of_another(catalog: Catalog, said: list[str]) -> None:
    with opened(catalog, said, "r1"), opened(catalog, said, "r12"):
        assert find(catalog, "r1").run == "r1"
    with opened(catalog, said, "x1", "small"), opened(catalog, said, "x2", "smaller"):
        assert find(catalog, "small").run == "x1"


# --- what cannot be written ---


def test_a_full_disk_is_said_once_and_the_fill_goes_on(
    catalog: Catalog, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(catalog, said) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            desk.publish(state="running", lanes=(LANE,))
            desk.publish(state="paused", lanes=(LANE,))
        assert [(one.run, one.state) for one in running(catalog)] == [("r1", "planning")]
        assert tell(catalog, None, Pause()).answer == "none"
        assert desk.wishes() == [Pause()]
        desk.publish(state="paused", lanes=(LANE,))
        assert [one.state for one in running(catalog)] == ["paused"]
    assert len(said) == 1
    assert "No space left" in said[0]


def test_a_folder_that_cannot_be_written_leaves_a_fill_mute_and_deaf(
    catalog: Catalog, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock it has; `living` refuses where even that cannot be."""

    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with living(catalog, "other"), monkeypatch.context() as patch:
        patch.setattr(Desk, "_listen", lambda desk: desk._cannot(OSError(errno.EACCES, os.strerror(errno.EACCES))))
        patch.setattr(Path, "write_bytes", refused)
        with opened(catalog, said) as desk:
            assert desk.wishes() == []
            desk.publish(state="running")
            assert {one.run: one.state for one in running(catalog)} == {"r1": "unknown", "other": "unknown"}
            with pytest.raises(CatalogError, match="cannot be told anything"):
                tell(catalog, "r1", Pause())
    assert len(said) == 1


def test_a_fill_of_another_user_cannot_be_told(
    catalog: Catalog, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(catalog, said) as desk:
        whole = os.open

        def refused(path: Any, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_APPEND:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return whole(path, flags, mode)

        monkeypatch.setattr(os, "open", refused)
        with pytest.raises(CatalogError, match="Permission denied"):
            tell(catalog, None, Pause())
        monkeypatch.undo()
        assert desk.wishes() == []
