"""Reading a catalog for somebody who looks at it for hours: it is open only while queries run, and they can be stopped."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lrm import clock
from lrm.store.catalog import Catalog, using

if TYPE_CHECKING:
    import duckdb

PATIENCE_S = 2.0
"""How long a burst waits for a writer before BusyError, in seconds."""
MEMORY = "128MB"
"""What DuckDB may use before it spills to a temporary folder."""
TURN_S = 0.5
"""How long the file stays open at most before a writer gets a turn, in seconds, unless one burst alone takes longer."""
LINGER_S = 0.05
"""How long it stays open after a burst, for the next one: attaching anew takes longer than most queries."""
REST_S = 0.07
"""How long it stays closed after a turn; a writer that waits looks more often than that."""
ALIAS = "cat"
"""Name of the catalog within a burst; what is kept between bursts is in the database `memory`."""

_AGAIN_S = 0.02

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
            if not self._running:
                return
        # An interrupt that comes just before a query begins is lost, so it is given again until nothing runs.
        threading.Thread(target=self._interrupt, daemon=True).start()

    def _interrupt(self) -> None:
        while True:
            with self._lock:
                if not self._running:
                    return
                for connection in self._running:
                    connection.interrupt()
            time.sleep(_AGAIN_S)

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
    """A catalog as an in-memory database sees it: attached read-only by the first burst, detached soon after the last.

    Threads may have bursts side by side. Never hold one open for longer than a query takes: it keeps writers out.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._turn = threading.Condition()
        self._bursts = 0
        self._alone = False
        self._attached_at: float | None = None
        self._rest_until = 0.0
        self._leaving: threading.Timer | None = None
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
        self._begin(patience_s)
        try:
            with self._cursor() as connection, using(self.catalog.path), stop.watching(connection):
                connection.execute(f"USE {ALIAS}")
                yield connection
        finally:
            self._end()

    def _begin(self, patience_s: float) -> None:
        with self._turn:
            self._turn.wait_for(lambda: not self._alone)
            if not self._bursts and self._is_over():
                self._detach()
            if self._attached_at is None:
                self._turn.wait_for(lambda: False, timeout=self._rest_until - clock.monotonic())
                self._turn.wait_for(lambda: not self._alone)
            if self._attached_at is None:  # another burst may have attached it meanwhile
                self.catalog.attach(self._memory(), ALIAS, patience_s=patience_s)
                self._attached_at = clock.monotonic()
            self._bursts += 1

    def _end(self) -> None:
        with self._turn:
            self._bursts -= 1
            if not self._bursts:
                if self._is_over():
                    self._detach()
                elif self._leaving is None:
                    self._leaving = threading.Timer(LINGER_S, self._leave)
                    self._leaving.daemon = True
                    self._leaving.start()
            self._turn.notify_all()

    def _leave(self) -> None:
        """Close the file when nothing has used it since the timer began; otherwise when that is over."""
        with self._turn:
            self._leaving = None
            if not self._bursts:
                self._detach()

    def _is_over(self) -> bool:
        return self._attached_at is not None and clock.monotonic() - self._attached_at > TURN_S

    def _detach(self) -> None:
        if self._attached_at is None:
            return
        self._memory().execute(f"DETACH {ALIAS}")
        if self._is_over():
            self._rest_until = clock.monotonic() + REST_S
        self._attached_at = None

    def let_go(self) -> None:
        """Close the file now, unless a burst is open."""
        with self._turn:
            if not self._bursts:
                self._detach()

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
            self._detach()
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
            self._turn.wait_for(lambda: not self._bursts, timeout=PATIENCE_S)
            leaving = self._leaving
            self._attached_at = None
            self._root = None
            if self._forget is not None:
                self._forget()
                self._forget = None
        if leaving is not None:
            leaving.cancel()
            leaving.join()

    def _memory(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        if self._root is None:
            spill = tempfile.mkdtemp(prefix="lrm-browse-")
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
            self._forget = weakref.finalize(self, _discard, self._root, spill)
        return self._root

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._memory().cursor()
        try:
            yield connection
        finally:
            with suppress(Exception):
                connection.close()


def _discard(root: duckdb.DuckDBPyConnection, spill: str) -> None:
    with suppress(Exception):  # a cursor of a thread that was stopped may still be at work
        root.close()
    shutil.rmtree(spill, ignore_errors=True)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
