"""Comparing: what one snapshot has and another has not, and where the two say different things.

Both sides are read as far as their shards differ, in SQL within a bound of memory; texts are not read, for ids say whether
they are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lrm.snapshot.diff.declared import Changed, changed_declarations
from lrm.snapshot.diff.sides import Side, two_sides
from lrm.snapshot.load import offer
from lrm.snapshot.place import InCatalog, Place
from lrm.snapshot.staging import query_memory
from lrm.store.catalog import Catalog, workspace

if TYPE_CHECKING:
    import duckdb

TABLES = ("declarations", "prompts", "generations", "verdicts", "annotations", "cells", "rates")
"""What is compared."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the rows of one kind compare."""

    what: str
    only_a: int
    only_b: int
    differ: int | None
    """In both, and not the same; None where that cannot be: they are named by what they are."""
    same: int


@dataclass(frozen=True, slots=True)
class Group:
    """The cells and verdicts of a model on a prompt set."""

    spec: str
    model: str
    prompt_set: str
    only_a: int
    """Cells that have a response in A alone."""
    only_b: int
    other_response: int
    """Cells with another response to the same call."""
    asked_otherwise: int
    """Cells whose model or prompt or attack is another one under the same name."""
    verdicts_only_a: int
    verdicts_only_b: int
    verdicts_differ: int


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate that is not the same on both sides. What one side has not is None."""

    spec: str
    model: str
    prompt_set: str
    attack: str
    condition: str
    expect: str
    """Whether its prompts should be declined (`unsafe`) or answered (`safe`); empty where nobody says."""
    judge: str
    scope: str
    unsafe_a: int | None
    harm_judged_a: int | None
    """Denominator of the unsafe rate."""
    unsafe_b: int | None
    harm_judged_b: int | None
    refusals_a: int | None
    """Full and partial ones."""
    refusal_judged_a: int | None
    refusals_b: int | None
    refusal_judged_b: int | None


@dataclass(frozen=True, slots=True)
class Diff:
    """How two snapshots compare."""

    a: str
    b: str
    same: bool
    """Whether nothing that is compared differs."""
    counts: tuple[Counts, ...]
    declarations: tuple[Changed, ...]
    """Declarations that only one side has, or that say something else there."""
    groups: tuple[Group, ...]
    """Only those with differences."""
    rates: tuple[RateChange, ...]


def diff(
    catalog: Catalog,
    first: Place | InCatalog,
    second: Place | InCatalog,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Diff:
    """Compare two snapshots, or a snapshot and what a catalog has of a spec; changes nothing.

    Raises SnapshotError, MissingError and BusyError.
    """
    with (
        two_sides(catalog, first, second, TABLES, say) as (a, b),
        TemporaryDirectory(prefix="lrm-diff-", ignore_cleanup_errors=True) as spill,
        workspace() as connection,
        query_memory(connection, Path(spill)),
    ):
        _take(connection, "a", a, _alone(a, b))
        _take(connection, "b", b, _alone(b, a))
        declared = changed_declarations(connection)
        for statement in _JOINED.split(";"):
            if statement.strip():
                connection.execute(statement)
        counts = tuple(_counts(connection, a))
        groups = tuple(Group(*row) for row in connection.execute(_GROUPS).fetchall())
        rates = tuple(RateChange(*row) for row in connection.execute(_RATES).fetchall())
    differs = any(one.only_a or one.only_b or one.differ for one in counts)
    return Diff(a.label, b.label, not (differs or declared or groups or rates), counts, declared, groups, rates)


def _alone(side: Side, other: Side) -> str | None:
    """Return the name of a side's only spec where the other has one too: the two are compared whatever they are called."""
    names = [[one.name for one in each.manifest.specs] for each in (side, other)]
    return names[0][0] if [len(one) for one in names] == [1, 1] and names[0] != names[1] else None


_KEPT = {
    "declarations": "kind, id, name, identity, declaration",
    "prompts": "id, prompt, withheld",
    "generations": "id, call_id, role",
    "verdicts": "generation_id, judge_id, scope, coalesce(prompt_id, '') AS prompt_id, status, label, unsafe, score, "
    "coalesce(model, '') AS model, coalesce(prompt_set, '') AS prompt_set",
    "annotations": "id",
    "cells": "{spec} AS spec, model, prompt_set, prompt, attack, condition, replicate, generation_id",
    "rates": "{spec} AS spec, model, prompt_set, attack, condition, judge, scope, coalesce(expect, '') AS expect, "
    "coalesce(visibility, '') AS visibility, unsafe, harm_judged, full_refusals + partial_refusals AS refusals, "
    "refusal_judged",
}


def _take(connection: duckdb.DuckDBPyConnection, prefix: str, side: Side, alone: str | None) -> None:
    """Read the columns that are compared of a side's own shards."""
    offer(connection, side.folder, side.paths())
    for table, columns in _KEPT.items():
        where = "WHERE rank = 0" if table == "verdicts" else ""
        spec = "spec" if alone is None else "'the spec'"
        connection.execute(
            f"CREATE TEMP TABLE {prefix}_{table} AS SELECT {columns.format(spec=spec)} FROM in_{table} {where}"
        )


