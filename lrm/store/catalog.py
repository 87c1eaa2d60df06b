"""The catalog file: opened in short bursts, locked by one process at a time, migrated before use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lrm.errors import BusyError, CatalogError, MissingError

if TYPE_CHECKING:
    import duckdb

DEFAULT = "catalog.duckdb"
LOCK_PATIENCE_S = 20.0
"""How long to wait for another process that has the file open, in seconds."""

_CONFIG = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
_WRITTEN = "(ROW_GROUP_SIZE 8192)"
"""How the file is attached to be written. A commit writes its last row group anew, texts and all: at DuckDB's own size of
122,880 rows that grows to gigabytes of long traces; a small one keeps time and memory of a merge level, and the file is
no larger. It is not kept in the file, so each writer says it."""
T = TypeVar("T")


def catalog_path(given: str | Path | None = None) -> Path:
    """Return the catalog's path: as given, else the environment's LRM_CATALOG, else `catalog.duckdb` here."""
    return Path(given or os.environ.get("LRM_CATALOG") or DEFAULT).absolute()


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog by its path. Holds no connection: each use opens the file, works and closes it."""

    path: Path

    @property
    def journal_folder(self) -> Path:
        """Folder of the journals that are not merged yet."""
        return self.path.with_name(self.path.name + ".journal")

    @property
    def spool_folder(self) -> Path:
        """Folder of what workers elsewhere received for fills that run, or that died before it came to them."""
        return self.path.with_name(self.path.name + ".spool")

    @property
    def runs_folder(self) -> Path:
        """Folder of what fills say of themselves and are told while they run, and of their logs."""
        return self.path.with_name(self.path.name + ".runs")

    @property
    def lock_file(self) -> Path:
        """File whose lock every fill shares, and what changes the catalog alone holds for itself."""
        return self.path.with_name(self.path.name + ".filling")

    @property
    def arranging_file(self) -> Path:
        """File whose lock is held for the moments in which rows get their numbers."""
        return self.path.with_name(self.path.name + ".arranging")

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self.path.is_file()

    def require(self) -> None:
        """Raise MissingError when the file is not there, CatalogError for what is no file."""
        self._refuse_what_is_no_file()
        if not self.exists():
            raise MissingError(
                f"there is no catalog at {self.path}",
                hint="a fill makes one: `lrm matrix fill SPEC`; or name another with --catalog PATH or LRM_CATALOG",
            )

    @contextmanager
    def reading(self, *, patience_s: float = LOCK_PATIENCE_S) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file read-only; wait for a writer to close it. Raises MissingError, BusyError, CatalogError."""
        from lrm.store import migrations

        self.require()
        connection = self._connect(read_only=True, patience_s=patience_s)
        try:
            with using(self.path):
                _refuse_cut_off(connection, self.path)
                if migrations.pending(connection, self.path):
                    connection.close()
                    with self.writing(patience_s=patience_s):
                        pass
                    connection = self._connect(read_only=True, patience_s=patience_s)
                yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self, *, patience_s: float = LOCK_PATIENCE_S) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for one transaction: committed at the end, rolled back on an exception. Makes the file."""
        from lrm.store import migrations

        self._refuse_what_is_no_file()
        if not self.path.parent.is_dir():
            raise MissingError(
                f"the folder of the catalog is not there: {self.path.parent}", hint="make it, or name another --catalog"
            )
        if not self.exists():
            self._make()
        connection = self._connect(read_only=False, patience_s=patience_s)
        try:
            with using(self.path):
                _refuse_cut_off(connection, self.path)
                migrations.apply(connection, self.path)
            with transaction(connection, self.path):
                yield connection
            connection.execute("USE memory")
            detach(connection, "catalog", self.path)
        finally:
            _let_go(connection)

    def attach_for_writing(self, connection: duckdb.DuckDBPyConnection, alias: str) -> None:
        """Attach the file to an in-memory connection as `alias`, to be written; make or migrate it first."""
        with self.writing():
            pass
        patiently(
            lambda: connection.execute(f"ATTACH {self._quoted} AS {alias} {_WRITTEN}"), self.path, LOCK_PATIENCE_S
        )

    def attach(self, connection: duckdb.DuckDBPyConnection, alias: str, *, patience_s: float = LOCK_PATIENCE_S) -> None:
        """Attach the file read-only to an in-memory connection as `alias`; an absent file as an empty catalog.

        Raises BusyError when it stays locked. Detach as soon as the queries are done: an open reader blocks writers.
        """
        from lrm.store import migrations

        self._refuse_what_is_no_file()
        if not self.exists():
            connection.execute(f"ATTACH ':memory:' AS {alias}")
            connection.execute(f"USE {alias}")
            migrations.apply(connection, self.path)
            connection.execute("USE memory")
            return
        patiently(lambda: connection.execute(f"ATTACH {self._quoted} AS {alias} (READ_ONLY)"), self.path, patience_s)
        with using(self.path):
            _refuse_cut_off(connection, self.path, alias)
            pending = migrations.pending(connection, self.path, alias)
        if pending:
            connection.execute(f"DETACH {alias}")
            with self.writing():
                pass
            self.attach(connection, alias, patience_s=patience_s)

    def _make(self) -> None:
        """Make the file whole and then give it its name, so that nobody meets half a file after a kill."""
        from lrm.store import migrations

        draft = Catalog(self.path.with_name(f"{self.path.name}.{os.getpid()}.new"))
        try:
            connection = draft._connect(read_only=False, patience_s=0)
            try:
                with using(self.path):
                    migrations.apply(connection, self.path)
            finally:
                _let_go(connection)
            try:
                os.link(draft.path, self.path)
            except FileExistsError:
                return  # another process made it meanwhile
            except OSError:  # a file system without links
                draft.path.rename(self.path)
        except OSError as error:
            raise _unusable(error, self.path) from error
        finally:
            with suppress(OSError):
                draft.path.unlink()

    def _refuse_what_is_no_file(self) -> None:
        """Raise CatalogError for a folder, a pipe or the like: DuckDB would wait for a pipe for ever."""
        if self.path.exists() and not self.path.is_file():
            what = "a folder" if self.path.is_dir() else "neither a file nor a folder"
            raise CatalogError(
                f"{self.path} is {what}, and a catalog is a file",
                hint="name another with --catalog PATH or LRM_CATALOG",
            )

    @property
    def _quoted(self) -> str:
        """The path as a string of SQL."""
        return "'" + str(self.path).replace("'", "''") + "'"

    def _connect(self, *, read_only: bool, patience_s: float) -> duckdb.DuckDBPyConnection:
        import duckdb

        if read_only:
            return patiently(
                lambda: duckdb.connect(str(self.path), read_only=True, config=dict(_CONFIG)), self.path, patience_s
            )
        connection = duckdb.connect(":memory:", config=dict(_CONFIG))
        try:
            patiently(lambda: connection.execute(f"ATTACH {self._quoted} AS catalog {_WRITTEN}"), self.path, patience_s)
            connection.execute("USE catalog")
        except BaseException:
            connection.close()
            raise
        return connection


