"""Two snapshots become one: what two people published separately, as if one catalog had held both.

Rows are named by content, so most of it is set union. Of two rows with one key, text that is there beats text that is withheld;
then what came first counts. Verdicts that say otherwise are kept, ranked. Nothing depends on which of the two is named first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.errors import SnapshotError
from lrm.snapshot import manifest as manifests
from lrm.snapshot.finish import Finished, finish
from lrm.snapshot.gather import stream
from lrm.snapshot.links import link
from lrm.snapshot.manifest import NAME, File, Manifest, SetTerms, Spec, Texts
from lrm.snapshot.shards import write_table
from lrm.snapshot.staging import drafting, query_memory
from lrm.snapshot.tables import BY_NAME, LABELS, TABLES, Family, Table
from lrm.snapshot.union_rules import lost, ranked
from lrm.store.catalog import workspace

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Say = Callable[[str], None]

PIECE = 48 * 2**20
"""Bytes of rows that are sorted at a time."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two."""

    folder: Path
    manifest: Manifest
    number: int
    """1 or 2: what its rows have as `_side` that the other's files do not hold."""


def union(
    first: Path, second: Path, into: Path, *, gated: str | None = None, named: bool = False, say: Say = lambda _: None
) -> Finished:
    """Write a snapshot that holds what two checked ones hold, to a new folder.

    Args:
        first: folder of a snapshot that was checked.
        second: folder of another.
        into: the new folder, which gets its name when it is whole.
        gated: what the card shows to who asks for access; None where it need not be asked for.
        named: whether the card says that annotators stand by name.
        say: told of each table.

    Raises SnapshotError for folders that are no snapshots, or where the new one cannot be written.
    """
    import duckdb

    sides = [_Side(folder, _manifest(folder), number) for number, folder in enumerate((first, second), start=1)]
    with drafting(into, replace=False) as draft:
        connection = workspace()
        try:
            with query_memory(connection, draft, sum(side.manifest.weight for side in sides)):
                files, renamed = _write(connection, sides, draft, say)
        except duckdb.Error as error:
            raise SnapshotError(
                f"{first} and {second} cannot be made one: {str(error).splitlines()[0][:300]}", hint="verify both"
            ) from error
        finally:
            connection.close()
        specs = _specs(sides, renamed)
        return finish(draft, files, specs, _sets(sides), _texts(sides), named=named, gated=gated, say=say)


def _manifest(folder: Path) -> Manifest:
    return manifests.read((folder / NAME).read_bytes(), str(folder))


@dataclass(frozen=True, slots=True)
class _Renamed:
    """Specs of one name that are two: what the one that is older is called from now on."""

    side: int
    names: dict[str, str]
    newer: int
    """The side whose specs keep their names."""


def _write(
    connection: duckdb.DuckDBPyConnection, sides: list[_Side], draft: Path, say: Say
) -> tuple[tuple[File, ...], _Renamed]:
    """Write the shards of all tables that are not derived; return them, and the specs that have another name now."""
    base = [table for table in TABLES if not table.derived]
    for table in base:
        connection.execute(f"CREATE TEMP VIEW u_{table.name} AS {_rows(table, sides)}")
    renamed = _renamed(connection, sides)
    for name in ("slices", "chosen_judges"):
        _rename(connection, BY_NAME[name], renamed)
    touched = _prepare(connection, base)
    files: list[File] = []
    for table in base:
        whole = None if touched or (renamed.names and "spec" in table.names) else _larger(table, sides)
        if whole is not None:
            files += _take(whole, table, draft)
            continue
        files += write_table(_sorted(connection, table, sides), table, draft)
        say(f"{table.name}: {sum(one.rows for one in files if one.table == table.name):,} rows")
    return tuple(files), renamed


def _rows(table: Table, sides: list[_Side]) -> str:
    """Return the query for a table's rows: those in files of both with `_side` 0, then 1 and 2, each with its place."""
    paths = [{one.path for one in side.manifest.of(table.name)} for side in sides]
    parts = []
    for number, folder, names in (
        (0, sides[0].folder, paths[0] & paths[1]),
        (1, sides[0].folder, paths[0] - paths[1]),
        (2, sides[1].folder, paths[1] - paths[0]),
    ):
        if names:
            listed = [str(folder / name) for name in sorted(names)]
            parts.append(_read(table, number, listed))
    if not parts:
        kinds = {"strings": "VARCHAR[]", "int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN"}
        empty = ", ".join(f'NULL::{kinds.get(one.kind, one.kind.upper())} AS "{one.name}"' for one in table.columns)
        empty = empty.replace("NULL::STRING ", "NULL::VARCHAR ")
        return f"SELECT 0 AS _side, ''::VARCHAR AS _file, 0::BIGINT AS _row, {empty} WHERE false"
    return " UNION ALL ".join(parts)


