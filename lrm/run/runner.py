"""The runner: several models' queues at the same time, each call behind its provider's gate, each response kept at once.

A lane's driver takes the next call, waits for a place at the gate, and lets the call go in a task of its own. A call that
is to be asked again waits without holding a place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrm.backends.base import Call, CallFailure, Reply
from lrm.backends.price import cost as price
from lrm.engines.engine import Settings
from lrm.errors import LrmError
from lrm.run.budget import Budget
from lrm.run.engines import Engines
from lrm.run.gate import LIMITED, OTHER, SERVED, UNREACHED, UNUSED, Closed, Outcome
from lrm.run.keeper import Keeper, set_within
from lrm.run.lane import LONGEST_WAIT_S, Lane, Try, pause_s
from lrm.run.log import RunLog
from lrm.run.progress import Observer, Progress
from lrm.run.sharing import drive_engine, engine_state, not_loaded
from lrm.store.journal import Attempt, Record

if TYPE_CHECKING:
    from lrm.run.batches import BatchLane

TICK_S = 0.25
SILENCE_S = 120.0
"""Seconds without a reply after which it is said that calls are in flight and nothing comes back."""
BUSY = frozenset({503, 529})
"""Statuses by which a provider says, beside 429, that it has too much to do (529 is Anthropic's)."""


@dataclass(slots=True)
class Runner:
    """Asks what the lanes hold."""

    lanes: list[Lane]
    keeper: Keeper
    observer: Observer
    progress: Progress
    budget: Budget
    log: RunLog
    beat: Callable[[], None]
    """Called a few times a second while it runs: to hear what it is told, to say how far it is."""
    engines: Engines
    stopping: bool = False
    abandoned: bool = False
    """Whether calls in flight were given up."""
    _main: asyncio.Task[None] | None = None
    _going: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    halted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when no new call is begun any more."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _fault: BaseException | None = None

    async def run(self) -> None:
        """Ask until every lane is empty or stopped, then merge what is left. Raises what made the run impossible."""
        self._main = asyncio.current_task()
        self.progress.started = time.monotonic()
        if not self.progress.paused:
            self._going.set()
        self.keeper.begin()
        ticking = asyncio.create_task(self._tick_often())
        drivers = [asyncio.create_task(drive) for drive in self._drives()]
        try:
            await asyncio.gather(*drivers)
        finally:
            for task in (*drivers, *self._tasks):
                task.cancel()
            await asyncio.gather(*drivers, *self._tasks, return_exceptions=True)
            backends = [lane.backend for lane in self.lanes if lane.backend is not None]
            await asyncio.gather(*(backend.close() for backend in backends), return_exceptions=True)
            await self.keeper.end()
            self._ended.set()
            await asyncio.gather(ticking, return_exceptions=True)
        self._show()
        if self._fault is not None:
            raise self._fault

    def stop(self, reason: str) -> None:
        """Begin no new call; what is in flight is finished."""
        if self.stopping:
            return
        self.stopping = self.progress.stopping = True
        self.log.event("stopping", reason=reason)
        for lane in self.lanes:
            self._close(lane)
        self._room.set()
        self._going.set()
        self.halted.set()

    def abandon(self) -> None:
        """Stop at once: what is in flight is given up."""
        self.abandoned = True
        self.stop("at once")
        if self._main is not None:
            self._main.cancel()

    def pause(self) -> None:
        """Begin no new call until `resume`; what is in flight is finished."""
        if not self.progress.paused and not self.stopping:
            self.progress.paused = True
            self._going.clear()
            self.log.event("paused")

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.progress.paused:
            self.progress.paused = False
            self._going.set()
            self.log.event("resumed")

    def broke(self, error: LrmError) -> None:
        """Stop because of what makes the run impossible; `run` raises the first of these."""
        self._fault = self._fault or error
        self.stop("broken")

    def _drives(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield what drives each lane; lanes that share an engine are driven together, in the order of the lanes."""
        sharing: dict[Settings, list[Lane]] = {}
        for lane in self.lanes:
            if lane.settings is not None and lane.batches is None:
                sharing.setdefault(lane.settings, []).append(lane)
        for lanes in sharing.values():
            yield drive_engine(self, lanes)
        for lane in self.lanes:
            if lane.batches is not None:
                yield self._drive_batches(lane, lane.batches)
            elif lane.settings is None:
                yield self.drive(lane)

    async def drive(self, lane: Lane) -> None:
        """Let a lane's calls go, one after the other, as soon as each may."""
        while not self.over(lane) and not lane.finished and not lane.dead:
            if not self._going.is_set():
                await self._going.wait()
                continue
            one = lane.next(time.monotonic())
            if one is None:
                await self._until_rung(lane)
                continue
            ticket = lane.way.try_enter()
            if ticket is None:
                try:
                    ticket = await lane.way.enter()
                except Closed:
                    break
            if not await self._may_begin(lane):
                lane.way.leave(ticket, UNUSED)
                lane.park(one, 0.0)
                continue
            lane.progress.in_flight += 1
            task = asyncio.create_task(self._ask(lane, one, ticket))
            self._tasks.add(task)
            task.add_done_callback(self._left)
        while lane.progress.in_flight:
            await self._until_rung(lane)

    def _left(self, task: asyncio.Task[None]) -> None:
        """Let go of a call's task. What it raised, which is a fault of ours, ends the run and is raised by `run`."""
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault
            self.stop("broken")

    async def _drive_batches(self, lane: Lane, batches: BatchLane) -> None:
        """Have a lane's calls carried out by a batch endpoint."""
        try:
            await batches.run()
        except LrmError as error:
            self.broke(error)
        lane.progress.waiting = None
        if batches.stopped is not None and lane.progress.stopped is None:
            lane.progress.stopped = batches.stopped
            self.log.event("model stopped", model=lane.name, said=batches.stopped)

    def take(self, label: str, call: Call, result: Reply | CallFailure) -> None:
        """Keep what came of a call that a batch carried out."""
        lane = next(lane for lane in self.lanes if lane.name == label)
        one = Try(call, time.monotonic(), attempts=1)
        if isinstance(result, Reply):
            self._received(lane, one, result, None)
        else:
            lane.account.end()
            self._keep_attempt(one, result, None)
            self._failed(lane, one, result, time.monotonic())

    def over(self, lane: Lane) -> bool:
        """Return whether no new call of a lane is begun any more."""
        return self.stopping or lane.progress.stopped is not None

    async def _may_begin(self, lane: Lane) -> bool:
        """Return whether a call may go now: the run was not stopped or paused while it waited, and the budget has room."""
        while not self.over(lane) and self._going.is_set():
            self._room.clear()
            match lane.account.admits():
                case "yes":
                    lane.account.begin()
                    return True
                case "no":
                    self._spent()
                    return False
                case "wait":
                    await self._room.wait()
        return False

    def _spent(self) -> None:
        self.observer.say(f"stopping: {self.budget.reached}; waiting for the calls in flight")
        self.stop(f"budget: {self.budget.reached}")

    def _out_of_time(self) -> None:
        """Stop where a lane still has calls to make, though it begins none at the moment."""
        for lane in self.lanes:
            if lane.progress.left > lane.progress.in_flight and lane.account.admits() == "no":
                self._spent()
                return

    async def _until_rung(self, lane: Lane) -> None:
        """Wait until a call of the lane has ended, a parked one is due, or the run is stopped."""
        lane.bell.clear()
        due = lane.due
        if due is None or self.over(lane):
            await lane.bell.wait()
        else:
            await set_within(lane.bell, max(0.0, due - time.monotonic()))

    async def _ask(self, lane: Lane, one: Try, ticket: int) -> None:
        """Make one attempt of a call and keep what came of it."""
        backend = lane.backend
        assert backend is not None
        one.attempts += 1
        started = time.perf_counter()
        outcome: Outcome = OTHER
        tokens = quota = wait = None
        try:
            try:
                reply = await backend.ask(one.call)
            except CallFailure as failure:
                quota, wait = failure.quota, failure.retry_after_s
                outcome = _says(failure)
                lane.account.end()
                self._not_answered(lane, one, failure, (time.perf_counter() - started) * 1000)
            except Exception as error:
                lane.account.end()
                fault = CallFailure("internal", f"{type(error).__name__}: {error}")
                self._not_answered(lane, one, fault, (time.perf_counter() - started) * 1000)
            else:
                outcome, quota = SERVED, reply.quota
                tokens = self._received(lane, one, reply, (time.perf_counter() - started) * 1000)
        finally:
            lane.progress.in_flight -= 1
            lane.way.leave(ticket, outcome, retry_after_s=wait, tokens=tokens, quota=quota)
            self._room.set()
            lane.bell.set()

    def _received(self, lane: Lane, one: Try, reply: Reply, ms: float | None) -> int | None:
        """Keep a response; return the tokens that it took, if they were counted."""
        record = self._record(lane, one)
        record["raw"] = reply.raw
        record["blocked"] = reply.blocked
        if ms is not None:
            record["ms"] = round(ms, 3)
            lane.longest_s = max(lane.longest_s, ms / 1000)
        record["cost"] = reply.cost
        record["fingerprint"] = reply.fingerprint
        record["sent"] = reply.sent
        self.keeper.keep(record)
        used = reply.usage
        cost = price(lane.model, used, reported=reply.cost)
        known = used.input_tokens is not None or used.output_tokens is not None
        tokens = (used.input_tokens or 0) + (used.output_tokens or 0) if known else None
        lane.account.end(tokens, cost, replied=not reply.blocked)
        progress = lane.progress
        progress.done += 1
        progress.blocked += reply.blocked
        progress.input_tokens += used.input_tokens or 0
        progress.output_tokens += used.output_tokens or 0
        progress.cost = None if cost is None or progress.cost is None else progress.cost + cost
        lane.streak = 0
        lane.heard_at = time.monotonic()
        lane.silence_said = False
        return tokens

    def _not_answered(self, lane: Lane, one: Try, failure: CallFailure, ms: float) -> None:
        """Keep a failed attempt, and the failure of the call where no further attempt is made."""
        now = time.monotonic()
        failure.attempts = one.attempts
        self._keep_attempt(one, failure, ms)
        limits = lane.model.limits
        named = failure.retry_after_s
        if named is not None and named > LONGEST_WAIT_S:
            self.give_up(lane, f"the provider asks to wait for {named / 3600:.1f} hours: {failure.message}")
        again = failure.transient and one.attempts < limits.max_attempts
        pause = pause_s(failure, one.attempts) if again else 0.0
        in_time = limits.deadline_s is None or now + pause - one.began <= limits.deadline_s
        self.log.event(
            "attempt failed", model=lane.name, call=one.call.id.hex(), attempt=one.attempts, kind=failure.kind,
            status=failure.status, ms=round(ms), again_in_s=round(pause, 1) if again and in_time else None,
            said=failure.message,
        )  # fmt: skip
        if failure.transient and self.over(lane):
            return  # the call is left, not failed
        if again and in_time:
            lane.progress.retries += 1
            lane.park(one, now + pause)
            return
        self._failed(lane, one, failure, now)

    def _keep_attempt(self, one: Try, failure: CallFailure, ms: float | None) -> None:
        self.keeper.keep(
            Attempt(
                call=one.call.id.hex(), attempt=one.attempts, kind=failure.kind, message=failure.message,
                status=failure.status, ms=None if ms is None else round(ms, 3), at=time.time_ns() // 1000,
            )
        )  # fmt: skip

    def _failed(self, lane: Lane, one: Try, failure: CallFailure, now: float) -> None:
        record = self._record(lane, one)
        record["kind"] = failure.kind
        record["message"] = failure.message
        self.keeper.keep(record)
        lane.progress.failed += 1
        lane.failures[failure.kind] = lane.failures.get(failure.kind, 0) + 1
        reason = lane.given_up(failure, now)
        if reason is not None:
            self.give_up(lane, reason)

    def give_up(self, lane: Lane, reason: str) -> None:
        """Stop asking a model."""
        if lane.progress.stopped is None:
            lane.progress.stopped = reason
            self.log.event("model stopped", model=lane.name, said=reason)
            self.observer.say(f"{lane.name}: its other calls are not made: {reason}")
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        lane.way.close()
        if lane.batches is not None:
            lane.batches.stopping.set()
        lane.bell.set()
        self._room.set()

    def _record(self, lane: Lane, one: Try) -> Record:
        return Record(
            call=one.call.id.hex(),
            model=lane.model_hex,
            messages=one.call.messages,
            replicate=one.call.replicate,
            at=time.time_ns() // 1000,
            attempts=one.attempts,
        )

    async def _tick_often(self) -> None:
        self._show()
        while not await set_within(self._ended, TICK_S):
            self.beat()
            if self.budget.seconds_left == 0 and not self.stopping:
                self._out_of_time()
            for lane in self.lanes:
                self._note_silence(lane)
                wait = lane.way.wait_s(time.monotonic())
                if wait > LONGEST_WAIT_S and not self.over(lane):
                    self.give_up(lane, f"{lane.way.reason}, for {wait / 3600:.1f} hours")
            self._show()

    def _show(self) -> None:
        for lane in self.lanes:
            lane.progress.limit = min(lane.way.cap, lane.gate.limit)
            if lane.settings is not None and lane.held is None:
                lane.progress.waiting = None if self.over(lane) else not_loaded(self.engines, lane)
                lane.progress.engine = None
            elif lane.batches is None:
                lane.progress.waiting = _held_up(lane)
                lane.progress.engine = None if lane.held is None else engine_state(lane.held)
            elif lane.batches.waiting:
                lane.progress.waiting = f"{lane.batches.waiting:,} calls at the provider"
        self.progress.budget = self.budget.line() or None
        self.observer.tick(self.progress)

    def _note_silence(self, lane: Lane) -> None:
        """Say once when calls are in flight and nothing has come back for unusually long."""
        held = lane.held
        since = (lane.heard_at or self.progress.started) if held is None else held.moved_at
        silent = time.monotonic() - since
        longest = 4 * lane.longest_s if held is None else 0
        if lane.silence_said or not lane.progress.in_flight or silent < max(SILENCE_S, longest):
            return
        lane.silence_said = True
        self.log.event("silence", model=lane.name, seconds=round(silent), in_flight=lane.progress.in_flight)
        calls = f"{lane.progress.in_flight} calls are in flight"
        if held is None:
            what = f"nothing has come back for {silent:.0f} s; {calls}, each of which is given up after"
            self.observer.say(f"{lane.name}: {what} {lane.model.limits.timeout_s:g} s")
        else:
            what = f"its engine has made no token for {silent:.0f} s; {calls}"
            self.observer.say(f"{lane.name}: {what}; what it printed is in {held.use.log}")


def _says(failure: CallFailure) -> Outcome:
    """Return what a failed attempt says of the provider's capacity."""
    if failure.kind == "rate_limited" or failure.status in BUSY:
        return LIMITED
    return UNREACHED if failure.kind in ("connection", "timeout") else OTHER


def _held_up(lane: Lane) -> str | None:
    """Return what keeps a lane from beginning a call, with how long it will; None while nothing does."""
    reason = lane.way.reason
    seconds = lane.way.wait_s(time.monotonic())
    return f"{reason} ({seconds:.0f} s)" if reason is not None and seconds >= 1 else reason
