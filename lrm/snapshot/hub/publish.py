"""A snapshot's folder to a dataset repository on the Hub, in one commit on top of the one that was looked at.

What others have published there stays: where the repository has shards that the folder lacks, the two are made one first. Where
somebody commits in between, it begins again from what is there then. Only files that are not there are sent.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from lrm.errors import MissingError, SnapshotError
from lrm.hub_client import endpoint, status_of
from lrm.snapshot import manifest as manifests
from lrm.snapshot.card.card import is_ours
from lrm.snapshot.folder import MAX_CARD
from lrm.snapshot.hub.faults import PassingError, StaleError, asked, check_online, explained, wait
from lrm.snapshot.hub.fetch import KEPT, fetch
from lrm.snapshot.hub.repository import Remote, check_name, client, look, request_headers, small_file
from lrm.snapshot.links import link
from lrm.snapshot.manifest import CARD, NAME, Manifest, safe_path
from lrm.snapshot.tables import BY_NAME

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

Gated = Literal["auto", "manual"]
Say = Callable[[str], None]
Rebase = Callable[[Path], Path]

TRIES = 12
"""How often publishing begins again because somebody else was faster."""
_AT_ONCE = 32
"""Files that are open at once."""
_EXPECTED = {".gitattributes", CARD, NAME}


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot that is on the Hub."""

    repo: str
    commit: str
    url: str
    uploaded: tuple[str, ...]
    """Paths that were sent; empty where everything was there."""
    bytes: int
    """Of what was sent."""
    unchanged: bool
    """Whether everything was there already, so that no commit was made."""
    created: bool
    private: bool


@dataclass(slots=True)
class _Work:
    """What is known of one publishing from one try to the next."""

    api: HfApi
    repo: str
    token: str | None
    say: Say
    brought: list[Path]
    """Folders that may have shards of the repository, so that they are not fetched again."""
    sent: dict[str, int] = field(default_factory=dict)
    """Paths that were sent, with their sizes in bytes."""
    committed: bool = False
    """Whether a commit was asked for: with a lost answer it may be there."""


