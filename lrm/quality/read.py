"""Reading ratings from a catalog, as sets: every rater that there is, and the marks of some, counted by stratum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lrm.quality.ratings import ABSENT, Mark, Rater, Ratings, Row
from lrm.quality.strata import Column, column
from lrm.store.specs import find_spec, known_specs

if TYPE_CHECKING:
    import duckdb

MOST_LABELS = 20

# A spec's newest span, and which model and attack its names stand for in it.
_SPANS = """
spans AS (
    SELECT s.spec, s.span_n, l.model, l.model_n, l.attack, l.attack_n, l.set_n, l.prompt_set, l.first_replicate,
        l.first_replicate + l.replicates AS end_replicate
    FROM (SELECT spec, arg_max(span_n, n) AS span_n FROM lrm.spec_spans GROUP BY spec) s
    JOIN lrm.slices l USING (span_n)
    WHERE $spec IS NULL OR s.spec = $spec
)"""

_JUDGES = """
WITH counted AS (
    SELECT judge, scope, spec, judge_scope_n, status = 'ok' AS labelled,
        CASE WHEN status = 'ok' THEN coalesce(label, CASE WHEN unsafe THEN 'unsafe' WHEN NOT unsafe THEN 'safe' END) END AS label,
        count(*) AS cells
    FROM verdicts WHERE $spec IS NULL OR spec = $spec GROUP BY ALL
),
labels AS (
    SELECT judge, scope, list(label ORDER BY cells DESC, label)[:$most] AS labels
    FROM (SELECT judge, scope, label, sum(cells) AS cells FROM counted WHERE label IS NOT NULL GROUP BY ALL) GROUP BY ALL
)
SELECT judge, scope, any_value(labels), (sum(cells) FILTER (WHERE labelled))::BIGINT,
    (sum(cells) FILTER (WHERE NOT labelled))::BIGINT, list(DISTINCT spec ORDER BY spec), count(DISTINCT judge_scope_n)
FROM counted LEFT JOIN labels USING (judge, scope) GROUP BY judge, scope ORDER BY judge, scope
"""

_IN_SPEC = """
SEMI JOIN (
    SELECT s.model_n, s.attack_n, b.prompt_n, s.first_replicate, s.end_replicate FROM spans s JOIN lrm.prompt_set_members b USING (set_n)
) c ON c.model_n = a.model_n AND c.attack_n = a.attack_n AND c.prompt_n = a.prompt_n
    AND a.replicate >= c.first_replicate AND a.replicate < c.end_replicate"""

_ANNOTATORS = """
WITH {spans},
counted AS (
    SELECT annotator, scope, rubric, automatic, label, label IS NOT NULL OR unsafe IS NOT NULL AS labelled, count(*) AS items
    FROM (SELECT a.* FROM lrm.annotations a {in_spec}) GROUP BY ALL
)
SELECT annotator, scope, rubric, bool_or(automatic),
    (list(label ORDER BY items DESC, label) FILTER (WHERE label IS NOT NULL))[:$most],
    (sum(items) FILTER (WHERE labelled))::BIGINT, (sum(items) FILTER (WHERE NOT labelled))::BIGINT
FROM counted GROUP BY annotator, scope, rubric ORDER BY annotator, scope, rubric
"""

_OF_JUDGE = """
SELECT DISTINCT {at} AS r, s.model_n, s.attack_n, v.prompt_n, v.replicate, v.generation_n, v.status, v.label, v.unsafe,
    NULL::TIMESTAMP AS made_at
FROM verdicts v
JOIN (SELECT DISTINCT spec, model, model_n, attack, attack_n FROM spans) s USING (spec, model, attack)
WHERE v.judge = $name{at} AND v.scope = $scope{at} AND v.judge_scope_n = (
    SELECT max(j.judge_scope_n) FROM lrm.span_judges j JOIN lrm.judge_scopes g ON g.n = j.judge_scope_n
    WHERE j.judge = $name{at} AND g.scope = $scope{at} AND j.span_n IN (SELECT span_n FROM spans))"""

_OF_ANNOTATOR = """
SELECT {at} AS r, a.model_n, a.attack_n, a.prompt_n, a.replicate, a.generation_n,
    CASE WHEN a.label IS NULL AND a.unsafe IS NULL THEN 'no_label' ELSE 'ok' END AS status, a.label, a.unsafe, a.made_at
FROM lrm.annotations a {in_spec}
WHERE a.annotator = $name{at} AND a.scope = $scope{at} AND a.rubric = $rubric{at}"""

# `cell` and response make an item: a label of another response of the same cell is about another text. Of several labels by
# one rater the newest counts, and where the newest differ none does.
_MARKS = """
WITH {spans},
marks AS ({marks}),
ranked AS (
    SELECT *, rank() OVER item_by_age AS age, count(*) OVER item AS copies FROM marks
    WINDOW item AS (PARTITION BY r, model_n, attack_n, prompt_n, replicate, generation_n),
        item_by_age AS (item ORDER BY made_at DESC NULLS LAST)
)
SELECT r, model_n, attack_n, prompt_n, replicate, generation_n, any_value(copies) - 1 AS repeated,
    CASE WHEN count(DISTINCT (status, label, unsafe)) > 1 THEN 'ambiguous' ELSE first(status) END AS status,
    first(label) AS label, first(unsafe) AS unsafe
