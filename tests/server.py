"""An OpenAI-compatible server for tests and benchmarks: a process of its own that does what it is told and counts.

    python tests/server.py --port 0 --port-file F     says its port in F and serves until it is stopped

It also stops when its standard input is a pipe and that closes, so that it never outlives a test.
What it does is named by the request's `model` (after the last `/`), or by a last message `behave: NAME`; see
`tests/behaviours.py` and `tests/chaos_server.py`. Written on the bare protocol: with the model `bench`, which gets a prebuilt
reply of 3.6 kB, one core answers more requests than a client on another core can make.

    GET /count      what was asked since the last reset
    GET /calls      by the digest of the body: how often it came, and what became of it; and the order of arrivals
    POST /reset     forget it, and all orders
    POST /orders    how long it takes and what it refuses: `chaos_server.Orders` as JSON
    POST /down      listen no more and drop all connections; the reply names a port on which `POST /up` undoes it
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import socket
import stat
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import orjson

if __name__ == "__main__":  # run by itself, it finds its neighbours only from the root
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.behaviours import BEHAVIOURS, BENCH, failure, response
from tests.chaos_server import ONCE, WAYS, Orders, Provider, Script, orders_of, scheduled, script, with_headers

KEPT_BODIES = 1000
KEPT_ARRIVALS = 50_000
SHOWN = 120
"""Characters of a last message that are kept with its digest."""


@dataclass(slots=True)
class Seen:
    """What became of the requests of one body."""

    model: str
    last: str
    """How the last message begins."""
    received: int = 0
    finished: int = 0
    """Replies with a status below 300 of which the kernel has taken the last byte."""
    refused: int = 0
    """Other whole responses."""
    broken: int = 0
    """Responses that were ended before their end, by order or by the client."""


class Counts:
    """What was asked since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.started = time.monotonic()
        self.total = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self.by_model: Counter[str] = Counter()
        self.by_digest: Counter[str] = Counter()
        self.by_key: Counter[str] = Counter()
        self.model_in_flight: Counter[str] = Counter()
        self.model_in_flight_max: Counter[str] = Counter()
        self.elsewhere = 0
        self.bodies: deque[str] = deque(maxlen=KEPT_BODIES)
        self.seen: dict[str, Seen] = {}
        self.arrivals: deque[tuple[float, str, str]] = deque(maxlen=KEPT_ARRIVALS)

    def begin(self, model: str) -> None:
        """A response is being made."""
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        self.model_in_flight[model] += 1
        self.model_in_flight_max[model] = max(self.model_in_flight_max[model], self.model_in_flight[model])

    def end(self, model: str) -> None:
        """It is made, or never will be."""
        self.in_flight -= 1
        self.model_in_flight[model] -= 1

    def as_json(self) -> bytes:
        """Return all counts."""
        return orjson.dumps(
            {
                "total": self.total,
                "in_flight_max": self.in_flight_max,
                "by_model": self.by_model,
                "by_digest": self.by_digest,
                "by_key": self.by_key,
                "model_in_flight_max": self.model_in_flight_max,
                "elsewhere": self.elsewhere,
                "bodies": list(self.bodies),
            }
        )

    def calls(self) -> bytes:
        """Return what became of each body, and the arrivals: seconds since the reset, model, digest."""
        seen = {digest: asdict(one) for digest, one in self.seen.items()}
        return orjson.dumps({"calls": seen, "arrivals": list(self.arrivals)})