def publish(
    folder: Path,
    repo: str,
    *,
    private: bool | None = None,
    gated: Gated | None = None,
    token: str | None = None,
    rebase: Rebase,
    say: Say = lambda _: None,
) -> Published:
    """Publish a snapshot's folder, and return what was done.

    Args:
        folder: a checked snapshot.
        repo: ORG/NAME; made where it is not there.
        private: whether only its owners see it; None makes new ones private and leaves others as they are.
        gated: whether readers must ask for access, which everybody gets who asks (`auto`) or the owners grant (`manual`); None leaves it.
        token: of an account that may write; None is that of the environment, or of who has logged in.
        rebase: given a folder with what others have published, returns one that holds both it and `folder`.
        say: told of each step.

    Raises MissingError where this account may not write, SnapshotError for a repository that holds something else or a damaged
    snapshot, BusyError where the Hub does not answer or others commit all the time.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    check_name(repo)
    check_online()
    manifests.read((folder / NAME).read_bytes(), str(folder))
    api = client(token)
    created = _create(api, repo, private=private)
    is_private = _settle(api, repo, private=private, gated=gated, created=created, say=say)
    with _quiet(), _near(folder) as scratch:
        work = _Work(api, repo, token, say, [folder])
        trying = Retrying(
            retry=retry_if_exception_type(StaleError), stop=stop_after_attempt(TRIES), wait=wait, reraise=True
        )
        commit = trying(lambda: _once(work, folder, scratch, rebase))
    size, changed = sum(work.sent.values()), work.committed
    url = f"{endpoint()}/datasets/{repo}"
    return Published(repo, commit, url, tuple(sorted(work.sent)), size, not changed, created, is_private)


def _create(api: HfApi, repo: str, *, private: bool | None) -> bool:
    """Make the repository where there is none that this account sees; return whether it was made."""
    from huggingface_hub.errors import HfHubHTTPError

    def make() -> bool:
        try:
            api.create_repo(repo, repo_type="dataset", private=private is not False)
        except HfHubHTTPError as error:
            if status_of(error) == 409:
                return False
            raise
        return True

    try:
        asked(repo, "read", lambda: api.dataset_info(repo))
    except MissingError:
        return asked(repo, "write", make)
    return False


def _settle(api: HfApi, repo: str, *, private: bool | None, gated: Gated | None, created: bool, say: Say) -> bool:
    """Set who may read the repository, as far as that was said and differs; return whether it is private."""
    info = asked(repo, "read", lambda: api.dataset_info(repo))
    seen = private if private is not None and private != info.private else None
    asks = gated if gated is not None and gated != info.gated else None
    if seen is not None or asks is not None:
        asked(repo, "write", lambda: api.update_repo_settings(repo, repo_type="dataset", private=seen, gated=asks))
    is_private = bool(info.private) if seen is None else seen
    if not is_private and not created and private is None:
        say(f"{repo} is public: everybody will see what is published")
    return is_private


def _once(work: _Work, folder: Path, scratch: Path, rebase: Rebase) -> str:
    """Publish on top of the repository as it is now; return its head. Raises StaleError where somebody was faster."""
    there = look(work.repo, token=work.token)
    ours = manifests.read((folder / NAME).read_bytes(), str(folder))
    theirs = None if there is None else _theirs(there)
    if there is not None and theirs is not None and _lacks(ours, theirs):
        brought = scratch / there.commit
        _lend(theirs, work.brought, brought)
        fetch(there, theirs, brought, token=work.token, say=work.say)
        work.brought.append(brought)
        folder = rebase(brought)
        work.brought.append(folder)
        ours = manifests.read((folder / NAME).read_bytes(), str(folder))
    shards = [
        one for one in ours.files if there is None
        or there.files.get(one.path) != one.bytes or there.sha256.get(one.path, one.sha256) != one.sha256
    ]  # fmt: skip
    listed = {one.path for one in ours.files}
    stale = [path for path in (there.files if there is not None else ()) if _is_shard(path) and path not in listed]
    texts: dict[str, bytes] = {}
    if theirs is None or _content(ours) != _content(theirs):
        texts[NAME] = (folder / NAME).read_bytes()
    card = _card((folder / CARD).read_text(encoding="utf-8"), _their_card(work, there))
    if card is not None:
        texts[CARD] = card.encode()
    if there is not None and not (shards or stale or texts):
        return there.commit
    sizes = {one.path: one.bytes for one in shards} | {path: len(text) for path, text in texts.items()}
    work.say(f"sending {_counted(sizes)} to {work.repo}")
    adds = _send(work, folder, [one.path for one in shards], texts)
    work.sent |= sizes
    return _commit(work, there, adds, stale)


def _theirs(there: Remote) -> Manifest | None:
    """Return what the repository's manifest says. Raises SnapshotError for a repository that holds something else."""
    if there.manifest:
        return manifests.read(there.manifest, there.repo)
    others = sorted(path for path in there.files if path not in _EXPECTED)
    if others:
        raise SnapshotError(
            f"{there.repo} holds something else than a snapshot: {len(others)} files without a {NAME}",
            hint="publish under another name, or take those files away first",
        )
    return None


def _lacks(ours: Manifest, theirs: Manifest) -> bool:
    """Return whether the repository has rows or specs that the folder may lack."""
    here = {one.path for one in ours.files}
    rows = any(one.path not in here for one in theirs.files if not BY_NAME[one.table].derived)
    return (
        rows or any(one not in ours.specs for one in theirs.specs) or any(one not in ours.sets for one in theirs.sets)
    )


def _content(manifest: Manifest) -> dict[str, Any]:
    """Return what a manifest says of the content; which versions wrote it is no reason to write it again."""
    return manifest.model_dump(exclude={"version", "made_with"})


def _is_shard(path: str) -> bool:
    return safe_path(path) and path not in (NAME, CARD)


def _lend(manifest: Manifest, folders: Sequence[Path], into: Path) -> None:
    """Put the files that are here already into a folder, so that they are not fetched."""
    for one in manifest.files:
        for folder in folders:
            if (folder / one.path).is_file():
                target = into / one.path
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    link(folder / one.path, target)
                break


# --- the card ---------------------------------------------------------------------------------------------------------


def _their_card(work: _Work, there: Remote | None) -> str | None:
    size = None if there is None else there.files.get(CARD)
    if there is None or size is None:
        return None
    if size > MAX_CARD:
        raise SnapshotError(f"{work.repo}: its {CARD} is larger than {MAX_CARD:,} bytes", hint="make it shorter")
    found = asked(work.repo, "read", lambda: small_file(work.repo, there.commit, CARD, size, token=work.token))
    return found.decode("utf-8", errors="replace")


