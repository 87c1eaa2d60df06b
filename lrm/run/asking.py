"""Asking: one round of a session over queues of calls, from opened backends to merged responses."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.backends.base import Call, CallFailure, Reply
from lrm.backends.open_files import allow_in_flight
from lrm.engines.order import arranged
from lrm.engines.settings import settings_of
from lrm.errors import LrmError, ModelError
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model
from lrm.registry.models import Limits
from lrm.run.budget import Account, Expected
from lrm.run.feed import Affordable, Calls, Feed, Nothing, copy_todo
from lrm.run.keeper import Keeper
from lrm.run.lane import Lane
from lrm.run.progress import ModelProgress, Observer, Progress
from lrm.run.runner import Runner
from lrm.run.session import Session
from lrm.store.batches import open_models
from lrm.store.card import card_of
from lrm.store.grading import Grader
from lrm.store.journal import BatchNote, Journal
from lrm.store.merge import merge_segment

if TYPE_CHECKING:
    from lrm.run.batches import BatchLane


SEQUENCES = 256
"""Sequences that vLLM decodes together where nothing is declared."""
IN_FLIGHT_A_SEQUENCE = 2
"""Calls that an engine is given for each of them, so that one is ready when another ends."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What one model is to be asked."""

    label: str
    """How the queue is called in progress and messages."""
    name: str
    """The model's name."""
    model: Model
    id: bytes
    """Its 32-byte identity (`i1`)."""
    total: int
    calls: Calls
    expected: Expected | None = None
    """What one of its calls is expected to take; None is unknown."""
    at_provider: int = 0
    """Calls that batches of earlier fills will answer; part of `total`."""

    @property
    def by_batches(self) -> bool:
        """Whether its calls go by a batch endpoint, or came back by one."""
        return self.model.batch or self.at_provider > 0


@dataclass(slots=True)
class Asked:
    """What came of one run over some queues."""

    run: str
    progress: Progress
    failures: tuple[tuple[str, str, int], ...] = ()
    """(model, failure class, calls)."""
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def left(self) -> int:
        """Calls that were not finished."""
        return sum(one.left for one in self.progress.models.values())


def subject_queues(space: Workspace, planned: Plan) -> list[Queue]:
    """Return a queue for each model that the table `todo` asks; the catalog is detached afterwards.

    A model whose earlier batches are still at the provider has one too; where it is no longer asked by batches, apart from
    its other calls.
    """
    space.attach()
    models = space.matrix.models
    local = [space.model_ns[name] for name, one in models.items() if one.declaration.runs_here]
    counts = copy_todo(space.connection, by_prefix=local) if planned.calls else {}
    at_provider = open_models(space.connection, "cat.lrm") if planned.at_provider else {}
    space.detach()
    queues = []
    names = {n: name for name, n in reversed(space.model_ns.items())}
    for n, name in names.items():
        model, identity = space.matrix.models[name].declaration, space.model_ids[name]
        count, waiting = counts.get(n, 0), at_provider.get(identity, 0)
        feed: Calls = Feed(space.connection, n, identity) if count else Nothing()
        expected = planned.expected(name)
        if model.batch and (count or waiting):
            queues.append(Queue(name, name, model, identity, count + waiting, feed, expected, waiting))
            continue
        if count:
            queues.append(Queue(name, name, model, identity, count, feed, expected))
        if waiting:
            queues.append(Queue(f"{name} (batches)", name, model, identity, waiting, Nothing(), expected, waiting))
    order = list(counts)
    return sorted(
        queues, key=lambda queue: order.index(n) if (n := space.model_ns[queue.name]) in counts else len(order)
    )


def ask(session: Session, queues: Sequence[Queue], graders: Sequence[Grader]) -> Asked:
    """Ask what the queues hold, with the catalog detached, and return what came of it.

    Raises ModelError where no model can be asked at all, CatalogError where nothing can be stored.
    """
    progress = Progress(
        {queue.label: ModelProgress(queue.label, queue.total) for queue in queues}, paused=session.paused
    )
    asked = Asked(session.run, progress)
    session.asked.append(asked)
    session.loop.run(_run(session, asked, queues, graders))
    return asked


