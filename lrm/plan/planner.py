"""Planning: sets against sets. The cells that a spec spans, joined with what the catalog holds; what is left is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lrm.backends.base import FailureClass
from lrm.plan.estimate import estimates, judge_estimates, pursuit_estimates
from lrm.plan.plan import Block, EngineLoad, Estimate, JudgeBlock, Plan, PulledCells
from lrm.plan.pursuits import lay_out_pursuing
from lrm.plan.verdicts import judge_blocks
from lrm.plan.workspace import Workspace
from lrm.spec.matrix import Slice, named
from lrm.store.trust import LABEL

# A cell's call is found by the three numbers that its id is made of, so a plan hashes only what is missing.
_CELLS = """
    SELECT s.ix, s.model_n, b.prompt_n, x.messages_n, r.replicate
    FROM slices s
    JOIN members b ON b.set_n = s.set_n
    JOIN renderings x ON x.attack_n = s.attack_n AND x.prompt_n = b.prompt_n
    CROSS JOIN (SELECT unnest(range((SELECT max(first_replicate + replicates) FROM slices)))::INTEGER AS replicate) r
    WHERE r.replicate BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1
"""

_MATCHED = f"""
CREATE OR REPLACE TABLE matched AS
SELECT e.ix, e.model_n, e.prompt_n, e.messages_n, e.replicate, c.n AS call_n, c.generation_n
FROM ({_CELLS}) e
LEFT JOIN calls c ON c.model_n = e.model_n AND c.messages_n = e.messages_n AND c.replicate = e.replicate
"""

_RESPONSES = """
CREATE OR REPLACE TABLE responses AS SELECT DISTINCT generation_n FROM matched WHERE generation_n IS NOT NULL
"""

_COUNT = """
SELECT ix,
    count(messages_n) AS cells,
    count(generation_n) AS done,
    count(*) FILTER (
        WHERE generation_n IS NULL AND call_n IN (SELECT call_n FROM cat.lrm.failures)
    ) AS failed,
    count(*) FILTER (WHERE generation_n IN (SELECT n FROM cat.lrm.generations WHERE status = 'blocked')) AS blocked,
    count(*) FILTER (WHERE messages_n IS NULL) AS not_applicable
