"""A session: one fill from its first call to its last, over all its rounds of subjects and judges.

It is what other processes see of a fill (`lrm matrix ps`) and where they steer it; it holds the budget, the gates of the
providers, the log, and the calls that the fill has claimed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from lrm import __version__, clock
from lrm.backends.pool import Pool, pool_of
from lrm.engines.engine import Executor, Settings
from lrm.errors import LrmError, ModelError
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model
from lrm.run.budget import Budget
from lrm.run.desk import Desk, InFlight, LaneState, Pause, Resume, State, Stop, running
from lrm.run.executors import Choice, Local, open_executor
from lrm.run.gate import Gate
from lrm.run.log import RunLog, Value
from lrm.run.progress import ModelProgress, Observer
from lrm.store.claims import claim_cells, drop_claims
from lrm.store.engines import put_engines
from lrm.store.live import live_runs
from lrm.store.register import written

if TYPE_CHECKING:
    from lrm.run.asking import Asked
    from lrm.run.engines import Engines, Use
    from lrm.run.lane import Lane
    from lrm.run.runner import Runner


@dataclass(slots=True)
class Session:
    """One fill that asks for something."""

    run: str
    space: Workspace
    span: int
    watch: Observer
    budget: Budget
    desk: Desk
    log: RunLog
    loop: asyncio.Runner
    doing: str
    gates: dict[Pool, Gate] = field(default_factory=dict)
    subjects: list[Asked] = field(default_factory=list)
    """Rounds in which the models under test were asked."""
    judges: list[Asked] = field(default_factory=list)
    """Rounds in which judge models were asked."""
    asked: list[Asked] = field(default_factory=list)
    """All rounds."""
    graded: int = 0
    """Verdicts of judges without a model on responses that others received."""
    left_to_others: int = 0
    """Calls that others were making and that are not answered yet."""
    segments: int = 0
    """Number of the last journal segment."""
    interrupted: bool = False
    """Whether the user stopped it, here or from another terminal."""
    broken: bool = False
    paused: bool = False
    waiting_for: tuple[str, ...] = ()
    """The runs and batches whose answers it waits for."""
    waited_for: set[str] = field(default_factory=set)
    allowed: dict[str, int] = field(default_factory=dict)
    """Calls in flight at most, by a glob over models, as it was told from another terminal; later ones count more."""
    runner: Runner | None = None
    """What asks at the moment."""
    choice: Choice = field(default_factory=Local)
    """Where calls are carried out."""
    later: frozenset[Settings] = frozenset()
    """Engines that later stages of the fill will ask: they are loaded last now, to be kept."""
    _executor: Executor | None = None
    _refused: ModelError | None = None
    """Why there is none."""
    _engines: Engines | None = None

    @property
    def executor(self) -> Executor:
        """What carries out calls. Raises ModelError where it cannot be had, which is tried once."""
        if self._refused is not None:
            raise self._refused
        if self._executor is None:
            try:
                self._executor = open_executor(self.choice, self.space.catalog, self.run, self.watch)
            except ModelError as error:
                self._refused = error
                raise
        return self._executor

    @property
    def engines(self) -> Engines:
        """The engines of the session."""
        if self._engines is None:
            from lrm.run.engines import Engines

            self._engines = Engines(lambda: self.executor, self._engine_log, self.watch.say, self.log)
        return self._engines

    @property
    def uses(self) -> list[Use]:
        """The engines that were started."""
        return [] if self._engines is None else self._engines.uses

    def close(self) -> None:
        """Free every engine, and what carries out calls."""
        if self._engines is not None:
            self.loop.run(self._engines.close())
        if self._executor is not None:
            self.loop.run(self._executor.close())

    def _engine_log(self, label: str) -> Path:
        """Return the file that takes what an engine prints."""
        name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in label)
        return self.space.catalog.runs_folder / f"{self.run}.engine-{len(self.uses)}-{name[:60]}.log"

    @property
    def over(self) -> bool:
        """Whether nothing more is to be asked: the user stopped it, or a budget is used up."""
        return self.interrupted or self.budget.reached is not None

    def gate(self, model: Model) -> Gate:
        """Return the gate of a model's provider and key."""
        pool = pool_of(model)
        return self.gates.setdefault(pool, Gate(paced=model.backend != "simulated" and not model.runs_here))

    def hear(self) -> None:
        """Do what other processes have asked for."""
        for wish in self.desk.wishes():
            match wish:
                case Pause():
                    self.paused = True
                    self.watch.say("paused from another terminal; `lrm matrix resume` lets it go on")
                    if self.runner is not None:
                        self.runner.pause()
                case Resume():
                    self.paused = False
                    self.watch.say("resumed from another terminal")
                    if self.runner is not None:
                        self.runner.resume()
                case Stop():
                    self.watch.say("stopped from another terminal: waiting for the calls in flight")
                    self.stop(at_once=wish.now)
                case InFlight(model, most):
                    self._allow(model, most)
                case _:
                    assert_never(wish)

    def stop(self, *, at_once: bool = False) -> None:
        """Begin no new call; `at_once` gives up those in flight too."""
        self.interrupted = True
        if self.runner is not None:
            self.runner.stop("told to")
            if at_once:
                self.runner.abandon()

    def _allow(self, model: str, most: int) -> None:
        self.allowed[model] = most
        lanes = [] if self.runner is None else [one for one in self.runner.lanes if fnmatchcase(one.name, model)]
        self.apply_allowed(lanes)
        names = ", ".join(lane.name for lane in lanes) or f"no model that is being asked is called {model}"
        self.log.event("limit set", model=model, most=most)
        self.watch.say(f"{most} calls in flight at most, from another terminal: {names}")

    def apply_allowed(self, lanes: Sequence[Lane]) -> None:
        """Let lanes have as many calls in flight as they were told to."""
        for lane in lanes:
            for model, most in self.allowed.items():
                if fnmatchcase(lane.name, model):
                    lane.way.cap = most
            lane.bell.set()

    def publish(self) -> None:
        """Say to other processes how far it is."""
        state: State = "running"
        if self.runner is not None and self.runner.stopping:
            state = "stopping"
        elif self.paused:
            state = "paused"
        elif self.waiting_for:
            state = "waiting"
        lanes = tuple(_lane_state(one) for asked in self.asked for one in asked.progress.models.values())
        note = f"waits for {', '.join(self.waiting_for)}" if self.waiting_for else None
        self.desk.publish(state=state, lanes=lanes, budget=self.budget.line() or None, note=note)
        self.log.write()

    def beat(self) -> None:
        """Hear and publish."""
        self.hear()
        self.publish()

    def wait_for(self, others: Collection[str], there: Callable[[], bool]) -> None:
        """Wait until `there` says that others have done what this fill waits for, are gone, or the user stops it."""
        self.waiting_for = tuple(sorted(others))
        self.waited_for.update(others)
        self.log.event("waiting", runs=list(self.waiting_for))
        try:
            while not self.over and not self.budget.out_of_time() and not there():
                self.beat()
                time.sleep(WAIT_S)
        except KeyboardInterrupt:
            self.interrupted = True
        self.waiting_for = ()


