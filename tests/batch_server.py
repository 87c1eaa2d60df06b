"""OpenAI's file and batch endpoints for tests: a process of its own, which misbehaves on command and counts what is paid for.

    python tests/batch_server.py     says its URL and serves until its standard input closes

A line of a file is answered as tests/server.py would: by what its model or its last message `behave: NAME` says. `POST /command`
changes what it does (see `Commands`), `GET /state` says what was asked. What a step has stored stays stored when its answer is
held back for ever, as if the connection had broken off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.behaviours import BEHAVIOURS

STEPS = ("upload", "create", "created", "retrieve", "list", "content")
"""What can be held or made to fail: a file before it is stored, a batch before and after it is stored, the others."""


@dataclass(slots=True)
class Commands:
    """What the server is told to do."""

    hold: list[str] = field(default_factory=list)
    """Steps that are never answered."""
    fail: dict[str, list[Any]] = field(default_factory=dict)
    """By step: status, how many times, and headers."""
    end: str = "completed"
    """The status in which batches end."""
    polls: int = 1
    """Times that a batch is asked for before it has ended."""
    answered: int | None = None
    """Lines of each batch that are carried out; None: all."""
    lines: list[str] = field(default_factory=list)
    """What is wrong with files of responses: reverse, repeat, unknown, nonsense, cut, cut-once, empty-lines, no-newline."""
    message: str = "The file is not right."
    code: str = "invalid_json_line"
    late: int = 0
    """Times that a batch which has ended is asked for before it names its files."""
    forget: bool = False
    """Whether no batch is known."""
    unlisted: bool = False
    """Whether batches are not listed, though they are there."""
    counts: bool = True
    page: int = 2
    """Batches on a page of the list."""


class World:
    """What the server knows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.commands = Commands()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()

    def state(self) -> dict[str, Any]:
        """Return what was asked. `asked` counts, by custom id, how often a call was part of a batch: what is paid for."""
        return {
            "files": len(self.files),
            "batches": [{name: one[name] for name in ("id", "metadata", "status")} for one in self.batches.values()],
            "asked": self.asked,
            "steps": self.steps,
            "keys": self.keys,
            "bodies": [
                json.loads(line)
                for batch in self.batches.values()
                for line in self.files[batch["input_file_id"]].splitlines()
            ],
        }

    def make(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Store a batch; what it will answer is known from now on."""
        number = len(self.batches) + 1
        batch = {
            "id": f"batch_{number}", "object": "batch", "endpoint": asked["endpoint"], "errors": None,
            "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
            "status": "validating", "output_file_id": None, "error_file_id": None, "created_at": 4_000_000_000 + number,
            "request_counts": {"total": 0, "completed": 0, "failed": 0}, "metadata": asked.get("metadata"), "polls": 0,
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        for line in self.files[asked["input_file_id"]].splitlines():
            self.asked[json.loads(line)["custom_id"]] += 1
        return batch

    def poll(self, batch: dict[str, Any]) -> None:
        """Bring a batch one poll further."""
        batch["polls"] += 1
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            if batch["polls"] > self.commands.polls:
                self.finish(batch)

    def finish(self, batch: dict[str, Any]) -> None:
        """End a batch as told, with its files."""
        told = self.commands
        batch["status"] = told.end
        if told.end == "failed":
            fault = {"code": told.code, "message": told.message, "line": 1, "param": None}
            batch["errors"] = {"object": "list", "data": [fault]}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        done, left = lines[: told.answered], lines[len(lines[: told.answered]) :]
        served: list[str] = []
        refused: list[str] = []
        for line in done:
            status, text = _answer(line["body"])
            response = f'{{"status_code": {status}, "request_id": "r", "body":  {text} }}'
            whole = f'{{"id":"x", "custom_id": "{line["custom_id"]}", "response": {response}, "error": null}}'
            (served if status == 200 else refused).append(whole)
        if told.end in ("expired", "cancelled"):
            error = {"code": f"batch_{told.end}", "message": f"This request was {told.end}."}
            refused += [json.dumps({"custom_id": one["custom_id"], "response": None, "error": error}) for one in left]
        if told.counts:
            batch["request_counts"] = {"total": len(lines), "completed": len(served), "failed": len(refused)}
        batch["output_file_id"] = self._store(_mangled(served, told.lines), batch, "output")
        batch["error_file_id"] = self._store(refused, batch, "error")

    def _store(self, lines: list[str], batch: dict[str, Any], kind: str) -> str | None:
        if not lines:
            return None
        name = f"file_{kind}_{batch['id']}"
        end = "" if "no-newline" in self.commands.lines else "\n"
        self.files[name] = ("\n".join(lines) + end).encode()
        return name


def _answer(body: dict[str, Any]) -> tuple[int, str]:
    """Return the status and the text of the body with which tests/server.py answers a request."""
    last = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    name = last.removeprefix("behave: ").strip() if last.startswith("behave: ") else body["model"]
    head, _, answer = BEHAVIOURS[name](body, last).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), answer.decode()


def _mangled(lines: list[str], told: list[str]) -> list[str]:
    lines = list(lines)
    if "reverse" in told:
        lines.reverse()
    if "repeat" in told:
        lines = [one for line in lines for one in (line, line.replace("Answer", "Another answer"))]
    if "unknown" in told:
        lines = [*lines, lines[0].replace('"custom_id": "', '"custom_id": "00')]
        lines = [*lines, '{"custom_id": "' + "ab" * 32 + lines[0][lines[0].index('", "response') :]]
    if "nonsense" in told:
        lines = ["<html>", *lines, "[1]"]
    if "empty-lines" in told:
        lines = [one for line in lines for one in (line, "", "  ")]
    return lines


class Handler(BaseHTTPRequestHandler):
    """One request."""

    world: ClassVar[World] = World()
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer what asks."""
        path, _, query = self.path.partition("?")
        world = self.world
        with world.lock:
            if path == "/state":
                self._json(world.state())
            elif path.endswith("/batches"):
                self._serve("list", lambda: self._listed(query))
            elif "/batches/" in path:
                self._serve("retrieve", lambda: self._retrieved(path.rpartition("/")[2]))
            elif path.endswith("/content"):
                self._serve("content", lambda: self._content(path.split("/")[-2]))
            else:
                self._fail(404, "No such path.")

    def do_POST(self) -> None:
        """Answer what changes something."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, world = self.path.partition("?")[0], self.world
        with world.lock:
            if path == "/command":
                world.commands = Commands(**{**asdict(world.commands), **json.loads(body)})
                self._json({})
            elif path == "/forget":
                type(self).world = World()
                self._json({})
            elif path.endswith("/files"):
                self._serve("upload", lambda: self._uploaded(body))
            elif path.endswith("/batches"):
                self._serve("create", lambda: self._created(json.loads(body)))
            elif path.endswith("/cancel"):
                batch = world.batches[path.split("/")[-2]]
                batch["status"] = "cancelling"
                self._json(_shown(batch))
            else:
                self._fail(404, "No such path.")

    def _serve(self, step: str, answer: Any) -> None:
        """Do a step, unless told to fail or to hold it."""
        world, told = self.world, self.world.commands
        world.steps[step] += 1
        world.keys[self.headers.get("Authorization", "")] += 1
        failing = told.fail.get(step)
        if failing and failing[1] > 0:
            failing[1] -= 1
            self._fail(failing[0], "Not now.", failing[2] if len(failing) > 2 else {})
        elif step in told.hold:
            self._hold()
        else:
            answer()

    def _uploaded(self, body: bytes) -> None:
        world = self.world
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        parts = body.split(b"--" + boundary)
        content = next(part for part in parts if b"filename=" in part).partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        name = f"file_{len(world.files) + 1}"
        world.files[name] = content
        self._json(
            {
                "id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "f", "purpose": "batch",
                "status": "processed",
            }
        )  # fmt: skip

    def _created(self, asked: dict[str, Any]) -> None:
        world = self.world
        batch = world.make(asked)
        world.steps["created"] += 1
        failing = world.commands.fail.get("created")
        if failing and failing[1] > 0:
            failing[1] -= 1
            self._fail(failing[0], "It broke afterwards.")
        elif "created" in world.commands.hold:
            self._hold()
        else:
            self._json(_shown(batch))

    def _retrieved(self, name: str) -> None:
        batch = self.world.batches.get(name)
        if batch is None or self.world.commands.forget:
            self._fail(404, "No such batch.")
            return
        self.world.poll(batch)
        early = batch["polls"] <= self.world.commands.polls + self.world.commands.late
        self._json(_shown(batch) | ({"output_file_id": None} if early else {}))

    def _listed(self, query: str) -> None:
        batches = [] if self.world.commands.unlisted else [_shown(one) for one in reversed(self.world.batches.values())]
        after = next((part[6:] for part in query.split("&") if part.startswith("after=")), None)
        start = next((n + 1 for n, one in enumerate(batches) if one["id"] == after), 0)
        page = batches[start : start + self.world.commands.page]
        more = start + len(page) < len(batches)
        ids = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        self._json({"object": "list", "data": page, "has_more": more, **ids})

    def _content(self, name: str) -> None:
        content, told = self.world.files[name], self.world.commands
        if "cut" in told.lines or "cut-once" in told.lines:
            told.lines = [one for one in told.lines if one != "cut-once"]
            content = content[: len(content) * 2 // 3]
        self._send(200, content, "application/octet-stream")

    def _hold(self) -> None:
        """Answer nothing, and go on with other connections."""
        self.world.lock.release()
        try:
            self.rfile.read(1)
        except OSError:
            pass
        finally:
            self.world.lock.acquire()
            self.close_connection = True

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode())

    def _fail(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        error = {"message": message, "type": None, "code": None}
        self._send(status, json.dumps({"error": error}).encode(), headers=headers)

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != "polls"}


@dataclass(frozen=True, slots=True)
class BatchServer:
    """A running server."""

    root: str

    @property
    def url(self) -> str:
        """The endpoint that a model declares."""
        return f"{self.root}/v1"

    def command(self, **commands: Any) -> None:
        """Change what it does; the fields are those of `Commands`."""
        _fetch(f"{self.root}/command", json.dumps(commands).encode())

    def state(self) -> dict[str, Any]:
        """Return what was asked: files, batches, asked (by custom id), steps, keys, bodies (lines of all batches)."""
        state: dict[str, Any] = _fetch(f"{self.root}/state")
        return state

    def reset(self) -> None:
        """Forget everything."""
        _fetch(f"{self.root}/forget", b"")


def _fetch(url: str, body: bytes | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=body), timeout=60) as response:
        return json.load(response)


@contextmanager
def serving_batches() -> Iterator[BatchServer]:
    """Run a server for as long as the block runs."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield BatchServer(process.stdout.readline().strip())
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def main() -> None:
    """Serve until standard input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
