"""Bringing a snapshot here: what is fetched stands beside the catalog until it is merged, so that a broken pull goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from lrm.errors import BusyError, MissingError, SnapshotError
from lrm.snapshot import manifest as manifests
from lrm.snapshot.manifest import File, Manifest
from lrm.snapshot.merge import Origin
from lrm.snapshot.place import Folder, Place, Repository
from lrm.store.catalog import Catalog

if TYPE_CHECKING:
    from lrm.snapshot.hub.repository import Remote

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot of which the manifest was read, and nothing else."""

    place: Place
    origin: Origin
    manifest: Manifest
    sha256: str
    """Of the manifest."""
    remote: Remote | None = None
    """The repository; None for a folder."""


def every(_: File) -> bool:
    """Return that a shard is wanted."""
    return True


def pulls_folder(catalog: Catalog) -> Path:
    """Return the folder beside a catalog in which fetched snapshots stand until they are merged."""
    return catalog.path.with_name(f"{catalog.path.name}.pulls")


def find(place: Place) -> Found:
    """Read the manifest of a snapshot, wherever it is. Raises MissingError, SnapshotError and BusyError."""
    match place:
        case Folder(path):
            if not (path / manifests.NAME).is_file():
                raise MissingError(
                    f"{path} is no snapshot: it has no {manifests.NAME}", hint="name the folder that holds it"
                )
            from lrm.snapshot.folder import read_bounded

            body = read_bounded(path / manifests.NAME, manifests.MAX_BYTES)
            return Found(place, Origin(path.resolve().name), manifests.read(body, str(path)), _sha256(body))
        case Repository(repo, revision):
            there = _remote(repo, revision)
            origin = Origin(repo, repo.partition("/")[0], there.commit)
            return Found(place, origin, manifests.read(there.manifest, repo), _sha256(there.manifest), there)
        case _:
            assert_never(place)


def _remote(repo: str, revision: str | None) -> Remote:
    """Return a repository at a revision; one that is the beginning of a commit's hash, as lrm shows it, is that commit."""
    from lrm.snapshot.hub.repository import commits, remote

    try:
        return remote(repo, revision)
    except MissingError:
        if revision is None or re.fullmatch(r"[0-9a-f]{7,39}", revision) is None:
            raise
        begun = [one.commit for one in commits(repo) if one.commit.startswith(revision)]
        if len(begun) != 1:
            raise
    return remote(repo, begun[0])


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@contextmanager
def brought(
    catalog: Catalog, found: Found, *, wanted: Callable[[File], bool] = every, say: Say = lambda _: None
) -> Iterator[Path]:
    """Have the folder of a snapshot, which nothing has checked yet: where it stands, or fetched to beside the catalog.

    What was fetched goes when the block ends well, or with a SnapshotError, which fetching again would not mend. It stays
    where the block breaks off otherwise; the next fetch of it goes on from there. Raises MissingError, BusyError and
    SnapshotError.
    """
    match found.place:
        case Folder(path):
            yield path.absolute()
        case Repository(repo):
            commit = found.origin.commit or ""
            folder = pulls_folder(catalog) / f"{repo.replace('/', '--')}@{commit}"
            with _alone(folder, repo):
                _take_over(folder, found.manifest)
                _fetch(found, folder, wanted, say)
                try:
                    yield folder
                except SnapshotError:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                shutil.rmtree(folder, ignore_errors=True)
        case _:
            assert_never(found.place)


def _fetch(found: Found, folder: Path, wanted: Callable[[File], bool], say: Say) -> None:
    from lrm.snapshot.hub.fetch import fetch

    assert found.remote is not None
    fetch(found.remote, found.manifest, folder, wanted=wanted, say=say)


@contextmanager
def _alone(folder: Path, repo: str) -> Iterator[None]:
    """Hold the place of a commit beside the catalog; leave no empty folder behind. Raises BusyError, MissingError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_lock(folder), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise MissingError(
            f"{folder.parent.parent} cannot be written: {error.strerror or error}",
            hint="free some disk space, or name another --catalog: what is fetched stands beside it",
        ) from error
    try:
        _require(descriptor, repo)
        yield
        _let_go(folder)
    except BaseException:
        if not folder.exists():
            _let_go(folder)
        raise
    finally:
        os.close(descriptor)
        with suppress(OSError):
            folder.parent.rmdir()


def _take_over(folder: Path, manifest: Manifest) -> None:
    """Take the shards that a broken fetch of another commit left, and remove the rest of it."""
    for other in folder.parent.glob(f"{folder.name.partition('@')[0]}@*/"):
        if other == folder:
            continue
        descriptor = os.open(_lock(other), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _held(descriptor):
                continue
            for one in manifest.files:
                if (other / one.path).is_file() and not (folder / one.path).exists():
                    (folder / one.path).parent.mkdir(parents=True, exist_ok=True)
                    (other / one.path).replace(folder / one.path)
            shutil.rmtree(other, ignore_errors=True)
            _let_go(other)
        finally:
            os.close(descriptor)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _require(descriptor: int, repo: str) -> None:
    if not _held(descriptor):
        raise BusyError(
            f"another process is fetching {repo} for this catalog", hint="wait for it, and run the same command again"
        )


def _held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _let_go(folder: Path) -> None:
    with suppress(OSError):
        _lock(folder).unlink()