WAIT_S = 0.5


def named(session: Session, runs: Collection[str]) -> str:
    """Return runs as users know them: by their specs."""
    specs = {state.run: state.spec for state in running(session.space.catalog)}
    return ", ".join(f"`{specs[run]}` ({run})" if run in specs else run for run in runs)


def new_run() -> str:
    """Return the id of a new run: when it began, its process, and some chance."""
    return f"r{clock.now():%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(2)}"


@contextmanager
def desk_of(space: Workspace, run: str, doing: str, watch: Observer) -> Iterator[Desk]:
    """Give the desk of a run, which lives as long as the block goes on."""
    with Desk.open(space.catalog, run, spec=space.matrix.name, doing=doing, say=watch.say) as desk:
        yield desk


def begin(space: Workspace, run: str, span: int, plan: Plan) -> None:
    """Note in the catalog that a run begins, and claim what it is going to ask. The caller holds the turn to number rows."""
    with written(space) as connection:
        connection.execute(
            """
            INSERT INTO cat.lrm.runs (id, spec, span_n, started_at, state, host, pid, version, planned_cost)
            VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?)
            """,
            [
                run, space.matrix.name, span, clock.now().replace(tzinfo=None), socket.gethostname(), os.getpid(),
                __version__, plan.cost,
            ],
        )  # fmt: skip
        if plan.calls:
            claim_cells(connection, run)


@contextmanager
def opened(
    space: Workspace,
    run: str,
    span: int,
    desk: Desk,
    budget: Budget,
    watch: Observer,
    doing: str,
    choice: Choice | None = None,
) -> Iterator[Session]:
    """Open the session of a run that was begun; at its end the catalog says what came of it."""
    log = RunLog(desk.log_file, say=watch.say)
    with asyncio.Runner() as loop:
        session = Session(run, space, span, watch, budget, desk, log, loop, doing, choice=choice or Local())
        log.event("begin", run=run, spec=space.matrix.name, lrm=__version__, host=socket.gethostname(), pid=os.getpid())
        session.broken = True
        try:
            yield session
            session.broken = False
        except KeyboardInterrupt:
            session.interrupted = True
            raise
        finally:
            try:
                session.close()
            finally:
                _end(session)


def _end(session: Session) -> None:
    each = [one for asked in session.asked for one in asked.progress.models.values()]
    reason = session.budget.reached
    state = "interrupted" if session.interrupted else "broken" if session.broken else "budget" if reason else "ended"
    totals = _totals(each)
    session.log.event("end", said=None, state=state, reason=reason, **totals)
    session.log.write()
    with suppress(LrmError), session.space.catalog.writing() as connection:
        connection.execute(
            """
            UPDATE lrm.runs SET ended_at = ?, state = ?, reason = ?, done = ?, failed = ?, requests = ?, input_tokens = ?,
                output_tokens = ?, cost = ? WHERE id = ?
            """,
            [
                clock.now().replace(tzinfo=None), state, reason, totals["done"], totals["failed"], session.budget.calls,
                totals["input_tokens"], totals["output_tokens"], totals["cost"], session.run,
            ],
        )  # fmt: skip
        put_engines(connection, session.run, session.uses)
        drop_claims(connection, session.run, live_runs(session.space.catalog) - {session.run})


def _totals(each: list[ModelProgress]) -> dict[str, Value]:
    costs = [one.cost for one in each]
    return {
        "done": sum(one.done for one in each),
        "failed": sum(one.failed for one in each),
        "input_tokens": sum(one.input_tokens for one in each),
        "output_tokens": sum(one.output_tokens for one in each),
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
    }


def _lane_state(one: ModelProgress) -> LaneState:
    return LaneState(
        label=one.model, total=one.total, done=one.done, blocked=one.blocked, failed=one.failed, in_flight=one.in_flight,
        limit=one.limit, retries=one.retries, input_tokens=one.input_tokens, output_tokens=one.output_tokens,
        cost=one.cost, stopped=one.stopped, waiting=one.waiting, engine=one.engine,
    )  # fmt: skip