def _some(table: Table, found: list[tuple[int, str]]) -> str:
    """Return the query for the rows of some files."""
    numbers = sorted({number for number, _ in found})
    return " UNION ALL ".join(
        _read(table, number, [file for side, file in found if side == number]) for number in numbers
    )


def _read(table: Table, number: int, names: list[str]) -> str:
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    return (
        f"SELECT {number} AS _side, filename AS _file, file_row_number AS _row, {_columns(table)} FROM "
        f"read_parquet([{listed}], filename = true, file_row_number = true, hive_partitioning = false)"
    )


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in table.names)


def _larger(table: Table, sides: list[_Side]) -> _Side | None:
    """Return the side that has all files of the other, if one has: its files are the union."""
    paths = [{one.path for one in side.manifest.of(table.name)} for side in sides]
    if paths[1] <= paths[0]:
        return sides[0]
    return sides[1] if paths[0] <= paths[1] else None


def _take(side: _Side, table: Table, draft: Path) -> tuple[File, ...]:
    for one in side.manifest.of(table.name):
        (draft / one.path).parent.mkdir(parents=True, exist_ok=True)
        link(side.folder / one.path, draft / one.path)
    return side.manifest.of(table.name)


# --- specs of one name that mean two things ---------------------------------------------------------------------------

_NAMES = ("model", "prompt_set", "attack", "condition")
_IDS = ("model_id", "prompt_set_id", "attack_id")


def _renamed(connection: duckdb.DuckDBPyConnection, sides: list[_Side]) -> _Renamed:
    """Find the specs in which one name means different things on the two sides.

    The side with the newest response keeps the name. The other's spec gets a name that follows from what it spans.
    """
    names, ids = ", ".join(_NAMES), ", ".join(_IDS)
    latest = connection.execute(
        "SELECT max(received_at) FILTER (_side < 2), max(received_at) FILTER (_side <> 1) FROM u_generations"
    ).fetchall()[0]
    spans = connection.execute(
        f"SELECT spec, _side, {names}, {ids}, first_replicate, replicates FROM u_slices ORDER BY ALL"
    ).fetchall()
    by_side: dict[int, dict[str, list[Any]]] = {1: {}, 2: {}}
    for spec, side, *rest in spans:
        for number in (1, 2):
            if side in (0, number):
                by_side[number].setdefault(spec, []).append(rest)
    marks = {
        number: {spec: hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:8] for spec, found in specs.items()}
        for number, specs in by_side.items()
    }
    texts = [sum(len(one.text or "") for one in side.manifest.specs) for side in sides]
    newer = max(
        (1, 2), key=lambda number: (str(latest[number - 1] or ""), texts[number - 1], sides[number - 1].manifest.text())
    )
    older = 3 - newer
    changed: dict[str, str] = {}
    for spec in sorted(by_side[1].keys() & by_side[2].keys()):
        kept = {tuple(row[:4]): tuple(row[4:7]) for row in by_side[newer][spec]}
        if any(kept.get(tuple(row[:4]), tuple(row[4:7])) != tuple(row[4:7]) for row in by_side[older][spec]):
            changed[spec] = f"{spec}~{marks[older][spec]}"
    return _Renamed(older, changed, newer)


def _rename(connection: duckdb.DuckDBPyConnection, table: Table, renamed: _Renamed) -> None:
    """Keep the rows of a small table, with the new names of specs."""
    connection.execute("CREATE OR REPLACE TEMP TABLE named (was VARCHAR, now VARCHAR)")
    for was, now in renamed.names.items():
        connection.execute("INSERT INTO named VALUES (?, ?)", [was, now])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE k_{table.name} AS SELECT * FROM u_{table.name}")
    connection.execute(f"DROP VIEW u_{table.name}")
    connection.execute(
        f"""
        CREATE TEMP VIEW u_{table.name} AS
            SELECT * FROM k_{table.name} WHERE _side <> {renamed.side} OR spec NOT IN (SELECT was FROM named)
            UNION ALL
            SELECT k.* REPLACE (n.now AS spec, {renamed.side} AS _side) FROM k_{table.name} k JOIN named n ON n.was = k.spec
            WHERE k._side IN (0, {renamed.side})
        """
    )


