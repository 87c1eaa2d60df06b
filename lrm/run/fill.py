"""Filling: plan, register, ask for what is missing, store, grade."""

from __future__ import annotations

from dataclasses import replace

from lrm import clock
from lrm.errors import SpecError
from lrm.plan import planner, workspace
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.run.progress import Observer, Outcome, Silent
from lrm.spec.lock import Lock, lock_path, read_lock, write_lock
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.lock import locked
from lrm.store.register import register


def fill(
    matrix: Matrix,
    catalog: Catalog,
    *,
    whole: Matrix | None = None,
    pins: Lock | None = None,
    limit: int | None = None,
    observer: Observer | None = None,
    doing: str = "lrm matrix fill",
) -> Outcome:
    """Ask for every call of the matrix that the catalog lacks, grade what lacks a verdict, and return what was done.

    `whole` is the spec's matrix where `matrix` is a part of it (`--only`); `limit` caps the calls. A first interrupt
    finishes what is in flight, a second stops at once; neither loses a response. Raises SpecError, BusyError, CatalogError,
    and ModelError where no model of the matrix can be asked at all.
    """
    watch = observer or Silent()
    started = clock.monotonic()
    with locked(catalog, doing):
        if catalog.journal_folder.is_dir():
            _merge_leftovers(catalog, watch)
        with workspace.opened(catalog, matrix, pins or Lock()) as space:
            planned = planner.plan(space, limit=limit)
            watch.planned(planned)
            span = register(space, whole or matrix)
            _write_lock(space, whole or matrix, watch)
            reread = _reparse(space, watch) if space.redeclared else 0
            graded = _grade(space) if planned.ungraded or reread else 0
            outcome = Outcome(planned, None, graded=graded)
            if planned.calls:
                outcome = _ask(space, planned, span, watch, graded)
    return replace(outcome, seconds=clock.monotonic() - started)


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
    return Lock(
        {name: pin for name, pin in old.prompt_sets.items() if name in whole.prompt_sets},
        {name: pin for name, pin in old.attacks.items() if name in whole.attacks},
    )


# What only some fills need is imported by those: a fill with nothing to do is to be as quick as a plan.


def _merge_leftovers(catalog: Catalog, watch: Observer) -> None:
    from lrm.store.journal import segments
    from lrm.store.merge import merge_all

    merge_all(catalog, segments(catalog.journal_folder), say=watch.say)


def _reparse(space: Workspace, watch: Observer) -> int:
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


def _ask(space: Workspace, planned: Plan, span: int, watch: Observer, graded: int) -> Outcome:
    from lrm.run.asking import ask

    return replace(ask(space, planned, span, watch), graded=graded)
