"""Filling: plan, register, ask for what is missing, store, grade."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lrm import __version__, clock
from lrm.backends.base import Backend
from lrm.backends.open import open_backend
from lrm.errors import BusyError, ModelError
from lrm.plan import planner, workspace
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model
from lrm.registry.identity import declaration_json
from lrm.run.feed import Feed, copy_todo
from lrm.run.judging import grade_missing, graders_of
from lrm.run.progress import ModelProgress, Observer, Outcome, Progress, Silent
from lrm.run.runner import Lane, Runner
from lrm.spec.lock import Lock, lock_path, write_lock
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.journal import Journal, ModelCard, segments
from lrm.store.lock import locked
from lrm.store.merge import Spent, merge_all, merge_segment
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
        merge_all(catalog, segments(catalog.journal_folder), say=watch.say)
        with workspace.opened(catalog, matrix, pins or Lock()) as space:
            planned = planner.plan(space, limit=limit)
            watch.planned(planned)
            span = register(space, whole or matrix)
            _write_lock(matrix, space, pins or Lock(), watch)
            graded = grade_missing(space) if planned.ungraded else 0
            outcome = Outcome(planned, None, graded=graded)
            if planned.calls:
                outcome = _ask(space, planned, span, watch, graded)
    return replace(outcome, seconds=clock.monotonic() - started)


def _write_lock(matrix: Matrix, space: Workspace, pins: Lock, watch: Observer) -> None:
    try:
        write_lock(matrix.file, space.resolved.over(pins))
    except OSError as error:
        watch.say(
            f"{lock_path(matrix.file)} could not be written ({error.strerror}), so nothing pins this spec's files"
        )


def _ask(space: Workspace, planned: Plan, span: int, watch: Observer, graded: int) -> Outcome:
    space.attach()
    counts = copy_todo(space.connection)
    space.detach()
    models = {n: (name, space.matrix.models[name].declaration) for name, n in reversed(space.model_ns.items())}
    run = f"r{clock.now():%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(2)}"
    _begin_run(space, run, span)
    progress = Progress({models[n][0]: ModelProgress(models[n][0], count) for n, count in counts.items()})
    notes: list[str] = []
    failures: tuple[tuple[str, str, int], ...] = ()
    interrupted = False
    state = "broken"
    try:
        interrupted, failures, notes = asyncio.run(_run(space, run, counts, models, progress, watch))
        state = "interrupted" if interrupted else "ended"
    finally:
        _end_run(space, run, progress, state)
    each = progress.models.values()
    costs = [one.cost for one in each]
    return Outcome(
        plan=planned,
        run=run,
        done=sum(one.done for one in each),
        blocked=sum(one.blocked for one in each),
        failed=sum(one.failed for one in each),
        failures=failures,
        left=sum(one.left for one in each),
        graded=graded,
        input_tokens=sum(one.input_tokens for one in each),
        output_tokens=sum(one.output_tokens for one in each),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        interrupted=interrupted,
        notes=tuple(notes),
    )


async def _run(
    space: Workspace,
    run: str,
    counts: Mapping[int, int],
    models: Mapping[int, tuple[str, Model]],
    progress: Progress,
    watch: Observer,
) -> tuple[bool, tuple[tuple[str, str, int], ...], list[str]]:
    ids = {n: space.model_ids[models[n][0]] for n in counts}
    backends, refused = _open_backends(counts, models)
    notes = []
    for n, error in refused.items():
        progress.models[models[n][0]].stopped = error.message
        notes.append(f"{models[n][0]}: {error}")
        watch.say(notes[-1])
    if not backends:
        raise next(iter(refused.values()))
    journal = Journal(space.catalog.journal_folder, run, {ids[n].hex(): _card(*models[n]) for n in backends})
    lanes = [
        Lane(
            models[n][0],
            models[n][1],
            ids[n].hex(),
            Feed(space.connection, n, ids[n]),
            backend,
            progress.models[models[n][0]],
        )
        for n, backend in backends.items()
    ]
    graders = graders_of(space)

    def merge(segment: Path) -> Mapping[str, Spent]:
        try:
            done = merge_segment(space.catalog, segment, graders)
        except BusyError as error:
            # The segment stays in the journal and is merged at the end or by the next command.
            watch.say(f"not merged yet: {error.message}")
            return {}
        notes.extend(done.notes)
        return done.spent

    runner = Runner(lanes, journal, merge, watch, progress)
    interrupts = _on_interrupt(runner, watch)
    try:
        await runner.run()
    except asyncio.CancelledError:
        if not interrupts:
            raise
    for segment in segments(space.catalog.journal_folder):
        if segment.name.startswith(run):
            merge(segment)
    failures = tuple(
        (lane.name, kind, count)
        for lane in lanes
        for kind, count in sorted(lane.failures.items(), key=lambda one: -one[1])
    )
    return bool(interrupts), failures, notes


def _open_backends(
    counts: Mapping[int, int], models: Mapping[int, tuple[str, Model]]
) -> tuple[dict[int, Backend], dict[int, ModelError]]:
    opened: dict[int, Backend] = {}
    refused: dict[int, ModelError] = {}
    for n in counts:
        try:
            opened[n] = open_backend(models[n][1])
        except ModelError as error:
            refused[n] = error
    return opened, refused


def _on_interrupt(runner: Runner, watch: Observer) -> list[int]:
    """Make the first SIGINT or SIGTERM stop the run gently and the second at once; return the list of those received."""
    received: list[int] = []
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            watch.say("stopping: waiting for the calls in flight; once more stops at once")
            runner.stop()
        elif len(received) == 2 and task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop, number)
        except (ValueError, RuntimeError, NotImplementedError):
            return received  # not in the main thread: whoever runs us deals with signals
    return received


def _card(name: str, model: Model) -> ModelCard:
    from lrm import hashing
    from lrm.registry.identity import model_identity

    return ModelCard(
        name=name,
        identity=hashing.canonical(model_identity(model)).decode(),
        declaration=declaration_json(model),
        visibility=model.thinking.visibility,
        simulated=model.backend == "simulated",
    )


def _begin_run(space: Workspace, run: str, span: int) -> None:
    with space.catalog.writing() as connection:
        connection.execute(
            "INSERT INTO lrm.runs VALUES (?, ?, ?, ?, NULL, 'running', NULL, NULL, ?, ?, ?)",
            [
                run,
                space.matrix.name,
                span,
                clock.now().replace(tzinfo=None),
                socket.gethostname(),
                os.getpid(),
                __version__,
            ],
        )


def _end_run(space: Workspace, run: str, progress: Progress, state: str) -> None:
    try:
        with space.catalog.writing() as connection:
            connection.execute(
                "UPDATE lrm.runs SET ended_at = ?, state = ?, done = ?, failed = ? WHERE id = ?",
                [
                    clock.now().replace(tzinfo=None), state, sum(one.done for one in progress.models.values()),
                    sum(one.failed for one in progress.models.values()), run,
                ],
            )  # fmt: skip
    except BusyError:
        return  # only the run's own row lacks its end
