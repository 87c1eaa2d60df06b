"""A fleet: workers of one kind, as the driver sees them. Shards go out to them, answers come back, lost ones are replaced.

The rule about a worker that dies: what it had written down is read from its spool and counts as answered; only what it had
not is asked again, elsewhere. Where its node is gone with its disk, all that it had not sent is asked again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lrm import __version__
from lrm.backends.base import Call, CallFailure, Reply
from lrm.errors import ModelError
from lrm.ray.cluster import Cluster
from lrm.ray.environment import environment_of
from lrm.ray.remote import Asked, EngineDied, Remote, explained, whatever
from lrm.ray.salvage import forget, spooled
from lrm.ray.wire import Batch, Failed, Hello, Item, Place, Refused
from lrm.registry.declarations import Model

SHARD = 256
"""Calls that go to a worker together, at most."""
GATHER_S = 0.002
"""Seconds for which calls are gathered while one shard follows the other."""
CONFIRM_S = 1.0
"""Seconds after which what was delivered is on the driver's disk: it is flushed ten times a second."""
ANSWER_S = 60.0
"""Seconds within which a worker that is there has to open a model or to end."""
BEGIN_S = 5.0
"""Seconds within which a worker that has not said hello yet has to end."""
DEATHS = 3
"""Workers that may die with a call in flight, before it is given up."""
BARREN = 6
"""Workers that may die in a row without an answer in between, before no other is begun."""
REPLACE_S = 1.0
"""Seconds before a second one in a row is replaced; it doubles, as Ray takes a while to see that a node is gone."""


