"""A stand-in for the Hugging Face Hub on loopback: enough of its read endpoints for the real client to download from it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Dataset:
    """A repository, of a dataset or a model: commits in order, each a whole tree of files; branches and tags name commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    """Files are refused without the token `let-me-in`; the listing is not, as on the Hub."""
    closed: bool = False
    """The listing is refused too."""
    card: dict[str, Any] = field(default_factory=dict)
    """The head of its README, as the Hub tells of it."""
    lfs: bool = False
    """Whether its files are stored apart, so that the Hub knows their SHA-256."""
    breaks_after: int | None = None
    """Bytes of a file after which the connection is lost, once for each file that is longer."""

    def commit(self, files: dict[str, bytes], *, ref: str = "main") -> str:
        """Add a commit with exactly these files, let `ref` name it, and return its hash."""
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        return sha


@dataclass
class HubServer:
    """The running server."""

    url: str
    datasets: dict[str, Dataset] = field(default_factory=dict)
    models: dict[str, Dataset] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of every request, in order."""
    sent: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By a file's name, first byte and number of bytes of each answer that held some of it."""
    failing: int | None = None
    """Status with which every request is answered; None to work."""


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run the stand-in in a thread until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = HubServer(f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep stderr clean."""

    def _answer(self) -> None:
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        asked = urlsplit(self.path)
        path = unquote(asked.path).strip("/")
        hub.requests.append(f"{self.command} /{path}")
        if hub.failing is not None:
            return self._error(hub.failing, None)
        parts = path.split("/")
        if parts[0] == "api" and parts[1] in {"datasets", "models"} and len(parts) >= 6:
            repositories = hub.datasets if parts[1] == "datasets" else hub.models
            blobs = "blobs" in parse_qs(asked.query)
            return self._api(repositories, "/".join(parts[2:4]), parts[4], parts[5], "/".join(parts[6:]), blobs=blobs)
        if parts[0] == "datasets" and len(parts) >= 6 and parts[3] == "resolve":
            return self._file(hub, hub.datasets, "/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file(hub, hub.models, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._error(404, None)

    def _api(self, known: dict[str, Dataset], repo: str, what: str, revision: str, folder: str, *, blobs: bool) -> None:
        found = self._commit(known, repo, revision)
        if found is None:
            return None
        dataset, sha = found
        if dataset.closed and self.headers.get("Authorization") != "Bearer let-me-in":
            return self._error(403, "GatedRepo")
        files = dataset.commits[sha]
        if what == "revision":
            return self._json(
                {
                    "id": repo, "sha": sha, "private": False, "gated": "auto" if dataset.gated else False,
                    "cardData": dataset.card, "siblings": [_sibling(dataset, *file, blobs=blobs) for file in sorted(files.items())],
                }
            )  # fmt: skip
        if what == "tree":
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in sorted(files.items())
                if name.startswith(folder)
            ]
            return self._json(tree)
        return self._error(404, None)

    def _file(self, hub: HubServer, known: dict[str, Dataset], repo: str, revision: str, name: str) -> None:
        found = self._commit(known, repo, revision)
        if found is None:
            return None
        dataset, sha = found
        if dataset.gated and self.headers.get("Authorization") != "Bearer let-me-in":
            return self._error(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        body = dataset.commits[sha].get(name)
        if body is None:
            return self._error(404, "EntryNotFound", sha)
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": sha, "Content-Type": "application/octet-stream"}
        if self.command == "HEAD":
            return self._send(200, body, headers)
        return self._piece(hub, dataset, name, body, headers)

    def _piece(self, hub: HubServer, dataset: Dataset, name: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a file from the byte that is asked for on, or as much of it as comes before the connection is lost."""
        wanted = self.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        rest = body[first:]
        lost = dataset.breaks_after is not None and name not in hub.sent and len(body) > dataset.breaks_after
        piece = rest[: dataset.breaks_after] if lost else rest
        hub.sent.setdefault(name, []).append((first, len(piece)))
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self._send(206 if wanted else 200, piece, headers, length=len(rest))
        self.close_connection = self.close_connection or lost

    def _commit(self, known: dict[str, Dataset], repo: str, revision: str) -> tuple[Dataset, str] | None:
        dataset = known.get(repo)
        if dataset is None:
            # The Hub does not tell strangers whether a repository is private or not there at all.
            self._error(401, "RepoNotFound")
            return None
        sha = dataset.refs.get(revision, revision)
        if sha not in dataset.commits:
            self._error(404, "RevisionNotFound")
            return None
        return dataset, sha

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str | None, sha: str | None = None) -> None:
        headers = {"Content-Type": "application/json"}
        if code is not None:
            headers["X-Error-Code"] = code
        if sha is not None:
            headers["X-Repo-Commit"] = sha
        self._send(status, json.dumps({"error": code or "no"}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _sibling(dataset: Dataset, name: str, body: bytes, *, blobs: bool) -> dict[str, Any]:
    """Return a file as the Hub lists it; of one that is stored apart it knows the SHA-256, when it is asked."""
    if not blobs:
        return {"rfilename": name}
    told = {"rfilename": name, "size": len(body), "blobId": hashlib.sha1(body).hexdigest()}
    if dataset.lfs:
        told["lfs"] = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "pointerSize": 134}
    return told
