"""Starts the test server as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class Server:
    """A running test server."""

    root: str
    """`http://127.0.0.1:PORT`"""
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """The endpoint that a model declares."""
        return f"{self.root}/v1"

    def count(self) -> dict[str, Any]:
        """Return what was asked since the last reset: total, by_model, by_digest, by_key, in_flight_max, bodies, …"""
        counted: dict[str, Any] = fetch(f"{self.root}/count")
        return counted

    def total(self) -> int:
        """Return how many chat completions were asked for since the last reset."""
        total: int = self.count()["total"]
        return total

    def bodies(self) -> list[dict[str, Any]]:
        """Return the last request bodies, oldest first."""
        return [json.loads(body) for body in self.count()["bodies"]]

    def calls(self) -> dict[str, dict[str, Any]]:
        """Return by a body's digest: model, last (how its last message begins), received, finished, refused, broken."""
        calls: dict[str, dict[str, Any]] = fetch(f"{self.root}/calls")["calls"]
        return calls

    def arrivals(self) -> list[tuple[float, str, str]]:
        """Return each request in the order of arrival: seconds since the last reset, model, digest of the body."""
        return [(at, model, digest) for at, model, digest in fetch(f"{self.root}/calls")["arrivals"]]

    def reset(self) -> None:
        """Forget what was asked and ordered."""
        fetch(f"{self.root}/reset", method="POST")

    def order(self, **orders: Any) -> None:
        """Say how long it takes and what it refuses; see `tests.chaos_server.Orders`."""
        fetch(f"{self.root}/orders", method="POST", body=json.dumps(orders).encode())

    def down(self) -> Callable[[], None]:
        """Have it listen no more and drop all connections; return what undoes it."""
        control = fetch(f"{self.root}/down", method="POST")["control"]
        return lambda: fetch(f"{control}/up", method="POST")


def fetch(url: str, *, method: str = "GET", body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, method=method, data=body)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as response:
        return json.load(response)


@contextmanager
def serving(*options: str, script: Path = SCRIPT) -> Iterator[Server]:
    """Run a test server for as long as the block runs; `options` as on its command line."""
    command = [sys.executable, str(script), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.endswith("/v1"), f"the test server did not start; it exited with {process.poll()}"
            yield Server(url.removesuffix("/v1"), process)
        finally:
            process.stdin.close()
            process.wait(timeout=60)
