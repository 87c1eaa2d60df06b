"""An OpenAI-compatible server for tests and benchmarks: a process of its own that does what it is told and counts.

    python tests/server.py --port 0 --port-file F     says its port in F and serves until it is stopped

It also stops when its standard input is a pipe and that closes, so that it never outlives a test.
What it does is named by the request's `model` (after the last `/`), or by a last message `behave: NAME`; see
`BEHAVIOURS`. `GET /count` says what was asked; `POST /reset` forgets it. Written on the bare protocol: with the model
`bench`, which gets a prebuilt reply of 3.6 kB, one core answers more requests than a client on another core can make.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import os
import stat
import sys
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

if __name__ == "__main__":  # run by itself, it finds its neighbours only from the root
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import judge_server

KEPT_BODIES = 1000
NASTY = "\x1b[31mred\x1b]0;title\x07 \x9b2J [link=file:///x]markup[/link] \u202eright-to-left\u200b"
WORDS = (
    "the",
    "plan",
    "is",
    "to",
    "look",
    "at",
    "what",
    "was",
    "asked",
    "and",
    "then",
    "say",
    "plainly",
    "which",
    "part",
)
REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
REASONS |= {429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
STATUSES = (402, 403, 407, 408, 409, 410, 413, 422, 425, 451, 498, 502, 504, 520, 521, 522, 523, 524, 529)
"""Statuses that the behaviours `status-NNN` answer with, and no more than a few words."""
REASONS |= dict.fromkeys(STATUSES, "Words") | {201: "Created", 204: "No Content", 307: "Temporary Redirect"}

Body = dict[str, Any]


def response(body: bytes, status: int = 200, *, kind: str = "application/json", **headers: str) -> bytes:
    """Return the bytes of an HTTP response."""
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


def completion(request: Body, message: Body, *, finish: str = "stop", thinking: int | None = 12, **extra: Any) -> bytes:
    """Return the payload of a chat completion. Nothing in it depends on the time: same request, same bytes."""
    usage: Body = {"prompt_tokens": 11, "completion_tokens": 34, "total_tokens": 45}
    if thinking is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": thinking}
    payload = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": request.get("model"),
        "system_fingerprint": "fp_test",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": usage,
        **extra,
    }
    return json.dumps(payload).encode()


def text_completion(request: Body, text: str, *, finish: str = "stop", logprobs: Body | None = None) -> bytes:
    """Return the payload of a completion of a prompt, as vLLM writes it."""
    choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish, "stop_reason": None}
    payload = {
        "id": "cmpl-test",
        "object": "text_completion",
        "created": 1_760_000_000,
        "model": request.get("model"),
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 34, "total_tokens": 45},
    }
    return json.dumps(payload).encode()


def failure(status: int, message: str, code: str | None = None, **headers: str) -> bytes:
    """Return an error response as OpenAI writes them."""
    return response(orjson.dumps({"error": {"message": message, "type": code, "code": code}}), status, **headers)


def prose(seed: str, words: int) -> str:
    """Return harmless text that the seed determines."""
    digest = hashlib.sha256(seed.encode()).digest()
    return " ".join(WORDS[digest[i % 32] % len(WORDS)] for i in range(words))


def _ok(request: Body, digest: str) -> bytes:
    message = {"content": f"Answer {digest[:12]}. {prose(digest, 40)}", "reasoning_content": prose("t" + digest, 30)}
    return response(completion(request, message))


def _says(content: Any, **fields: Any) -> Callable[[Body, str], bytes]:
    """Return a behaviour that always replies with this content; `finish` and `thinking` are `completion`'s."""
    settings = {name: fields.pop(name) for name in ("finish", "thinking") if name in fields}
    return lambda request, _: response(completion(request, {"content": content, **fields}, **settings))


def _fails(status: int, message: str, code: str | None = None, **headers: str) -> Callable[[Body, str], bytes]:
    return lambda *_: failure(status, message, code, **headers)


def _sends(body: bytes, **options: Any) -> Callable[[Body, str], bytes]:
    return lambda *_: response(body, **options)


def _guard(request: Body, _: str) -> bytes:
    """Reply as a guard model would, over either path: what stands after `say: ` in the prompt, to the end of its line.

    `\\n` there is a line break, and ` @finish` at the end another reason for stopping. With log-probs each piece that `|`
    marks off is a token of the probability 0.8, and the word that says the opposite has 0.2.
    """
    prompt: str = request["prompt"] if "prompt" in request else request["messages"][-1]["content"]
    said = prompt.rpartition("say: ")[2].partition("\n")[0] or "nothing"
    said, _, finish = said.partition(" @")
    tokens: list[str] = said.replace("\\n", "\n").split("|")
    text = "".join(tokens)
    wanted = request.get("logprobs") is not None
    if "prompt" in request:
        inner = _completion_logprobs(tokens) if wanted else None
        return response(text_completion(request, text, finish=finish or "stop", logprobs=inner))
    payload = orjson.loads(completion(request, {"content": text}, finish=finish or "stop", thinking=None))
    payload["choices"][0]["logprobs"] = _chat_logprobs(tokens) if wanted else None
    return response(orjson.dumps(payload))


