"""A user's SQL over the catalog, for a screen: read-only, stopped at any moment, and never more rows than are shown."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm import clock
from lrm.browse.reader import PATIENCE_S, Reader, Stop, StoppedError
from lrm.errors import SpecError
from lrm.store.catalog import Catalog, is_of_the_file
from lrm.store.live import live_runs
from lrm.store.query import begin, distinct
from lrm.store.views import COMMENTS
from lrm.text import has_surrogates

if TYPE_CHECKING:
    import duckdb

LIMIT = 10_000
"""Rows that are read of a result."""
MOST_SIGNS = 50_000_000
"""Signs of text that are read of a result."""
MEMORY = "512MB"
"""What DuckDB may use for a query before it spills."""
HINT = "Ctrl-T lists views and columns"
HELD_S = 5.0
"""How long a query may hold the catalog while a fill runs, which cannot write meanwhile, in seconds."""
_LOOK_S = 0.1
_CHUNK = 500

EXAMPLES = (
    (
        "unsafe rates by model and judge",
        "SELECT model, judge, scope, sum(unsafe) AS unsafe, sum(harm_judged) AS judged,\n"
        "    round(sum(unsafe) / nullif(sum(harm_judged), 0), 3) AS rate\nFROM rates\n"
        "GROUP BY ALL ORDER BY rate DESC NULLS LAST",
    ),
    (
        "how far each spec has come",
        "SELECT spec, model, state, count(*) AS cells\nFROM cells\nGROUP BY ALL ORDER BY ALL",
    ),
    (
        "what fails, and how often",
        "SELECT model, failure, count(*) AS cells, any_value(failure_message) AS example\nFROM cells\n"
        "WHERE state = 'failed'\nGROUP BY ALL ORDER BY cells DESC",
    ),
)
"""Queries to begin with: what each asks, and its SQL."""


class QueryError(SpecError):
    """A query does not run. `at` is where, in characters from 0; None where DuckDB does not say."""

    def __init__(
        self, message: str, *, at: int | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, line=line, hint=hint)
        self.at = at


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave."""

    columns: tuple[str, ...]
    """Distinct names: a repeated one has `_2`, `_3` … behind it."""
    types: tuple[str, ...]
    """DuckDB's names of the columns' types."""
    rows: Sequence[tuple[Any, ...]]
    cut: str | None
    """Why there may be more rows than these; None where these are all."""
    seconds: float
    """From the beginning of the query to its last row."""


@dataclass(frozen=True, slots=True)
class Documented:
    """A view for people, or a column of one."""

    view: str
    column: str | None
    about: str
    """The view's comment, or the column's type."""


def run(reader: Reader, query: str, stop: Stop | None = None, *, limit: int = LIMIT, held_s: float = HELD_S) -> Answer:
    """Return a query's first rows.

    The catalog is held for as long as the query runs, and nobody else in this process reads it meanwhile: its settings are
    locked for a user's SQL, which must not reach other files. While a fill runs, a query is stopped after `held_s`.

    Raises:
        QueryError: SQL that does not run, with its position.
        StoppedError: It was stopped.
        MissingError: There is no catalog.
        BusyError: Another process writes to it.
        CatalogError: The file cannot be read.
    """
    import duckdb

    stop = stop or Stop()
    if not _without_comments(query).strip(" \t\r\n;"):
        raise QueryError("the query is empty", hint="F5 runs what stands above")
    if has_surrogates(query):
        raise QueryError("the query holds bytes that are not UTF-8", hint="write it anew")
    with reader.alone() as catalog:
        stop.check()
        with catalog.reading(patience_s=PATIENCE_S) as connection:
            _lock(connection)
            began, gave_way = clock.monotonic(), threading.Event()
            try:
                with stop.watching(connection), _giving_way(catalog, connection, held_s, gave_way):
                    described = begin(connection, query)
                    rows, cut = _fetched(connection, limit, stop) if described else ([], None)
            except (StoppedError, duckdb.InterruptException):
                if gave_way.is_set():
                    raise QueryError(
                        f"stopped after {held_s:g} s, because a fill is running and could not write meanwhile",
                        hint="narrow the query, or run it when the fill has ended (`lrm matrix ps`)",
                    ) from None
                raise StoppedError from None
            except duckdb.Error as error:
                if is_of_the_file(error) and not _is_about_query(error):
                    raise
                raise _fault(error, query) from error
            except (ValueError, OverflowError) as error:  # what Python cannot hold: a date in the year 10,000
                raise QueryError(f"a value cannot be shown: {error}", hint="CAST it to VARCHAR") from error
            seconds = clock.monotonic() - began
    return Answer(
        distinct(str(column[0]) for column in described), tuple(str(column[1]) for column in described), rows, cut, seconds
    )  # fmt: skip


