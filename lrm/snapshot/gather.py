"""Gathering: what a spec has of the catalog, chosen and in order, as queries that stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrm.errors import MissingError, known_names_hint
from lrm.snapshot.choice import FAMILIES, Choice
from lrm.snapshot.tables import Table
from lrm.store.specs import KnownSpec

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS = 8192
"""Rows that come out of a query at a time."""

_CHOSEN = """
CREATE TEMP TABLE x_slices AS
    SELECT $spec AS spec, model_n, model, set_n, prompt_set, attack_n, attack, condition, first_replicate, replicates
    FROM lrm.slices WHERE span_n = $span AND list_contains($models, model) AND list_contains($sets, prompt_set)
        AND list_contains($attacks, attack) AND list_contains($conditions, condition);
CREATE TEMP TABLE x_judges AS
    SELECT $spec AS spec, j.judge_scope_n, j.judge, s.judge_n, s.scope, d.id AS judge_id, j.prompt_sets, j.against
    FROM lrm.span_judges j JOIN lrm.judge_scopes s ON s.n = j.judge_scope_n JOIN lrm.judges d ON d.n = s.judge_n
    WHERE j.span_n = $span AND list_contains($judges, j.judge);
CREATE TEMP TABLE x_prompts AS
    SELECT b.prompt_n AS n, bool_and(list_contains($withheld, s.set_n)) AS withheld
    FROM (SELECT DISTINCT set_n FROM x_slices) s JOIN lrm.prompt_set_members b ON b.set_n = s.set_n GROUP BY b.prompt_n;
CREATE TEMP TABLE x_pairs AS
    SELECT DISTINCT s.attack_n, b.prompt_n FROM (SELECT DISTINCT attack_n, set_n FROM x_slices) s
    JOIN lrm.prompt_set_members b ON b.set_n = s.set_n;
CREATE TEMP TABLE x_renderings AS
    SELECT x.attack_n, x.prompt_n, x.messages_n, e.attack_n IS NOT NULL AS pursued
    FROM lrm.renderings x SEMI JOIN x_pairs USING (attack_n, prompt_n)
    LEFT JOIN lrm.pursuits e ON e.attack_n = x.attack_n AND e.prompt_n = x.prompt_n
    WHERE x.messages_n IS DISTINCT FROM 0;
CREATE TEMP TABLE x_messages AS
    SELECT messages_n AS n, bool_and(p.withheld) AS withheld, false AS retells FROM x_renderings x JOIN x_prompts p ON p.n = x.prompt_n
    WHERE messages_n IS NOT NULL GROUP BY messages_n;
CREATE TEMP TABLE x_cells AS
    SELECT s.model, s.prompt_set, p.key AS prompt, s.attack, s.condition, r.replicate::INTEGER AS replicate, c.n AS call_n
    FROM x_slices s JOIN lrm.prompt_set_members b ON b.set_n = s.set_n JOIN lrm.prompts p ON p.n = b.prompt_n
    JOIN x_renderings x ON x.attack_n = s.attack_n AND x.prompt_n = b.prompt_n AND x.messages_n IS NOT NULL
    CROSS JOIN LATERAL (SELECT unnest(range(s.first_replicate, s.first_replicate + s.replicates)) AS replicate) r
    JOIN lrm.calls c ON c.model_n = s.model_n AND c.messages_n = x.messages_n AND c.replicate = r.replicate;
CREATE TEMP TABLE x_subjects AS
    SELECT call_n, any_value(model) AS model, any_value(prompt_set) AS prompt_set, any_value(prompt) AS prompt,
        any_value(attack) AS attack, any_value(condition) AS condition, any_value(replicate) AS replicate
    FROM x_cells GROUP BY call_n HAVING count(*) = 1
    UNION ALL
    SELECT call_n, unnest(min((model, prompt_set, prompt, attack, condition, replicate)))
    FROM x_cells GROUP BY call_n HAVING count(*) > 1;
