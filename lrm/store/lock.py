"""The advisory locks of a catalog: fills side by side, everything else that changes it alone, and a turn to number rows.

Fills share the lock `.filling`; an import or a reparse holds it alone. `.arranging` is held while a fill plans and
registers, and while a segment is merged: a plan numbers new rows above the catalog's, so nobody else may add rows between
the two. The kernel lets go of each lock when its process dies. DuckDB's own lock is a third, taken inside these.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lrm import clock
from lrm.errors import BusyError, CatalogError
from lrm.store.catalog import Catalog

ARRANGING_PATIENCE_S = 300.0
"""How long to wait for another fill to plan or merge, in seconds."""
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a catalog's lock."""

    pid: int
    host: str
    doing: str
    """The command, in the user's words."""
    since: str
    """ISO 8601, UTC."""

    def __str__(self) -> str:
        return f"`{self.doing}` (process {self.pid} on {self.host}) since {self.since}"


def holder(catalog: Catalog) -> Holder | None:
    """Return who wrote their name into the lock file last; None when nobody did or it cannot be read."""
    try:
        return Holder(**json.loads(catalog.lock_file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def held_alone(catalog: Catalog) -> bool:
    """Return whether somebody holds the catalog alone at this moment."""
    try:
        descriptor = os.open(catalog.lock_file, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def locked(catalog: Catalog, doing: str) -> Iterator[None]:
    """Hold the catalog alone. Raises BusyError, which names who has it, and CatalogError where it cannot be written."""
    with _held(catalog, doing, fcntl.LOCK_EX):
        yield


@contextmanager
def sharing(catalog: Catalog, doing: str) -> Iterator[None]:
    """Hold the catalog beside other fills. Raises BusyError where somebody holds it alone, else as `locked` does."""
    with _held(catalog, doing, fcntl.LOCK_SH):
        yield


@contextmanager
def arranging(catalog: Catalog, *, patience_s: float = ARRANGING_PATIENCE_S) -> Iterator[None]:
    """Hold the turn to number rows; wait for it as long as `patience_s`. Raises BusyError after that, and CatalogError."""
    descriptor = _opened(catalog.arranging_file)
    try:
        given_up = time.monotonic() + patience_s
        while not _taken(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > given_up:
                raise BusyError(
                    f"another fill has been planning or merging into {catalog.path} for {patience_s:g} s",
                    hint="see `lrm matrix ps`; stop it, or run the same command later",
                )
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _held(catalog: Catalog, doing: str, how: int) -> Iterator[None]:
    descriptor = _opened(catalog.lock_file)
    try:
        if not _taken(descriptor, how):
            who = holder(catalog)
            raise BusyError(
                f"the catalog {catalog.path} is being filled by {who or 'another process'}",
                hint="wait for it, stop it (`lrm matrix ps`, `lrm matrix stop`), or use another catalog with --catalog PATH",
            )
        mine = json.dumps(
            asdict(Holder(os.getpid(), socket.gethostname(), doing, clock.now().isoformat(timespec="seconds")))
        )
        with suppress(OSError):  # a full disk: the name is for others' messages only
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, mine.encode(), 0)
        try:
            yield
        finally:
            with suppress(OSError):
                if catalog.lock_file.read_text() == mine:
                    os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CatalogError(
            f"{path.parent} cannot be written: {error.strerror or error}",
            hint="check that the folder is there and may be written, or name another --catalog",
        ) from error


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
