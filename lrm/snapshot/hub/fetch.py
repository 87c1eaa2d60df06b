"""A snapshot's files, from the Hub into a folder: checked before they are asked for, and each again when it has come.

What has come stays when a fetch breaks off: whole files are not asked for again, and a part of one is continued. A file stands
under its own name once its hash is right, and the manifest is written last, so that a folder with a manifest is whole.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrm.errors import MissingError, SnapshotError
from lrm.snapshot.folder import MAX_CARD
from lrm.snapshot.hub.faults import asked, check_online
from lrm.snapshot.hub.repository import Remote, file_url, request_headers, small_file
from lrm.snapshot.manifest import CARD, NAME, File, Manifest, safe_path

MAX_TOTAL = 2**40
"""Bytes of a snapshot, beyond which it is not fetched."""
KEPT = "<!-- lrm keeps what people write below this line -->"
"""In a README on the Hub: what is below it is of people, and stays there."""
_PARTS = ".parts"
_AT_ONCE = 4
_SPARE = 64 * 2**20
"""Bytes that are left free on the disk."""


def _every(_: File) -> bool:
    return True


def fetch(
    remote: Remote,
    manifest: Manifest,
    into: Path,
    *,
    wanted: Callable[[File], bool] = _every,
    token: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Bring the files that a manifest lists and that are wanted into a folder, with the card and the manifest.

    Raises SnapshotError for a repository that is not what its manifest says, MissingError and BusyError for one that cannot
    be read.
    """
    check_online()
    files = [one for one in manifest.files if wanted(one)]
    _check(remote, files)
    into.mkdir(parents=True, exist_ok=True)
    left = [one for one in files if not is_whole(into / one.path, one)]
    _check_space(into, sum(one.bytes for one in left))
    if left:
        say(f"fetching {_counted(left)} of {len(files)} from {remote.repo} at {remote.commit[:12]}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for _ in pool.map(lambda one: _bring(remote, one, into, token), left):
                pass
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    size = remote.files.get(CARD)
    if size is not None and size <= MAX_CARD:
        card = asked(remote.repo, "read", lambda: small_file(remote.repo, remote.commit, CARD, size, token=token))
        own, marked, _ = card.partition(KEPT.encode())
        (into / CARD).write_bytes(own.rstrip() + b"\n" if marked else card)
    shutil.rmtree(into / _PARTS, ignore_errors=True)
    (into / NAME).write_bytes(remote.manifest)


def is_whole(path: Path, file: File) -> bool:
    """Return whether a file is there, with the bytes that the manifest says."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size == file.bytes:
            return _sha256(path) == file.sha256
    return False


def _check(remote: Remote, files: Iterable[File]) -> None:
    """Raise SnapshotError for files that the repository has not, or not as the manifest says, before any is asked for."""
    total = 0
    for one in files:
        if not safe_path(one.path):
            raise SnapshotError(f"{remote.repo}: `{one.path[:120]}` is no path of a snapshot")
        size = remote.files.get(one.path)
        if size is None:
            raise SnapshotError(f"{remote.repo} lacks {one.path}, which its manifest lists")
        if size != one.bytes or remote.sha256.get(one.path, one.sha256) != one.sha256:
            raise SnapshotError(
                f"{remote.repo}: {one.path} is not the file that its manifest lists",
                hint="ask those who published it to do so again, or pull an earlier commit: ORG/NAME@COMMIT",
            )
        total += size
    if total > MAX_TOTAL:
        raise SnapshotError(f"{remote.repo} has {total:,} bytes, and no more than {MAX_TOTAL:,} are fetched")


def _check_space(into: Path, needed: int) -> None:
    free = shutil.disk_usage(into).free
    there = sum(path.stat().st_size for path in (into / _PARTS).glob("*")) if (into / _PARTS).is_dir() else 0
    if needed and needed - there + _SPARE > free:
        raise MissingError(
            f"{into} has {free:,} bytes free, and {needed:,} are needed",
            hint="free some disk space, or name another folder",
        )


def _bring(remote: Remote, file: File, into: Path, token: str | None) -> None:
    """Fetch a file; one with a wrong hash once more."""
    part = into / _PARTS / file.sha256
    part.parent.mkdir(exist_ok=True)
    for last in (False, True):
        asked(remote.repo, "read", lambda: _continue(remote, file, part, token))
        if _sha256(part) == file.sha256:
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
            return
        part.unlink()
        if last:
            raise SnapshotError(
                f"{remote.repo}: {file.path} came twice with bytes that are not those its manifest lists",
                hint="ask those who published it to do so again, or pull an earlier commit: ORG/NAME@COMMIT",
            )


def _continue(remote: Remote, file: File, part: Path, token: str | None) -> None:
    """Fetch what is missing of a file."""
    # The client's own download begins anew in every process; only its part for one request continues.
    from huggingface_hub.file_download import http_get

    from lrm.hub_client import silent_bar

    part.touch()
    if part.is_symlink() or part.stat().st_size > file.bytes:
        part.unlink()
        part.touch()
    with _Bounded(part, file.bytes) as there:
        http_get(
            file_url(remote.repo, remote.commit, file.path), there, resume_size=there.seek(0, io.SEEK_END),
            headers=request_headers(token), expected_size=file.bytes, tqdm_class=silent_bar(),
        )  # fmt: skip


class _Bounded(io.BufferedRandom):
    """A file into which no more is written than was told."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(io.FileIO(path, "r+"))
        self.most = most

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.most:
            raise SnapshotError("a file on the Hub is larger than the Hub says")
        return super().write(data)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _counted(files: list[File]) -> str:
    size = sum(one.bytes for one in files)
    return f"{'1 file' if len(files) == 1 else f'{len(files)} files'} ({size / 1e6:,.1f} MB)"
