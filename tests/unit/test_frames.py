"""Messages between lrm and the process of an engine, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from lrm.engines import frames


def dead() -> frames.Dead:
    return {"do": "dead"}


def answered(n: int, raw: str) -> frames.Answered:
    return {
        "do": "answered",
        "n": n,
        "raw": raw,
        "sent": "{}",
        "prompt_tokens": 1,
        "cached_tokens": 0,
        "completion_tokens": 2,
    }


async def test_messages_arrive_whole_and_in_order_and_the_end_is_told() -> None:
    here, there = socket.socketpair()
    heard: list[Any] = []
    lost = asyncio.Event()
    reading = await frames.joined(here, heard.append, lost.set)
    writing = await frames.joined(there, heard.append, lambda: None)
    # The long one is more than a socket takes at a time.
    texts = ["", "α\n\x00", "x" * 3_000_000, "end"]
    for n, text in enumerate(texts):
        writing.send(answered(n, text))
    writing.close()
    await lost.wait()
    assert [(one["n"], one["raw"]) for one in heard] == [*enumerate(texts)]
    reading.close()
    reading.send(dead())  # nobody reads it, which is no fault


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_messages_may_come_in_pieces(size: int) -> None:
    here, there = socket.socketpair()
    heard: list[Any] = []
    lost = asyncio.Event()
    await frames.joined(here, heard.append, lost.set)
    ours, theirs = socket.socketpair()
    frames.send(ours, {"form": 1, "chat": {"a": "b" * 50}, "raw": {}})
    frames.send(ours, {"wrong": None, "hint": None})
    written = theirs.recv(10_000)
    for at in range(0, len(written), size):
        there.sendall(written[at : at + size])
        await asyncio.sleep(0)
    there.close()
    await lost.wait()
    assert heard == [{"form": 1, "chat": {"a": "b" * 50}, "raw": {}}, {"wrong": None, "hint": None}]
    ours.close()
    theirs.close()


def test_what_blocks_waits_for_the_whole_answer() -> None:
    here, there = socket.socketpair()

    def answers() -> None:
        asked = frames.receive(there)
        frames.send(there, {"wrong": asked["chat"]["text"], "hint": None})
        there.close()

    other = threading.Thread(target=answers)
    other.start()
    frames.send(here, {"form": 1, "chat": {"text": "y" * 1_000_000}, "raw": {}})
    assert frames.receive(here) == {"wrong": "y" * 1_000_000, "hint": None}
    assert frames.receive(here) is None
    other.join()
    here.close()
