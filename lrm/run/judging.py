"""Grading what is there: verdicts of judges that need no model, on responses that lack them."""

from __future__ import annotations

from lrm import clock
from lrm.plan.workspace import Workspace
from lrm.store.grading import Grader, VerdictRows
from lrm.traces.trace import ParseStatus, Trace

CHUNK = 5_000

_UNGRADED = """
CREATE OR REPLACE TABLE ungraded AS
SELECT j.judge_scope_n, r.generation_n
FROM responses r CROSS JOIN (SELECT DISTINCT judge_scope_n FROM chosen_judges) j
WHERE NOT EXISTS (
    SELECT 1 FROM cat.lrm.verdicts v WHERE v.generation_n = r.generation_n AND v.judge_scope_n = j.judge_scope_n
)
ORDER BY r.generation_n
"""
_INSERT = """
INSERT INTO lrm.verdicts
    SELECT i.generation, i.judge_scope_n, 0, i.status, i.label, i.unsafe, i.score, i.explanation, i.spans, $judged_at
    FROM incoming_verdicts i
    WHERE NOT EXISTS (
        SELECT 1 FROM lrm.verdicts v WHERE v.generation_n = i.generation AND v.judge_scope_n = i.judge_scope_n
    )
"""


def graders_of(space: Workspace) -> tuple[Grader, ...]:
    """Return the chosen judges, each with the number of its scope in the workspace."""
    declared = {chosen.judge.name: chosen.judge.declaration for chosen in space.matrix.judges}
    found = {
        n: Grader(n, declared[name], scope)
        for n, name, scope in space.connection.execute(
            "SELECT judge_scope_n, judge, scope FROM chosen_judges"
        ).fetchall()
    }
    return tuple(found.values())


def grade_missing(space: Workspace) -> int:
    """Grade every response of the planned matrix that a chosen judge has not graded; return the number of new verdicts.

    Reads with the catalog attached, grades with it closed, writes in one transaction a chunk.
    """
    graders = {grader.judge_scope_n: grader for grader in graders_of(space)}
    if not graders:
        return 0
    space.attach()
    space.connection.execute(_UNGRADED)
    total = 0
    while rows := _texts(space):
        space.detach()
        verdicts = VerdictRows()
        for generation_n, judge_scope_n, status, thinking, answer in rows:
            verdicts.add(generation_n, graders[judge_scope_n], Trace(status, thinking, answer))
        with space.catalog.writing() as connection:
            connection.register("incoming_verdicts", verdicts.table())
            connection.execute(_INSERT, {"judged_at": clock.now().replace(tzinfo=None)})
        total += len(verdicts)
        space.connection.execute("DELETE FROM ungraded WHERE rowid IN (SELECT row FROM chunk)")
        space.attach()
    space.detach()
    return total


def _texts(space: Workspace) -> list[tuple[int, int, ParseStatus, str | None, str | None]]:
    connection = space.connection
    connection.execute(
        f"CREATE OR REPLACE TABLE chunk AS SELECT rowid AS row, * FROM ungraded ORDER BY rowid LIMIT {CHUNK}"
    )
    return connection.execute(
        """
        SELECT c.generation_n, c.judge_scope_n, t.status, t.thinking, t.answer
        FROM chunk c JOIN cat.lrm.traces t ON t.generation_n = c.generation_n
        """
    ).fetchall()