def _let_go(connection: duckdb.DuckDBPyConnection) -> None:
    """Close a connection of `_connect`, its file first. What was committed is safe, whether or not that goes well."""
    import duckdb

    with suppress(duckdb.Error):
        connection.execute("USE memory")
        connection.execute("DETACH catalog")
    connection.close()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for what a plan does not keep in memory; remove it at the end. Raises CatalogError."""
    from tempfile import TemporaryDirectory

    try:
        folder = TemporaryDirectory(prefix="lrm-plan-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CatalogError(
            f"no temporary folder can be made: {error.strerror or error}",
            hint="free some disk space, or let the environment's TMPDIR name a folder that may be written",
        ) from error
    with folder as path:
        yield Path(path)


def workspace(temp: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database for planning, which spills to `temp` beyond its memory limit."""
    import duckdb

    connection = duckdb.connect(":memory:", config=dict(_CONFIG))
    connection.execute("SET memory_limit = '1GB'")
    connection.execute("SET preserve_insertion_order = false")
    if temp is not None:
        quoted = str(temp).replace("'", "''")
        connection.execute(f"SET temp_directory = '{quoted}'")
    return connection


def patiently(action: Callable[[], T], path: Path, patience_s: float) -> T:
    """Run `action`, again and again with growing pauses while another process holds the file.

    Raises BusyError with the holder when the patience is over, CatalogError when the file cannot be used at all.
    """
    import duckdb
    import tenacity

    try:
        return action()
    except duckdb.Error as error:
        if not _is_lock(error):
            raise _unusable(error, path) from error
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_lock),
        # Short pauses to the end: a writer has to meet the moment between two looks of a screen that refreshes itself.
        wait=tenacity.wait_exponential(multiplier=0.01, max=0.04) + tenacity.wait_random(0, 0.02),
        stop=tenacity.stop_after_delay(patience_s),
        reraise=True,
    )
    try:
        return retrying(action)
    except duckdb.Error as error:
        if _is_lock(error):
            raise BusyError(
                f"the catalog {path} is in use: {_holder(str(error))}",
                hint="wait for it to end, or stop it, and run the same command again",
            ) from error
        raise _unusable(error, path) from error


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Say in our words that the disk or the file fails, on reading or writing: raises CatalogError."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if is_of_the_file(error):
            raise _unusable(error, path, "used") from error
        raise