class World:
    """What all connections share."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.counts = Counts()
        self.provider = Provider(Orders(latency_s))
        self.connections: set[Connection] = set()
        self.port = 0
        self.listening: asyncio.Server | None = None
        self.control: asyncio.Server | None = None
        self.holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def reset(self) -> None:
        """Forget what was asked and ordered."""
        self.counts = Counts()  # what is still in flight ends in the old ones
        self.provider = Provider(Orders(self.latency_s))

    async def listen(self, port: int) -> None:
        """Listen. The port is held by a second socket too, so that nobody takes it while the server is down."""
        if not self.port:
            self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.holder.bind(("127.0.0.1", port))
            self.port = self.holder.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", self.port, backlog=4096, reuse_port=True
        )

    async def down(self, asking: Connection) -> None:
        """Listen no more, drop all connections, and say on the one that asks where `POST /up` is heard."""
        loop = asyncio.get_running_loop()
        if self.control is None:
            self.control = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        if self.listening is not None:
            self.listening.close()
            self.listening = None
        for connection in list(self.connections - {asking}):
            connection.transport.abort()
        at = self.control.sockets[0].getsockname()[1]
        asking.transport.write(response(orjson.dumps({"control": f"http://127.0.0.1:{at}"})))
        asking.transport.close()

    async def up(self, asking: Connection) -> None:
        """Listen again."""
        if self.listening is None:
            await self.listen(self.port)
        asking.transport.write(response(b"{}"))


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests in, one response each, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.buffer = b""
        self.busy = ""
        self.counts = world.counts
        self.key = ""
        self.model = ""
        self.seen: Seen | None = None
        self.writing: Seen | None = None
        self.leave: partial[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.world.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.world.connections.discard(self)
        if self.writing is not None:
            self.writing.broken += 1
        if self.busy:
            self.end(broken=True)

    def resume_writing(self) -> None:
        """Count what was written: the kernel has taken all of it."""
        if self.writing is not None:
            self.writing.finished += 1
            self.writing = None

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while not self.busy:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            length = _header(head, b"\r\ncontent-length:")
            if length is None and b"\r\ntransfer-encoding:" in head.lower():
                self.transport.close()  # no client under test sends its body in chunks
                return
            after = end + 4 + int(length or 0)
            if len(self.buffer) < after:
                return
            body, self.buffer = self.buffer[end + 4 : after], self.buffer[after:]
            self.respond(head, body)

    def respond(self, head: bytes, body: bytes) -> None:
        """Answer one request, now or later."""
        method, path = head.split(b" ", 2)[:2]
        counts = self.world.counts
        if path.startswith(b"/elsewhere"):
            counts.elsewhere += 1
            self.transport.write(response(BENCH))
        elif path.partition(b"?")[0].endswith(b"/completions") and method == b"POST":
            self.complete(head, body, chat=b"/chat/completions" in path)
        elif path == b"/count":
            self.transport.write(response(counts.as_json()))
        elif path == b"/calls":
            self.transport.write(response(counts.calls()))
        elif path.endswith(b"/models"):
            models = [{"id": name, "object": "model"} for name in sorted({*BEHAVIOURS, *ONCE, *WAYS})]
            self.transport.write(response(orjson.dumps({"object": "list", "data": models})))
        elif method == b"POST":
            self.obey(path, body)
        else:
            self.transport.write(failure(404, f"No such path: {path.decode(errors='replace')}"))

    def obey(self, path: bytes, body: bytes) -> None:
        """Do what a test asks of the server itself."""
        world = self.world
        if path == b"/reset":
            world.reset()
            self.transport.write(response(b"{}"))
        elif path == b"/orders":
            world.provider = Provider(orders_of(body))
            self.transport.write(response(b"{}"))
        elif path in {b"/down", b"/up"}:
            work = world.down(self) if path == b"/down" else world.up(self)
            self.pending = asyncio.get_running_loop().create_task(work)
        else:
            self.transport.write(failure(404, f"No such path: {path.decode(errors='replace')}"))

    def complete(self, head: bytes, body: bytes, *, chat: bool) -> None:
        """Count a completion and do what its model or its last message says."""
        self.counts = counts = self.world.counts
        counts.total += 1
        try:
            request = orjson.loads(body)
            model = request["model"]
            name = str(model).rpartition("/")[2]
            last = request["messages"][-1]["content"] if chat else request["prompt"]
        except (ValueError, KeyError, IndexError, TypeError):
            self.transport.write(failure(400, "The body is not a completion request.", "invalid_request_error"))
            return
        provider = self.world.provider
        if name == "bench":
            if provider.orders.latency_s:
                self.seen, self.model, self.leave = None, model, None
                self.send(Script((BENCH,), "keep", delay_s=provider.orders.latency_s))
            else:
                counts.in_flight_max = max(counts.in_flight_max, counts.in_flight + 1)
                self.transport.write(BENCH)
            return
        if name.startswith("always+"):
            name = name.removeprefix("always+")
        elif isinstance(last, str) and last.startswith("behave: "):
            name = last.removeprefix("behave: ").partition(" # ")[0].strip()
        digest = hashlib.sha256(body).hexdigest()
        key = (_header(head, b"\r\nauthorization:") or b"").decode()
        self.note(model, digest, key, last, body)
        now = time.monotonic()
        refusal = provider.refusal(key, now)
        if refusal is not None:
            self.last_piece(Script((refusal,), "keep"))
            return
        if name.startswith("key-"):
            request["key"] = key
        found = script(scheduled(name, counts.by_digest[digest]), request, digest)
        if found is None:
            self.send(Script((failure(404, f"No such behaviour: {name}", "model_not_found"),), "keep"))
            return
        told = provider.told(key, now)
        takes_s = found.delay_s or (provider.takes_s(model) if found.end == "keep" else 0.0)
        pieces = (with_headers(found.pieces[0], told), *found.pieces[1:]) if found.pieces and told else found.pieces
        provider.in_flight[key] += 1
        self.send(Script(pieces, found.end, found.pause_s, takes_s), partial(_left, provider, key))

    def note(self, model: str, digest: str, key: str, last: object, body: bytes) -> None:
        """Count a request."""
        counts = self.counts
        counts.by_model[model] += 1
        counts.by_digest[digest] += 1
        counts.by_key[key] += 1
        counts.bodies.append(body.decode())
        counts.arrivals.append((round(time.monotonic() - counts.started, 4), model, digest))
        self.key, self.model = key, model
        self.seen = counts.seen.setdefault(digest, Seen(model, str(last)[:SHOWN]))
        self.seen.received += 1

    # --- sending ---

    def send(self, what: Script, leave: partial[None] | None = None) -> None:
        """Write a response, now or piece by piece."""
        self.leave = leave
        if what.end == "keep" and not what.delay_s and len(what.pieces) == 1:
            counts = self.counts
            counts.in_flight_max = max(counts.in_flight_max, counts.in_flight + 1)
            self.last_piece(what)
            if leave is not None:
                leave()
            return
        self.busy = self.model or "?"
        self.counts.begin(self.model)
        if what.delay_s:
            self.later(what.delay_s, self.piece, what, 0)
        else:
            self.piece(what, 0)

    def later(self, seconds: float, what: object, *arguments: object) -> None:
        """Go on in a while."""
        asyncio.get_running_loop().call_later(seconds, what, *arguments)  # type: ignore[arg-type]

    def piece(self, what: Script, at: int) -> None:
        """Write a piece, and see to the next."""
        if self.transport.is_closing():
            return
        pieces = what.pieces
        if at < len(pieces) - 1:
            self.transport.write(pieces[at])
            if what.pause_s:
                self.later(what.pause_s, self.piece, what, at + 1)
            else:
                self.piece(what, at + 1)
            return
        match what.end:
            case "keep":
                self.end()
                self.last_piece(what)
                self.data_received(b"")
            case "close" | "reset":
                if pieces:
                    self.transport.write(pieces[-1])
                if what.end == "reset":
                    # nothing lingers: the client gets a reset, not an end
                    wire: socket.socket = self.transport.get_extra_info("socket")
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()
                else:
                    self.transport.close()
            case "hold" if pieces:
                self.transport.write(pieces[-1])
            case "repeat":
                self.transport.write(pieces[-1])
                self.later(what.pause_s, self.piece, what, at)
            case _:
                pass

    def last_piece(self, what: Script) -> None:
        """Write the end of a whole response, and count it when the kernel has all of it."""
        self.transport.write(what.pieces[-1])
        seen = self.seen
        if seen is None:
            return
        if not what.pieces[0].startswith(b"HTTP/1.1 2"):
            seen.refused += 1
        elif self.transport.get_write_buffer_size():
            self.writing = seen
        else:
            seen.finished += 1

    def end(self, *, broken: bool = False) -> None:
        """No response is being made any more."""
        self.busy = ""
        self.counts.end(self.model)
        if self.leave is not None:
            self.leave()
        if broken and self.seen is not None:
            self.seen.broken += 1


def _left(provider: Provider, key: str) -> None:
    provider.in_flight[key] -= 1


def _header(head: bytes, name: bytes) -> bytes | None:
    """Return a header's value; `name` is in lower case, between the line break before it and its colon."""
    at = head.lower().find(name)
    if at < 0:
        return None
    end = head.find(b"\r\n", at + 2)
    return head[at + len(name) : end if end >= 0 else len(head)].strip()


async def serve(port: int, port_file: Path | None, latency_s: float) -> None:
    """Serve on this machine until standard input, if it is a pipe, closes."""
    loop = asyncio.get_running_loop()
    world = World(latency_s)
    await world.listen(port)
    if port_file is None:
        sys.stdout.write(f"http://127.0.0.1:{world.port}/v1\n")
        sys.stdout.flush()
    else:
        draft = port_file.with_name(port_file.name + ".part")
        draft.write_text(str(world.port), encoding="utf-8")
        draft.replace(port_file)
    closed = asyncio.Event()
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, lambda: None if os.read(0, 4096) else closed.set())
    await closed.wait()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description="OpenAI-compatible test server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.port_file, options.latency_ms / 1000))


if __name__ == "__main__":
    main()