# --- rows -------------------------------------------------------------------------------------------------------------


def _prepare(connection: duckdb.DuckDBPyConnection, base: list[Table]) -> bool:
    """Find the rows that give way and what changes in others; return whether rows change that only one side has."""
    for table in base:
        connection.execute(ranked() if table.name == "verdicts" else lost(table))
    # What an attack with other models made otherwise, and was not first: responses to it belong to no cell.
    statements = f"""
    CREATE TEMP TABLE dead_messages AS
        SELECT messages_id FROM u_pursuits SEMI JOIN lost_pursuits USING (_side, _file, _row)
        UNION SELECT messages_id FROM u_renderings SEMI JOIN lost_renderings USING (_side, _file, _row) WHERE messages_id IS NOT NULL
        EXCEPT SELECT messages_id FROM u_pursuits ANTI JOIN lost_pursuits USING (_side, _file, _row)
        EXCEPT SELECT messages_id FROM u_renderings ANTI JOIN lost_renderings USING (_side, _file, _row);
    CREATE TEMP TABLE dead_calls AS
        SELECT DISTINCT id FROM u_calls WHERE role = 'subject' AND messages_id IN (SELECT messages_id FROM dead_messages);
    DELETE FROM dead_messages WHERE messages_id IN (
        SELECT messages_id FROM u_calls WHERE id NOT IN (SELECT id FROM dead_calls)
    );
    CREATE TEMP TABLE dead_generations AS SELECT DISTINCT id FROM u_generations WHERE call_id IN (SELECT id FROM dead_calls);
    CREATE TEMP TABLE new_calls AS
        SELECT id, role, {", ".join(LABELS)} FROM u_calls ANTI JOIN lost_calls USING (_side, _file, _row)
        WHERE id IN (
            SELECT id FROM u_calls WHERE _side > 0 GROUP BY id HAVING count(DISTINCT (role, {", ".join(LABELS)})) > 1
        );
    CREATE TEMP TABLE new_generations AS
        SELECT DISTINCT g.id, {", ".join(f"c.{name}" for name in ("role", *LABELS))} FROM u_generations g
        JOIN new_calls c ON c.id = g.call_id;
    CREATE TEMP TABLE known_hashes AS
        SELECT id, CASE WHEN any_value(t.withheld) THEN max(raw_sha256) END AS raw_sha256 FROM u_generations g
        JOIN (SELECT generation_id, withheld FROM u_traces ANTI JOIN lost_traces USING (_side, _file, _row)) t
            ON t.generation_id = g.id
        WHERE g._side > 0 GROUP BY id HAVING count(*) = 2 AND count(raw_sha256) = 1;
    CREATE TEMP TABLE known_raw AS
        SELECT generation_id, max(raw) AS raw, max(sent) AS sent FROM u_raw WHERE _side > 0 GROUP BY generation_id
        HAVING count(*) = 2 AND (count(raw) = 1 OR count(sent) = 1);
    """
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)
    return bool(
        connection.execute("SELECT (SELECT count(*) FROM dead_calls) + (SELECT count(*) FROM new_calls)").fetchall()[0][
            0
        ]
    )


