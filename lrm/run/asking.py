"""Asking: one run over what a plan found missing, from opened backends to merged responses."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lrm import __version__, clock, hashing
from lrm.backends.base import Backend
from lrm.backends.open import open_backend
from lrm.errors import BusyError, ModelError
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model
from lrm.registry.identity import declaration_json, model_identity
from lrm.run.feed import Feed, copy_todo
from lrm.run.judging import graders_of
from lrm.run.progress import ModelProgress, Observer, Outcome, Progress
from lrm.run.runner import Lane, Runner
from lrm.store.journal import Journal, ModelCard
from lrm.store.merge import Spent, merge_segment


def ask(space: Workspace, planned: Plan, span: int, watch: Observer) -> Outcome:
    """Ask for the calls of the table `todo` and return what came of it; the catalog is detached.

    Raises ModelError where no model can be asked at all, CatalogError where nothing can be stored.
    """
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
        done = merge_segment(space.catalog, segment, graders)
        notes.extend(done.notes)
        return done.spent

    runner = Runner(lanes, journal, merge, watch, progress)
    interrupts = _on_interrupt(runner, watch)
    try:
        await runner.run()
    except asyncio.CancelledError:
        if not interrupts:
            raise
    with suppress(OSError):
        space.catalog.journal_folder.rmdir()  # unless something is left in it
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