async def _run(session: Session, asked: Asked, queues: Sequence[Queue], graders: Sequence[Grader]) -> None:
    progress, watch, catalog = asked.progress.models, session.watch, session.space.catalog
    lanes: list[Lane] = []
    refused: ModelError | None = None
    for queue in queues:
        try:
            lanes.append(_lane(session, queue, progress[queue.label]))
        except ModelError as error:
            progress[queue.label].stopped = error.message
            asked.notes.append(f"{queue.label}: {error}")
            watch.say(asked.notes[-1])
            refused = error
    if not lanes:
        assert refused is not None
        raise refused
    lanes = _in_order(session, lanes)
    session.apply_allowed(lanes)
    _fit_open_files(lanes, watch)
    cards = {queue.id.hex(): card_of(queue.name, queue.model) for queue in queues}
    journal = Journal(catalog.journal_folder, asked.run, cards, after=session.segments)

    def merge(segment: Path) -> None:
        done = merge_segment(catalog, segment, graders)
        asked.notes.extend(done.notes)
        session.log.event("merged", responses=done.generations, failures=done.failures)

    def broke(error: LrmError) -> None:
        runner.broke(error)

    keeper = Keeper(journal, merge, broke, watch.say)
    runner = session.runner = Runner(
        lanes, keeper, watch, asked.progress, session.budget, session.log, session.beat, session.engines
    )
    session.log.event("round", models=[lane.name for lane in lanes], calls=sum(lane.progress.total for lane in lanes))
    interrupts = _on_interrupt(session, runner)
    try:
        await runner.run()
    except asyncio.CancelledError:
        if not interrupts and not runner.abandoned:
            raise
    finally:
        _off_interrupt()
        session.runner = None
        session.segments = journal.number
        for lane in lanes:
            lane.way.close()
    with suppress(OSError):
        catalog.journal_folder.rmdir()  # unless something is left in it
    asked.failures = tuple(
        (lane.name, kind, count)
        for lane in lanes
        for kind, count in sorted(lane.failures.items(), key=lambda one: -one[1])
    )
    asked.interrupted = session.interrupted
    session.publish()
    none = [
        lane.refused for lane in lanes if lane.refused is not None and not lane.progress.done + lane.progress.failed
    ]
    if len(none) == len(lanes):
        raise none[0]


def _lane(session: Session, queue: Queue, progress: ModelProgress) -> Lane:
    """Return an opened lane. Raises ModelError where the model cannot be asked."""
    gate = session.gate(queue.model)
    runs_here = queue.model.runs_here
    expected = queue.expected or Expected()
    account = session.budget.account(queue.id, queue.label, expected)
    return Lane(
        queue.label,
        queue.model,
        queue.id.hex(),
        queue.calls,
        None if queue.by_batches or runs_here else session.executor.open(queue.model),
        _batches(session, queue, account) if queue.by_batches else None,
        progress,
        gate,
        gate.join(_limits(queue.model), expected_tokens=expected.tokens),
        account,
        settings=settings_of(queue.model) if runs_here else None,
    )


def _limits(model: Model) -> Limits:
    """Return how a model may be asked; an engine is kept full where nothing is declared."""
    if not model.runs_here or "max_in_flight" in model.limits.model_fields_set:
        return model.limits
    most = IN_FLIGHT_A_SEQUENCE * (model.options.max_num_seqs or SEQUENCES) * model.options.data_parallel
    return model.limits.model_copy(update={"max_in_flight": most})


def _in_order(session: Session, lanes: list[Lane]) -> list[Lane]:
    """Return lanes in the order in which they are driven: those of engines so that few are loaded, the others first."""
    engines = [lane.settings for lane in lanes if lane.settings is not None]
    order = arranged(engines, loaded=session.engines.held, later=session.later)
    return sorted(lanes, key=lambda lane: -1 if lane.settings is None else order.index(lane.settings))


def _batches(session: Session, queue: Queue, account: Account) -> BatchLane:
    """Return what asks a model by batches. What comes back goes to the runner that asks then."""
    from lrm.run.batches import BatchLane

    calls = Affordable(queue.calls, account)

    def keep(call: Call, result: Reply | CallFailure) -> None:
        assert session.runner is not None
        calls.came_back(call.id)
        session.runner.take(queue.label, call, result)

    async def note(line: BatchNote) -> None:
        assert session.runner is not None
        await session.runner.keeper.keep_on_disk(line)

    return BatchLane(
        queue.model,
        queue.id,
        card_of(queue.name, queue.model),
        session.run,
        calls,
        session.space.catalog,
        keep,
        note,
        session.watch.say,
        asyncio.Event(),
    )


def _fit_open_files(lanes: Sequence[Lane], watch: Observer) -> None:
    """Let as many connections be open as calls may be in flight; allow fewer calls where the system allows no more."""
    wanted = sum(lane.way.cap for lane in lanes if lane.model.backend != "simulated" and lane.settings is None)
    allowed = allow_in_flight(wanted)
    if allowed < wanted:
        for lane in lanes:
            lane.way.cap = max(1, lane.way.cap * allowed // wanted)
        watch.say(
            f"this system lets a process open so few files that {allowed:,} calls are in flight at most instead of "
            f"{wanted:,}; raise its hard limit (`ulimit -Hn`) for more"
        )


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _on_interrupt(session: Session, runner: Runner) -> list[int]:
    """Make the first SIGINT or SIGTERM stop the run gently and the second at once; return the list of those received."""
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1 and not session.interrupted:
            session.watch.say("stopping: waiting for the calls in flight; once more stops at once")
            session.stop()
        else:
            runner.abandon()

    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop, number)
        except (ValueError, RuntimeError, NotImplementedError):
            return received  # not in the main thread: whoever runs us deals with signals
    return received


def _off_interrupt() -> None:
    with suppress(ValueError, RuntimeError, NotImplementedError):
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