DROP TABLE x_cells;
"""

# Of judges and attackers only those responses go that a verdict or an attack's history here names: the same judge may have
# been asked by other specs, and what it was shown there is not this spec's.
_INGREDIENTS = """
CREATE TEMP TABLE x_named AS
    SELECT DISTINCT unhex(unnest(regexp_extract_all(v.detail, 'g1:([0-9a-f]{64})', 1))) AS id, 'judge' AS role, m.withheld
    FROM (
        SELECT generation_n, judge_scope_n, detail FROM lrm.verdicts
        UNION ALL SELECT generation_n, judge_scope_n, detail FROM lrm.other_verdicts
    ) v JOIN lrm.generations g ON g.n = v.generation_n JOIN x_subjects s ON s.call_n = g.call_n
    JOIN lrm.calls c ON c.n = g.call_n JOIN x_messages m ON m.n = c.messages_n
    WHERE v.detail IS NOT NULL AND v.judge_scope_n IN (SELECT judge_scope_n FROM x_judges)
    UNION ALL
    SELECT DISTINCT unhex(unnest(regexp_extract_all(e.history, 'g1:([0-9a-f]{64})', 1))), 'attacker', p.withheld
    FROM lrm.pursuits e SEMI JOIN x_pairs USING (attack_n, prompt_n) JOIN x_prompts p ON p.n = e.prompt_n;
CREATE TEMP TABLE x_ingredients AS
    SELECT g.n, any_value(g.call_n) AS call_n, min(min(k.role)) OVER (PARTITION BY any_value(g.call_n)) AS role,
        bool_or(k.withheld) AS withheld
    FROM x_named k JOIN lrm.generations g ON g.id = k.id
    WHERE g.call_n NOT IN (SELECT call_n FROM x_subjects) GROUP BY g.n;
INSERT INTO x_messages
    SELECT c.messages_n, bool_or(i.withheld), true FROM x_ingredients i JOIN lrm.calls c ON c.n = i.call_n
    WHERE c.messages_n NOT IN (SELECT n FROM x_messages) GROUP BY c.messages_n;
CREATE TEMP TABLE x_generations AS
    SELECT n, call_n, id, role, withheld, model, prompt_set, prompt, attack, condition, replicate, call_id, model_n,
        row_number() OVER (
            ORDER BY role, model NULLS FIRST, prompt_set NULLS FIRST, prompt NULLS FIRST, attack NULLS FIRST,
                condition NULLS FIRST, replicate NULLS FIRST, id
        ) AS place
    FROM (
        SELECT g.n, g.call_n, g.id, 'subject' AS role, m.withheld, s.model, s.prompt_set, s.prompt, s.attack, s.condition,
            s.replicate, c.id AS call_id, c.model_n
        FROM lrm.generations g JOIN x_subjects s ON s.call_n = g.call_n JOIN lrm.calls c ON c.n = g.call_n
        JOIN x_messages m ON m.n = c.messages_n
        UNION ALL
        SELECT i.n, i.call_n, g.id, i.role, i.withheld, d.name, NULL, NULL, NULL, NULL, NULL, c.id, c.model_n
        FROM x_ingredients i JOIN lrm.generations g ON g.n = i.n JOIN lrm.calls c ON c.n = i.call_n
        JOIN lrm.models d ON d.n = c.model_n
    );
DROP TABLE x_subjects; DROP TABLE x_named; DROP TABLE x_ingredients;
"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was chosen; the rest is in temporary tables of the connection."""

    spec: str
    file: str | None
    """The spec's file as the catalog knows it."""
    sets: tuple[tuple[str, str, int, bool], ...]
    """Name, declaration, prompts and whether its prompts are withheld, of each set."""

    def withholds(self, choice: Choice) -> bool:
        """Return whether any text stays here."""
        return any(stays for *_, stays in self.sets) or any(choice.of(family) != "all" for family in FAMILIES)


