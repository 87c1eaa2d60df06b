"""Verifying: every id of the catalog derived again from what comes back out of it, and every reference followed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.errors import SpecError
from lrm.plan.rendering import prompt_of
from lrm.store.catalog import Catalog
from lrm.store.trust import counted

if TYPE_CHECKING:
    import duckdb

CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is not what its id says, or that points to nothing."""

    table: str
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked, and what is wrong."""

    checked: dict[str, int]
    """Rows by table."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Check:
    table: str
    tag: str
    query: str
    derive: Callable[..., bytes]


def _identity(tag: str) -> Callable[[str], bytes]:
    return lambda identity: hashing.digest(tag, json.loads(identity))


def _prompt_set(ids: list[bytes]) -> bytes:
    return hashing.digest("s1", {"prompts": [hashing.show("p1", one) for one in ids]})


def _import(sha256: str, format_name: str, options: str, as_cache: str | None) -> bytes:
    cached = None if as_cache is None else bytes.fromhex(as_cache.removeprefix("i1:"))
    return hashing.import_id(sha256, format_name, json.loads(options), cached)


def _label(
    model: bytes, attack: bytes, prompt: bytes, replicate: int, answered: bool, generation: bytes | None,
    scope: str, annotator: str, automatic: bool, rubric: str, label: str | None, score: float | None, unsafe: bool | None,
    note: str | None, spans: str,
) -> bytes:  # fmt: skip
    if None in (model, attack, prompt) or (answered and generation is None):
        raise ValueError("what was labelled is not there")
    return hashing.label_id(
        model, attack, prompt, replicate, generation, scope=scope, annotator=annotator, automatic=automatic, rubric=rubric,
        label=label, score=score, unsafe=unsafe, note=note, spans=spans,
    )  # fmt: skip


CHECKS = (
    _Check("models", "i1", "SELECT id, identity FROM lrm.models", _identity("i1")),
    _Check("attacks", "a1", "SELECT id, identity FROM lrm.attacks", _identity("a1")),
    _Check("judges", "j1", "SELECT id, identity FROM lrm.judges", _identity("j1")),
    _Check("sources", "o1", "SELECT id, identity FROM lrm.sources", _identity("o1")),
    _Check(
        "prompts", "p1", "SELECT id, key, text, system, turns, category, expect, meta FROM lrm.prompts",
        lambda *row: prompt_of(*row).id(),
    ),
    _Check(
        "prompt_sets", "s1",
        """
        SELECT s.id, list(p.id ORDER BY b.ordinal) FROM lrm.prompt_sets s
        JOIN lrm.prompt_set_members b ON b.set_n = s.n JOIN lrm.prompts p ON p.n = b.prompt_n GROUP BY s.n, s.id
        """,
        _prompt_set,
    ),
    _Check("messages", "m1", "SELECT id, messages FROM lrm.messages", lambda text: hashing.messages_id(json.loads(text))),
    _Check(
        "calls", "c1",
        """
        SELECT c.id, m.id, x.id, c.replicate FROM lrm.calls c
        JOIN lrm.models m ON m.n = c.model_n JOIN lrm.messages x ON x.n = c.messages_n
        """,
        hashing.call_id,
    ),
    _Check(
        "generations", "g1",
        "SELECT g.id, c.id, g.raw FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n",
        lambda call, raw: hashing.generation_id(call, raw.encode()),
    ),
    _Check(
        "traces", "t1",
        "SELECT t.id, g.id, t.status, t.thinking, t.answer FROM lrm.traces t JOIN lrm.generations g ON g.n = t.generation_n",
        hashing.trace_id,
    ),
    _Check("imports", "f1", "SELECT id, sha256, format, options, as_cache FROM lrm.imports", _import),
    _Check(
        "annotations", "n1",
        """
        SELECT a.id, m.id, k.id, p.id, a.replicate, a.generation_n IS NOT NULL, g.id, a.scope, a.annotator, a.automatic,
            a.rubric, a.label, a.score, a.unsafe, a.note, a.spans
        FROM lrm.annotations a LEFT JOIN lrm.models m ON m.n = a.model_n LEFT JOIN lrm.attacks k ON k.n = a.attack_n
        LEFT JOIN lrm.prompts p ON p.n = a.prompt_n LEFT JOIN lrm.generations g ON g.n = a.generation_n
        """,
        _label,
    ),
)  # fmt: skip

