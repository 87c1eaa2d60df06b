"""Writing an import into the catalog: everything in one transaction, by set SQL from the staged tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm import __version__, hashing
from lrm.registry.tables import Json
from lrm.store.columns import insert
from lrm.store.trust import choosing_first
from lrm.traces import split as splitter

if TYPE_CHECKING:
    import duckdb

# Cells by (model, attack, set), and by how many samples a prompt has: each group with the same prompts in the same order
# shares a version of its prompt set, and a slice has as many replicates as each of its prompts.
_GROUPS = """
CREATE TABLE members AS
    SELECT i1, a1, model, attack_name, set_name, p1, min(first_o) AS first_o, max(replicate) + 1 AS replicates
    FROM cells GROUP BY i1, a1, model, attack_name, set_name, p1;
CREATE TABLE groups AS
    SELECT row_number() OVER (ORDER BY min(first_o), model, attack_name, replicates) AS g, i1, a1, model, attack_name, set_name,
        replicates, min(first_o) AS first_o, md5(string_agg(hex(p1), '' ORDER BY first_o)) AS content
    FROM members GROUP BY i1, a1, model, attack_name, set_name, replicates;
CREATE TABLE set_ids (set_name VARCHAR, content VARCHAR, s1 BLOB, size INTEGER, o1 BLOB, identity VARCHAR);
CREATE TABLE set_members (s1 BLOB, ordinal INTEGER, p1 BLOB);
CREATE TABLE model_rows (i1 BLOB, name VARCHAR, identity VARCHAR, declaration VARCHAR, visibility VARCHAR, simulated BOOLEAN);
"""


def group(connection: duckdb.DuckDBPyConnection, import_id: bytes) -> None:
    """Fill `groups`, `set_ids` and `set_members`: which prompts were put to which model, under which attack, how often."""
    connection.execute(_GROUPS)
    contents = connection.execute(
        "SELECT set_name, content, min(g) FROM groups GROUP BY set_name, content ORDER BY min(g)"
    ).fetchall()
    for set_name, content, g in contents:
        rows = connection.execute(
            """
            SELECT m.p1 FROM members m JOIN groups g ON g.i1 = m.i1 AND g.a1 = m.a1 AND g.set_name = m.set_name
                AND g.model = m.model AND g.attack_name = m.attack_name AND g.replicates = m.replicates
            WHERE g.g = ? ORDER BY m.first_o
            """,
            [g],
        ).fetchall()
        s1 = hashing.digest("s1", {"prompts": [hashing.show("p1", p1) for (p1,) in rows]})
        identity: Json = {
            "reader": "import", "import": hashing.show("f1", import_id), "name": set_name, "prompts": hashing.show("s1", s1),
        }  # fmt: skip
        source = hashing.digest("o1", identity)
        kinds = ("string", "string", "binary", "int32", "binary", "string")
        text = hashing.canonical(identity).decode()
        insert(connection, "set_ids", [(set_name, content, s1, len(rows), source, text)], kinds)
        members: list[tuple[Any, ...]] = [(s1, ordinal, p1) for ordinal, (p1,) in enumerate(rows)]
        insert(connection, "set_members", members, ("binary", "int32", "binary"))


def _numbered(table: str, columns: str, source: str, order: str) -> str:
    """Return the statement that inserts rows with an id that `table` does not have yet, under the next numbers."""
    return f"""
        INSERT INTO cat.lrm.{table}
            SELECT (SELECT coalesce(max(n), 0) FROM cat.lrm.{table}) + row_number() OVER (ORDER BY {order}), {columns}
            FROM ({source}) i WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.{table} k WHERE k.id = i.id)
        """


_REGISTER = (
    _numbered("models", "id, name, identity, declaration, visibility, simulated", "SELECT i1 AS id, * FROM model_rows", "name, id"),
    _numbered("attacks", "id, name, identity, declaration",
              "SELECT a1 AS id, min(attack_name) AS name, any_value(identity) AS identity, any_value(declaration) AS declaration "
              "FROM attack_ids GROUP BY a1", "name, id"),
    _numbered("prompts", "id, key, text, system, turns, category, expect, meta",
              "SELECT DISTINCT ON (i.p1) i.p1 AS id, p.* FROM prompts_read p JOIN prompt_ids i USING (set_name, key) "
              "ORDER BY i.p1, p.first_o", "first_o"),
    _numbered("prompt_sets", "id, name, $declaration, size",
              "SELECT s1 AS id, min(set_name) AS name, any_value(size) AS size FROM set_ids GROUP BY s1", "name, id"),
    """
    INSERT INTO cat.lrm.prompt_set_members
        SELECT s.n, m.ordinal, p.n FROM (SELECT DISTINCT * FROM set_members) m
        JOIN cat.lrm.prompt_sets s ON s.id = m.s1 JOIN cat.lrm.prompts p ON p.id = m.p1
        WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.prompt_set_members k WHERE k.set_n = s.n)
    """,
    """
    INSERT INTO cat.lrm.sources
        SELECT i.o1, s.n, i.identity, $sha256, NULL FROM set_ids i JOIN cat.lrm.prompt_sets s ON s.id = i.s1
        WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.sources k WHERE k.id = i.o1)
    """,
    _numbered("messages", "id, messages",
              "SELECT t.id, t.messages, u.o FROM texts t JOIN (SELECT m1, min(o) AS o FROM cells GROUP BY m1) u ON u.m1 = t.id", "o"),
    """
    INSERT INTO cat.lrm.renderings
        SELECT a.n, p.n, x.n FROM (SELECT DISTINCT a1, p1, m1 FROM cells) c
        JOIN cat.lrm.attacks a ON a.id = c.a1 JOIN cat.lrm.prompts p ON p.id = c.p1 LEFT JOIN cat.lrm.messages x ON x.id = c.m1
        WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.renderings k WHERE k.attack_n = a.n AND k.prompt_n = p.n)
    """,
)  # fmt: skip

_RESPONSES = (
    """
    INSERT INTO cat.lrm.calls
        SELECT (SELECT coalesce(max(n), 0) FROM cat.lrm.calls) + row_number() OVER (ORDER BY i.o), i.call, m.n, x.n, i.replicate, NULL
        FROM (
            SELECT g.call, c.i1, c.m1, c.replicate, min(g.o) AS o FROM gens g JOIN cells c ON c.o = g.o GROUP BY ALL
        ) i
        JOIN cat.lrm.models m ON m.id = i.i1 JOIN cat.lrm.messages x ON x.id = i.m1
        WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.calls k WHERE k.id = i.call)
    """,
    """
    CREATE TEMP TABLE fresh AS
        SELECT (SELECT coalesce(max(n), 0) FROM cat.lrm.generations) + row_number() OVER (ORDER BY g.o) AS n, g.o, k.n AS call_n
        FROM (SELECT g1, min(o) AS o, any_value(call) AS call FROM gens GROUP BY g1) g JOIN cat.lrm.calls k ON k.id = g.call
        WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.generations e WHERE e.id = g.g1)
    """,
    """
    INSERT INTO cat.lrm.generations
        SELECT f.n, g.g1, f.call_n, CASE WHEN r.blocked THEN 'blocked' ELSE 'ok' END, r.raw, g.finish_reason, g.input_tokens,
            g.output_tokens, g.thinking_tokens, NULL, coalesce(r.came_at, $now), NULL, 1, r.fingerprint, NULL, 'imported', $run
        FROM fresh f JOIN gens g ON g.o = f.o JOIN raws r ON r.o = f.o
    """,
    """
    INSERT INTO cat.lrm.traces
        SELECT f.n, g.t1, $splitter, g.status, g.visibility, g.thinking, g.answer FROM fresh f JOIN gens g ON g.o = f.o
    """,
    # What came with a snapshot and is imported here too is ours.
    """
    CREATE TEMP TABLE taken AS
        SELECT e.n FROM cat.lrm.generations e
        WHERE e.n IN (SELECT generation_n FROM cat.lrm.pulled) AND e.id IN (SELECT g1 FROM gens)
    """,
    "DELETE FROM cat.lrm.pulled WHERE generation_n IN (SELECT n FROM taken)",
    "UPDATE cat.lrm.generations SET source = 'imported', run = $run WHERE n IN (SELECT n FROM taken)",
    # A response that a cell shows already stays; so an import never takes a judged response away.
    choosing_first(
        "SELECT call_n FROM fresh UNION ALL SELECT call_n FROM cat.lrm.generations WHERE n IN (SELECT n FROM taken)",
        "cat.lrm",
        only_empty=True,
    ),
)

# The same responses under another declaration of their thinking: what is read otherwise loses its verdicts, as in a reparse.
_REREAD = (
    """
    UPDATE cat.lrm.models SET declaration = r.declaration, visibility = r.visibility FROM model_rows r
        WHERE cat.lrm.models.id = r.i1 AND cat.lrm.models.declaration <> r.declaration
    """,
    """
    CREATE TEMP TABLE reread AS
        SELECT e.n, g.t1, g.status, g.visibility, g.thinking, g.answer, t.id <> g.t1 AS retold
        FROM gens g JOIN cat.lrm.generations e ON e.id = g.g1 JOIN cat.lrm.traces t ON t.generation_n = e.n
        WHERE t.id <> g.t1 OR t.visibility <> g.visibility
    """,
    "DELETE FROM cat.lrm.traces WHERE generation_n IN (SELECT n FROM reread)",
    "DELETE FROM cat.lrm.verdicts WHERE generation_n IN (SELECT n FROM reread WHERE retold)",
    "DELETE FROM cat.lrm.other_verdicts WHERE generation_n IN (SELECT n FROM reread WHERE retold)",
    "INSERT INTO cat.lrm.traces SELECT n, t1, $splitter, status, visibility, thinking, answer FROM reread",
)

LABELS = """
INSERT INTO cat.lrm.annotations
    SELECT i.n1, m.n, a.n, p.n, t.replicate, g.n, l.scope, l.annotator, l.automatic, l.rubric, l.label, l.score, l.unsafe,
        l.note, '[]', NULL, $run
    FROM (SELECT n1, arg_min(o, (o, i)) AS o, arg_min(i, (o, i)) AS i FROM label_ids GROUP BY n1) i
    JOIN labels l ON l.o = i.o AND l.i = i.i
    JOIN targets t ON t.o = l.o
    JOIN cat.lrm.models m ON m.id = t.i1 JOIN cat.lrm.attacks a ON a.id = t.a1 JOIN cat.lrm.prompts p ON p.id = t.p1
    LEFT JOIN cat.lrm.generations g ON g.id = t.g1
    WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.annotations k WHERE k.id = i.n1)
