"""Shapes: a shard's types, sizes and values, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import get_args

from lrm.attacks.adaptive.pursuit import Outcome
from lrm.errors import SnapshotError
from lrm.judges.verdict import VerdictStatus
from lrm.registry.judges import Scope
from lrm.snapshot.check.rows import DISTRUST, Fault, Rows
from lrm.snapshot.folder import MAX_SHARD, Snapshot
from lrm.snapshot.frames import ANSWER, THINKING
from lrm.snapshot.manifest import File
from lrm.snapshot.shards import arrow_schema, dictionaries
from lrm.snapshot.tables import TABLES, Column, Table
from lrm.traces.trace import ParseStatus

_OVERHEAD = 2**20
"""Bytes that headers of pages and the like may take besides the values."""
_FOOTER = 16 * 2**20
"""No footer of a shard is longer, in bytes."""
_FRAMED = 3 * MAX_SHARD
"""Bytes of the payloads that the frames of a shard are of."""
_LISTED = 256
"""Names in a list, on the average of a shard's rows, and at most of one row."""
_NAME = 65_536
"""No name, label or id is longer, in bytes: some sets have texts for keys."""
_TEXT = 64 * 2**20
"""No text is longer, in bytes."""
_READ = 16 * 2**20
"""No text is longer that is read as JSON, in bytes: what it becomes in memory is many times as large."""
_STATES = {
    ("generations", "status"): ("ok", "blocked"),
    ("generations", "source"): ("run", "imported"),
    ("pursuits", "outcome"): get_args(Outcome),
    ("generations", "role"): ("subject", "judge", "attacker"),
    ("calls", "role"): ("subject", "judge", "attacker"),
    ("traces", "status"): get_args(ParseStatus),
    ("traces", "visibility"): ("visible", "summary", "hidden", "none"),
    ("verdicts", "status"): tuple(one for one in get_args(VerdictStatus) if one != "judge_failed"),
    ("verdicts", "scope"): get_args(Scope),
    ("annotations", "scope"): get_args(Scope),
    ("chosen_judges", "scope"): get_args(Scope),
    ("declarations", "kind"): ("model", "attack", "judge", "prompt_set"),
    ("prompts", "expect"): ("unsafe", "safe"),
}
_TAGS = {"call_id": "c1", "generation_id": "g1", "against_id": "g1", "messages_id": "m1", "model_id": "i1", "attack_id": "a1",
         "judge_id": "j1", "prompt_id": "p1", "prompt_set_id": "s1", "import_id": "f1"}  # fmt: skip
_OWN = {
    "prompts": "p1",
    "messages": "m1",
    "calls": "c1",
    "generations": "g1",
    "traces": "t1",
    "annotations": "n1",
    "imports": "f1",
}
_JSON = {
    "declarations": {"identity": "OBJECT", "declaration": "OBJECT"}, "prompts": {"turns": "ARRAY", "meta": "OBJECT"},
    "pursuits": {"history": "OBJECT"}, "verdicts": {"spans": "ARRAY", "detail": "OBJECT"}, "annotations": {"spans": "ARRAY"},
    "imports": {"options": "OBJECT", "facts": "OBJECT", "stated": "ARRAY", "unknown": "OBJECT"},
}  # fmt: skip
# A cited passage: where it begins and ends, and for what it was cited.
_NO_SPANS = """NOT list_bool_and(list_transform(t.spans::JSON[], lambda s: coalesce(
    json_array_length(s) = 3 AND json_type(s, '$[0]') = 'UBIGINT' AND json_type(s, '$[1]') = 'UBIGINT'
    AND json_type(s, '$[2]') = 'VARCHAR', false)))"""
_LONG = ("identity", "declaration", "options", "facts", "stated", "unknown")
_READ_WHOLE: dict[str, Collection[str]] = {
    **_JSON,
    "messages": ("messages",),
    "prompts": ("text", "system", "turns", "meta"),
}
_TIMES = "TIMESTAMP '1970-01-01' AND TIMESTAMP '2999-12-31'"
# A row that is not withheld has its text; where a text may be absent by itself, that says nothing.
_NEEDED = {"prompts": ("text", "turns", "meta"), "messages": ("messages",), "pursuits": ("history",)}


def _refusal(message: str) -> SnapshotError:
    return SnapshotError(message, hint=DISTRUST)