FROM matched GROUP BY ix
"""

# A response that came with several snapshots is that of the first of them that is trusted.
_PULLED = f"""
SELECT {LABEL} AS snapshot, coalesce(s.publisher, s.name), f.cells
FROM (
    SELECT p.snapshot_n, count(*) AS cells FROM matched m
    JOIN (
        SELECT generation_n, min(snapshot_n) AS snapshot_n FROM cat.lrm.pulled
        WHERE snapshot_n IN ({{trusted}}) GROUP BY generation_n
    ) p ON p.generation_n = m.generation_n
    GROUP BY p.snapshot_n
) f
JOIN cat.lrm.snapshots s ON s.n = f.snapshot_n
ORDER BY f.cells DESC, s.n
"""

# What is being answered already: by a running fill that claimed it or looks after its batch, or (`run` is NULL) by a batch
# at a provider that nobody looks after.
_OTHERS = """
CREATE OR REPLACE TABLE others AS
SELECT m.model_n, m.messages_n, m.replicate, any_value(c.run) AS run
FROM matched m JOIN cat.lrm.claims c USING (model_n, messages_n, replicate)
WHERE m.generation_n IS NULL AND list_contains($live, c.run) GROUP BY ALL
UNION ALL
SELECT m.model_n, m.messages_n, m.replicate, any_value(CASE WHEN list_contains($live, b.run) THEN b.run END)
FROM matched m JOIN cat.lrm.batch_calls x USING (call_n) JOIN cat.lrm.batches b ON b.key = x.batch
WHERE m.generation_n IS NULL AND b.state IN ('intended', 'sent') GROUP BY ALL
"""

_TODO = """
CREATE OR REPLACE TABLE todo AS
SELECT *, row_number() OVER (PARTITION BY model_n ORDER BY seq) AS place
FROM (
    SELECT row_number() OVER (ORDER BY ix, messages_n, replicate) AS seq, *
    FROM (
        SELECT model_n, messages_n, replicate, min(ix) AS ix, arg_min(prompt_n, ix) AS prompt_n
        FROM matched m WHERE messages_n <> 0 AND generation_n IS NULL
            AND NOT EXISTS (
                SELECT 1 FROM others o
                WHERE o.model_n = m.model_n AND o.messages_n = m.messages_n AND o.replicate = m.replicate
            )
            AND NOT EXISTS (
                SELECT 1 FROM cat.lrm.failures f WHERE f.call_n = m.call_n AND list_contains($given_up, f.run)
            )
            AND (NOT $only_failed OR call_n IN (
                SELECT call_n FROM cat.lrm.failures GROUP BY call_n
                HAVING $kinds IS NULL OR list_contains($kinds::VARCHAR[], arg_max(kind, failed_at))
            ))
        GROUP BY model_n, messages_n, replicate
    )
)
WHERE $limit IS NULL OR seq <= $limit
ORDER BY model_n, place
"""
_TODO_CELLS = "SELECT count(*) FROM matched SEMI JOIN todo USING (model_n, messages_n, replicate)"


def plan(
    space: Workspace,
    *,
    limit: int | None = None,
    live: Collection[str] = (),
    given_up: Collection[str] = (),
    retry_failed: Collection[FailureClass] | bool = False,
) -> Plan:
    """Return what a fill of the workspace's matrix would do; `limit` caps the calls.

    With `retry_failed` only calls that failed are made, of the classes given by their last failure, and none that is merely
    missing. What the runs `live` have claimed, or a batch at a provider will answer, is not to be asked; nor is what failed
    for good in one of the runs `given_up`. Makes the table `others` of the former, with the run that will answer it; `matched` (each
    cell, with its call and response where the catalog has them), `responses` (those responses, once each) and, where
    something is missing, `todo` (calls to make).
    """
    connection = space.connection
    match_cells(space)
    counts = {place: [0] * 5 for place in range(len(space.matrix.slices))}
    for ix, *row in connection.execute(_COUNT).fetchall():
        place = space.blocks[ix]
        counts[place] = [before + more for before, more in zip(counts[place], row, strict=True)]
    blocks = tuple(_block(one, counts[place]) for place, one in enumerate(space.matrix.slices))
    calls = shared = at_provider = 0
    if any(block.missing for block in blocks):
        connection.execute(_OTHERS, {"live": list(live)})
        kinds = None if isinstance(retry_failed, bool) else list(retry_failed)
        connection.execute(
            _TODO,
            {"limit": limit, "given_up": list(given_up), "only_failed": retry_failed is not False, "kinds": kinds},
        )
        calls = int(connection.execute("SELECT count(*) FROM todo").fetchall()[0][0])
        shared, at_provider = connection.execute("SELECT count(run), count(*) - count(run) FROM others").fetchall()[0]
    missing = sum(block.missing for block in blocks)
    if missing and (limit is not None or retry_failed is not False):
        missing = int(connection.execute(_TODO_CELLS).fetchall()[0][0])
    by_set: dict[str, int] = {}
    for block in blocks:
        by_set[block.prompt_set] = by_set.get(block.prompt_set, 0) + block.missing
    judges = judge_blocks(space, missing=by_set, most=missing)
    pursuits = lay_out_pursuing(space) if space.against and retry_failed is False else 0
    expected = estimates(space) if calls else ()
    in_attacks = pursuit_estimates(space) if pursuits else ()
    of_judges = judge_estimates(space, judges) if any(one.calls or one.later for one in judges) else ()
    return Plan(
        spec=space.matrix.name,
        blocks=blocks,
        estimates=expected,
        judges=judges,
        calls=calls,
        shared=shared,
        at_provider=at_provider,
        budget=space.matrix.budget,
        retry_failed=retry_failed is not False,
        pursuits=pursuits,
        pursuit_estimates=in_attacks,
        judge_estimates=of_judges,
        engines=engines_of(space, expected, in_attacks, of_judges, judges),
        pulled=pulled_cells(space),
    )


def pulled_cells(space: Workspace) -> tuple[PulledCells, ...]:
    """Return how many of the cells that are there rest on responses of each snapshot. Needs `matched`."""
    if not space.connection.execute("SELECT 1 FROM cat.lrm.snapshots LIMIT 1").fetchall():
        return ()
    rows = space.connection.execute(_PULLED.format(trusted=space.trusted)).fetchall()
    return tuple(PulledCells(*row) for row in rows)


def engines_of(
    space: Workspace,
    subjects: Sequence[Estimate],
    in_attacks: Sequence[Estimate],
    of_judges: Sequence[Estimate],
    blocks: Sequence[JudgeBlock],
) -> tuple[EngineLoad, ...]:
    """Return the engines that a fill loads, by what its stages are expected to take. The catalog is attached."""
    if not space.runs_here:
        return ()
    from lrm.plan.engines import engine_loads
    from lrm.plan.stages import stages

    return engine_loads(space, stages(space, subjects, in_attacks, of_judges, blocks))


def match_cells(space: Workspace) -> None:
    """Make the tables `matched` and `responses` for the workspace's slices."""
    space.connection.execute(_MATCHED)
    space.connection.execute(_RESPONSES)


def _block(one: Slice, counts: Sequence[int]) -> Block:
    cells, done, failed, blocked, not_applicable = counts
    return Block(
        named(one.model), one.prompt_set, named(one.attack), cells, done, blocked, failed, not_applicable, one.condition
    )
