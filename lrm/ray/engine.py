"""Engines on a Ray cluster: the same weights on as many groups of GPUs as there are, asked as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.backends.base import Backend
from lrm.engines.engine import Device, Load, Settings
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.ray.environment import environment_of
from lrm.ray.fleet import Fleet
from lrm.ray.remote import Remote
from lrm.ray.wire import Refused, Started
from lrm.registry.models import Model

if TYPE_CHECKING:
    from lrm.ray.executor import RayExecutor

LOG_S = 10.0
"""Seconds within which a worker hands over the end of its engine's log."""


@dataclass(slots=True)
class RayEngine:
    """Replicas of one engine. Those that start later than the first join when they can."""

    executor: RayExecutor
    settings: Settings
    fleet: Fleet
    log: Path
    device: Device | None = None
    load_s: float = 0.0
    _models: int = 0
    _stopped: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def load(self) -> Load:
        """What all replicas are doing together."""
        return together([remote.load for remote in self.fleet.workers if remote.load is not None])

    @property
    def died(self) -> str | None:
        """Why no replica runs any more; None while one does, and after `stop`."""
        return None if self._stopped else self.fleet.broken

    def backend(self, model: Model) -> Backend:
        """Return what asks a model by the replica that has the fewest calls in flight. Raises ModelError."""
        from lrm.ray.executor import RayBackend

        self._models += 1
        key = f"e{self._models}"
        self.fleet.open(key, model)
        return RayBackend(self.fleet, key)

    async def stop(self) -> None:
        """Free the weights on all nodes. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await self.keep_logs(self.fleet.workers)
        if await self.fleet.end():
            self.executor.kept = True

    async def keep_logs(self, remotes: list[Remote]) -> None:
        """Write the ends of engines' logs into the driver's."""
        for remote in [one for one in remotes if one.hello is not None]:
            with suppress(Exception):
                async with asyncio.timeout(LOG_S):
                    text = await remote.actor.log.remote()
                assert remote.hello is not None
                with self.log.open("a", encoding="utf-8") as file:
                    file.write(f"--- {remote.hello.host}, process {remote.hello.pid} ---\n{text}\n")


def together(loads: list[Load]) -> Load:
    """Return the load of several engines: sums, and the mean of shares. None where none says."""

    def known(name: str) -> list[Any]:
        return [value for one in loads if (value := getattr(one, name)) is not None]

    def total(name: str) -> Any:
        values = known(name)
        return sum(values) if values else None

    def mean(name: str) -> float | None:
        values = known(name)
        return sum(values) / len(values) if values else None

    return Load(
        total("running"), total("waiting"), mean("cache"), sum(known("prompt_tokens")), sum(known("cached_tokens")),
        sum(known("output_tokens")), total("memory_used"), total("memory_total"), mean("busy"),
    )  # fmt: skip


async def start_engines(executor: RayExecutor, model: Model, *, log: Path, say: Callable[[str], None]) -> RayEngine:
    """Start as many replicas as the cluster has room for, and return when the first can be asked.

    Cancelling it leaves nothing behind. Raises ModelError where no node has the GPUs, or none of the replicas starts.
    """
    settings = settings_of(model)
    count, needs = _room(executor, settings)
    worker = executor.engine_worker

    def spawn(name: str) -> Any:
        return executor.actor(worker, name, scheduling_strategy="SPREAD", **needs)

    fleet = Fleet(executor.cluster, executor.place, say, spawn, executor.noted, prefix=executor.engine_name())
    engine = RayEngine(executor, settings, fleet, log)
    ready = asyncio.Event()
    refused: list[Refused] = []

    async def follow(remote: Remote) -> None:
        try:
            answer: Started | Refused = await remote.actor.start.remote(model, environment_of(model))
        except executor.cluster.ray.exceptions.RayError:
            return  # whoever serves it hears of it too
        if isinstance(answer, Refused):
            refused.append(answer)
            await engine.keep_logs([remote])
            fleet.drop(remote, answer.message)
        elif engine.device is None:
            engine.device, engine.load_s = answer.device, answer.load_s
        if fleet.broken is not None or isinstance(answer, Started):
            ready.set()

    def begin(replicas: int) -> None:
        for remote in fleet.grow(replicas):
            task = asyncio.create_task(follow(remote))
            engine._tasks.add(task)  # noqa: SLF001
            task.add_done_callback(engine._tasks.discard)  # noqa: SLF001

    fleet.revive = lambda: begin(1)
    fleet.broke = ready.set
    say(f"starting {count} {'engine' if count == 1 else 'engines'} for {settings.label} on the Ray cluster")
    begin(count)
    try:
        await ready.wait()
    except asyncio.CancelledError:
        await engine.stop()
        raise
    if fleet.broken is not None:
        await engine.stop()
        first = refused[0] if refused else Refused(fleet.broken, None)
        raise ModelError(first.message, hint=first.hint)
    return engine


def _room(executor: RayExecutor, settings: Settings) -> tuple[int, dict[str, float]]:
    """Return how many replicas the cluster has room for, and what each asks of Ray. Raises ModelError for none."""
    nodes = executor.cluster.nodes()
    most = max((node.gpus for node in nodes), default=0.0)
    if most == 0:
        return len(nodes), {"num_cpus": 1}  # an engine takes all of a node's cores
    if most < settings.gpus:
        raise ModelError(
            f"`{settings.label}` takes {settings.gpus} GPUs of one node, and no node of the Ray cluster has more than {most:g}",
            hint="declare less `tensor_parallel`, `pipeline_parallel` or `data_parallel`",
        )
    # What shares a GPU with another engine asks for its share of it.
    each = settings.memory if settings.gpus == 1 and settings.memory <= 0.5 else settings.gpus
    return sum(int(node.gpus // settings.gpus) for node in nodes), {"num_gpus": each}