def gather(
    connection: duckdb.DuckDBPyConnection, spec: KnownSpec, choice: Choice, withhold: Callable[[str, str], bool]
) -> Gathered:
    """Choose what goes of a spec's present span, into temporary tables.

    `withhold` says of a set, by name and declaration (JSON), whether its prompts stay here. Raises MissingError for a choice that
    leaves nothing.
    """
    span = spec.span
    named: dict[str, list[str]] = {}
    for axis, column in (
        ("model", "model"),
        ("prompt_set", "prompt_set"),
        ("attack", "attack"),
        ("condition", "condition"),
    ):
        found = connection.execute(f"SELECT DISTINCT {column} FROM lrm.slices WHERE span_n = ?", [span]).fetchall()
        names = sorted(row[0] for row in found)
        named[axis] = [name for name in names if choice.takes(axis, name)]
        if names and not named[axis]:
            raise MissingError(f"nothing of `{spec.name}` is left: no {axis} matches", hint=known_names_hint("", names))
    judges = connection.execute("SELECT DISTINCT judge FROM lrm.span_judges WHERE span_n = ?", [span]).fetchall()
    sets = connection.execute(
        """
        SELECT DISTINCT s.prompt_set, p.declaration, p.size, s.set_n FROM lrm.slices s
        JOIN lrm.prompt_sets p ON p.n = s.set_n WHERE s.span_n = ? AND list_contains(?, s.prompt_set) ORDER BY ALL
        """,
        [span, named["prompt_set"]],
    ).fetchall()
    kept = {n: withhold(name, declaration) for name, declaration, _, n in sets}
    values = {
        "spec": spec.name, "span": span, "models": named["model"], "sets": named["prompt_set"], "attacks": named["attack"],
        "conditions": named["condition"], "judges": [row[0] for row in judges if choice.takes("judge", row[0])],
        "withheld": [n for n, stays in kept.items() if stays],
    }  # fmt: skip
    for statement in (_CHOSEN + _INGREDIENTS).split(";"):
        if statement.strip():
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used)
    return Gathered(spec.name, spec.file, tuple((name, declared, size, kept[n]) for name, declared, size, n in sets))


def stream(connection: duckdb.DuckDBPyConnection, query: str, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query as Arrow batches with the table's columns."""
    columns = ", ".join(f'"{name}"' for name in table.names)
    yield from connection.sql(f"SELECT {columns} FROM ({query})").to_arrow_reader(ROWS)


def ordered(query: str, columns: Sequence[str]) -> str:
    """Return a query whose rows come in the order of some columns, first those that lack a value."""
    by = ", ".join(f'"{name}" NULLS FIRST' for name in columns)
    return f"SELECT * FROM ({query}) ORDER BY {by}"


ANNOTATIONS = """
SELECT min((s.model, s.prompt_set, p.key, s.attack, s.condition, a.replicate)) AS cell,
    any_value(m.id) AS model, any_value(k.id) AS attack, any_value(p.id) AS prompt, any_value(a.replicate) AS replicate,
    any_value(g.id) AS generation, any_value(a.scope) AS scope, any_value(a.annotator) AS annotator,
    any_value(a.automatic) AS automatic, any_value(a.rubric) AS rubric, any_value(a.label) AS said,
    any_value(a.score) AS score, any_value(a.unsafe) AS unsafe, any_value(a.note) AS note, any_value(a.spans) AS spans,
    any_value(a.made_at) AS made_at, any_value(a.source) AS source
FROM lrm.annotations a
JOIN x_slices s ON s.model_n = a.model_n AND s.attack_n = a.attack_n
    AND a.replicate BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1
JOIN lrm.prompt_set_members b ON b.set_n = s.set_n AND b.prompt_n = a.prompt_n
JOIN lrm.models m ON m.n = a.model_n JOIN lrm.attacks k ON k.n = a.attack_n JOIN lrm.prompts p ON p.n = a.prompt_n
LEFT JOIN lrm.generations g ON g.n = a.generation_n
GROUP BY a.id ORDER BY a.id
"""
"""The labels of what was gathered, with the first cell that each belongs to, as `lrm.snapshot.people` reads them."""
