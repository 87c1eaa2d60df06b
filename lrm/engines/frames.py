"""Messages between lrm and the process of an engine: JSON objects over a socket, each behind its length.

Everything but `Form` and `Verdict` goes over one socket and waits for nothing. Those two go over another, on which lrm
blocks until the answer is there: opening a backend is not a coroutine, and takes the engine a few milliseconds.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Literal, TypedDict, cast

import orjson

_HEAD = struct.Struct(">I")
"""A length in bytes, big-endian."""


class Start(TypedDict):
    """To the process, first: what to load."""

    do: Literal["start"]
    name: str
    """The checkpoint as it is declared; payloads say it."""
    arguments: dict[str, Any]
    """Of vLLM's engine, with lrm's own (see `lrm.engines.settings`); paths are in place."""
    adapter: str | None
    """Folder of a LoRA adapter."""
    chat_template: str | None
    """File of a chat template."""


class Ask(TypedDict):
    """To the process: one call."""

    do: Literal["ask"]
    n: int
    """Number of the call, by which its answer is known."""
    form: int
    """Number of the form by which its model is asked."""
    id: str
    """What the payload is called."""
    messages: str
    """JSON text of the conversation; of the prompt itself where `raw`."""
    raw: bool
    prefill: bool
    """The last message is the beginning of the reply."""
    seed: int | None


class Cancel(TypedDict):
    """To the process: the answer to a call is not waited for any more."""

    do: Literal["cancel"]
    n: int


class Stop(TypedDict):
    """To the process: free everything and end."""

    do: Literal["stop"]


class Form(TypedDict):
    """To the process, over the other socket: how a model is asked, as fields of a request to vLLM's server."""

    form: int
    chat: dict[str, Any]
    raw: dict[str, Any]


class Verdict(TypedDict):
    """From the process, over the other socket: what is wrong with a form; None where nothing is."""

    wrong: str | None
    hint: str | None


class Ready(TypedDict):
    """From the process: it can be asked."""

    do: Literal["ready"]
    name: str
    gpus: int
    vllm: str


class Broken(TypedDict):
    """From the process: it does not start. None where its log says why better than it can."""

    do: Literal["broken"]
    said: str | None
    hint: str | None


class Answered(TypedDict):
    """From the process: what a call gave."""

    do: Literal["answered"]
    n: int
    raw: str
    """JSON text of the payload."""
    sent: str
    """JSON text of what was effectively asked."""
    prompt_tokens: int
    cached_tokens: int
    """Of these, how many the cache had."""
    completion_tokens: int


class Failed(TypedDict):
    """From the process: a call could not be carried out, the engine goes on."""

    do: Literal["failed"]
    n: int
    kind: Literal["context_too_long", "bad_request", "server", "internal"]
    said: str


class Loaded(TypedDict):
    """From the process, now and then: what the engine does, in the words of `lrm.engines.engine.Load`."""

    do: Literal["loaded"]
    load: dict[str, Any]


class Dead(TypedDict):
    """From the process: the engine ended by itself, and whatever was asked of it is lost."""

    do: Literal["dead"]


Down = Start | Ask | Cancel | Stop
"""What lrm says."""
Up = Ready | Broken | Answered | Failed | Loaded | Dead
"""What the process says."""


class Frames(asyncio.Protocol):
    """One end of a socket that messages come and go over. Belongs to one event loop."""

    def __init__(self, heard: Callable[[Any], None], lost: Callable[[], None]) -> None:
        """`heard` is called with each message; `lost` once, when the other end has closed or is dead."""
        self._heard = heard
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what messages are written to."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on each message that is whole."""
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while end - at >= _HEAD.size:
            (length,) = _HEAD.unpack_from(buffer, at)
            if end - at - _HEAD.size < length:
                break
            at += _HEAD.size
            message = orjson.loads(memoryview(buffer)[at : at + length])
            at += length
            self._heard(message)
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Say that nothing more comes."""
        self._transport = None
        self._lost()

    def send(self, message: Down | Up) -> None:
        """Write a message; it is lost where the other end has gone, of which `lost` tells."""
        if self._transport is not None:
            self._transport.write(_packed(message))

    def close(self) -> None:
        """Close this end when what was written has gone out."""
        if self._transport is not None:
            self._transport.close()


async def joined(end: socket.socket, heard: Callable[[Any], None], lost: Callable[[], None]) -> Frames:
    """Return the frames that come over a connected socket, which they close."""
    loop = asyncio.get_running_loop()
    _, frames = await loop.create_unix_connection(lambda: Frames(heard, lost), sock=end)
    return frames


def send(end: socket.socket, message: Form | Verdict) -> None:
    """Write a message to a blocking socket; raises OSError where nobody reads it, or it takes too long."""
    end.sendall(_packed(message))


def receive(end: socket.socket) -> Any:
    """Return the next message of a blocking socket; None at its end. Raises OSError where it takes too long."""
    head = _exactly(end, _HEAD.size)
    if head is None:
        return None
    (length,) = _HEAD.unpack(head)
    body = _exactly(end, length)
    return None if body is None else orjson.loads(body)


def _exactly(end: socket.socket, count: int) -> bytes | None:
    received = bytearray()
    while len(received) < count:
        part = end.recv(count - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


def _packed(message: Any) -> bytes:
    body = orjson.dumps(message)
    return _HEAD.pack(len(body)) + body
