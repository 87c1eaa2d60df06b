"""How the test server misbehaves: replies that nobody should send, ways to send that break off, schedules, and a provider's limits.

A last message or a model is named by a behaviour; `behave: NAME # anything` lets many prompts name the same one. Names
are those of `BEHAVIOURS`, and of `WAYS` where it is the sending that goes wrong. `flaky A Bx2 then C` is a schedule: what
the first, second and third request of this very body get, and all others (`ok` without `then`). Words of a model's name
are joined by `+`, and with `always+NAME` no message counts.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

import orjson

from tests.behaviours import BEHAVIOURS, Body, completion, fails, failure, ok, prose, response, says, sends

LONG_LINE, LONG_REPLY = 200_000, 5 * 2**20
"""Bytes of the answers of `long-line` and `five-mb`."""


# --- replies ----------------------------------------------------------------------------------------------------------


def _in_future(seconds: int) -> Callable[[Body, str], bytes]:
    """Return a 429 that names a date, by the server's own clock."""

    def reply(*_: Any) -> bytes:
        now = time.time()
        dates = {"Date": formatdate(now, usegmt=True), "Retry_After": formatdate(now + seconds, usegmt=True)}
        return failure(429, "Slow down.", "rate_limit_exceeded", **dates)

    return reply


def _limited(**headers: str) -> Callable[[Body, str], bytes]:
    return fails(429, "Slow down.", "rate_limit_exceeded", **headers)


def _payload(change: Callable[[bytes], bytes], **headers: Any) -> Callable[[Body, str], bytes]:
    """Return a behaviour whose body is a completion that was changed."""

    def reply(request: Body, digest: str) -> bytes:
        message = {"content": f"Answer {digest[:12]}.", "reasoning_content": "First, MARK the plan."}
        return response(change(completion(request, message)), **headers)

    return reply


def _with(**fields: Any) -> Callable[[bytes], bytes]:
    """Return a change that sets fields of a completion."""
    return lambda body: orjson.dumps({**orjson.loads(body), **fields})


def _in_choice(**fields: Any) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        payload = orjson.loads(body)
        payload["choices"][0] |= fields
        return orjson.dumps(payload)

    return change


def _twice(body: bytes) -> bytes:
    """Write each key of the payload and of its message twice; the last one counts, as everywhere."""
    inner = (
        b'{"role": "user", "content": "not this", "role": "assistant", "content": "this", "content": "Answer, twice."}'
    )
    choice = b'{"index": 0, "message": {"content": "nor this"}, "message": %b, "finish_reason": "stop"}' % inner
    return (
        b'{"choices": [], "id": "a", "id": "b", "choices": [%b], %b' % (choice, body[1:].split(b'"choices"')[0])
        + b'"z": 1}'
    )


def _nested(levels: int) -> Callable[[bytes], bytes]:
    return lambda body: body[:-1] + b', "deep": ' + b"[" * levels + b"]" * levels + b"}"


def _filters(http: int, message: str, /, **error: Any) -> Callable[[Body, str], bytes]:
    return lambda *_: response(orjson.dumps({"error": {"message": message, **error}}), http)