def check_footers(snapshot: Snapshot) -> None:
    """Compare what each shard says of itself with the manifest and the format. Raises SnapshotError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for table in TABLES:
        for one in snapshot.manifest.of(table.name):
            _check_ending(snapshot, one)
            try:
                found = pq.read_metadata(snapshot.folder / one.path)
                schema = found.schema.to_arrow_schema()
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _refusal(f"{one.path}: no Parquet: {str(error).splitlines()[0][:200]}") from error
            _check_footer(one, table, found, schema)


def _check_ending(snapshot: Snapshot, one: File) -> None:
    """Refuse a shard that does not end as Parquet does, or whose footer is longer than lrm writes: reading it takes memory."""
    with (snapshot.folder / one.path).open("rb") as file:
        file.seek(max(0, one.bytes - 8))
        ending = file.read(8)
    if len(ending) < 8 or ending[4:] != b"PAR1":
        raise _refusal(f"{one.path}: no Parquet, or encrypted")
    if int.from_bytes(ending[:4], "little") > _FOOTER:
        raise _refusal(f"{one.path}: its footer is longer than {_FOOTER:,} bytes")


def _check_footer(one: File, table: Table, found: object, schema: object) -> None:
    wanted = arrow_schema(table)
    names = getattr(schema, "names")  # noqa: B009 - Arrow's types are not typed
    if names != wanted.names:
        raise _refusal(
            f"{one.path}: its columns are {', '.join(map(str, names))[:200]}, and `{table.name}` has {', '.join(wanted.names)}"
        )
    for field in wanted:
        kind = schema.field(field.name).type  # type: ignore[attr-defined]
        if not _alike(kind, field.type):
            raise _refusal(f"{one.path}: column `{field.name}` is of type {kind}, and should be {field.type}")
    if found.num_rows != one.rows:  # type: ignore[attr-defined]
        raise _refusal(f"{one.path} has {found.num_rows:,} rows, and the manifest says {one.rows:,}")  # type: ignore[attr-defined]
    repeated = set(dictionaries(table)) | {column.name for column in table.columns if column.kind == "strings"}
    size = rows = 0
    for group in range(found.num_row_groups):  # type: ignore[attr-defined]
        held = found.row_group(group)  # type: ignore[attr-defined]
        rows += held.num_rows
        for number in range(found.num_columns):  # type: ignore[attr-defined]
            chunk = held.column(number)
            size += chunk.total_uncompressed_size
            name = chunk.path_in_schema.split(".")[0]
            if name not in table.names:
                raise _refusal(f"{one.path}: it has no column for what it says are values of one")
            listed = table.column(name).kind == "strings"
            if not (0 <= chunk.num_values <= _LISTED * held.num_rows if listed else chunk.num_values == held.num_rows):
                raise _refusal(f"{one.path}: column `{name}` has {chunk.num_values:,} values in {held.num_rows:,} rows")
            if name not in repeated and any("DICTIONARY" in encoding for encoding in chunk.encodings):
                raise _refusal(f"{one.path}: column `{name}` is written with a dictionary, which lrm does not do")
    if rows != one.rows:
        raise _refusal(f"{one.path} has {rows:,} rows, and the manifest says {one.rows:,}")
    if size > one.unpacked + _OVERHEAD + 64 * one.rows * len(table.columns) or size > 2 * MAX_SHARD:
        raise _refusal(f"{one.path} unpacks to {size:,} bytes, and the manifest says {one.unpacked:,}")


def _alike(kind: object, wanted: object) -> bool:
    """Return whether two Arrow types are one; how a list names its items makes no difference."""
    import pyarrow as pa

    if pa.types.is_list(wanted) and pa.types.is_list(kind):
        return bool(kind.value_type == wanted.value_type)  # type: ignore[attr-defined]
    return bool(kind == wanted)


def check_sizes(rows: Rows) -> None:
    """Compare the bytes of all texts, as they are when read, with the manifest: before any of them is read into memory."""
    for table in TABLES:
        if table.name not in rows.present:
            continue
        sizes = " + ".join(
            f'coalesce(sum(strlen("{one.name}")), 0)' if one.kind == "string" else "8 * count(*)"
            for one in table.columns
        )
        found = rows.connection.execute(
            f"SELECT _file, count(*), {sizes} FROM at_{table.name} GROUP BY _file"
        ).fetchall()
        said = {str(rows.snapshot.folder / one.path): one for one in rows.snapshot.manifest.of(table.name)}
        for file, count, size in found:
            one = said[file]
            if count != one.rows or size != one.unpacked:
                raise _refusal(
                    f"{one.path} holds {count:,} rows of {size:,} bytes, and the manifest says {one.rows:,} of {one.unpacked:,}"
                )


def _check_frames(rows: Rows) -> None:
    """Refuse frames that a few marks blow up to more than a shard holds: each mark stands for a whole text."""
    if "traces" not in rows.present:
        return
    sizes = ["strlen(frame)"]
    for mark, text in ((THINKING, "thinking"), (ANSWER, "answer")):
        marks = f"(strlen(frame) - strlen(replace(frame, '{mark}', ''))) // {len(mark.encode())}"
        # Within JSON a text is up to twice as long, but for control signs.
        sizes.append(f"{marks} * 2 * coalesce(strlen({text}), 0)")
    total = f"sum(({' + '.join(sizes)})::DOUBLE)"
    found = rows.connection.execute(
        f"SELECT _file, {total} FROM at_traces GROUP BY _file HAVING {total} > {_FRAMED} LIMIT 1"
    ).fetchall()
    if found:
        raise rows.fault(found[0][0], None, f"its payloads have {found[0][1]:,.0f} bytes, and no shard has as many")


def check_values(rows: Rows) -> None:
    """Check what each column may hold. Raises SnapshotError with file and row."""
    for table in TABLES:
        rows.refuse_any(
            table.name, [_too_long(table, column) for column in table.columns if column.kind in ("string", "strings")]
        )
    _check_frames(rows)
    for table in TABLES:
        rows.refuse_any(table.name, list(_faults(table)))


def _too_long(table: Table, column: Column) -> Fault:
    """Return what no text is longer than, which is asked before any of them is looked at."""
    here = f't."{column.name}"'
    if column.kind == "strings":
        longest = f"list_max(list_transform({here}, lambda x: coalesce(strlen(x), {_NAME} + 1))) > {_NAME}"
        return (
            f"len({here}) > {_LISTED} OR {longest}",
            f"`{column.name}` is longer than any list of names, or lacks one",
        )
    most = _READ if column.name in _READ_WHOLE.get(table.name, ()) else _TEXT
    return f"strlen({here}) > {most}", f"`{column.name}` is longer than {most:,} bytes"


def _faults(table: Table) -> Iterator[Fault]:
    """Yield what is wrong with a row, as a condition and what is said of it."""
    for column in table.columns:
        yield from _faults_of(table, column)
    for name, kind in _JSON.get(table.name, {}).items():
        yield f'NOT json_valid(t."{name}")', f"`{name}` is no JSON"
        typed = f'CASE WHEN json_valid(t."{name}") THEN json_type(t."{name}") <> \'{kind}\' END'
        yield typed, f"`{name}` is no JSON {kind.lower()}"
        if name == "spans":
            array = "CASE WHEN json_valid(t.spans) THEN json_type(t.spans) = 'ARRAY' END"
            yield f"CASE WHEN {array} THEN {_NO_SPANS} END", "`spans` are no passages: start, end, rule"
    for name in _NEEDED.get(table.name, ()):
        yield f'NOT t.withheld AND t."{name}" IS NULL', f"`{name}` is absent and not withheld"
    match table.name:
        case "verdicts":
            yield "NOT t.score BETWEEN 0 AND 1", "`score` is not between 0 and 1"
            yield "NOT t.coverage BETWEEN 0 AND 1", "`coverage` is not between 0 and 1"
        case "slices":
            yield "t.replicates NOT BETWEEN 1 AND 1000000", "`replicates` is no number of replicates"
        case _:
            pass


def _faults_of(table: Table, column: Column) -> Iterator[Fault]:
    name, here = column.name, f't."{column.name}"'
    if not column.null:
        yield f"{here} IS NULL", f"`{name}` is absent"
    match column.kind:
        case "float64":
            yield f"NOT isfinite({here})", f"`{name}` is no number"
            if name in ("cost", "latency_ms"):
                yield f"{here} < 0", f"`{name}` is below 0"
        case "int32" | "int64":
            yield f"{here} < 0", f"`{name}` is below 0"
        case "timestamp":
            yield f"{here} NOT BETWEEN {_TIMES}", f"`{name}` is no time that a clock shows"
        case _:
            pass
    tag = _OWN.get(table.name) if name == "id" else _TAGS.get(name)
    if tag is not None:
        yield f"NOT regexp_full_match({here}, '{tag}:[0-9a-f]{{64}}')", f"`{name}` is no id `{tag}:…`"
    elif column.kind == "string" and column.family is None and name not in _LONG:
        live = f"strlen({here}) > {_NAME} OR regexp_matches({here}, '[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]')"
        yield live, f"`{name}` is longer than any name, or holds control signs"
    if (table.name, name) in _STATES:
        known = ", ".join(f"'{one}'" for one in _STATES[table.name, name])
        yield f"{here} NOT IN ({known})", f"`{name}` is none of {known}"