def _sorted(connection: duckdb.DuckDBPyConnection, table: Table, sides: list[_Side]) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows in the union, in the table's order.

    Sorted are the columns that tell the order. The texts are read piece by piece: the files of both sides are in that order
    already, so that a piece is in few of them.
    """
    by = ", ".join(f'"{name}" NULLS FIRST' for name in table.order)
    source = f"u_{table.name}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE places AS SELECT _side, _file, _row, row_number() OVER (ORDER BY {by}) AS place "
        f"FROM ({_query(table, source)})"
    )
    rows = connection.execute("SELECT count(*) FROM places").fetchall()[0][0]
    told = [one for side in sides for one in side.manifest.of(table.name)]
    each = sum(one.unpacked for one in told) // max(1, sum(one.rows for one in told)) + 1
    step = max(2048, PIECE // each)
    for first in range(1, rows + 1, step):
        within = f"place BETWEEN {first} AND {first + step - 1}"
        if rows > step and "spec" not in table.names:
            found = connection.execute(
                f"SELECT DISTINCT _side, _file FROM places WHERE {within} ORDER BY ALL"
            ).fetchall()
            source = f"({_some(table, found)})"
        columns = ", ".join(f'w."{name}"' for name in table.names)
        yield from stream(
            connection,
            f"SELECT {columns} FROM ({_query(table, source)}) w "
            f"JOIN (SELECT * FROM places WHERE {within}) p USING (_side, _file, _row) ORDER BY p.place",
            table,
        )


def _query(table: Table, source: str) -> str:
    """Return the query for those of a table's rows that are in the union, each with its place in the files, in no order."""
    here, dead, owner = _owner(table)
    values = ["r._side AS _side", "r._file AS _file", "r._row AS _row"]
    for name in table.names:
        value = f'r."{name}"'
        if owner is not None and (name in LABELS or name == "role"):
            value = f"CASE WHEN o.id IS NULL THEN {value} ELSE o.{name} END"
        if (table.name, name) == ("generations", "raw_sha256"):
            value = "CASE WHEN h.id IS NULL THEN r.raw_sha256 ELSE h.raw_sha256 END"
        if table.name == "raw" and name in ("raw", "sent"):
            value = f"coalesce(r.{name}, h.{name})"
        if (table.name, name) == ("verdicts", "rank"):
            value = "coalesce(k.rank, r.rank)"
        values.append(f'{value} AS "{name}"')
    joins = [f"LEFT JOIN {owner} o ON o.id = r.{here}"] if owner is not None else []
    if table.name == "generations":
        joins.append("LEFT JOIN known_hashes h ON h.id = r.id")
    if table.name == "raw":
        joins.append("LEFT JOIN known_raw h ON h.generation_id = r.generation_id")
    if table.name == "verdicts":
        joins.append("LEFT JOIN ranked k ON k._side = r._side AND k._file = r._file AND k._row = r._row")
        kept = "coalesce(k.kept, true)"
    else:
        kept = f"(r._side, r._file, r._row) NOT IN (SELECT (_side, _file, _row) FROM lost_{table.name})"
    gone = "" if dead is None else f" AND (r.{here} IS NULL OR r.{here} NOT IN (FROM {dead}))"
    return f"SELECT {', '.join(values)} FROM {source} r {' '.join(joins)} WHERE {kept}{gone}"


def _owner(table: Table) -> tuple[str, str | None, str | None]:
    """Return the column by which a row belongs to a response or call, what is dead of those, and which have other names."""
    match table.name:
        case "messages":
            return "id", "dead_messages", None
        case "calls":
            return "id", "dead_calls", None
        case "generations":
            return "call_id", "dead_calls", "new_calls"
        case "raw" | "traces" | "verdicts":
            return "generation_id", "dead_generations", "new_generations"
        case "annotations":
            return "generation_id", "dead_generations", None
        case _:
            return "", None, None


# --- what the manifest says -------------------------------------------------------------------------------------------


def _specs(sides: list[_Side], renamed: _Renamed) -> tuple[Spec, ...]:
    """Return the specs of both; where both have one, that of the side with the newest response."""
    found: dict[str, Spec] = {}
    for side in sorted(sides, key=lambda side: side.number == renamed.newer):
        for spec in side.manifest.specs:
            new = renamed.names.get(spec.name, spec.name) if side.number == renamed.side else spec.name
            if spec.text is not None or new not in found:
                found[new] = spec.model_copy(update={"name": new})
    return tuple(found[name] for name in sorted(found))


def _sets(sides: list[_Side]) -> tuple[SetTerms, ...]:
    """Return the prompt sets of both; one whose prompts only one of them withholds is not withheld."""
    found: dict[SetTerms, list[str | None]] = {}
    for side in sides:
        for terms in side.manifest.sets:
            found.setdefault(terms.model_copy(update={"withheld": None}), []).append(terms.withheld)
    merged = [
        terms.model_copy(update={"withheld": None if None in why else min(one for one in why if one is not None)})
        for terms, why in found.items()
    ]
    return tuple(sorted(merged, key=lambda one: one.model_dump_json()))


def _texts(sides: list[_Side]) -> dict[Family, Texts]:
    """Return what is in it of each family of texts, in some rows at least."""
    most: tuple[Texts, ...] = ("none", "hashed", "all")
    found: dict[Family, Texts] = {}
    for side in sides:
        for family, how in side.manifest.texts.items():
            before = found.get(family, how)
            found[family] = how if most.index(how) > most.index(before) else before
    return found
