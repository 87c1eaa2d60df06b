"""A list of samples: which cells it has and in what order is found out once; rows are read as they are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrm.browse import gathering
from lrm.browse.axes import SCOPES
from lrm.browse.columns import COLUMNS, Column, column
from lrm.browse.filters import compiled
from lrm.browse.gathering import Parts
from lrm.browse.places import SamplesPlace
from lrm.browse.reader import Reader, Stop
from lrm.browse.rows import Badge, Sample, read_rows
from lrm.errors import SpecError, known_names_hint

if TYPE_CHECKING:
    import duckdb

__all__ = ["COLUMNS", "PAGE", "Badge", "Frequency", "Sample", "Samples", "frequencies", "open_samples"]

PAGE = 200
"""Rows that a view reads at once."""
_IDS_A_BURST = 50_000
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often a column has a value; None is the cells where it is absent."""

    value: str | None
    count: int


@dataclass(slots=True)
class Samples:
    """An open list. Its order is that of the moment it was opened; `close` it, or open it anew, when that is stale."""

    reader: Reader
    place: SamplesPlace
    count: int
    _parts: Parts
    _closed: bool = field(default=False)

    @property
    def judges(self) -> tuple[tuple[str, str], ...]:
        """Judges and scopes that look at any of the cells."""
        return tuple(dict.fromkeys((one.judge, one.scope) for one in self._parts.judged))

    def page(self, offset: int, limit: int = PAGE, stop: Stop | None = None) -> tuple[Sample, ...]:
        """Return some rows from `offset`, counted from 0; fewer at the end. One burst."""
        if limit <= 0 or offset >= self.count:
            return ()
        with self.reader.burst(stop) as connection:
            keys = self._keys(connection, "row >= $first AND row < $end", {"first": offset, "end": offset + limit})
            return read_rows(connection, keys, self._parts)

    def sample(self, row: int, stop: Stop | None = None) -> Sample | None:
        """Return one row; None where there is none of that number."""
        found = self.page(row, 1, stop) if row >= 0 else ()
        return found[0] if found else None

    def row_of(self, name: str, stop: Stop | None = None) -> int | None:
        """Return the first row with an id (`g1:…` or `c1:…`, whole); None where it is not among them."""
        kind, _, digits = name.partition(":")
        try:
            value = bytes.fromhex(digits)
        except ValueError:
            return None
        column, table = {"g1": ("generation_n", "generations"), "c1": ("call_n", "calls")}.get(kind, ("", ""))
        if not column:
            return None
        with self.reader.burst(stop) as connection:
            found = connection.execute(
                f"SELECT min(row) FROM memory.main.{self._parts.name} "
                f"WHERE {column} = (SELECT max(n) FROM lrm.{table} WHERE id = $id)",
                {"id": value},
            ).fetchall()
        row: int | None = found[0][0]
        return row

    def ids(self, rows: Iterable[int] | None = None, stop: Stop | None = None) -> tuple[str | None, ...]:
        """Return the ids of rows, of all of them without `rows`, in that order. Bursts of 50,000 rows."""
        wanted = range(self.count) if rows is None else list(rows)
        found: dict[int, str | None] = {}
        for at in range(0, len(wanted), _IDS_A_BURST):
            some = sorted(wanted[at : at + _IDS_A_BURST])
            with self.reader.burst(stop) as connection:
                found |= dict(
                    connection.execute(
                        _IDS.format(name=self._parts.name), {"rows": some, "first": some[0], "last": some[-1]}
                    ).fetchall()
                )
        return tuple(found.get(row) for row in wanted)

    def close(self) -> None:
        """Forget the order. Nothing can be read from the list afterwards."""
        if self._closed:
            return
        self._closed = True
        with self.reader.kept() as connection:
            connection.execute(f"DROP TABLE IF EXISTS memory.main.{self._parts.name}")
            gathering.drop(connection, self._parts)

    def _keys(self, connection: duckdb.DuckDBPyConnection, where: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return connection.execute(
            f"SELECT row, part, prompt_n, replicate, call_n, generation_n FROM memory.main.{self._parts.name} "
            f"WHERE {where} ORDER BY row",
            values,
        ).fetchall()


_IDS = """
SELECT y.row, coalesce('g1:' || lower(hex(g.id)), 'c1:' || lower(hex(c.id)))
FROM (SELECT * FROM memory.main.{name} WHERE row BETWEEN $first AND $last AND list_contains($rows, row)) y
LEFT JOIN lrm.calls c ON c.n = y.call_n LEFT JOIN lrm.generations g ON g.n = y.generation_n
"""


def open_samples(reader: Reader, place: SamplesPlace, stop: Stop | None = None) -> Samples:
    """Find out which samples a place has and in what order: in bursts of at most about 0.3 s.

    Raises SpecError for a filter, column or judge that is not there, StoppedError.
    """
    stop = stop or Stop()
    compiled(place.where)  # its faults are told before anything is read
    descending, sorted_by = _sorted_by(place.sort)
    _check_scope(place.scope)
    name = f"samples_{next(_numbers)}"
    parts = gathering.parts_of(reader, place.slice, name, stop, judge=place.judge, scope=place.scope)
    try:
        count = _ordered(reader, place, parts, stop, sorted_by, descending=descending)
    except BaseException:
        with reader.kept() as connection:
            gathering.drop(connection, parts)
            connection.execute(f"DROP TABLE IF EXISTS memory.main.{name}")
        raise
    return Samples(reader, place, count, parts)


def _ordered(
    reader: Reader, place: SamplesPlace, parts: Parts, stop: Stop, sorted_by: Column | None, *, descending: bool
) -> int:
    wanted = [
        ("k.slice_n", "part"), ("k.ordinal", "ordinal"), ("k.prompt_n", "prompt_n"), ("k.replicate", "replicate"),
        ("k.call_n", "call_n"), ("k.generation_n", "generation_n"),
    ]  # fmt: skip
    if sorted_by is not None:
        wanted.append((sorted_by.sql, "sorted_by"))
    drafts = f"memory.main.{parts.name}_draft"
    try:
        _draft(reader, place, parts, wanted, sorted_by, drafts, stop)
        order = f"sorted_by {'DESC' if descending else 'ASC'} NULLS LAST, " if sorted_by is not None else ""
        with reader.kept(stop) as connection:
            connection.execute(
                f"CREATE TABLE memory.main.{parts.name} AS "
                "SELECT (row_number() OVER () - 1)::INTEGER AS row, part::INTEGER AS part, prompt_n, replicate, call_n, generation_n "
                f"FROM (FROM {drafts} ORDER BY {order}part, ordinal, replicate)"
            )
            found = connection.execute(f"SELECT count(*) FROM memory.main.{parts.name}").fetchall()
    finally:
        with reader.kept() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {drafts}")
    return int(found[0][0])


def _draft(
    reader: Reader,
    place: SamplesPlace,
    parts: Parts,
    wanted: Sequence[tuple[str, str]],
    of: Column | None,
    table: str,
    stop: Stop,
    *,
    grouped: str = "",
) -> None:
    """Put what is wanted of the cells of a place into a table, in one burst after another."""
    condition = compiled(place.where, parts.names)
    sources = frozenset((of.source,)) if of is not None else frozenset[str]()
    sql, values, most = gathering.gather(parts, wanted, condition, sources)
    begun = False
    names = ("first_part", "last_part", "first_row", "last_row")
    for chunk in parts.chunks(most) if parts.parts else [(0, 0, 0, 0)]:
        into = f"INSERT INTO {table}" if begun else f"CREATE OR REPLACE TABLE {table} AS"
        with reader.burst(stop) as connection:
            connection.execute(f"{into} {sql}{grouped}", {**values, **dict(zip(names, chunk, strict=True))})
        begun = True


def frequencies(
    reader: Reader, place: SamplesPlace, column_name: str, stop: Stop | None = None
) -> tuple[Frequency, ...]:
    """Return how often a column has each value among the samples of a place, the most frequent first."""
    stop = stop or Stop()
    of = column(column_name)
    compiled(place.where)
    _check_scope(place.scope)
    parts = gathering.parts_of(
        reader, place.slice, f"frequencies_{next(_numbers)}", stop, judge=place.judge, scope=place.scope
    )
    table = f"memory.main.{parts.name}"
    wanted = [(f"CAST({of.sql} AS VARCHAR)", "value"), ("count(*)", "cells")]
    try:
        _draft(reader, place, parts, wanted, of, table, stop, grouped=" GROUP BY 1")
        with reader.kept(stop) as connection:
            found = connection.execute(
                f"SELECT value, sum(cells)::BIGINT AS cells FROM {table} GROUP BY value ORDER BY cells DESC, value"
            ).fetchall()
    finally:
        with reader.kept() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            gathering.drop(connection, parts)
    return tuple(Frequency(*row) for row in found)


def _sorted_by(sort: str) -> tuple[bool, Column | None]:
    return sort.startswith("-"), column(sort.removeprefix("-")) if sort else None


def _check_scope(scope: str | None) -> None:
    if scope is not None and scope not in SCOPES:
        raise SpecError(f"there is no scope `{scope}`", hint=known_names_hint(scope, SCOPES))