_VERDICT = "generation_id, judge_id, scope, prompt_id"
_CELL = "spec, model, prompt_set, prompt, attack, condition, replicate"
# A response that both sides have is in shards of both, which are not read: then both were asked alike.
_JOINED = f"""
CREATE TEMP TABLE d_cells AS
    SELECT spec, model, prompt_set,
        CASE WHEN a.generation_id IS NOT DISTINCT FROM b.generation_id THEN 'same'
            WHEN b.generation_id IS NULL THEN 'only_a' WHEN a.generation_id IS NULL THEN 'only_b'
            WHEN x.call_id <> y.call_id THEN 'asked_otherwise' ELSE 'other_response' END AS how
    FROM a_cells a FULL JOIN b_cells b USING ({_CELL})
    LEFT JOIN a_generations x ON x.id = a.generation_id LEFT JOIN b_generations y ON y.id = b.generation_id;
CREATE TEMP TABLE d_verdicts AS
    SELECT coalesce(a.model, b.model) AS model, coalesce(a.prompt_set, b.prompt_set) AS prompt_set,
        CASE WHEN b.status IS NULL THEN 'only_a' WHEN a.status IS NULL THEN 'only_b'
            WHEN (a.status, a.label, a.unsafe, a.score) IS NOT DISTINCT FROM (b.status, b.label, b.unsafe, b.score) THEN 'same'
            ELSE 'differ' END AS how
    FROM a_verdicts a FULL JOIN b_verdicts b USING ({_VERDICT});
CREATE TEMP TABLE d_generations AS
    SELECT id, coalesce(a.call_id, b.call_id) AS call_id,
        CASE WHEN b.call_id IS NULL THEN 'only_a' WHEN a.call_id IS NULL THEN 'only_b' ELSE 'same' END AS how
    FROM a_generations a FULL JOIN b_generations b USING (id);
CREATE TEMP TABLE d_prompts AS
    SELECT CASE WHEN b.prompt IS NULL THEN 'only_a' WHEN a.prompt IS NULL THEN 'only_b'
        WHEN a.withheld <> b.withheld THEN 'differ' ELSE 'same' END AS how
    FROM a_prompts a FULL JOIN b_prompts b USING (id);
CREATE TEMP TABLE d_annotations AS
    SELECT CASE WHEN b.id IS NULL THEN 'only_a' WHEN a.id IS NULL THEN 'only_b' ELSE 'same' END AS how
    FROM a_annotations a FULL JOIN b_annotations b ON a.id = b.id;
CREATE TEMP TABLE d_declarations AS
    SELECT CASE WHEN b.id IS NULL THEN 'only_a' WHEN a.id IS NULL THEN 'only_b'
        WHEN a.declaration <> b.declaration THEN 'differ' ELSE 'same' END AS how
    FROM a_declarations a FULL JOIN b_declarations b ON a.kind = b.kind AND a.id = b.id;
"""
_GROUPS = """
SELECT spec, model, prompt_set, sum(only_a)::BIGINT, sum(only_b)::BIGINT, sum(other)::BIGINT, sum(asked)::BIGINT,
    sum(verdicts_a)::BIGINT, sum(verdicts_b)::BIGINT, sum(verdicts)::BIGINT
FROM (
    SELECT spec, model, prompt_set, count(*) FILTER (how = 'only_a') AS only_a, count(*) FILTER (how = 'only_b') AS only_b,
        count(*) FILTER (how = 'other_response') AS other, count(*) FILTER (how = 'asked_otherwise') AS asked,
        0 AS verdicts_a, 0 AS verdicts_b, 0 AS verdicts
    FROM d_cells GROUP BY ALL
    UNION ALL
    SELECT coalesce(s.spec, ''), v.model, v.prompt_set, 0, 0, 0, 0, count(*) FILTER (how = 'only_a'), count(*) FILTER (how = 'only_b'),
        count(*) FILTER (how = 'differ')
    FROM d_verdicts v LEFT JOIN (SELECT model, prompt_set, min(spec) AS spec FROM d_cells GROUP BY ALL) s
        ON s.model = v.model AND s.prompt_set = v.prompt_set
    GROUP BY ALL
) GROUP BY ALL HAVING sum(only_a + only_b + other + asked + verdicts_a + verdicts_b + verdicts) > 0 ORDER BY 1, 2, 3
"""
_RATES = """
SELECT spec, model, prompt_set, attack, condition, expect, judge, scope, a.unsafe, a.harm_judged, b.unsafe, b.harm_judged, a.refusals,
    a.refusal_judged, b.refusals, b.refusal_judged
FROM a_rates a FULL JOIN b_rates b USING (spec, model, prompt_set, attack, condition, judge, scope, expect, visibility)
WHERE (a.unsafe, a.harm_judged, a.refusals, a.refusal_judged)
    IS DISTINCT FROM (b.unsafe, b.harm_judged, b.refusals, b.refusal_judged) ORDER BY ALL
"""


def _counts(connection: duckdb.DuckDBPyConnection, a: Side) -> list[Counts]:
    """Return how the rows compare: those in shards of both sides are the same."""
    found = []
    for what, table, by_content in (
        ("cells with a response", "cells", False), ("responses", "generations", True), ("verdicts", "verdicts", False),
        ("labels", "annotations", True), ("prompts", "prompts", False), ("declarations", "declarations", False),
    ):  # fmt: skip
        read: dict[str, Any] = dict(connection.execute(f"SELECT how, count(*) FROM d_{table} GROUP BY ALL").fetchall())
        unread = a.rows(table) - sum(one.rows for one in a.files if one.table == table)
        differ = sum(number for how, number in read.items() if how not in ("only_a", "only_b", "same"))
        found.append(
            Counts(
                what, read.get("only_a", 0), read.get("only_b", 0), None if by_content else differ,
                read.get("same", 0) + unread,
            )
        )  # fmt: skip
    rivals = connection.execute(
        """
        SELECT count(*) FROM (
            SELECT call_id FROM d_generations WHERE how <> 'same' GROUP BY call_id HAVING count(DISTINCT how) = 2
        )
        """
    ).fetchall()[0][0]
    return [
        one if one.what != "responses" else Counts(one.what, one.only_a, one.only_b, rivals, one.same) for one in found
    ]