"""

_SPAN = (
    "INSERT INTO cat.lrm.spans VALUES ($span, $now)",
    """
    INSERT INTO cat.lrm.slices BY NAME
        SELECT $span AS span_n, m.n AS model_n, g.model, s.n AS set_n, g.set_name AS prompt_set, a.n AS attack_n,
            g.attack_name AS attack, g.replicates FROM groups g
        JOIN cat.lrm.models m ON m.id = g.i1 JOIN cat.lrm.attacks a ON a.id = g.a1
        JOIN set_ids i ON i.set_name = g.set_name AND i.content = g.content JOIN cat.lrm.prompt_sets s ON s.id = i.s1
        ORDER BY g.g
    """,
    # Judges that were given to the import stay with it when it is read anew.
    """
    INSERT INTO cat.lrm.span_judges BY NAME
        SELECT * REPLACE ($span AS span_n) FROM cat.lrm.span_judges WHERE span_n = (
            SELECT arg_max(span_n, n) FROM cat.lrm.spec_spans WHERE spec = $name
        )
    """,
    "INSERT INTO cat.lrm.spec_spans SELECT coalesce(max(n), 0) + 1, $name, $span, $file, $now FROM cat.lrm.spec_spans",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The row of `imports` that a write makes."""

    id: bytes
    name: str
    format: str
    path: Path
    sha256: str
    options: Json
    rows: int
    responses: int
    labels: int
    skipped: int
    facts: Json
    stated: list[Json]
    unknown: Json
    as_cache: bytes | None

    @property
    def run(self) -> str:
        """What generations and annotations name as their run or source."""
        return f"import:{self.id.hex()}"


