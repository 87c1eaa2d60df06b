"""A snapshot as a folder: opened only as far as its manifest vouches for it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lrm.errors import MissingError, SnapshotError
from lrm.snapshot import manifest as manifests
from lrm.snapshot.live_text import fault_in
from lrm.snapshot.manifest import CARD, MAX_BYTES, NAME, File, Manifest

MAX_CARD = 2**20
"""A longer card is not read, in bytes."""
MAX_SHARD = 256 * 2**20
"""No shard holds more without compression, in bytes: lrm cuts them far below that."""
MAX_ROWS = 2**22
"""No shard holds more rows."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder whose files are those that its manifest lists, byte for byte. What is in them is not checked yet."""

    folder: Path
    manifest: Manifest
    sha256: str
    """Of the manifest."""

    def paths(self) -> dict[str, list[str]]:
        """Return the paths of the shards by table, in the order of their rows."""
        found: dict[str, list[str]] = {}
        for one in self.manifest.files:
            found.setdefault(one.table, []).append(one.path)
        return found


def open_folder(folder: Path, *, say: Callable[[str], None] = lambda _: None) -> Snapshot:
    """Open a snapshot: read its manifest and compare every file with it, sizes before contents.

    Raises MissingError where there is none, SnapshotError for one whose files are not what the manifest says, that has files
    besides, links or paths elsewhere, or a card that would do something to who reads it.
    """
    try:
        # Resolved, because DuckDB tells the files of rows by the paths as they are.
        return _opened(folder.resolve(), say)
    except OSError as error:
        raise SnapshotError(
            f"{folder} cannot be read: {error.strerror or error}", hint="check that you may read all of its files"
        ) from error


def _opened(folder: Path, say: Callable[[str], None]) -> Snapshot:
    if not folder.is_dir():
        raise MissingError(f"there is no snapshot at {folder}", hint="`lrm snapshot export SPEC DIR` makes one")
    if not (folder / NAME).exists():
        raise MissingError(f"{folder} is no snapshot: it has no {NAME}", hint="name the folder that holds it")
    body = read_bounded(folder / NAME, MAX_BYTES)
    found = manifests.read(body, str(folder / NAME))
    for one in found.files:
        bounded(one, str(folder))
        _is_there(folder, one)
    _nothing_besides(folder, found)
    if (folder / CARD).exists():
        fault = fault_in(read_bounded(folder / CARD, MAX_CARD).decode("utf-8", "replace"))
        if fault is not None:
            raise SnapshotError(
                f"{folder / CARD}: {fault}", hint="a card that lrm wrote has none of that: do not trust it"
            )
    for one in found.files:
        hashed(folder / one.path, one)
    say(f"{len(found.files)} files are what the manifest says")
    return Snapshot(folder, found, hashlib.sha256(body).hexdigest())


def bounded(one: File, where: str) -> None:
    """Raise SnapshotError for a shard that says of itself that it is larger than lrm makes them."""
    if one.unpacked > MAX_SHARD or one.bytes > MAX_SHARD or one.rows > MAX_ROWS:
        raise SnapshotError(
            f"{where}: {one.path} is larger than any shard that lrm writes: {one.rows:,} rows, {one.unpacked:,} bytes",
            hint="it was not written by lrm: do not trust it",
        )


def hashed(path: Path, one: File) -> None:
    """Raise SnapshotError where a file's SHA-256 is not that of the manifest."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != one.sha256:
        raise SnapshotError(
            f"{path}: its SHA-256 is {found[:16]}…, and the manifest says {one.sha256[:16]}…",
            hint="it was damaged or changed after it was written: pull or export it again",
        )


def read_bounded(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file that is no larger than `most`. Raises SnapshotError."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise SnapshotError(f"{path} is no plain file", hint="a snapshot has neither links nor pipes: do not trust it")
    if found.st_size > most:
        raise SnapshotError(
            f"{path} has {found.st_size:,} bytes, and at most {most:,} are read",
            hint="it was not written by lrm: do not trust it",
        )
    with path.open("rb") as file:
        return file.read(most)


def _is_there(folder: Path, one: File) -> None:
    path = folder / one.path
    try:
        found = path.lstat()
    except OSError:
        raise SnapshotError(f"{path} is missing", hint="pull or export the snapshot again") from None
    if not stat.S_ISREG(found.st_mode) or path.resolve() != folder.resolve() / one.path:
        raise SnapshotError(f"{path} is a link or no plain file", hint="a snapshot has no links: do not trust it")
    if found.st_size != one.bytes:
        raise SnapshotError(
            f"{path} has {found.st_size:,} bytes, and the manifest says {one.bytes:,}", hint="pull or export it again"
        )


def _nothing_besides(folder: Path, found: Manifest) -> None:
    listed = {one.path for one in found.files}
    homes = {"data", *(f"data/{one.table}" for one in found.files)}
    if (folder / "data").is_symlink():
        raise SnapshotError(f"{folder / 'data'} is a link", hint="a snapshot has no links: do not trust it")
    for place, folders, names in os.walk(folder / "data"):
        for name in (*folders, *names):
            path = (Path(place) / name).relative_to(folder).as_posix()
            if path not in listed and (name in names or path not in homes or (folder / path).is_symlink()):
                raise SnapshotError(
                    f"{folder / path} is not in the manifest", hint="others would read it with the rest: remove it"
                )
