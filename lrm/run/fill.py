"""Filling: plan, register, ask for what is missing, store, grade."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lrm import clock
from lrm.backends.base import FailureClass
from lrm.errors import SpecError
from lrm.plan import planner, workspace
from lrm.plan.estimate import check_prices
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.run.budget import Budget, Caps
from lrm.run.progress import Observer, Outcome, Silent
from lrm.spec.lock import Lock, lock_path, read_lock, write_lock
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.live import live_runs
from lrm.store.lock import arranging, sharing
from lrm.store.register import register

if TYPE_CHECKING:
    from lrm.engines.engine import Settings
    from lrm.run.executors import Choice
    from lrm.run.pursuits import Led
    from lrm.run.rounds import Judged
    from lrm.run.session import Session
    from lrm.store.trust import Trust


def fill(
    matrix: Matrix,
    catalog: Catalog,
    *,
    whole: Matrix | None = None,
    pins: Lock | None = None,
    limit: int | None = None,
    budget: Caps | None = None,
    retry_failed: bool | Collection[FailureClass] = False,
    observer: Observer | None = None,
    doing: str = "lrm matrix fill",
    executor: Choice | None = None,
    trust: Trust | None = None,
) -> Outcome:
    """Ask for every call of the matrix that the catalog lacks, grade what lacks a verdict, and return what was done.

    `whole` is the spec's matrix where `matrix` is a part of it (`--only`); `limit` caps the calls; `budget` goes over the
    spec's own; `retry_failed` asks only for what failed before (of these classes); `executor` says where calls are carried
    out, which is here by default; `trust` says whose pulled results fill cells from now on. Other fills may run in the same
    catalog: what one of them is asking is waited for, not asked again. A first interrupt finishes what is in flight, a
    second stops at once; neither loses a response. Raises SpecError, BusyError, CatalogError, MissingError for a publisher
    of whom nothing was pulled, and ModelError where no model of the matrix can be asked at all.
    """
    watch = observer or Silent()
    started = clock.monotonic()
    caps = (budget or Caps()).over(matrix.budget)
    matrix = replace(matrix, budget=caps)
    with sharing(catalog, doing), ExitStack() as stack:
        with arranging(catalog):
            live = live_runs(
                catalog
            )  # before the merge: whoever dies after it keeps its claims until they are looked at again
            merge_leftovers(catalog, watch, executor)
            if trust is not None:
                _set_trust(catalog, trust, watch)
            space = stack.enter_context(workspace.opened(catalog, matrix, pins or Lock(), say=watch.say))
            planned = planner.plan(space, limit=limit, retry_failed=retry_failed, live=live)
            check_prices(space, planned, caps)
            for note in space.notes:
                watch.say(note)
            watch.planned(planned)
            span = register(space, whole or space.matrix)
            _write_lock(space, whole or space.matrix, watch)
            reread = reparse_redeclared(space, watch) if space.redeclared else 0
            ungraded = bool(planned.ungraded or reread)
            asks = bool(
                planned.calls
                or planned.pursuits
                or planned.shared
                or planned.at_provider
                or (ungraded and space.asks_judges)
            )
            session = begun(stack, space, span, planned, caps, watch, doing, executor) if asks else None
        graded = _grade(space) if ungraded else 0
        judged = led = None
        if session is not None:
            session.later = _later(space, "attacks", "judges")
            _ask(session, planned, limit=limit)
            left = None if limit is None else limit - planned.calls
            session.later = _later(space, "judges")
            if planned.pursuits and not session.interrupted:
                led = _pursue(session, planned, limit=left)
                left = None if left is None else left - led.asked
            session.later = frozenset()
            if space.asks_judges and not session.interrupted:
                judged = _judge(session, planned, limit=left)
        outcome = outcome_of(space, planned, session, judged, graded, led)
    return replace(outcome, seconds=clock.monotonic() - started)


def begun(
    stack: ExitStack,
    space: Workspace,
    span: int,
    planned: Plan,
    caps: Caps,
    watch: Observer,
    doing: str,
    executor: Choice | None = None,
) -> Session:
    """Open the session of a fill until the stack closes. The caller holds the turn to number rows."""
    from lrm.run import session

    run = session.new_run()
    desk = stack.enter_context(session.desk_of(space, run, doing, watch))
    session.begin(space, run, span, planned)
    return stack.enter_context(session.opened(space, run, span, desk, Budget(caps), watch, doing, executor))


def _set_trust(catalog: Catalog, trust: Trust, watch: Observer) -> None:
    from lrm.store.trust import set_trust

    for line in set_trust(catalog, trust).said():
        watch.say(line)


def _write_lock(space: Workspace, whole: Matrix, watch: Observer) -> None:
    matrix = space.matrix
    try:
        write_lock(matrix.file, space.resolved.over(_kept_pins(whole)))
    except OSError as error:
        watch.say(
            f"{lock_path(matrix.file)} could not be written ({error.strerror}), so nothing pins this spec's files"
        )


def _kept_pins(whole: Matrix) -> Lock:
    """Return the pins in the lock of what the spec still has: a part of it that was left alone keeps its pin."""
    try:
        old = read_lock(whole.file)
    except SpecError:
        return Lock()  # only `--update` comes this far with an unreadable lock, and writes it anew
    return old.of(whole)


# What only some fills need is imported by those: a fill with nothing to do is to be as quick as a plan.


def _later(space: Workspace, *stages: Literal["attacks", "judges"]) -> frozenset[Settings]:
    """Return the engines that later stages may ask."""
    if not space.runs_here:
        return frozenset()
    from lrm.plan.stages import later

    return later(space, *stages)


def merge_leftovers(catalog: Catalog, watch: Observer, executor: Choice | None = None) -> None:
    """Merge what killed runs left in their journals, and what their workers elsewhere had received."""
    if catalog.spool_folder.is_dir():
        from lrm.ray.recover import recover
        from lrm.run.executors import OnRay

        address = executor.address if isinstance(executor, OnRay) else None
        recover(catalog, watch.say, on_ray=isinstance(executor, OnRay), address=address)
    if catalog.journal_folder.is_dir():
        from lrm.store.merge import merge_dead

        merge_dead(catalog, say=watch.say)


def reparse_redeclared(space: Workspace, watch: Observer) -> int:
    """Read the responses of models that are declared otherwise anew: their tags may have changed."""
    from lrm.store.reparse import reparse

    reread = reparse(space.catalog, models=space.redeclared, apply=True)
    for change in reread.changes:
        watch.say(
            f"{change.model}: {change.traces} stored responses are read otherwise as it is declared now: "
            f"{change.before} → {change.after}"
        )
    return reread.changed


def _grade(space: Workspace) -> int:
    from lrm.run.judging import grade_missing

    return grade_missing(space)


def _ask(session: Session, planned: Plan, *, limit: int | None) -> None:
    from lrm.run.subject_rounds import ask_subjects

    ask_subjects(session, planned, limit=limit)


def _pursue(session: Session, planned: Plan, *, limit: int | None) -> Led:
    from lrm.run.pursuits import pursue

    return pursue(session, planned, limit=limit)


def _judge(session: Session, planned: Plan, *, limit: int | None) -> Judged:
    from lrm.run.rounds import judge_missing

    return judge_missing(session, planned, limit=limit)


def outcome_of(
    space: Workspace,
    planned: Plan,
    session: Session | None,
    judged: Judged | None,
    graded: int,
    led: Led | None = None,
) -> Outcome:
    """Return what a fill came to; the catalog is detached."""
    if session is None:
        return Outcome(plan=planned, run=None, graded=graded)
    subjects = [one for asked in session.subjects for one in asked.progress.models.values()]
    judges = [one for asked in session.judges for one in asked.progress.models.values()]
    costs = [one.cost for one in (*subjects, *judges)]
    return Outcome(
        plan=planned,
        run=session.run,
        done=sum(one.done for one in subjects),
        blocked=sum(one.blocked for one in subjects),
        failed=sum(one.failed for one in subjects),
        failures=tuple(failure for asked in session.asked for failure in asked.failures),
        left=sum(one.left for one in subjects) + session.left_to_others + (0 if led is None else led.left),
        graded=graded + session.graded,
        judged={} if judged is None else dict(judged.verdicts),
        judge_calls=sum(one.done for one in judges),
        judge_failed=sum(one.failed for one in judges),
        judge_left=0 if judged is None else judged.left,
        not_shown=_not_shown(space, session.run) if subjects else (),
        input_tokens=sum(one.input_tokens for one in (*subjects, *judges)),
        output_tokens=sum(one.output_tokens for one in (*subjects, *judges)),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        budget=session.budget.reached,
        interrupted=session.interrupted,
        notes=tuple(note for asked in session.asked for note in asked.notes),
    )


def _not_shown(space: Workspace, run: str) -> tuple[tuple[str, int, int], ...]:
    """Return the models whose responses of this run show nothing of the thinking that is declared."""
    with space.catalog.reading() as connection:
        return tuple(
            connection.execute(
                """
                SELECT m.name, count(*) FILTER (WHERE t.status = 'not_shown') AS bare, count(*)
                FROM lrm.generations g JOIN lrm.traces t ON t.generation_n = g.n
                JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n
                WHERE g.run = ? GROUP BY m.name HAVING bare > 0 ORDER BY m.name
                """,
                [run],
            ).fetchall()
        )