def execute(connection: duckdb.DuckDBPyConnection, statement: str, values: Json) -> int:
    """Run a statement with those of the values that it names; return how many rows it changed."""
    used = {name: value for name, value in values.items() if f"${name}" in statement}
    found = connection.execute(statement, used).fetchall()
    return int(found[0][0]) if found and found[0] else 0


def write(connection: duckdb.DuckDBPyConnection, entry: Entry, now: datetime, *, own_models: bool) -> tuple[int, int]:
    """Insert the staged tables into the catalog attached as `cat`; return how many responses and labels were new."""
    values: Json = {
        "declaration": f'{{"description": "came with {entry.format} import"}}', "sha256": entry.sha256, "now": now,
        "run": entry.run, "splitter": splitter.VERSION, "name": entry.name, "file": str(entry.path.absolute()),
        "span": connection.execute("SELECT coalesce(max(n), 0) + 1 FROM cat.lrm.spans").fetchall()[0][0],
    }  # fmt: skip
    for statement in _REGISTER:
        execute(connection, statement, values)
    for statement in _RESPONSES:
        execute(connection, statement, values)
    fresh = connection.execute("SELECT count(*) FROM fresh").fetchall()[0][0]
    if own_models:
        for statement in _REREAD:
            execute(connection, statement, values)
    labelled = execute(connection, LABELS, values)
    for statement in _SPAN:
        execute(connection, statement, values)
    note(connection, entry, now)
    return int(fresh), labelled


def note(connection: duckdb.DuckDBPyConnection, entry: Entry, now: datetime) -> None:
    """Insert the row of `imports`."""
    texts = [hashing.canonical(one).decode() for one in (entry.facts, entry.stated, entry.unknown)]
    connection.execute(
        "INSERT INTO cat.lrm.imports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            entry.id, entry.name, entry.format, entry.path.name, entry.sha256, hashing.canonical(entry.options).decode(),
            entry.rows, entry.responses, entry.labels, entry.skipped, *texts,
            None if entry.as_cache is None else hashing.show("i1", entry.as_cache), now, __version__,
        ],
    )  # fmt: skip