_FOUND = {"hate": {"filtered": True, "severity": "high"}}
AZURE = {
    "type": None, "param": "prompt", "code": "content_filter", "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _FOUND},
}  # fmt: skip
BEHAVIOURS |= {
    "429-0": _limited(Retry_After="0"),
    "429-1": _limited(Retry_After="1"),
    "429-ms": _limited(retry_after_ms="300"),
    "429-negative": _limited(Retry_After="-5"),
    "429-nonsense": _limited(Retry_After="as soon as you can"),
    "429-day": _limited(Retry_After="86400"),
    "429-date": _in_future(2),
    "429-date-past": _in_future(-60),
    "429-html": sends(b"<html><h1>429</h1></html>", status=429, kind="text/html"),
    "429-empty": sends(b"", status=429),
    "502-html": sends(b"<html><h1>502 Bad Gateway</h1></html>", status=502, kind="text/html"),
    "503-0": fails(503, "Overloaded.", Retry_After="0"),
    "529": fails(529, "Overloaded", "overloaded_error"),
    "filter-prompt": _filters(400, "The response was filtered due to the prompt.", **AZURE),
    "filter-policy": _filters(400, "Invalid prompt: flagged as violating our usage policy.", code="invalid_prompt"),
    "filter-words": _filters(400, "Content Exists Risk", code="invalid_request_error"),
    "filter-inspected": _filters(400, "Input data may contain inappropriate content.", code="data_inspection_failed"),
    "filter-403": _filters(403, "Content violates usage guidelines."),
    "filter-on-the-way": says("The first half of", finish="content_filter"),
    "filter-refusal": says(None, finish="refusal", thinking=None),
    "refusal-field": says(None, refusal="I can't help with that.", thinking=None),
    "no-message": _payload(_in_choice(message=None)),
    "no-finish": _payload(_in_choice(finish_reason=None)),
    "content-parts": says([{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]),
    "tool-calls": says(None, finish="tool_calls", tool_calls=[{"id": "x", "type": "function", "function": {}}]),
    "long-line": lambda request, digest: response(completion(request, {"content": prose(digest, 60_000)[:LONG_LINE]})),
    "five-mb": lambda request, _: response(completion(request, {"content": "word " * (LONG_REPLY // 5)})),
    "duplicate-keys": _payload(_twice),
    "deep": _payload(_nested(500)),
    "deeper": _payload(_nested(100_000)),
    "nan": _payload(lambda body: body.replace(b'"usage": {', b'"score": NaN, "worst": -Infinity, "usage": {')),
    "huge-number": _payload(lambda body: body.replace(b": 34,", b": 1" + b"0" * 400 + b",")),
    "usage-nonsense": _payload(_with(usage={"prompt_tokens": "many", "completion_tokens": -3, "total_tokens": [1]})),
    "usage-null": _payload(_with(usage=None)),
    "byte-order-mark": _payload(lambda body: b"\xef\xbb\xbf" + body),
    "surrogates": _payload(lambda body: body.replace(b"MARK", b"\\ud800 \\udfff \\ud83d\\ude00")),
    "bare-controls": _payload(lambda body: body.replace(b"MARK", b"a\tb\nc\x01d\x7f")),
    "invalid-utf8": _payload(lambda body: body.replace(b"MARK", b"\xff\xfe\xc0\x80")),
    "latin-1": _payload(
        lambda body: body.replace(b"MARK", "é".encode("latin-1")), kind="application/json; charset=latin-1"
    ),
    "wrong-kind": _payload(lambda body: body, kind="text/html; charset=utf-8"),
    "gzip": _payload(gzip.compress, Content_Encoding="gzip"),
    "gzip-not": _payload(lambda body: body, Content_Encoding="gzip"),
    "gzip-cut": _payload(lambda body: gzip.compress(body)[:-20], Content_Encoding="gzip"),
    "json-list": sends(b"[1, 2]"),
    "json-null": sends(b"null"),
    "json-cut": _payload(lambda body: body[: len(body) // 2]),
    "empty-200": sends(b""),
    "event-stream": _payload(lambda body: b"data: " + body + b"\n\ndata: [DONE]\n\n", kind="text/event-stream"),
    "padded": _payload(lambda body: b"\n \n" * 400 + body + b"\n"),
    "early-hints": lambda request, digest: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(request, digest),
    "redirect-away": lambda *_: response(b"", 307, Location="/elsewhere/chat/completions"),
    "redirect-308": lambda *_: response(b"", 308, Location="https://127.0.0.1:1/v1/chat/completions"),
    "key-in-header": lambda request, digest: ok(request, digest).replace(
        b"\r\n", f"\r\nX-Echo: {request['key']}\r\nX-RateLimit-Remaining-Requests: {request['key']}\r\n".encode(), 1
    ),
    "key-in-retry-after": lambda request, _: failure(429, "Slow down.", Retry_After=request["key"]),
    "key-in-500": lambda request, _: failure(
        500, f"It broke with {request['key']} and {request['key'].partition(' ')[2]}"
    ),
    "key-in-code": lambda request, _: failure(400, "No.", request["key"].partition(" ")[2]),
    "key-in-reason": lambda request, _: f"HTTP/1.1 418 {request['key']}\r\nContent-Length: 0\r\n\r\n".encode(),
    "key-not-http": lambda request, _: f"{request['key']}\r\n\r\n".encode(),
}


# --- ways of sending --------------------------------------------------------------------------------------------------

End = Literal["keep", "close", "reset", "hold", "repeat"]
"""What comes after the last piece: the next request, an end, a reset, nothing for ever, or the last piece again and again."""


@dataclass(frozen=True, slots=True)
class Script:
    """What one request gets."""

    pieces: tuple[bytes, ...] = ()
    end: End = "close"
    pause_s: float = 0.0
    """Seconds before each piece but the first."""
    delay_s: float = 0.0
    """Seconds before the first."""


SLOW_S = 0.05
DRIPS, DRIP_S = 8, 0.15
"""Pieces, and seconds between them, in which `drip-ok` sends its reply; `late-body` sends its head so much before its body."""
BYTE_S = 0.02
TAIL = 60
"""Bytes of its body that `drip` sends one by one."""


def _parts(whole: bytes) -> tuple[bytes, bytes]:
    begun = whole.index(b"\r\n\r\n") + 4
    return whole[:begun], whole[begun:]


def _every(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def _drip(request: Body, digest: str) -> Script:
    whole = ok(request, digest)
    return Script(_every(whole, -(-len(whole) // DRIPS)), "keep", pause_s=DRIP_S)


def _bytewise(request: Body, digest: str) -> Script:
    whole = ok(request, digest)
    return Script((whole[:-TAIL], *_every(whole[-TAIL:], 1)), "keep", pause_s=BYTE_S)


def _promised(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


def _chunked(request: Body, digest: str) -> tuple[bytes, ...]:
    body = _parts(ok(request, digest))[1]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _every(body, 200)), b"0\r\n\r\n")


def _padding(request: Body, digest: str) -> Script:
    """Keep the connection busy with empty lines while the reply is made, as some providers do."""
    head, *rest = _chunked(request, digest)
    return Script((head, *(b"1\r\n\n\r\n" for _ in range(10)), b"".join(rest)), "keep", pause_s=BYTE_S)


def _no_length(request: Body, digest: str) -> Script:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    return Script((head, _parts(ok(request, digest))[1]), "close")


def _breaks(at: Callable[[bytes], int], end: End) -> Callable[[Body, str], Script]:
    """Return a way that sends an `ok` up to a byte."""

    def way(request: Body, digest: str) -> Script:
        whole = ok(request, digest)
        return Script((whole[: at(whole)],), end)

    return way


WAYS: dict[str, Callable[[Body, str], Script]] = {
    "drop": lambda *_: Script(),
    "reset": lambda *_: Script(end="reset"),
    "hang": lambda *_: Script(end="hold"),
    "drop-in-head": _breaks(lambda _: 25, "close"),
    "hang-in-head": _breaks(lambda _: 25, "hold"),
    "drop-in-body": _breaks(lambda whole: whole.index(b"\r\n\r\n") + 40, "close"),
    "reset-in-body": _breaks(lambda whole: whole.index(b"\r\n\r\n") + 40, "reset"),
    "stall": _breaks(lambda whole: whole.index(b"\r\n\r\n") + 44, "hold"),
    "too-short": lambda request, digest: Script((_promised(10**6), _parts(ok(request, digest))[1]), "close"),
    "slow": lambda request, digest: Script((ok(request, digest),), "keep", delay_s=SLOW_S),
    "late-body": lambda request, digest: Script(_parts(ok(request, digest)), "keep", pause_s=DRIPS * DRIP_S),
    "drip-ok": _drip,
    "drip": _bytewise,
    "drip-for-ever": lambda *_: Script((_promised(10**9), b" "), "repeat", pause_s=BYTE_S),
    "padding": _padding,
    "chunked": lambda request, digest: Script(_chunked(request, digest), "keep"),
    "chunked-cut": lambda request, digest: Script(_chunked(request, digest)[:-2], "close"),
    "chunked-nonsense": lambda request, digest: Script((*_chunked(request, digest)[:-2], b"zz\r\n"), "close"),
    "no-length": _no_length,
    "second-reply": lambda request, digest: Script(
        (ok(request, digest), response(completion(request, {"content": "Nobody asked."}))), "keep", pause_s=BYTE_S
    ),
    "half-body": lambda request, digest: Script((BEHAVIOURS["half-body"](request, digest),), "close"),
    "not-http": lambda request, digest: Script((BEHAVIOURS["not-http"](request, digest),), "close"),
    "key-not-http": lambda request, digest: Script((BEHAVIOURS["key-not-http"](request, digest),), "close"),
}
ONCE = {"500-once": "flaky 500", "429-once": "flaky 429-retry-after", "drop-once": "flaky drop"}


def scheduled(name: str, nth: int) -> str:
    """Return the behaviour that a name comes to when a body is seen the nth time, from 1."""
    name = ONCE.get(name, name)
    if not name.startswith("flaky"):
        return name
    steps, _, last = name.removeprefix("flaky").replace("+", " ").partition(" then ")
    for step in steps.split():
        what, times = step, 1
        if "x" in step and step.rpartition("x")[2].isdecimal():
            what, _, count = step.rpartition("x")
            times = int(count)
        if nth <= times:
            return what
        nth -= times
    return last.strip() or "ok"


def script(name: str, request: Body, digest: str) -> Script | None:
    """Return what a request gets by the name of a behaviour; None where there is none of that name."""
    if name in WAYS:
        return WAYS[name](request, digest)
    if name in BEHAVIOURS:
        return Script((BEHAVIOURS[name](request, digest),), "keep")
    return None


# --- a provider's limits ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Orders:
    """What the server is told by `POST /orders`: how long it takes, and what it refuses. All by the key that asks."""

    latency_s: float = 0.0
    slow: dict[str, float] = field(default_factory=dict)
    """Seconds that models take, where not `latency_s`."""
    in_flight: int | None = None
    """Requests at a time; 429 above."""
    window: int | None = None
    """Requests that are served in each window; 429 above until the next begins."""
    window_s: float = 1.0
    says: Literal["nothing", "retry-after", "openai", "claude"] = "nothing"
    """How replies and refusals tell of the window."""
    good: int | None = None
    """Requests after which the key is not let in any more."""
    only: str | None = None
    """The key, or part of it, for which all this counts; None: every key."""


class Provider:
    """Serves and refuses as ordered."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.in_flight: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        self.in_window: Counter[str] = Counter()

    def takes_s(self, model: str) -> float:
        """Return the seconds that a reply takes."""
        return self.orders.slow.get(model, self.orders.latency_s)

    def refusal(self, key: str, now: float) -> bytes | None:
        """Return the refusal of a request that came in now; None where it is to be answered."""
        orders = self.orders
        if orders.only is not None and orders.only not in key:
            return None
        if orders.good is not None and self.served[key] >= orders.good:
            return failure(401, "This key was disabled.", "invalid_api_key")
        if orders.in_flight is not None and self.in_flight[key] >= orders.in_flight:
            return failure(429, "Too many requests at a time.", "rate_limit_exceeded")
        if orders.window is not None:
            if now - self.began.get(key, float("-inf")) >= orders.window_s:
                self.began[key] = now
                self.in_window[key] = 0
            if self.in_window[key] >= orders.window:
                return failure(429, "Too many requests.", "rate_limit_exceeded", **self.told(key, now))
            self.in_window[key] += 1
        self.served[key] += 1
        return None

    def told(self, key: str, now: float) -> dict[str, str]:
        """Return the headers that tell of the window."""
        if self.orders.window is None or key not in self.began:
            return {}
        left = self.orders.window - self.in_window[key]
        reset = max(0.0, self.began[key] + self.orders.window_s - now)
        match self.orders.says:
            case "nothing":
                return {}
            case "retry-after":
                return {} if left else {"Retry_After": f"{reset:.3f}"}
            case "openai":
                return {
                    "x_ratelimit_limit_requests": str(self.orders.window),
                    "x_ratelimit_remaining_requests": str(left),
                    "x_ratelimit_reset_requests": f"{reset * 1000:.0f}ms",
                }
            case "claude":
                until = time.time() + reset
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(until)) + f".{int(until % 1 * 1e6):06d}Z"
                return {
                    "anthropic_ratelimit_requests_limit": str(self.orders.window),
                    "anthropic_ratelimit_requests_remaining": str(left),
                    "anthropic_ratelimit_requests_reset": stamp,
                }


def with_headers(whole: bytes, headers: dict[str, str]) -> bytes:
    """Return a response with more headers."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return whole.replace(b"\r\n", b"\r\n" + lines.encode(), 1) if lines else whole


def orders_of(text: bytes) -> Orders:
    """Return orders from JSON."""
    given = json.loads(text or b"{}")
    return Orders(**given)