FROM ranked WHERE age = 1
GROUP BY r, model_n, attack_n, prompt_n, replicate, generation_n
"""

_ITEMS = """
WITH {spans},
items AS (
    SELECT model_n, attack_n, prompt_n, replicate, generation_n, {pivot}
    FROM quality_marks GROUP BY model_n, attack_n, prompt_n, replicate, generation_n
),
sets AS (
    SELECT b.prompt_n, string_agg(DISTINCT s.prompt_set, ', ' ORDER BY s.prompt_set) AS prompt_set
    FROM spans s JOIN lrm.prompt_set_members b USING (set_n) GROUP BY b.prompt_n
)
SELECT {columns}, m.simulated, count(*)
FROM items i
JOIN lrm.models m ON m.n = i.model_n
JOIN lrm.attacks k ON k.n = i.attack_n
JOIN lrm.prompts p ON p.n = i.prompt_n
LEFT JOIN lrm.traces t ON t.generation_n = i.generation_n
LEFT JOIN sets e ON e.prompt_n = i.prompt_n
GROUP BY ALL
"""

_OTHER = """
SELECT count(*) FROM (
    SELECT 1 FROM quality_marks GROUP BY model_n, attack_n, prompt_n, replicate
    HAVING count(DISTINCT coalesce(generation_n, -1)) > 1 AND count(DISTINCT r) > 1
)
"""


def raters(connection: duckdb.DuckDBPyConnection, spec: str | None = None) -> tuple[Rater, ...]:
    """Return every judge and annotator that the catalog, or one spec or import of it, has marks of.

    Raises MissingError for an unknown spec.
    """
    spec = _known(connection, spec)
    judges = connection.execute(_JUDGES, {"spec": spec, "most": MOST_LABELS}).fetchall()
    query = _ANNOTATORS.format(spans=_SPANS, in_spec=_IN_SPEC if spec else "")
    values: dict[str, Any] = {"spec": spec, "most": MOST_LABELS}
    return (
        *(
            Rater("judge", name, scope, "", True, tuple(labels or ()), given or 0, without or 0, tuple(specs), versions)
            for name, scope, labels, given, without, specs, versions in judges
        ),
        *(
            Rater("annotator", name, scope, rubric, automatic, tuple(labels or ()), given or 0, without or 0)
            for name, scope, rubric, automatic, labels, given, without in connection.execute(query, values).fetchall()
        ),
    )


def read_ratings(
    connection: duckdb.DuckDBPyConnection, chosen: Sequence[Rater], *, by: Sequence[str] = (), spec: str | None = None
) -> Ratings:
    """Return what some raters said, by stratum. Raises SpecError for an unknown column, MissingError for an unknown spec."""
    spec = _known(connection, spec)
    columns = [column(name) for name in by]
    values: dict[str, Any] = {"spec": spec}
    parts = []
    for at, rater in enumerate(chosen):
        values |= {f"name{at}": rater.name, f"scope{at}": rater.scope}
        match rater.kind:
            case "judge":
                parts.append(_OF_JUDGE.format(at=at))
            case "annotator":
                values[f"rubric{at}"] = rater.rubric
                parts.append(_OF_ANNOTATOR.format(at=at, in_spec=_IN_SPEC if spec else ""))
    marks = "\nUNION ALL\n".join(parts)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE quality_marks AS " + _MARKS.format(spans=_SPANS, marks=marks), values
    )
    try:
        rows = _rows(connection, columns, len(chosen), spec)
        (other,) = connection.execute(_OTHER).fetchall()[0]
        repeated = dict(connection.execute("SELECT r, sum(repeated)::BIGINT FROM quality_marks GROUP BY r").fetchall())
    finally:
        connection.execute("DROP TABLE quality_marks")
    return Ratings(
        raters=tuple(chosen),
        by=tuple(by),
        rows=tuple(_merged(rows, len(by))),
        repeated=tuple(int(repeated.get(at, 0)) for at in range(len(chosen))),
        other_response=int(other),
        simulated=sum(row[-1] for row in rows if row[-2]),
    )


def _known(connection: duckdb.DuckDBPyConnection, spec: str | None) -> str | None:
    return None if spec is None else find_spec(spec, known_specs(connection)).name


def _rows(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], chosen: int, spec: str | None
) -> list[tuple[Any, ...]]:
    """Return rows of strata, then status, label and unsafe of each rater, then whether simulated, then how many."""
    names = ("status", "label", "unsafe")
    values: dict[str, Any] = {"spec": spec}
    strata = []
    for at, one in enumerate(columns):
        strata.append(one.sql.format(value=f"$column{at}"))
        if one.value is not None:
            values[f"column{at}"] = one.value
    pivot = ", ".join(f"first({name}) FILTER (WHERE r = {at}) AS {name}{at}" for at in range(chosen) for name in names)
    marks = [f"i.{name}{at}" for at in range(chosen) for name in names]
    query = _ITEMS.format(spans=_SPANS, pivot=pivot, columns=", ".join([*strata, *marks]))
    return connection.execute(query, values).fetchall()


def _merged(rows: list[tuple[Any, ...]], strata: int) -> list[Row]:
    """Return rows without the column `simulated`, in a stable order."""
    counts: dict[tuple[tuple[str | None, ...], tuple[Mark, ...]], int] = {}
    for row in rows:
        flat = row[strata:-2]
        marks = tuple(
            ABSENT if flat[at] is None else Mark(flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat), 3)
        )
        key = (row[:strata], marks)
        counts[key] = counts.get(key, 0) + row[-1]
    found = [Row(values, marks, items) for (values, marks), items in counts.items()]
    return sorted(
        found, key=lambda row: tuple((value is None, str(value)) for value in (*row.strata, *_flat(row.marks)))
    )


def _flat(marks: Sequence[Mark]) -> list[object]:
    return [part for mark in marks for part in mark]