_OTHER = {"safe": "unsafe", "unsafe": "safe", "Safe": "Unsafe", "Unsafe": "Safe", "yes": "no", "no": "yes"}
_OTHER |= {"Yes": "No", "No": "Yes", "1": "0", "0": "1"}
_LIKELY, _LESS = -0.2231435513142097, -1.6094379124341003  # ln 0.8 and ln 0.2


def _other(token: str) -> str:
    word = token.strip()
    return token.replace(word, _OTHER.get(word, "other")) if word else "other"


def _completion_logprobs(tokens: list[str]) -> Body:
    starts = [sum(map(len, tokens[:n])) for n in range(len(tokens))]
    top = [{token: _LIKELY, _other(token): _LESS} for token in tokens]
    return {"text_offset": starts, "token_logprobs": [_LIKELY] * len(tokens), "tokens": tokens, "top_logprobs": top}


def _chat_logprobs(tokens: list[str]) -> Body:
    def entry(token: str, logprob: float) -> Body:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    return {
        "content": [
            {**entry(token, _LIKELY), "top_logprobs": [entry(token, _LIKELY), entry(_other(token), _LESS)]}
            for token in tokens
        ]
    }


def _judges(name: str) -> Callable[[Body, str], bytes]:
    """Return the behaviour of a scripted judge, or of the model that it judges; see tests/judge_server.py."""

    def judge(request: Body, _: str) -> bytes:
        message, finish = judge_server.reply(name, request)
        return response(completion(request, message, finish=finish))

    return judge


def _half(request: Body, digest: str) -> bytes:
    whole = _ok(request, digest)
    return whole[: len(whole) - 40]


def _filter_400(*_: Any) -> bytes:
    inner = {"code": "ResponsibleAIPolicyViolation"}
    error = {"message": "The response was filtered.", "code": "content_filter", "status": 400, "innererror": inner}
    return response(orjson.dumps({"error": error}), 400)


def _surrogate(request: Body, _: str) -> bytes:
    payload = completion(request, {"content": "half a sign: MARK", "reasoning_content": "thought MARK"})
    return response(payload.replace(b"MARK", b"\\ud83d"))


COST = b'"usage": {"cost": 0.0125, '
MODERATED = {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["x"], "flagged_input": "…"}}
BROKE_OFF = {"code": 502, "message": "Provider broke off."}
CONTEXT = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
BENCH_MESSAGE = {"content": prose("bench", 330), "reasoning_content": prose("bench thinking", 390)}
BENCH = response(completion({"model": "bench"}, BENCH_MESSAGE))
BEHAVIOURS: dict[str, Callable[[Body, str], bytes]] = {
    "ok": _ok,
    "bench": lambda *_: BENCH,
    "guard": _guard,
    "parrot": lambda request, _: response(completion(request, {"content": request["messages"][-1]["content"]})),
    "echo": lambda request, _: response(completion(request, {"content": orjson.dumps(request).decode()})),
    "think-inline": _says("<think>\nFirst, the plan.\n</think>\n\nHere is the answer.", thinking=None),
    "think-template": _says("First, the plan.\n</think>\n\nHere is the answer.", thinking=None),
    "think-field": _says("Here is the answer.", reasoning="First, the plan."),
    "hidden": _says("Here is the answer.", thinking=64),
    "cut": _says("<think>\nFirst, the plan", finish="length"),
    "empty": _says("", thinking=None),
    "null": _says(None, thinking=None),
    "filter": _says("", finish="content_filter"),
    "filter400": _filter_400,
    "429": _fails(429, "Slow down.", "rate_limit_exceeded"),
    "429-retry-after": _fails(429, "Slow down.", "rate_limit_exceeded", Retry_After="7"),
    "no-money": _fails(429, "You exceeded your current quota.", "insufficient_quota"),
    "500": _fails(500, "It broke."),
    "503": _fails(503, "Overloaded.", Retry_After="3"),
    "400": _fails(400, "No such field: temprature.", "invalid_request_error"),
    "401": _fails(401, "Incorrect API key provided.", "invalid_api_key"),
    "404": _fails(404, "The model does not exist.", "model_not_found"),
    "context": _fails(400, CONTEXT, "context_length_exceeded"),
    "context-words": _fails(400, CONTEXT, "BadRequestError"),
    "redirect": lambda *_: response(b"", 302, Location="/v2/elsewhere"),
    "html": _sends(b"<html><body>Gateway says hello</body></html>", kind="text/html"),
    "not-utf8": _sends(b'{"choices":[{"message":{"content":"\xff\xfe"}}]}'),
    "no-choices": _sends(b'{"id":"x","object":"chat.completion","choices":[]}'),
    "error-in-200": _sends(b'{"error":{"message":"Upstream is busy.","code":429}}'),
    "bomb": _sends(gzip.compress(b" " * (65 * 2**20), 1), Content_Encoding="gzip"),
    "half-body": _half,
    "filter403": _sends(orjson.dumps({"error": MODERATED}), status=403),
    "cost": lambda request, _: response(completion(request, {"content": "Dear."}).replace(b'"usage": {', COST)),
    "error-in-choice": _sends(orjson.dumps({"choices": [{"finish_reason": "error", "error": BROKE_OFF}]})),
    "not-http": lambda *_: b"SSH-2.0-surprise\r\n\r\n",
    "key-in-401": lambda request, _: failure(401, f"Wrong key: {request['key']}", "invalid_api_key"),
    "key-in-html": lambda request, _: response(f"<p>{request['key']}</p>".encode(), kind="text/html"),
    "key-in-200-error": lambda request, _: response(orjson.dumps({"error": {"message": f"Not {request['key']}"}})),
    "key-in-redirect": lambda request, _: response(b"", 302, Location=f"/v2?key={request['key'][7:]}"),
    "key-in-answer": lambda request, _: response(completion(request, {"content": f"It is {request['key']}"})),
    "key-in-filter400": lambda request, _: failure(400, f"With {request['key']}", "content_filter"),
    "escape": _says(NASTY, reasoning_content=NASTY),
    "surrogate": _surrogate,
    "nul": _says("before\x00after", reasoning_content="zero \x00 byte"),
}
BEHAVIOURS |= {name: _judges(name) for name in judge_server.MODES}


