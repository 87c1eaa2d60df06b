"""Reading a catalog for somebody who looks at it for hours: it is open only while queries run, and they can be stopped."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.store.catalog import Catalog, using

if TYPE_CHECKING:
    import duckdb

PATIENCE_S = 2.0
"""How long a burst waits for a writer before BusyError, in seconds."""
MEMORY = "128MB"
"""What DuckDB may use before it spills to a temporary folder."""
ALIAS = "cat"
"""Name of the catalog within a burst; what is kept between bursts is in the database `memory`."""

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What tells one state of the catalog's file from another: inode, bytes and time of change, of it and of its log."""


class StoppedError(Exception):
    """The query was stopped, because nobody waits for it any more."""


@dataclass(slots=True)
class Stop:
    """Stops queries from another thread. One that is stopped stays stopped."""

    asked: bool = False
    _running: set[duckdb.DuckDBPyConnection] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Interrupt what runs, and let nothing more begin."""
        with self._lock:
            self.asked = True
            for connection in self._running:
                connection.interrupt()

    def check(self) -> None:
        """Raise StoppedError once it was asked for: for loops between queries."""
        if self.asked:
            raise StoppedError

    @contextmanager
    def watching(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let a connection be interrupted while the block runs; its InterruptException becomes StoppedError."""
        import duckdb

        with self._lock:
            self.check()
            self._running.add(connection)
        try:
            yield
        except duckdb.InterruptException:
            raise StoppedError from None
        finally:
            with self._lock:
                self._running.discard(connection)


class Reader:
    """A catalog as an in-memory database sees it: attached read-only by the first burst, detached by the last.

    Threads may have bursts side by side. Never hold one open for longer than a query takes: it keeps writers out.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._turn = threading.Condition()
        self._bursts = 0
        self._alone = False
        self._root: duckdb.DuckDBPyConnection | None = None
        self._forget: weakref.finalize[..., Reader] | None = None

    @contextmanager
    def burst(self, stop: Stop | None = None, *, patience_s: float = PATIENCE_S) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection whose default database is the catalog; `memory.main` may be written.

        Raises MissingError, CatalogError; BusyError, which names the holder, after `patience_s`; StoppedError.
        """
        stop = stop or Stop()
        stop.check()
        self.catalog.require()
        with self._turn:
            self._turn.wait_for(lambda: not self._alone)
            if not self._bursts:
                self.catalog.attach(self._memory(), ALIAS, patience_s=patience_s)
            self._bursts += 1
        try:
            with self._cursor() as connection, using(self.catalog.path), stop.watching(connection):
                connection.execute(f"USE {ALIAS}")
                yield connection
        finally:
            with self._turn:
                self._bursts -= 1
                if not self._bursts:
                    self._memory().execute(f"DETACH {ALIAS}")
                self._turn.notify_all()

    @contextmanager
    def kept(self, stop: Stop | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection to what earlier bursts kept in `memory.main`; the catalog is not opened."""
        stop = stop or Stop()
        with self._turn:
            self._memory()
        with self._cursor() as connection, stop.watching(connection):
            yield connection

    @contextmanager
    def alone(self) -> Iterator[Catalog]:
        """Wait until no burst is open and let none begin: for writing to the catalog from this process."""
        with self._turn:
            self._turn.wait_for(lambda: not self._alone and not self._bursts)
            self._alone = True
        try:
            yield self.catalog
        finally:
            with self._turn:
                self._alone = False
                self._turn.notify_all()

    def stamp(self) -> Stamp:
        """Return what changes whenever a writer has changed the file."""
        return tuple(_stamp(path) for path in (self.catalog.path, Path(f"{self.catalog.path}.wal")))

    def close(self) -> None:
        """Forget what was kept."""
        with self._turn:
            if self._root is not None:
                self._root.close()
                self._root = None
            if self._forget is not None:
                self._forget()
                self._forget = None

    def _memory(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        if self._root is None:
            spill = tempfile.mkdtemp(prefix="lrm-browse-")
            self._forget = weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
            self._root = duckdb.connect(
                ":memory:",
                config={
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "memory_limit": MEMORY,
                    "temp_directory": spill,
                    "preserve_insertion_order": "false",
                },
            )
        return self._root

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._memory().cursor()
        try:
            yield connection
        finally:
            with suppress(Exception):
                connection.close()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