# (table, what is wrong, query of the ids of the rows where it is)
REFERENCES = (
    *(
        (table, message, f"SELECT any_value(id) FROM lrm.{table} GROUP BY {column} HAVING count(*) > 1")
        for table in ("prompts", "messages", "calls", "generations")
        for column, message in (("id", "is there twice"), ("n", "has the number of another"))
    ),
    ("prompt_sets", "has not as many members as it says", """
        SELECT s.id FROM lrm.prompt_sets s LEFT JOIN lrm.prompt_set_members b ON b.set_n = s.n
        GROUP BY s.id, s.size HAVING count(b.prompt_n) <> s.size"""),
    ("renderings", "is there twice", """
        SELECT prompt_n::VARCHAR::BLOB FROM lrm.renderings GROUP BY attack_n, prompt_n HAVING count(*) > 1"""),
    ("calls", "has no model or messages", """
        SELECT c.id FROM lrm.calls c WHERE c.model_n NOT IN (SELECT n FROM lrm.models)
            OR c.messages_n NOT IN (SELECT n FROM lrm.messages)"""),
    ("calls", "points to a response that is not its own", """
        SELECT c.id FROM lrm.calls c LEFT JOIN lrm.generations g ON g.n = c.generation_n
        WHERE c.generation_n IS NOT NULL AND g.call_n IS DISTINCT FROM c.n"""),
    ("calls", "has a response and does not point to it", f"""
        SELECT c.id FROM lrm.calls c
        WHERE c.generation_n IS NULL AND c.n IN (SELECT g.call_n FROM lrm.generations g WHERE {counted()})"""),
    ("calls", "points to a response of a publisher who is not trusted", f"""
        SELECT c.id FROM lrm.calls c WHERE c.generation_n IS NOT NULL AND NOT ({counted("c.generation_n")})"""),
    ("generations", "has no call", "SELECT id FROM lrm.generations WHERE call_n NOT IN (SELECT n FROM lrm.calls)"),
    ("generations", "has no trace, or several", """
        SELECT g.id FROM lrm.generations g LEFT JOIN lrm.traces t ON t.generation_n = g.n GROUP BY g.n, g.id
        HAVING count(t.generation_n) <> 1"""),
    ("traces", "has no response", "SELECT id FROM lrm.traces WHERE generation_n NOT IN (SELECT n FROM lrm.generations)"),
    ("verdicts", "judges a response that is not there, or by an unknown judge", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.verdicts WHERE generation_n NOT IN (SELECT n FROM lrm.generations)
            OR judge_scope_n NOT IN (SELECT n FROM lrm.judge_scopes)"""),
    ("verdicts", "is there twice", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.verdicts
        GROUP BY generation_n, judge_scope_n, prompt_n HAVING count(*) > 1"""),
    ("renderings", "points to messages that are not there", """
        SELECT prompt_n::VARCHAR::BLOB FROM lrm.renderings
        WHERE messages_n <> 0 AND messages_n NOT IN (SELECT n FROM lrm.messages)"""),
    ("pursuits", "is there twice", """
        SELECT prompt_n::VARCHAR::BLOB FROM lrm.pursuits GROUP BY attack_n, prompt_n HAVING count(*) > 1"""),
    ("pursuits", "has ended, and what was sent is not known", """
        SELECT p.prompt_n::VARCHAR::BLOB FROM lrm.pursuits p LEFT JOIN lrm.renderings x
            ON x.attack_n = p.attack_n AND x.prompt_n = p.prompt_n
        WHERE coalesce(x.messages_n, 0) = 0"""),
    ("generations", "names an import that is not there", """
        SELECT id FROM lrm.generations WHERE run LIKE 'import:%' AND run NOT IN (SELECT 'import:' || lower(hex(id)) FROM lrm.imports)"""),
    ("generations", "came with a snapshot that is not there", """
        SELECT id FROM lrm.generations WHERE run LIKE 'snapshot:%' AND n NOT IN (SELECT generation_n FROM lrm.pulled)"""),
    ("pulled", "is a response that is not there, or of an unknown snapshot", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.pulled WHERE generation_n NOT IN (SELECT n FROM lrm.generations)
            OR snapshot_n NOT IN (SELECT n FROM lrm.snapshots)"""),
    ("pulled", "is there twice", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.pulled GROUP BY generation_n, snapshot_n HAVING count(*) > 1"""),
    ("other_verdicts", "judges a response that is not there, or by an unknown judge", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.other_verdicts WHERE generation_n NOT IN (SELECT n FROM lrm.generations)
            OR judge_scope_n NOT IN (SELECT n FROM lrm.judge_scopes)"""),
    ("other_verdicts", "came with a snapshot that is not there", """
        SELECT generation_n::VARCHAR::BLOB FROM lrm.other_verdicts
        WHERE snapshot_n IS NOT NULL AND snapshot_n NOT IN (SELECT n FROM lrm.snapshots)"""),
    ("annotations", "is there twice", "SELECT any_value(id) FROM lrm.annotations GROUP BY id HAVING count(*) > 1"),
    ("annotations", "is of a response of another model", """
        SELECT a.id FROM lrm.annotations a JOIN lrm.generations g ON g.n = a.generation_n JOIN lrm.calls c ON c.n = g.call_n
        WHERE c.model_n <> a.model_n"""),
    ("annotations", "names an import that is not there", """
        SELECT id FROM lrm.annotations WHERE source LIKE 'import:%'
            AND source NOT IN (SELECT 'import:' || lower(hex(id)) FROM lrm.imports)"""),
)  # fmt: skip


def verify(catalog: Catalog) -> VerifyReport:
    """Derive every id again and follow every reference. Raises MissingError, BusyError, CatalogError."""
    checked: dict[str, int] = {}
    problems: list[Problem] = []
    with catalog.reading() as connection:
        for check in CHECKS:
            count = 0
            for problem in _derive(connection, check):
                count += 1
                if problem is not None:
                    problems.append(problem)
            checked[check.table] = count
        for table, message, query in REFERENCES:
            rows = connection.execute(query).fetchall()
            problems += [Problem(table, _shown(row[0]), message) for row in rows]
        checked["verdicts"] = connection.execute("SELECT count(*) FROM lrm.verdicts").fetchall()[0][0]
    return VerifyReport(checked, tuple(problems))


def _derive(connection: duckdb.DuckDBPyConnection, check: _Check) -> Iterator[Problem | None]:
    rows = connection.cursor().execute(check.query)
    while chunk := rows.fetchmany(CHUNK):
        for stored, *fields in chunk:
            yield _compare(check, stored, fields)


def _compare(check: _Check, stored: bytes, fields: list[Any]) -> Problem | None:
    try:
        derived = check.derive(*fields)
    except (SpecError, ValueError, TypeError, KeyError) as error:
        return Problem(check.table, hashing.show(check.tag, stored), f"cannot be derived again: {error}")
    if derived == stored:
        return None
    return Problem(
        check.table, hashing.show(check.tag, stored), f"its content gives {hashing.show(check.tag, derived)}"
    )


def _shown(value: bytes) -> str:
    return value.hex() if len(value) == 32 else f"row {value.decode(errors='replace')}"
