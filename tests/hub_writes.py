"""What the stand-in for the Hub answers to those who write: repositories made and set, files uploaded, commits made."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.hub_server import Answering, Dataset


class Writing(Answering):
    """What is answered to those who write."""

    def do_POST(self) -> None:  # noqa: N802 - the name that the server looks for
        """Answer a writer."""
        self._write()

    def do_PUT(self) -> None:  # noqa: N802
        """Answer a writer."""
        self._write()

    def _write(self) -> None:  # noqa: PLR0911 - one an endpoint
        path = unquote(urlsplit(self.path).path).strip("/")
        hub = self.hub
        hub.requests.append(f"{self.command} /{path}")
        parts = path.split("/")
        if parts[0] == "storage":  # its address is its key, as in any bucket
            return self._store(parts[1], "/".join(parts[2:4]), parts[4])
        body = self._body()
        if hub.failing is not None:
            return self.error(hub.failing, None)
        if self.is_bad_token():
            return self.error(401, None, **{"X-Error-Message": "Invalid credentials in Authorization header"})
        if path == "api/validate-yaml":
            return None if self.goes_wrong("yaml", path) else self._validate(json.loads(body))
        if path == "api/repos/create":
            return None if self.goes_wrong("create", path) else self._create(json.loads(body))
        if parts[0] == "stored":
            return (
                None
                if self.goes_wrong("verify", path)
                else self._verify(parts[1], "/".join(parts[2:4]), json.loads(body))
            )
        if path.endswith(".git/info/lfs/objects/batch"):
            kind = "datasets" if parts[0] == "datasets" else "models"
            repo = path.removesuffix(".git/info/lfs/objects/batch").removeprefix("datasets/")
            return self._batch(kind, repo, json.loads(body))
        if parts[0] == "api" and len(parts) >= 5 and parts[1] in {"datasets", "models"}:
            return self._repository(parts[1], "/".join(parts[2:4]), parts[4], body)
        return self.error(404, None)

    def _repository(self, kind: str, repo: str, what: str, body: bytes) -> None:
        dataset = self._writable(kind, repo)
        if dataset is None:
            return None
        if what == "settings":
            return None if self.goes_wrong("settings", repo) else self._set(dataset, json.loads(body))
        if what == "preupload":
            return None if self.goes_wrong("preupload", repo) else self._preupload(dataset, json.loads(body))
        if what == "commit":
            return None if self.goes_wrong("commit", repo) else self._add_commit(repo, dataset, body)
        return self.error(404, None)

    def _writable(self, kind: str, repo: str) -> Dataset | None:
        """Return a repository that the asker may write, or answer why not."""
        dataset = self.known(kind, repo)
        if dataset is None:
            return None
        account = self.account()
        if account is None or repo.split("/", maxsplit=1)[0] not in account.writes:
            self.error(403 if account else 401, None, **{"X-Error-Message": "You don't have the rights"})
            return None
        return dataset

    def _create(self, wanted: dict[str, Any]) -> None:
        account = self.account()
        if account is None:
            return self.error(401, None, **{"X-Error-Message": "Invalid username or password."})
        namespace = wanted.get("organization") or account.name
        repo = f"{namespace}/{wanted['name']}"
        if namespace not in account.writes:
            return self.error(403, None, **{"X-Error-Message": "You don't have the rights to create a dataset here"})
        known = self.hub.datasets if wanted.get("type") == "dataset" else self.hub.models
        url = f"{self.hub.url}/{'datasets/' if wanted.get('type') == 'dataset' else ''}{repo}"
        with self.hub.lock:
            if repo in known:
                told = json.dumps({"error": "You already created this dataset repo", "url": url})
                return self.send(409, told.encode(), {"Content-Type": "application/json"})
            known[repo] = dataset = Dataset(
                private=wanted.get("visibility") == "private" or bool(wanted.get("private"))
            )
            dataset.commit(
                {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}, title="initial commit"
            )
        return self.json({"url": url, "name": repo, "id": repo})

    def _set(self, dataset: Dataset, wanted: dict[str, Any]) -> None:
        if "gated" in wanted:
            dataset.gated = wanted["gated"]
        if "visibility" in wanted or "private" in wanted:
            dataset.private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        return self.json({})

    def _validate(self, wanted: dict[str, Any]) -> None:
        import yaml  # type: ignore[import-untyped]

        parts = wanted["content"].split("---\n")
        try:
            head = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else {}
        except yaml.YAMLError:
            head = None
        if isinstance(head, dict):
            return self.json({"errors": [], "warnings": []})
        told = {"errors": [{"message": "the head is no YAML"}], "warnings": []}
        return self.send(400, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _preupload(self, dataset: Dataset, wanted: dict[str, Any]) -> None:
        told = []
        for file in wanted["files"]:
            there = dataset.files.get(file["path"])
            large = dataset.is_large(file["path"], file["size"])
            oid = None if there is None else hashlib.sha256(there).hexdigest() if large else _git_oid(there)
            told.append(
                {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
            )
        return self.json({"files": told, "commitOid": dataset.refs["main"]})

    def _batch(self, kind: str, repo: str, wanted: dict[str, Any]) -> None:
        dataset = self._writable(kind, repo)
        if dataset is None or self.goes_wrong("batch", repo):
            return None
        told = []
        for one in wanted["objects"]:
            entry: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in dataset.blobs:
                there = f"{kind}/{repo}/{one['oid']}"
                entry["actions"] = {
                    "upload": {"href": f"{self.hub.url}/storage/{there}?signature=secret"},
                    "verify": {"href": f"{self.hub.url}/stored/{there}"},
                }
            told.append(entry)
        return self.json({"transfer": "basic", "objects": told})

    def _store(self, kind: str, repo: str, oid: str) -> None:
        """Take a large file, and lose the connection in it where that is asked for."""
        fault = self.hub.fault("put", self.path)
        if fault is not None and fault.before is not None:
            fault.before()
        if fault is not None and fault.breaks is not None:
            self.rfile.read(fault.breaks)
            self.close_connection = True
            return None
        body = self._body()
        if fault is not None and fault.status is not None:
            return self.error(fault.status, None, **fault.headers)
        if hashlib.sha256(body).hexdigest() != oid:
            return self.error(400, None)
        known = self.hub.datasets if kind == "datasets" else self.hub.models
        with self.hub.lock:
            known[repo].blobs[oid] = body
            self.hub.stored.append((oid, len(body)))
        return self.send(200, b"", {})

    def _verify(self, kind: str, repo: str, wanted: dict[str, Any]) -> None:
        known = self.hub.datasets if kind == "datasets" else self.hub.models
        there = known[repo].blobs.get(wanted["oid"])
        return self.error(404, None) if there is None or len(there) != wanted["size"] else self.json({})

    def _add_commit(self, repo: str, dataset: Dataset, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line]
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.hub.lock:
            if header.get("parentCommit", dataset.refs["main"]) != dataset.refs["main"]:
                told = {"error": "A commit has happened since. Please refresh and try again."}
                return self.send(412, json.dumps(told).encode(), {"Content-Type": "application/json"})
            files = dict(dataset.files)
            for line in lines:
                if not _apply(line["key"], line["value"], files, dataset):
                    return self.error(400, None)
            account = self.account()
            sha = dataset.commit(files, title=header["summary"], by=account.name if account else "")
        return self.json(
            {"commitOid": sha, "commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{sha}", "success": True}
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


def _apply(key: str, value: dict[str, Any], files: dict[str, bytes], dataset: Dataset) -> bool:
    """Make one change of a commit; return whether it can be made."""
    match key:
        case "header":
            return True
        case "file":
            files[value["path"]] = base64.b64decode(value["content"])
            return True
        case "lfsFile" if value["oid"] in dataset.blobs:
            files[value["path"]] = dataset.blobs[value["oid"]]
            return True
        case "deletedFile":
            return files.pop(value["path"], None) is not None
        case _:
            return False


def _git_oid(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
