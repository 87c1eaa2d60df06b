"""Asking the subjects: what this fill claimed, then what others were asking and did not get."""

from __future__ import annotations

import time
from collections.abc import Callable

from lrm.plan import planner
from lrm.plan.plan import Plan
from lrm.run.asking import ask, subject_queues
from lrm.run.judging import grade_missing, graders_of
from lrm.run.session import Session, named
from lrm.store.claims import claim_cells
from lrm.store.live import live_runs
from lrm.store.lock import arranging
from lrm.store.merge import merge_dead
from lrm.store.register import written

LOOK_FIRST_S = 1.0
LOOK_LAST_S = 15.0
"""Seconds between two looks into the catalog for what others were asking, at first and at last."""

_STILL_MISSING = """
SELECT count(*) FROM others o WHERE o.run IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM cat.lrm.calls c
    WHERE c.model_n = o.model_n AND c.messages_n = o.messages_n AND c.replicate = o.replicate AND (
        c.generation_n IS NOT NULL
        OR c.n IN (SELECT call_n FROM cat.lrm.failures WHERE list_contains($runs, run))
    )
)
"""


def ask_subjects(session: Session, planned: Plan, *, limit: int | None) -> None:
    """Ask what the table `todo` holds, then see to what other fills were asking; the catalog is detached afterwards.

    With a `limit` of calls, or where only failed ones are asked again, nothing is waited for.
    """
    space = session.space
    if planned.calls or planned.at_provider:
        session.subjects.append(ask(session, subject_queues(space, planned), graders_of(space)))
    shared = planned.shared
    while shared and limit is None and not planned.retry_failed and not session.over:
        runs = [
            row[0]
            for row in space.connection.execute("SELECT DISTINCT run FROM others WHERE run IS NOT NULL").fetchall()
        ]
        session.watch.say(f"{shared:,} calls are being made by {named(session, runs)}: waiting for their responses")
        session.wait_for(runs, _answered(session, runs))
        if session.over:
            break
        again = _plan_again(session)
        if again.calls:
            session.subjects.append(ask(session, subject_queues(space, again), graders_of(space)))
        shared = again.shared
        session.graded += grade_missing(space)  # others grade by their own judges
    session.left_to_others = shared
    space.detach()


def _answered(session: Session, runs: list[str]) -> Callable[[], bool]:
    """Return a function that says whether the others have answered all, or are gone. It looks less and less often."""
    pause, looked = LOOK_FIRST_S, time.monotonic()
    space = session.space

    def answered() -> bool:
        nonlocal pause, looked
        if not live_runs(space.catalog) & set(runs):
            return True
        if time.monotonic() - looked < pause:
            return False
        pause, looked = min(2 * pause, LOOK_LAST_S), time.monotonic()
        space.attach()
        missing = space.connection.execute(_STILL_MISSING, {"runs": runs}).fetchall()[0][0]
        space.detach()
        return not missing

    return answered


def _plan_again(session: Session) -> Plan:
    """Plan and claim what is still missing of the matrix, but for what failed for good in this fill or those waited for."""
    space = session.space
    with arranging(space.catalog):
        live = live_runs(space.catalog) - {session.run}  # before the merge, as in a fill's first plan
        merge_dead(space.catalog, say=session.watch.say)
        space.attach()
        again = planner.plan(space, live=live, given_up=[session.run, *session.waited_for])
        if again.calls:
            with written(space) as connection:
                claim_cells(connection, session.run)
        space.detach()
    return again