def is_of_the_file(error: Exception) -> bool:
    """Return whether an error of DuckDB's is one of the disk or the file, not of the SQL."""
    import duckdb

    kinds = (
        duckdb.IOException,
        duckdb.TransactionException,
        duckdb.FatalException,
        duckdb.OutOfMemoryException,
        duckdb.SerializationException,
    )
    return isinstance(error, kinds) or is_corrupt(error)


def is_corrupt(error: Exception) -> bool:
    """Return whether an error of DuckDB's says that what it read is not what was written."""
    import duckdb

    # It has no class of its own, and one that has may quote the user's SQL.
    return type(error) is duckdb.Error and "Corrupt" in str(error)


def detach(connection: duckdb.DuckDBPyConnection, alias: str, path: Path) -> None:
    """Detach a file that was written. Where the disk has no room to tidy it, what was committed stays in the log beside it.

    Raises CatalogError where the file turns out to be damaged.
    """
    import duckdb

    try:
        connection.execute(f"DETACH {alias}")
    except duckdb.Error as error:
        if "Detached database" not in str(error) or "Corrupt" in str(error):
            raise _unusable(error, path, "used") from error


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """Commit what the block does, or roll it back on an exception. Raises CatalogError as `using` does."""
    try:
        with using(path):
            connection.execute("BEGIN")
            yield
            connection.execute("COMMIT")
    except BaseException:
        rollback(connection)
        raise


def rollback(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back, if there is still a transaction."""
    import duckdb

    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failure that led here ended the transaction already


_USED = (
    "SELECT used_blocks * block_size FROM pragma_database_size() WHERE database_name = coalesce(?, current_database())"
)


def _refuse_cut_off(connection: duckdb.DuckDBPyConnection, path: Path, alias: str | None = None) -> None:
    """Raise CatalogError for a file that ends before its last page: DuckDB would notice only when it needs that page."""
    used, size = connection.execute(_USED, [alias]).fetchall()[0][0], path.stat().st_size
    if size < used:
        raise CatalogError(
            f"{path} cannot be opened as a catalog: it is cut off, with {size:,} bytes of {used:,} or more",
            hint=_damaged(path),
        )


def _damaged(path: Path) -> str:
    return (
        f"if the file is damaged, put a copy of it back, or move it and its {path.name}.wal away and fill again; a journal "
        "beside it is merged into the new one"
    )


def _is_lock(error: BaseException) -> bool:
    """Return whether somebody else has the file open: another process, or another connection of this one, for a moment."""
    import duckdb

    match error:
        case duckdb.IOException():
            return "Could not set lock" in str(error)
        case duckdb.Error():
            return "Unique file handle conflict" in str(error)
        case _:
            return False


def _holder(message: str) -> str:
    """Return the part of DuckDB's message that names the process, or the whole first line."""
    import re

    found = re.search(r"Conflicting lock is held in (.+?)\s*\(PID (\d+)\)", message)
    return f"process {found[2]} ({found[1]}) has it open" if found else message.splitlines()[0]


def _unusable(error: Exception, path: Path, what: str = "opened") -> CatalogError:
    """Return what to tell the user who wanted the file opened or used."""
    lines = str(error).splitlines()
    text = next((line for line in lines if "Corrupt" in line or "No space" in line), lines[0])
    log = f"{path.name}.wal"
    if "No space left" in text or "not enough" in text.lower():
        return CatalogError(
            f"no room on the disk: {path}: {text}", hint="free some disk space; nothing received is lost"
        )
    if "Out of Memory" in text:
        return CatalogError(
            f"not enough memory to use {path}: {text}",
            hint="free some memory, and disk space where TMPDIR is, and try again",
        )
    if "Permission denied" in text or "read-only" in text.lower():
        return CatalogError(
            f"{path} may not be written or read: {text}", hint="check the permissions, or use --catalog PATH"
        )
    if "WAL" in text:
        return CatalogError(
            f"{path} cannot be {what} as a catalog, because of {log} beside it: {text}",
            hint=f"{log} holds the last moments before a process was killed, or belongs to a file that was moved: move it "
            "away and run the same command again; what the journal does not have of it is asked anew",
        )
    return CatalogError(f"{path} cannot be {what} as a catalog: {text}", hint=_damaged(path))
