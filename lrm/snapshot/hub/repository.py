"""Snapshots on the Hugging Face Hub: which repository a name means, what is in it, and which ones there are.

Endpoint, token and cache are the Hub client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME), read when they are needed. Nothing here
knows of rows: `lrm.snapshot.hub.fetch` brings a snapshot here, `lrm.snapshot.hub.publish` takes one there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm.errors import MissingError, SnapshotError
from lrm.hub_client import COMMIT, endpoint, silent_bar
from lrm.snapshot.hub.faults import asked, bad_name, check_online
from lrm.snapshot.manifest import MAX_BYTES, NAME

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TAG = "lrm-snapshot"
"""The tag of a dataset's card that says it is one of ours."""
MAX_FILES = 100_000
"""A repository with more files is not read."""
MAX_LISTED = 500
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Remote:
    """A snapshot's repository at one commit."""

    repo: str
    commit: str
    manifest: bytes
    """Its manifest, as it is there."""
    files: Mapping[str, int]
    """Sizes in bytes, by path."""
    sha256: Mapping[str, str]
    """What the Hub knows of the large ones."""
    gated: str | None
    """`auto` or `manual`; None where anybody may read it who may see it."""
    private: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshot's repository in a listing. What is None, the Hub does not say."""

    repo: str
    modified: str | None
    """When it was last changed: ISO 8601, UTC."""
    private: bool | None
    gated: str | None
    downloads: int | None
    """In the last 30 days."""
    bytes: int | None
    """Everything in the repository, with what earlier commits have."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository. Title and author are others' text."""

    commit: str
    title: str
    authors: tuple[str, ...]
    at: str
    """ISO 8601, UTC."""


def address(text: str) -> tuple[str, str | None]:
    """Return repository and revision of ORG/NAME or ORG/NAME@REVISION. Raises MissingError for another form."""
    repo, marked, revision = text.partition("@")
    check_name(repo)
    if marked and not revision.strip():
        raise MissingError(f"`{text[:120]}` names no revision after its @", hint="ORG/NAME@REVISION, or ORG/NAME")
    return repo, revision or None


def check_name(repo: str) -> None:
    """Raise MissingError for what is no name of a repository."""
    if _REPO.fullmatch(repo) is None or ".." in repo or "--" in repo or repo.endswith(".git"):
        raise bad_name(repo)


def client(token: str | None) -> HfApi:
    """Return the client; `token` None is that of the environment, or of who has logged in."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint(), token=token)


def remote(repo: str, revision: str | None = None, *, token: str | None = None) -> Remote:
    """Return a repository's snapshot at a branch, tag or commit (default: main), with its manifest read and nothing else.

    Raises MissingError, BusyError, or SnapshotError for a repository that holds no snapshot or is too large.
    """
    found = look(repo, revision, token=token)
    if found is None or not found.manifest:
        raise SnapshotError(
            f"{repo} holds no snapshot: it has no {NAME}", hint="`lrm snapshot list` names those that do"
        )
    return found


def look(repo: str, revision: str | None = None, *, token: str | None = None) -> Remote | None:
    """Return a repository at a revision, with an empty manifest where it has none; None for one that has no commit."""
    check_name(repo)
    check_online()
    api = client(token)
    info = asked(repo, "read", lambda: api.dataset_info(repo, revision=revision))
    if info.sha is None:
        return None
    commit = str(info.sha)
    if COMMIT.fullmatch(commit) is None:
        raise SnapshotError(f"the Hub names no commit of {repo}")
    files, hashes = asked(repo, "read", lambda: _tree(api, repo, commit))
    manifest = b""
    if NAME in files:
        if files[NAME] > MAX_BYTES:
            raise SnapshotError(f"{repo}: the manifest is larger than {MAX_BYTES:,} bytes")
        manifest = asked(repo, "read", lambda: small_file(repo, commit, NAME, files[NAME], token=token))
    gated = info.gated if isinstance(info.gated, str) else None
    return Remote(repo, commit, manifest, files, hashes, gated, bool(info.private))


def _tree(api: HfApi, repo: str, commit: str) -> tuple[dict[str, int], dict[str, str]]:
    from huggingface_hub.hf_api import RepoFile

    files: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for number, entry in enumerate(api.list_repo_tree(repo, recursive=True, revision=commit, repo_type="dataset")):
        if number >= MAX_FILES:
            raise SnapshotError(f"{repo} has more than {MAX_FILES:,} files, so it is no snapshot")
        if isinstance(entry, RepoFile):
            files[entry.path] = entry.size
            if entry.lfs is not None:
                hashes[entry.path] = entry.lfs.sha256
    return files, hashes


class Bounded(io.BytesIO):
    """Bytes of which no more come than were told."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def write(self, data: Any, /) -> int:
        """Take some more. Raises SnapshotError for too many."""
        if self.tell() + len(data) > self.most:
            raise SnapshotError("a file on the Hub is larger than the Hub says")
        return super().write(data)


def small_file(repo: str, commit: str, path: str, size: int, *, token: str | None = None) -> bytes:
    """Return a file of a commit that has this many bytes."""
    from huggingface_hub.file_download import http_get

    into = Bounded(size)
    http_get(
        file_url(repo, commit, path), into, headers=request_headers(token), expected_size=size, tqdm_class=silent_bar()
    )
    return into.getvalue()


def file_url(repo: str, commit: str, path: str) -> str:
    """Return the address of a file."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, path, repo_type="dataset", revision=commit, endpoint=endpoint())


def request_headers(token: str | None) -> dict[str, str]:
    """Return the headers of a request: the token is among them, for the Hub alone."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    return dict(build_hf_headers(token=token))


def listing(*, author: str | None = None, search: str | None = None, token: str | None = None) -> tuple[Listed, ...]:
    """Return the repositories whose card says that they are snapshots, last changed first, at most MAX_LISTED.

    `author` is an account or organisation; `search` is part of the name. Private ones are listed to those who may read them.
    """
    check_online()
    api = client(token)
    found = asked(
        author or "snapshots",
        "read",
        lambda: list(
            api.list_datasets(
                author=author, search=search, filter=TAG, sort="last_modified", limit=MAX_LISTED,
                expand=["lastModified", "private", "gated", "downloads", "usedStorage"],
            )
        ),
    )  # fmt: skip
    return tuple(
        Listed(
            one.id,
            None if one.last_modified is None else one.last_modified.isoformat(),
            one.private,
            one.gated if isinstance(one.gated, str) else None,
            one.downloads,
            one.used_storage,
        )
        for one in found
        if _REPO.fullmatch(one.id)
    )


def commits(repo: str, revision: str | None = None, *, token: str | None = None) -> tuple[Commit, ...]:
    """Return the commits of a repository, newest first."""
    check_name(repo)
    check_online()
    api = client(token)
    found = asked(repo, "read", lambda: api.list_repo_commits(repo, repo_type="dataset", revision=revision))
    return tuple(Commit(one.commit_id, one.title, tuple(one.authors), one.created_at.isoformat()) for one in found)