def documented(reader: Reader, stop: Stop | None = None) -> tuple[Documented, ...]:
    """Return the views for people, each followed by its columns."""
    with reader.burst(stop) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = 'main' ORDER BY table_name, column_index"
        ).fetchall()
    found = []
    for view, comment in COMMENTS.items():
        found.append(Documented(view, None, comment))
        found += [Documented(view, column, kind) for table, column, kind in rows if table == view]
    return tuple(found)


@contextmanager
def _giving_way(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection, held_s: float, gave_way: threading.Event
) -> Iterator[None]:
    """Interrupt what runs in the block once it has taken `held_s` and a fill runs: `gave_way` says so.

    An interrupt that comes in the moment before a query begins is lost on DuckDB, so it is given again and again.
    """
    ended = threading.Event()
    began = clock.monotonic()

    def watch() -> None:
        while not ended.wait(min(_LOOK_S, held_s)):
            if clock.monotonic() - began >= held_s and live_runs(catalog):
                gave_way.set()
            if gave_way.is_set():
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="console", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET errors_as_json = true")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _fetched(connection: duckdb.DuckDBPyConnection, limit: int, stop: Stop) -> tuple[list[tuple[Any, ...]], str | None]:
    rows: list[tuple[Any, ...]] = []
    signs = 0
    while chunk := connection.fetchmany(min(_CHUNK, limit + 1 - len(rows))):
        stop.check()
        rows += chunk
        if len(rows) > limit:
            return rows[:limit], f"the limit of {limit:,} rows is reached: there are more"
        signs += sum(len(value) for row in chunk for value in row if isinstance(value, str))
        if signs > MOST_SIGNS:
            return rows, f"more than {MOST_SIGNS:,} signs of text: there may be more rows; choose fewer columns"
    return rows, None


def _is_about_query(error: duckdb.Error) -> bool:
    """Return whether it is a query's own doing: too much memory, or a BEGIN or COMMIT in it."""
    import duckdb

    return isinstance(error, duckdb.OutOfMemoryException | duckdb.TransactionException)


def _fault(error: duckdb.Error, query: str) -> QueryError:
    """Return what is wrong in our words, with the place that DuckDB names: it counts bytes from 0."""
    import duckdb

    message, at = str(error), None
    try:
        said = json.loads(message[message.index("{") :])
        message = str(said["exception_message"])
        if str(said.get("position", "")).isdigit():
            at = len(query.encode()[: int(said["position"])].decode("utf-8", "ignore"))
    except (ValueError, KeyError):
        pass
    message = message.replace("\nCandidate bindings:", " Candidates:").strip()
    if isinstance(error, duckdb.OutOfMemoryException):
        message = f"the query needs more than {MEMORY} of memory"
    if "read-only mode" in message:
        message = "the console only reads: nothing is ever written from here"
    if "disabled by configuration" in message:
        message = "the console reads this catalog and no other file"
    if at is None:
        return QueryError(message, hint=HINT)
    before = query[:at]
    line = before.count("\n") + 1
    column = at - (before.rfind("\n") + 1) + 1
    return QueryError(f"line {line}, column {column}: {message}", at=at, hint=HINT)


_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def _without_comments(query: str) -> str:
    return _COMMENTS.sub("", query)
