"""The log of a fill: one event a line, no text that was not asked for, and no fault of its own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from lrm import clock
from lrm.run import log as logs
from lrm.run.log import RunLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r1.log.jsonl"


@pytest.fixture
def said() -> list[str]:
    return []


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_an_event_is_a_line(path: Path, said: list[str]) -> None:
    log = RunLog(path, say=said.append, texts=False)
    log.event("begin", run="r1", pid=5, models=["a", "b"], cost=0.5, again=None, last=True)
    log.event("attempt failed", kind="timeout", attempt=2)
    assert not path.exists()
    log.write()
    log.write()
    first, second = lines(path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("at"))
    assert first.pop("t") >= 0
    assert first == {
        "event": "begin", "run": "r1", "pid": 5, "models": ["a", "b"], "cost": 0.5, "again": None, "last": True,
    }  # fmt: skip
    assert (second["event"], second["kind"], second["attempt"]) == ("attempt failed", "timeout", 2)
    assert said == []


def test_a_clock_that_jumps_does_not_confuse_the_order(
    path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = iter([10.0, 10.5, 11.75])
    monkeypatch.setattr(clock, "monotonic", lambda: next(steady))
    log = RunLog(path, say=said.append)
    log.event("one")
    log.event("two")
    log.write()
    assert [line["t"] for line in lines(path)] == [0.5, 1.75]


@pytest.mark.parametrize(
    ("asked", "texts", "there"),
    [("", None, False), ("0", None, False), ("1", None, True), ("1", False, False), ("", True, True)],
)
def test_what_a_provider_said_is_written_only_when_asked_for(
    path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, asked: str, texts: bool | None, there: bool
) -> None:
    monkeypatch.setenv(logs.TEXTS, asked)
    log = RunLog(path, say=said.append, texts=texts)
    log.event("model stopped", model="m", said="Tell me about subject 7. is not allowed, sk-abcdefgh12345678")
    log.write()
    (line,) = lines(path)
    assert line.get("said") == ("Tell me about subject 7. is not allowed, [key]" if there else None)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Bearer abc.def", "[key]"),
        ("the key sk-live-abcdefgh12345678 is wrong", "the key [key] is wrong"),
        ("http://me:secret@host.test/v1", "http://[key]@host.test/v1"),
        (["http://me:secret@host.test/v1", "x"], ["http://[key]@host.test/v1", "x"]),
        ("half \ud83d of a sign", "half � of a sign"),
        (["\udcff"], ["�"]),
        ("x" * 10_000, "x" * 499 + "…"),
        (2**70, str(2**70)),
        (float("nan"), None),
        ("\x1b[31m\n", "\x1b[31m"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_no_value_breaks_a_line_or_tells_a_secret(path: Path, said: list[str], value: Any, written: Any) -> None:
    log = RunLog(path, say=said.append)
    log.event("stopping", reason=value)
    log.event("next")
    log.write()
    first, second = lines(path)
    assert first["reason"] == written
    assert second["event"] == "next"
    assert b"\x1b" not in path.read_bytes()


def test_a_field_cannot_take_the_place_of_when_and_what(path: Path, said: list[str]) -> None:
    log = RunLog(path, say=said.append)
    log.event("real", at="never", t=-1, event="false")
    log.write()
    (line,) = lines(path)
    assert (line["event"], line["at"] == "never", line["t"] < 0) == ("real", False, False)


def test_a_disk_that_takes_nothing_is_said_once(said: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    log = RunLog(Path("/dev/full"), say=said.append)
    for _ in range(3):
        log.event("attempt failed")
        log.write()
    assert len(said) == 1
    assert "No space left" in said[0]


def test_what_a_full_disk_did_not_take_is_written_later(
    path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(path, say=said.append)
    log.event("one")
    whole = os.write
    room = iter([10])

    def little(descriptor: int, data: bytearray) -> int:
        for left in room:
            return whole(descriptor, data[:left])
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", little)
        log.write()
        log.event("two")
        log.write()
    log.event("three")
    log.write()
    assert [line["event"] for line in lines(path)] == ["one", "two", "three"]
    assert len(said) == 1


def test_what_waits_for_a_disk_stays_within_bounds(
    path: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 1000)
    log = RunLog(path, say=said.append)
    path.mkdir()
    for number in range(500):
        log.event("attempt failed", number=number)
        log.write()
    assert len(log._waiting) < 1200
    path.rmdir()
    log.write()
    log.write()
    *kept, last = lines(path)
    assert [line["number"] for line in kept] == list(range(len(kept)))
    assert (last["event"], last["events"]) == ("left out", 500 - len(kept))
    assert len(said) == 1


def test_a_log_that_is_large_takes_only_what_is_rare(
    path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 2000)
    monkeypatch.setattr(logs, "RARE", 50)
    log = RunLog(path, say=said.append)
    for _ in range(200):
        log.event("attempt failed")
        log.write()
    log.event("end")
    log.write()
    names = [line["event"] for line in lines(path)]
    assert names == ["attempt failed"] * 50 + ["large", "end"]