def _replies(*, status: int = 200, headers: dict[str, str] | None = None) -> Callable[[Body, str], bytes]:
    """Return a behaviour that replies with a completion, a status and headers."""
    headers = headers or {}
    return lambda request, _: response(completion(request, {"content": "Well."}), status, **headers)


OLD_DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
OPENAI_LEFT = {"x_ratelimit_remaining_requests": "3", "x_ratelimit_reset_requests": "6m0s"}
OPENAI_LEFT |= {"x_ratelimit_remaining_tokens": "149984", "x_ratelimit_reset_tokens": "12ms"}
CLAUDE_LEFT = {
    "anthropic_ratelimit_requests_remaining": "49",
    "anthropic_ratelimit_requests_reset": "2015-10-21T07:28:30Z",
}
CLAUDE_LEFT |= {
    "anthropic_ratelimit_output_tokens_remaining": "700",
    "anthropic_ratelimit_input_tokens_remaining": "9000",
}
REFUSED = {"error": {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["x"], "flagged_input": "…"}}}
BEHAVIOURS |= {f"status-{status}": _fails(status, "It says no more.") for status in STATUSES}
BEHAVIOURS |= {
    "created": _replies(status=201),
    "no-content": lambda *_: response(b"", 204),
    "redirect-307": lambda *_: response(b"", 307, Location="/v1/chat/completions"),
    "quota": _replies(headers=OPENAI_LEFT),
    "quota-claude": _replies(headers={"Date": OLD_DATE, **CLAUDE_LEFT}),
    "quota-nonsense": _replies(headers={"x_ratelimit_remaining_requests": "many", "RateLimit": "soon"}),
    "429-quota": lambda *_: failure(429, "Slow down.", "rate_limit_exceeded", **OPENAI_LEFT),
    "429-old-clock": _fails(429, "Slow down.", Date=OLD_DATE, Retry_After="Wed, 21 Oct 2015 07:28:09 GMT"),
    "filter-in-200": _sends(orjson.dumps(REFUSED)),
    "overloaded-in-200": _sends(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
}
ONCE = {"500-once": "500", "429-once": "429-retry-after", "drop-once": "drop"}
"""What fails the first time that a body is seen and is `ok` afterwards."""
SILENT = {"drop", "hang", "slow", "stall", "drip-ok", "late-body"}
SLOW_S = 0.05
DRIPS, DRIP_S = 8, 0.15
"""Pieces, and seconds between them, in which `drip-ok` sends its reply; `late-body` sends its head so much before its body."""


class Counts:
    """What was asked since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.total = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self.by_model: Counter[str] = Counter()
        self.by_digest: Counter[str] = Counter()
        self.by_key: Counter[str] = Counter()
        self.bodies: deque[str] = deque(maxlen=KEPT_BODIES)

    def as_json(self) -> bytes:
        """Return all counts."""
        return orjson.dumps(
            {
                "total": self.total,
                "in_flight_max": self.in_flight_max,
                "by_model": self.by_model,
                "by_digest": self.by_digest,
                "by_key": self.by_key,
                "bodies": list(self.bodies),
            }
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests in, one response each, in order."""

    def __init__(self, counts: Counts, latency_s: float) -> None:
        self.counts = counts
        self.latency_s = latency_s
        self.buffer = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self.busy:
            self.counts.in_flight -= 1

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
        if path.endswith(b"/completions") and method == b"POST":
            self.complete(head, body, chat=path.endswith(b"/chat/completions"))
        elif path == b"/count":
            self.transport.write(response(self.counts.as_json()))
        elif path == b"/reset" and method == b"POST":
            self.counts.reset()
            self.transport.write(response(b"{}"))
        elif path.endswith(b"/models"):
            models = [{"id": name, "object": "model"} for name in sorted({*BEHAVIOURS, *ONCE, *SILENT})]
            self.transport.write(response(orjson.dumps({"object": "list", "data": models})))
        else:
            self.transport.write(failure(404, f"No such path: {path.decode(errors='replace')}"))

    def complete(self, head: bytes, body: bytes, *, chat: bool) -> None:  # noqa: PLR0912
        """Count a completion and do what its model or its last message says."""
        counts = self.counts
        counts.total += 1
        try:
            request = orjson.loads(body)
            name = str(request["model"]).rpartition("/")[2]
            last = request["messages"][-1]["content"] if chat else request["prompt"]
        except (ValueError, KeyError, IndexError, TypeError):
            self.transport.write(failure(400, "The body is not a completion request.", "invalid_request_error"))
            return
        if name == "bench":
            self.deliver(BENCH, self.latency_s)
            return
        if isinstance(last, str) and last.startswith("behave: "):
            name = last.removeprefix("behave: ").strip()
        digest = hashlib.sha256(body).hexdigest()
        key = _header(head, b"\r\nauthorization:")
        counts.by_model[request["model"]] += 1
        counts.by_digest[digest] += 1
        counts.by_key[key.decode() if key is not None else ""] += 1
        counts.bodies.append(body.decode())
        if name.startswith("key-in-"):
            request["key"] = key.decode() if key is not None else ""
        if name in ONCE:
            name = ONCE[name] if counts.by_digest[digest] == 1 else "ok"
        if name == "drop":
            self.transport.close()
        elif name == "hang":
            self.deliver(None, 0)
        elif name in {"stall", "drip-ok", "late-body"}:
            whole = _ok(request, digest)
            begun, step = whole.index(b"\r\n\r\n") + 4, -(-len(whole) // DRIPS)
            if name == "drip-ok":
                self.send_slowly([whole[at : at + step] for at in range(0, len(whole), step)], DRIP_S)
            else:
                head, rest = whole[:begun], whole[begun:]
                self.send_slowly([head + rest[:40]] if name == "stall" else [head, rest], DRIPS * DRIP_S)
        elif name == "slow":
            self.deliver(_ok(request, digest), SLOW_S)
        elif name in BEHAVIOURS:
            self.deliver(BEHAVIOURS[name](request, digest), self.latency_s)
            if name in {"half-body", "not-http"}:
                self.transport.close()
        else:
            self.transport.write(failure(404, f"No such behaviour: {name}", "model_not_found"))

    def send_slowly(self, pieces: list[bytes], pause_s: float) -> None:
        """Write the first piece now and each of the others a pause later."""
        if not self.transport.is_closing():
            self.transport.write(pieces[0])
            if pieces[1:]:
                asyncio.get_running_loop().call_later(pause_s, self.send_slowly, pieces[1:], pause_s)

    def deliver(self, data: bytes | None, after_s: float) -> None:
        """Write a response after a while; None: never."""
        counts = self.counts
        if data is not None and not after_s:
            counts.in_flight_max = max(counts.in_flight_max, counts.in_flight + 1)
            self.transport.write(data)
            return
        self.busy = True
        counts.in_flight += 1
        counts.in_flight_max = max(counts.in_flight_max, counts.in_flight)
        if data is not None:
            asyncio.get_running_loop().call_later(after_s, self.delivered, data)

    def delivered(self, data: bytes) -> None:
        """Write what was held back and go on with what came in meanwhile."""
        if self.transport.is_closing():
            return
        self.busy = False
        self.counts.in_flight -= 1
        self.transport.write(data)
        self.data_received(b"")


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
    counts = Counts()
    server = await loop.create_server(lambda: Connection(counts, latency_s), "127.0.0.1", port, backlog=4096)
    bound = server.sockets[0].getsockname()[1]
    if port_file is None:
        sys.stdout.write(f"http://127.0.0.1:{bound}/v1\n")
        sys.stdout.flush()
    else:
        draft = port_file.with_name(port_file.name + ".part")
        draft.write_text(str(bound), encoding="utf-8")
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