@dataclass(slots=True)
class Fleet:
    """Workers of one kind."""

    cluster: Cluster
    place: Place
    say: Callable[[str], None]
    spawn: Callable[[str], Any]
    """Makes the actor of a worker of this name."""
    note: Callable[[Remote], None] = lambda _: None
    """Told of a worker that is ready."""
    revive: Callable[[], None] | None = None
    """Begins a worker in the place of one that died; None: as `grow` does."""
    prefix: str = "w"
    workers: list[Remote] = field(default_factory=list)
    broken: str | None = None
    """Why nothing can be asked any more."""
    broke: Callable[[], None] = lambda: None
    """Called when that comes about."""
    closing: bool = False
    _models: dict[str, Model] = field(default_factory=dict)
    _waiting: list[Asked] = field(default_factory=list)
    _asked: dict[int, Asked] = field(default_factory=dict)
    _failed: dict[bytes, tuple[int, Remote | None]] = field(default_factory=dict)
    """By call: requests made so far, and who made the last one: a backend may remember it."""
    _gone: list[Remote] = field(default_factory=list)
    """Workers that died, whose spools are still there."""
    _names: itertools.count[int] = field(default_factory=itertools.count)
    _tickets: itertools.count[int] = field(default_factory=itertools.count)
    _ship_due: bool = False
    _shipped_at: float = 0.0
    _barren: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def grow(self, count: int) -> list[Remote]:
        """Begin workers. Called inside the event loop."""
        return [self._begun(f"{self.prefix}{next(self._names)}") for _ in range(count)]

    def _begun(self, name: str) -> Remote:
        remote = Remote(name, self.spawn(name))
        self.workers.append(remote)
        remote.task = asyncio.create_task(self._serve(remote))
        return remote

    def open(self, key: str, model: Model) -> None:
        """Have every worker open a model under a key; waits a while for the first. Raises ModelError where it refuses."""
        environment = environment_of(model)
        refs = {remote: remote.actor.open.remote(key, model, environment) for remote in self.workers}
        self._models[key] = model
        # The protocol has this happen at once; a worker that is there takes milliseconds.
        answer = self._first(list(refs.values()))
        if isinstance(answer, Refused):
            del self._models[key]
            raise ModelError(answer.message, hint=answer.hint)
        for remote, ref in refs.items():
            self._later(self._opened(remote, key, ref))

    def _first(self, refs: list[Any]) -> Refused | None:
        """Return what the first worker that lives says; that of a dead one where none does; None for none in time."""
        ray = self.cluster.ray
        died: Refused | None = None
        until = time.monotonic() + ANSWER_S
        while refs:
            done, refs = ray.wait(refs, num_returns=1, timeout=max(0.0, until - time.monotonic()))
            if not done:
                self.say("the Ray cluster has no room for a worker yet; waiting for it")
                return None
            try:
                answer: Refused | None = ray.get(done[0])
            except ray.exceptions.RayError as error:
                died = died or explained(error)
            else:
                return answer
        return died

    async def shut(self, key: str) -> None:
        """Close a model everywhere."""
        self._models.pop(key, None)
        closing = []
        for remote in [one for one in self.workers if key in one.opened]:
            remote.opened.discard(key)
            with suppress(Exception):
                closing.append(remote.actor.shut.remote(key))
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*(whatever(ref) for ref in closing))

    async def ask(self, key: str, call: Call) -> Reply:
        """Have a call asked once. Raises CallFailure."""
        if self.broken is not None:
            raise CallFailure("connection", self.broken)
        made, last = self._failed.get(call.id, (0, None))
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        asked = Asked(next(self._tickets), key, call, made + 1, future, last)
        self._waiting.append(asked)
        self._ship_soon()
        try:
            reply = await future
        except CallFailure:
            self._failed[call.id] = (asked.attempts, asked.worker)
            raise
        except asyncio.CancelledError:
            self._give_up(asked)
            raise
        self._failed.pop(call.id, None)
        return reply

    async def end(self) -> bool:
        """End all workers; return whether some of their spools stay."""
        self.closing = True
        stays = [self._end(remote) for remote in self.workers]
        kept = await asyncio.gather(*stays)
        for task in (*self._tasks, *(remote.task for remote in self.workers if remote.task is not None)):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = [await forget(self.cluster, remote) for remote in self._gone]
        self.workers.clear()
        return any(kept) or any(left)

    # --- out ---

    def _ship_soon(self) -> None:
        if self._ship_due:
            return
        self._ship_due = True
        loop = asyncio.get_running_loop()
        if time.monotonic() - self._shipped_at < GATHER_S:
            loop.call_later(GATHER_S, self._ship)
        else:
            loop.call_soon(self._ship)

    def _ship(self) -> None:
        """Send what waits, each call to the worker with the fewest in flight, or the one that asked it before."""
        self._ship_due = False
        shards: dict[Remote, list[Asked]] = {}
        stay: list[Asked] = []
        for asked in self._waiting:
            able = [remote for remote in self.workers if asked.key in remote.opened]
            if not able:
                stay.append(asked)
                continue
            remote = asked.worker if asked.worker in able else min(able, key=lambda one: len(one.in_flight))
            assert remote is not None
            asked.worker = remote
            remote.in_flight[asked.ticket] = asked
            self._asked[asked.ticket] = asked
            shards.setdefault(remote, []).append(asked)
        self._waiting = stay
        for remote, shard in shards.items():
            for at in range(0, len(shard), SHARD):
                items = [Item(one.ticket, one.key, one.call, one.attempts) for one in shard[at : at + SHARD]]
                with suppress(Exception):  # it died; whoever takes from it hears of it
                    remote.actor.submit.remote(items)
        if shards:
            self._shipped_at = time.monotonic()
        elif stay:
            self._fail_refused()

    def _fail_refused(self) -> None:
        """Fail the calls of models that every worker refuses."""
        for asked in list(self._waiting):
            reasons = [remote.refused.get(asked.key) for remote in self.workers]
            if self.workers and all(reason is not None for reason in reasons):
                assert reasons[0] is not None
                self._waiting.remove(asked)
                self._settle(asked, CallFailure("auth", reasons[0].message, final=True))

    def _give_up(self, asked: Asked) -> None:
        if asked in self._waiting:
            self._waiting.remove(asked)
        if self._asked.pop(asked.ticket, None) is not None and asked.worker is not None:
            asked.worker.in_flight.pop(asked.ticket, None)
            asked.worker.gave_up = True
            if not self.closing:
                with suppress(Exception):  # it died; whoever takes from it hears of it
                    asked.worker.actor.cancel.remote([asked.ticket])

    # --- in ---

    async def _serve(self, remote: Remote) -> None:
        """Take what a worker hands over until it dies or the fleet ends."""
        try:
            hello: Hello = await remote.actor.hello.remote()
            remote.hello = hello
            if hello.lrm != __version__:
                said = f"{hello.host} has lrm {hello.lrm}, and this machine {__version__}"
                self._break(f"{said}: use the same version on all nodes")
                return
            self.note(remote)
            for key, model in self._models.items():
                if key not in remote.opened and key not in remote.refused:
                    ref = remote.actor.open.remote(key, model, environment_of(model))
                    self._later(self._opened(remote, key, ref))
            while True:
                self._deliver(remote, await remote.actor.take.remote(remote.have, self._confirmed(remote)))
        except Exception as error:  # what of Ray's a lost connection is, depends on the connection
            if not self.closing:
                await self._lost(remote, error)

    async def _opened(self, remote: Remote, key: str, ref: Any) -> None:
        try:
            answer = await ref
        except Exception:
            return  # whoever takes from it hears of it too
        if key not in self._models:
            return
        if isinstance(answer, Refused):
            remote.refused[key] = answer
            self.say(f"not asked on {remote.hello.host if remote.hello else remote.name}: {answer.message}")
        else:
            remote.opened.add(key)
        self._ship_soon()

    def _confirmed(self, remote: Remote) -> int:
        until = time.monotonic() - CONFIRM_S
        while remote.batches and remote.batches[0][0] < until:
            remote.confirmed = remote.batches.popleft()[1]
        return remote.confirmed

    def _deliver(self, remote: Remote, batch: Batch) -> None:
        remote.have = batch.serial
        remote.batches.append((time.monotonic(), batch.serial))
        remote.load = batch.load or remote.load
        for line in batch.said:
            self.say(line)
        for ticket, result in batch.answers:
            asked = self._asked.pop(ticket, None)
            remote.in_flight.pop(ticket, None)
            if asked is None:
                remote.unclaimed = remote.unclaimed or isinstance(result, Reply)
                continue
            self._barren = 0
            self._settle(asked, result.failure() if isinstance(result, Failed) else result)
        if batch.died is not None:
            raise EngineDied(batch.died)

    def _settle(self, asked: Asked, result: Reply | CallFailure) -> None:
        if asked.future.done():
            return
        if isinstance(result, Reply):
            asked.future.set_result(result)
        else:
            asked.future.set_exception(result)

    # --- losses ---

    async def _lost(self, remote: Remote, error: Exception) -> None:
        """Deliver what a dead worker wrote down, and have the rest asked by others."""
        said = explained(error).message
        self.workers.remove(remote)
        self._gone.append(remote)
        with suppress(Exception):
            self.cluster.ray.kill(remote.actor)
        self._barren += 1
        if not isinstance(error, EngineDied) and self._barren < BARREN:
            self._later(self._replaced(REPLACE_S * 2.0 ** (self._barren - 2) if self._barren > 1 else 0.0))
        elif not self.workers:
            row = f"{self._barren} workers in a row died without an answer; the last one: " if self._barren > 1 else ""
            self._break(row + said)
        found = await spooled(self.cluster, remote, self.say)
        again = 0
        for ticket, asked in remote.in_flight.items():
            self._asked.pop(ticket, None)
            asked.worker = None
            asked.deaths += 1
            reply = found.get(asked.call.id.hex())
            if reply is not None:
                self._settle(asked, reply)
            elif asked.deaths >= DEATHS:
                reason = f"{asked.deaths} workers died while they asked it; the last one: {said}"
                self._settle(asked, CallFailure("internal", reason))
            elif self.broken is not None:
                self._settle(asked, CallFailure("connection", self.broken))
            else:
                self._waiting.append(asked)
                again += 1
        if remote.hello is not None:
            self.say(
                f"a worker on {remote.hello.host} died ({said}): {len(found)} replies read from its spool, {again} calls "
                "in flight asked again"
            )
        remote.in_flight.clear()
        self._ship_soon()

    async def _replaced(self, pause_s: float) -> None:
        """Begin a worker in the place of one that died."""
        await asyncio.sleep(pause_s)
        if self.closing:
            return
        try:
            self.grow(1) if self.revive is None else self.revive()
        except Exception as error:
            if not self.workers:
                self._break(f"the Ray cluster is gone: {explained(error).message}")

    async def _end(self, remote: Remote) -> bool:
        """End a worker; return whether its spool stays."""
        kept = remote.hello is not None
        with suppress(Exception):
            async with asyncio.timeout(ANSWER_S if remote.hello is not None else BEGIN_S):
                kept = await remote.actor.end.remote(remote.have, keep=remote.unclaimed)
        with suppress(Exception):
            self.cluster.ray.kill(remote.actor)
        return kept

    def drop(self, remote: Remote, reason: str) -> None:
        """Let go of a worker that was never asked anything; without any other, nothing can be asked."""
        if remote in self.workers:
            self.workers.remove(remote)
        if remote.task is not None:
            remote.task.cancel()
        with suppress(Exception):
            self.cluster.ray.kill(remote.actor)
        if not self.workers:
            self._break(reason)

    def _break(self, reason: str) -> None:
        """Ask nothing any more."""
        if self.broken is None:
            self.broken = reason
            self.broke()
            waiting, self._waiting = self._waiting, []
            for asked in waiting:
                self._settle(asked, CallFailure("connection", reason))

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