def _card(ours: str, theirs: str | None) -> str | None:
    """Return the card to commit; None where the one that is there says the same.

    Head and card are always ours: by the head the viewer and `datasets` find the tables. What people wrote is kept below a line
    that says so: all that is below it already, or the whole text of a README that lrm has not written.
    """
    words = _words(ours if theirs is None else theirs)
    card = f"{ours.partition(KEPT)[0].rstrip()}\n\n{KEPT}\n" + (f"\n{words}\n" if words else "")
    return None if theirs is not None and _said(card) == _said(theirs) else card


def _words(theirs: str) -> str:
    """Return what people wrote of a README."""
    if is_ours(theirs):
        return theirs.partition(f"\n{KEPT}\n")[2].strip()
    headed = re.match(r"---\r?\n.*?\r?\n---(?:\r?\n|$)", theirs, re.DOTALL)
    body = theirs[headed.end() :] if headed else theirs.removeprefix("---\n---\n")
    return body.replace(KEPT, "").strip()


def _said(card: str) -> list[str]:
    """Return a card's lines without those that tell which versions wrote it."""
    return [line for line in card.splitlines() if not re.search(r"\blrm [0-9]", line)]


# --- sending ----------------------------------------------------------------------------------------------------------


def _send(work: _Work, folder: Path, paths: Sequence[str], texts: dict[str, bytes]) -> list[CommitOperationAdd]:
    """Upload files, without a commit; return what the commit is to add."""
    stores = bool(paths or texts) and _has_store(work)
    found: list[CommitOperationAdd] = []
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        found += asked(work.repo, "write", lambda some=some: _upload(work, folder, some, {}, stores=stores))  # type: ignore[misc]
    return found + asked(work.repo, "write", lambda: _upload(work, folder, (), texts, stores=stores))


def _upload(
    work: _Work, folder: Path, paths: Sequence[str], texts: dict[str, bytes], *, stores: bool
) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    with ExitStack() as stack:
        # The client sends open files by LFS, and named ones by the Hub's own storage (xet), where it does not fall back.
        adds = [
            CommitOperationAdd(path, str(folder / path) if stores else stack.enter_context((folder / path).open("rb")))
            for path in paths
        ]
        adds += [CommitOperationAdd(path, text if stores else io.BytesIO(text)) for path, text in texts.items()]
        work.api.preupload_lfs_files(work.repo, adds, repo_type="dataset")
        for add in adds:
            # What was uploaded is empty now. What was not goes with the commit, when its file is closed.
            if add.path_in_repo in paths and not isinstance(add.path_or_fileobj, bytes):
                add.path_or_fileobj = str(folder / add.path_in_repo)
    return adds


def _has_store(work: _Work) -> bool:
    """Return whether the server has the Hub's own storage (xet)."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    url = f"{endpoint()}/api/datasets/{work.repo}/xet-write-token/main"

    def ask() -> bool:
        response = get_session().get(url, headers=request_headers(work.token))
        if response.status_code == 404:
            return False
        hf_raise_for_status(response)
        return True

    return asked(work.repo, "write", ask)


def _commit(work: _Work, there: Remote | None, adds: list[CommitOperationAdd], stale: list[str]) -> str:
    """Make the commit; return its hash. Raises StaleError where the head has moved, or may have."""
    from huggingface_hub import CommitOperationDelete

    gone = [CommitOperationDelete(path) for path in stale]
    message = f"lrm snapshot: {_files(len(adds))} written, {len(gone)} removed"
    try:
        with explained(work.repo, "write"):
            made = work.api.create_commit(
                work.repo, [*adds, *gone], commit_message=message, repo_type="dataset",
                parent_commit=None if there is None else there.commit,
            )  # fmt: skip
    except PassingError as error:
        # An answer that was lost may be of a commit that was made: only what is there now tells.
        work.committed = True
        raise StaleError(error.message, hint=error.hint, after_s=error.after_s) from error
    work.committed = True
    return str(made.oid)


@contextmanager
def _near(folder: Path) -> Iterator[Path]:
    """Have a passing folder on the same disk, where that can be written."""
    home = folder.absolute().parent
    with TemporaryDirectory(prefix=".lrm-publish-", dir=home if os.access(home, os.W_OK) else None) as scratch:
        yield Path(scratch)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's progress bars off stderr, which belongs to the front end."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled() or os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS"):
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _counted(sizes: dict[str, int]) -> str:
    return f"{_files(len(sizes))} ({sum(sizes.values()) / 1e6:,.1f} MB)"
