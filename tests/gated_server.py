"""An OpenAI-compatible server that keeps a book of what it was asked and finished sending, with a gate before what it sends.

    python tests/gated_server.py --latency-ms 20

`GET /book` returns the book; `POST /hold?after=N` lets N more responses out and holds back the others; `POST /let-go` opens the
gate again; `POST /reset` forgets everything. Models answer as tests/judge_server.py scripts them, any other briefly. A last
message `behave: 500-once` or `behave: drop-once` fails the first time that it is asked.

A question is known by its model and the id of its messages, so that the catalog knows it by the same name.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import stat
import sys
from collections import Counter, deque
from pathlib import Path
from typing import Any

import orjson

if __name__ == "__main__":  # run by itself, it finds its neighbours only from the root
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lrm import hashing
from tests import judge_server

REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}


class Book:
    """What was asked and what became of it, since the last reset."""

    def __init__(self) -> None:
        self.in_flight = 0
        """Questions not answered yet, of clients that are still there."""
        self.reset()

    def reset(self) -> None:
        """Forget everything and open the gate."""
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        """Responses of which the last byte was handed to the client's connection."""
        self.refused: Counter[str] = Counter()
        """The same of failures, and connections that were dropped."""
        self.room: int | None = None
        """Responses that may still go out; None is any number."""
        self.held: deque[tuple[Connection, bytes]] = deque()

    def let_go(self) -> None:
        """Open the gate."""
        self.room = None
        while self.held:
            connection, data = self.held.popleft()
            connection.send(data)

    def as_json(self) -> bytes:
        """Return the book."""
        return orjson.dumps({name: getattr(self, name) for name in ("in_flight", "room", "asked", "sent", "refused")})


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests in, one response each, in order."""

    def __init__(self, latency_s: float, book: Book) -> None:
        self.latency_s = latency_s
        self.book = book
        self.buffer = b""
        self.busy = False
        self.key = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self.busy:
            self.book.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while not self.busy:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.respond(head.split(b" ", 2)[1].decode(), rest[:length])

    def respond(self, path: str, body: bytes) -> None:
        """Answer one request, now or later."""
        book = self.book
        if path.endswith("/chat/completions"):
            self.complete(orjson.loads(body))
            return
        if path.startswith("/hold?after="):
            book.room = int(path.partition("=")[2])
        elif path == "/let-go":
            book.let_go()
        elif path == "/reset":
            book.reset()
        self.transport.write(response(book.as_json(), 200 if path.count("/") == 1 else 404))

    def complete(self, request: dict[str, Any]) -> None:
        """Write a question into the book and answer it after about as long as the server takes."""
        self.key = key_of(request["model"], request["messages"])
        self.book.asked[self.key] += 1
        last = request["messages"][-1]["content"]
        if last.startswith("behave: ") and self.book.asked[self.key] == 1:
            if "drop" in last:
                self.book.refused[self.key] += 1
                self.transport.close()
                return
            data = response(b'{"error": {"message": "Something broke."}}', 500)
        else:
            data = response(reply(request))
        self.busy = True
        self.book.in_flight += 1
        asyncio.get_running_loop().call_later(self.latency_s * random.uniform(0.2, 1.8), self.pass_gate, data)

    def pass_gate(self, data: bytes) -> None:
        """Send a response, or hold it back."""
        if self.book.room == 0:
            self.book.held.append((self, data))
            return
        if self.book.room is not None:
            self.book.room -= 1
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send a response, write that into the book and go on with what came in meanwhile."""
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if not self.transport.get_write_buffer_size():
            (self.book.sent if data.startswith(b"HTTP/1.1 200 ") else self.book.refused)[self.key] += 1
        self.busy = False
        self.book.in_flight -= 1
        self.data_received(b"")


def key_of(model: str, messages: Any) -> str:
    """Return what a question is known by."""
    return f"{model} {hashing.messages_text_id(hashing.canonical(messages).decode()).hex()}"


def response(body: bytes, status: int = 200) -> bytes:
    """Return the bytes of an HTTP response."""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    return f"HTTP/1.1 {status} {REASONS[status]}\r\n{kind}\r\n\r\n".encode() + body


def reply(request: dict[str, Any]) -> bytes:
    """Return the payload of a completion. Nothing in it depends on the time: same request, same bytes."""
    if request["model"] in judge_server.MODES:
        message, finish = judge_server.reply(request["model"], request)
    else:
        message, finish = {"content": f"An answer to: {request['messages'][-1]['content']}"}, "stop"
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 11, "completion_tokens": 34, "total_tokens": 45}
    return orjson.dumps({"object": "chat.completion", "model": request["model"], "choices": [choice], "usage": usage})


async def serve(latency_s: float) -> None:
    """Serve on this machine until standard input closes."""
    loop, book = asyncio.get_running_loop(), Book()
    listening = await loop.create_server(lambda: Connection(latency_s, book), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    closed = asyncio.Event()
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, lambda: None if os.read(0, 4096) else closed.set())
    await closed.wait()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description="test server with a gate")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().latency_ms / 1000))


if __name__ == "__main__":
    main()
