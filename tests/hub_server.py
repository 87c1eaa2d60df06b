"""A stand-in for the Hugging Face Hub on loopback, for the real client: what it keeps, and what it answers readers.

`tests/hub_writes.py` has what it answers those who write. Statuses and headers are those of the Hub, as the client's
source reads them: a stranger is not told whether a repository is private or not there at all.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

Spot = Literal[
    "whoami", "create", "settings", "yaml", "preupload", "batch", "put", "verify", "commit",
    "info", "tree", "refs", "commits", "list", "head", "get",
]  # fmt: skip
"""What is asked: `put` is the upload of a file, `get` its download, `head` what the Hub tells of it before."""


@dataclass
class Fault:
    """Something that goes wrong at one spot."""

    spot: Spot
    status: int | None = None
    """The answer; None to answer as ever, but for the rest of this."""
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = 1
    """How often; None for always."""
    part: str = ""
    """Only requests with this in their path."""
    before: Callable[[], object] | None = None
    """Run before the answer: a rival, for one."""
    breaks: int | None = None
    """Bytes of the file, going up or coming down, after which the connection is lost."""
    instead: bytes | None = None
    """What is sent instead of the file."""


@dataclass
class Account:
    """Whose token it is."""

    name: str
    writes: frozenset[str] = frozenset()
    """Namespaces that it may write to, and whose private repositories it may read."""


@dataclass
class Dataset:
    """A repository, of a dataset or a model: commits in order, each a whole tree of files; branches and tags name commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool | str = False
    """Files are refused without the token `let-me-in`, or one that may write; the listing is not, as on the Hub."""
    closed: bool = False
    """The listing is refused too."""
    card: dict[str, Any] = field(default_factory=dict)
    """The head of its README, as the Hub tells of it; empty to read it out of the README."""
    lfs: bool = False
    """Whether its files are stored apart, so that the Hub knows their SHA-256."""
    breaks_after: int | None = None
    """Bytes of a file after which the connection is lost, once for each file that is longer."""
    private: bool = False
    downloads: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Large files by SHA-256, also those of no commit."""
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By commit, its title and who made it."""

    def commit(self, files: dict[str, bytes], *, ref: str = "main", title: str = "more", by: str = "someone") -> str:
        """Add a commit with exactly these files, let `ref` name it, and return its hash."""
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        self.told[sha] = (title, by)
        return sha

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the head of the main branch."""
        return self.commits[self.refs["main"]]

    def is_large(self, name: str, size: int) -> bool:
        """Return whether a file is stored apart: by its ending, as new repositories have it, or by its size."""
        return self.lfs or name.endswith(".parquet") or size > 10 * 2**20

    def head(self) -> dict[str, Any]:
        """Return the head of the README."""
        if self.card or "main" not in self.refs:
            return self.card
        import yaml  # type: ignore[import-untyped]

        parts = self.files.get("README.md", b"").decode().split("---\n")
        return (yaml.safe_load(parts[1]) or {}) if len(parts) > 2 and not parts[0] else {}

    def modified(self) -> str:
        """Return when it was last changed."""
        return f"2026-01-01T00:{len(self.commits) // 60:02}:{len(self.commits) % 60:02}.000Z"


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
    tokens: dict[str, Account] = field(default_factory=dict)
    """Whose tokens are known; while empty, any token is as good as none but `let-me-in`."""
    faults: list[Fault] = field(default_factory=list)
    stored: list[tuple[str, int]] = field(default_factory=list)
    """Name (SHA-256) and bytes of every large file that was uploaded whole."""
    page: int = 1000
    """Entries of a listing that are told at once."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def asked(self, *parts: str) -> list[str]:
        """Return the requests that have all these parts in them."""
        return [request for request in self.requests if all(part in request for part in parts)]

    def fault(self, spot: Spot, path: str) -> Fault | None:
        """Take the first fault that is due."""
        with self.lock:
            for fault in self.faults:
                if fault.spot == spot and fault.part in path and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run the stand-in in a thread until the block ends."""
    from tests.hub_writes import Writing

    class Handler(Reading, Writing):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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


@contextmanager
def logged_in(token: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[HubServer]:
    """Run the stand-in, and have the client use it: with a cache of its own, as an account that may write for `lab`."""
    with hub_server() as server:
        server.tokens = {
            token: Account("ada", frozenset({"ada", "lab"})),
            "hf_other": Account("bob", frozenset({"bob", "lab"})),
            "hf_stranger": Account("eve", frozenset({"eve"})),
        }
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(folder / "hf"))
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


class Answering(BaseHTTPRequestHandler):
    """What answers are made of."""

    protocol_version = "HTTP/1.1"
    due: Fault | None
    """What goes wrong with this answer."""

    @property
    def hub(self) -> HubServer:
        """The server's state."""
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        return hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep stderr clean."""

    def account(self) -> Account | None:
        """Return whose token came with the request."""
        return self.hub.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def is_bad_token(self) -> bool:
        """Return whether a token came that nobody has."""
        return bool(self.hub.tokens) and "Authorization" in self.headers and self.account() is None

    def goes_wrong(self, spot: Spot, path: str) -> bool:
        """Return whether a fault was answered here, and note one that changes the answer."""
        self.due = fault = self.hub.fault(spot, path)
        if fault is not None and fault.before is not None:
            fault.before()
        if fault is not None and fault.status is not None:
            self.error(fault.status, None, **fault.headers)
            return True
        return False

    def known(self, kind: str, repo: str) -> Dataset | None:
        """Return a repository that the asker may see, or answer as for one that is not there."""
        found = (self.hub.datasets if kind == "datasets" else self.hub.models).get(repo)
        account = self.account()
        if found is None or (found.private and not (account and repo.split("/", maxsplit=1)[0] in account.writes)):
            self.error(404 if account else 401, "RepoNotFound")
            return None
        return found

    def json(self, value: object, **headers: str) -> None:
        """Answer with JSON."""
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def error(self, status: int, code: str | None, **headers: str) -> None:
        """Answer with an error."""
        told = {"Content-Type": "application/json", **headers}
        if code is not None:
            told["X-Error-Code"] = code
        self.send(status, json.dumps({"error": code or "no"}).encode(), told)

    def send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        """Answer; `length` is what is promised, where that is more than comes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Reading(Answering):
    """What is answered to those who read."""

    def do_GET(self) -> None:  # noqa: PLR0911 - one an endpoint
        """Answer a reader."""
        asked = urlsplit(self.path)
        path = unquote(asked.path).strip("/")
        hub = self.hub
        hub.requests.append(f"{self.command} /{path}")
        if hub.failing is not None:
            return self.error(hub.failing, None)
        if self.is_bad_token():
            return self.error(401, None, **{"X-Error-Message": "Invalid credentials in Authorization header"})
        query = parse_qs(asked.query)
        parts = path.split("/")
        if path == "api/whoami-v2":
            return self._whoami()
        if path == "api/datasets":
            return self._listing(query)
        if parts[0] == "api" and parts[1] in {"datasets", "models"} and len(parts) >= 4:
            repo, what = "/".join(parts[2:4]), parts[4] if len(parts) > 4 else "revision"
            revision = parts[5] if len(parts) > 5 else "main"
            return self._api(parts[1], repo, what, revision, "/".join(parts[6:]), query)
        if parts[0] == "datasets" and len(parts) >= 6 and parts[3] == "resolve":
            return self._file("datasets", "/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file("models", "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.error(404, None)

    do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

    def _whoami(self) -> None:
        if self.goes_wrong("whoami", self.path):
            return None
        account = self.account()
        if account is None:
            return self.error(401, None)
        others = sorted(account.writes - {account.name})
        return self.json({"type": "user", "name": account.name, "orgs": [{"name": one} for one in others]})

    def _listing(self, query: dict[str, list[str]]) -> None:
        if self.goes_wrong("list", self.path):
            return None
        account = self.account()
        told = []
        for repo, dataset in sorted(self.hub.datasets.items()):
            author, head = repo.split("/", maxsplit=1)[0], dataset.head()
            tags = [*head.get("tags", ()), *(f"{key}:{head[key]}" for key in ("license",) if key in head)]
            hidden = dataset.private and not (account and author in account.writes)
            wanted = all(tag in tags for tag in query.get("filter", ())) and author in query.get("author", [author])
            if hidden or not wanted or not all(word in repo for word in query.get("search", ())):
                continue
            size = sum(map(len, dataset.files.values()))
            told.append(
                {
                    "id": repo, "author": author, "private": dataset.private, "gated": dataset.gated, "tags": tags,
                    "downloads": dataset.downloads, "lastModified": dataset.modified(), "usedStorage": size,
                    "sha": dataset.refs["main"],
                }
            )  # fmt: skip
        return self._paged(told, query)

    def _paged(self, entries: list[dict[str, Any]], query: dict[str, list[str]]) -> None:
        first = int(query.get("cursor", ["0"])[0])
        after = first + self.hub.page
        headers = {}
        if after < len(entries):
            rest = "&".join(f"{key}={one}" for key, found in query.items() if key != "cursor" for one in found)
            headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{rest}&cursor={after}>; rel="next"'
        return self.json(entries[first:after], **headers)

    def _api(  # noqa: PLR0911 - one an endpoint
        self, kind: str, repo: str, what: str, revision: str, folder: str, query: dict[str, list[str]]
    ) -> None:
        found = self._commit(kind, repo, revision)
        if found is None:
            return None
        dataset, sha = found
        if dataset.closed and self.headers.get("Authorization") != "Bearer let-me-in":
            return self.error(403, "GatedRepo")
        files = dataset.commits[sha]
        if what == "revision":
            if self.goes_wrong("info", self.path):
                return None
            blobs = "blobs" in query
            return self.json(
                {
                    "id": repo, "sha": sha, "private": dataset.private, "lastModified": dataset.modified(),
                    "gated": "auto" if dataset.gated is True else dataset.gated, "downloads": dataset.downloads,
                    "cardData": dataset.head(), "tags": dataset.head().get("tags", []),
                    "siblings": [_sibling(dataset, *file, blobs=blobs) for file in sorted(files.items())],
                }
            )  # fmt: skip
        if what == "tree":
            if self.goes_wrong("tree", self.path):
                return None
            entries = _tree(dataset, files, folder, deep=query.get("recursive", ["false"])[0].lower() == "true")
            return self._paged(entries, query) if entries or not folder else self.error(404, "EntryNotFound")
        if what == "refs" and not self.goes_wrong("refs", self.path):
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": at} for name, at in dataset.refs.items()
            ]
            return self.json({"branches": branches, "tags": [], "converts": []})
        if what == "commits" and not self.goes_wrong("commits", self.path):
            return self._paged(_log(dataset), query)
        return self.error(404, None) if what not in {"refs", "commits"} else None

    def _file(self, kind: str, repo: str, revision: str, name: str) -> None:
        found = self._commit(kind, repo, revision)
        if found is None:
            return None
        dataset, sha = found
        if dataset.gated and not self._is_let_in(repo):
            return self.error(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        if self.goes_wrong("head" if self.command == "HEAD" else "get", self.path):
            return None
        body = dataset.commits[sha].get(name)
        if body is None:
            return self.error(404, "EntryNotFound", **{"X-Repo-Commit": sha})
        headers = {
            "ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": sha, "Content-Type": "application/octet-stream",
        }  # fmt: skip
        if dataset.is_large(name, len(body)):
            headers |= {"X-Linked-Etag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Linked-Size": str(len(body))}
        if self.command == "HEAD":
            return self.send(200, body, headers)
        return self._piece(dataset, name, body, headers)

    def _is_let_in(self, repo: str) -> bool:
        account = self.account()
        may_write = account is not None and repo.split("/", maxsplit=1)[0] in account.writes
        return may_write or self.headers.get("Authorization") == "Bearer let-me-in"

    def _piece(self, dataset: Dataset, name: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a file from the byte that is asked for on, or as much of it as comes before the connection is lost."""
        wanted, fault = self.headers.get("Range"), self.due
        if fault is not None and fault.instead is not None:
            body = fault.instead
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        rest = body[first:]
        once = dataset.breaks_after is not None and name not in self.hub.sent and len(body) > dataset.breaks_after
        limit = dataset.breaks_after if once else fault.breaks if fault is not None else None
        piece = rest if limit is None else rest[:limit]
        self.hub.sent.setdefault(name, []).append((first, len(piece)))
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.send(206 if wanted else 200, piece, headers, length=len(rest))
        self.close_connection = self.close_connection or len(piece) < len(rest)

    def _commit(self, kind: str, repo: str, revision: str) -> tuple[Dataset, str] | None:
        dataset = self.known(kind, repo)
        if dataset is None:
            return None
        sha = dataset.refs.get(revision, revision)
        if sha not in dataset.commits:
            self.error(404, "RevisionNotFound")
            return None
        return dataset, sha


def _tree(dataset: Dataset, files: dict[str, bytes], folder: str, *, deep: bool) -> list[dict[str, Any]]:
    """Return the entries below a folder, as the Hub lists them."""
    start = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for name, body in sorted(files.items()):
        if not name.startswith(start):
            continue
        top, deeper, _ = name[len(start) :].partition("/")
        if deeper and not deep:
            entries[start + top] = {"type": "directory", "path": start + top, "oid": "0" * 40, "size": 0}
            continue
        entry = entries[name] = {
            "type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest(),
        }  # fmt: skip
        if dataset.is_large(name, len(body)):
            entry["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return list(entries.values())


def _log(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the commits, newest first."""
    return [
        {
            "id": sha, "title": dataset.told.get(sha, ("", ""))[0], "message": "", "date": f"2026-01-01T00:00:{at:02}.000Z",
            "authors": [{"user": dataset.told.get(sha, ("", ""))[1]}],
        }
        for at, sha in reversed(list(enumerate(dataset.commits)))
    ]  # fmt: skip


def _sibling(dataset: Dataset, name: str, body: bytes, *, blobs: bool) -> dict[str, Any]:
    """Return a file as the Hub lists it; of one that is stored apart it knows the SHA-256, when it is asked."""
    if not blobs:
        return {"rfilename": name}
    told = {"rfilename": name, "size": len(body), "blobId": hashlib.sha1(body).hexdigest()}
    if dataset.is_large(name, len(body)):
        told["lfs"] = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "pointerSize": 134}
    return told
