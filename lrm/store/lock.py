"""The advisory lock of a catalog: one fill at a time, and anybody can see who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from lrm import clock
from lrm.errors import BusyError, CatalogError
from lrm.store.catalog import Catalog


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
    """Return who wrote their name into the lock file; None when nobody did or it cannot be read."""
    try:
        return Holder(**json.loads(catalog.lock_file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def locked(catalog: Catalog, doing: str) -> Iterator[None]:
    """Hold the catalog's lock; the kernel lets go of it when the process dies. Raises BusyError, which names the holder.

    Raises CatalogError where the folder cannot be written.
    """
    try:
        descriptor = os.open(catalog.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CatalogError(
            f"{catalog.path.parent} cannot be written: {error.strerror or error}",
            hint="check that the folder is there and may be written, or name another --catalog",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = holder(catalog)
            raise BusyError(
                f"the catalog {catalog.path} is being filled by {who or 'another process'}",
                hint="wait for it, stop it, or fill another catalog with --catalog PATH",
            ) from error
        mine = Holder(os.getpid(), socket.gethostname(), doing, clock.now().isoformat(timespec="seconds"))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(mine)).encode())
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
