"""Workers: what runs in a process of Ray's on some node. It asks what it is handed, writes down what came, then sends it.

Methods are called from the driver alone, side by side and in any order.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import socket
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrm import __version__
from lrm.backends.base import Backend, CallFailure
from lrm.backends.open_files import allow_in_flight
from lrm.engines.engine import Engine, Load
from lrm.errors import LrmError, ModelError
from lrm.ray import spool
from lrm.ray.spool import Spool
from lrm.ray.wire import Batch, Failed, Hello, Item, Place, Refused, Result, Started
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id

CONCURRENCY = 1000
"""Calls of a worker's methods that may be under way at the same time."""
LOAD_S = 1.0
"""Seconds between two looks at an engine."""
LOG_TAIL = 64 * 2**10
"""Bytes of an engine's log that the driver is sent."""


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of a call; a reply with its spool and the number of its segment."""

    ticket: int
    result: Result
    kept: tuple[Spool, int] | None = None


class Worker:
    """Holds ordinary backends, asks them and hands over what comes."""

    def __init__(self, name: str, place: Place, node: str | None = None) -> None:
        """`node`: Ray's id of the node, where it is not the actor's own."""
        self.place = place
        self._node = node
        self._folder, self._shared = spool.folder_on(place, name)
        self._backends: dict[str, Backend] = {}
        self._spool_of: dict[str, Spool] = {}
        """By the model's key; models with the same identity share one."""
        self._spools: dict[str, Spool] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._fresh: list[_Came] = []
        self._ready: list[_Came] = []
        self._lines: dict[int, Counter[tuple[Spool, int]]] = {}
        """By serial: how many lines of which segments a batch was about."""
        self._said: list[str] = []
        self._load: Load | None = None
        self._died: str | None = None
        self._serial = 0
        self._last_replies = False
        self._bell = asyncio.Event()
        self._hand_over_due = False
        self._flushing: asyncio.Task[None] | None = None

    async def hello(self) -> Hello:
        """Say where it runs."""
        node = self._node
        if node is None:
            ray: Any = importlib.import_module("ray")
            node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), os.getpid(), __version__, str(self._folder), self._shared)

    async def open(self, key: str, model: Model, environment: dict[str, str]) -> Refused | None:
        """Open a model under a key. `environment`: what the driver's holds for it, its key among it."""
        os.environ.update(environment)
        try:
            if model.backend == "litellm" and importlib.util.find_spec("litellm") is not None:
                await asyncio.to_thread(importlib.import_module, "litellm")  # seconds
            backend = self._backend(model)
            hexed = model_id(model).hex()
            # Scores of a reward judge's model are no responses that a later fill could take in.
            if hexed not in self._spools and not model.pools:
                self._spools[hexed] = Spool(self._folder / hexed[:16], self.place.run, hexed, model)
        except LrmError as error:
            return Refused(error.message, error.hint)
        except OSError as error:
            return Refused(f"{self._folder} on {socket.gethostname()} cannot be written: {error.strerror}", None)
        if hexed in self._spools:
            self._spool_of[key] = self._spools[hexed]
        self._backends[key] = backend
        allow_in_flight(model.limits.max_in_flight)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_often())
        return None

    def _backend(self, model: Model) -> Backend:
        from lrm.backends.open import open_backend

        return open_backend(model)

    async def submit(self, shard: list[Item]) -> None:
        """Begin to ask; what comes is had by `take`."""
        for item in shard:
            if item.ticket in self._cancelled:
                self._cancelled.discard(item.ticket)
                continue
            task = asyncio.create_task(self._ask(item))
            self._tasks[item.ticket] = task
            task.add_done_callback(lambda _, ticket=item.ticket: self._tasks.pop(ticket, None))  # type: ignore[misc]

    async def _ask(self, item: Item) -> None:
        began = time.perf_counter()
        try:
            reply = await self._backends[item.model].ask(item.call)
        except CallFailure as failure:
            if self._is_dead():
                return  # the driver has it asked elsewhere
            self._hand(_Came(item.ticket, Failed.of(failure)))
        except Exception as error:
            if self._is_dead():
                return
            self._hand(_Came(item.ticket, Failed("internal", f"{type(error).__name__}: {error}")))
        else:
            kept = self._spool_of.get(item.model)
            ms = (time.perf_counter() - began) * 1000
            line = None if kept is None else (kept, kept.keep(item, reply, at=time.time_ns() // 1000, ms=ms))
            self._hand(_Came(item.ticket, reply, line))

    def _is_dead(self) -> bool:
        """Return whether nothing that this worker is asked can be answered any more."""
        return self._died is not None

    def _hand(self, came: _Came) -> None:
        self._fresh.append(came)
        if not self._hand_over_due:
            self._hand_over_due = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Write down what one turn of the loop received, and let it be taken."""
        self._hand_over_due = False
        for one in {came.kept[0] for came in self._fresh if came.kept is not None}:
            try:
                one.write()
            except LrmError as error:
                self._said.append(f"a worker on {socket.gethostname()}: {error.message}")
        self._ready += self._fresh
        self._fresh = []
        self._bell.set()

    async def take(self, have: int, confirmed: int) -> Batch:
        """Return what came since the last time, as soon as there is something; one at a time is asked for.

        The driver has all batches up to `have`, and those up to `confirmed` in its own journal.
        """
        self._last_replies = self._last_replies and have < self._serial
        for serial in [one for one in self._lines if one <= confirmed]:
            for (kept, number), lines in self._lines.pop(serial).items():
                kept.confirmed(number, lines)
        await self._bell.wait()
        self._bell.clear()
        self._serial += 1
        self._lines[self._serial] = Counter(came.kept for came in self._ready if came.kept is not None)
        answers = tuple((came.ticket, came.result) for came in self._ready)
        batch = Batch(self._serial, answers, tuple(self._said), self._load, self._died)
        self._last_replies = bool(self._lines[self._serial])
        self._ready, self._said = [], []
        return batch

    async def cancel(self, tickets: list[int]) -> None:
        """Give up calls."""
        for ticket in tickets:
            task = self._tasks.get(ticket)
            if task is None:
                self._cancelled.add(ticket)
            else:
                task.cancel()

    async def shut(self, key: str) -> None:
        """Close a model."""
        backend = self._backends.pop(key, None)
        self._spool_of.pop(key, None)
        if backend is not None:
            await backend.close()

    async def end(self, have: int, *, keep: bool) -> bool:
        """Close everything; return whether the spools stay, because they hold what the driver has not.

        The driver has all batches up to `have`; `keep`: it knows of something that it has not.
        """
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._flushing is not None:
            self._flushing.cancel()
        for key in list(self._backends):
            with suppress(Exception):
                await self.shut(key)
        for one in self._spools.values():
            one.close()
        waiting = any(came.kept is not None for came in (*self._ready, *self._fresh))
        keep = keep or waiting or (self._last_replies and have < self._serial)
        if not keep:
            spool.remove(self._folder)
        return keep

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(spool.FLUSH_S)
            for one in list(self._spools.values()):
                try:
                    await one.flush()
                except LrmError as error:
                    self._said.append(f"a worker on {socket.gethostname()}: {error.message}")
                    self._bell.set()


class EngineWorker(Worker):
    """A worker whose models share one engine, which runs on its node."""

    def __init__(self, name: str, place: Place, node: str | None = None) -> None:
        super().__init__(name, place, node)
        self._engine: Engine | None = None
        self._log: Path | None = None
        self._looking: asyncio.Task[None] | None = None
        self._start_ended = asyncio.Event()
        self._refused: Refused | None = None

    async def start(self, model: Model, environment: dict[str, str]) -> Started | Refused:
        """Start the engine of a model."""
        from lrm.engines.local import start_engine

        os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it to 1, which is not meant for an engine
        os.environ.update(environment)
        descriptor, path = tempfile.mkstemp(prefix="lrm-engine-", suffix=".log")
        os.close(descriptor)
        self._log = Path(path)
        try:
            self._engine = await start_engine(model, log=self._log, say=self._say)
        except LrmError as error:
            self._refused = Refused(f"on {socket.gethostname()}: {error.message}", error.hint)
            return self._refused
        finally:
            self._start_ended.set()
        self._looking = asyncio.create_task(self._look_often())
        return Started(self._engine.device, self._engine.load_s)

    async def open(self, key: str, model: Model, environment: dict[str, str]) -> Refused | None:
        """Open a model under a key, when the engine has started."""
        await self._start_ended.wait()
        return self._refused or await super().open(key, model, environment)

    async def log(self) -> str:
        """Return the end of what the engine printed."""
        if self._log is None:
            return ""
        with suppress(OSError), self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL))
            text = file.read().decode(errors="replace")
            if self._refused is not None:
                self._log.unlink(missing_ok=True)  # nobody ends a worker whose engine did not start
            return text
        return ""

    async def end(self, have: int, *, keep: bool) -> bool:
        """Close everything and free the weights."""
        kept = await super().end(have, keep=keep)
        if self._looking is not None:
            self._looking.cancel()
        if self._engine is not None:
            await self._engine.stop()
        if self._log is not None:
            self._log.unlink(missing_ok=True)
        return kept

    def _backend(self, model: Model) -> Backend:
        if self._engine is None:
            raise ModelError("the engine does not run")
        return self._engine.backend(model)

    def _is_dead(self) -> bool:
        if self._engine is not None and self._engine.died is not None:
            self._died = self._engine.died
            self._bell.set()
        return self._died is not None

    def _say(self, line: str) -> None:
        self._said.append(line)
        self._bell.set()

    async def _look_often(self) -> None:
        assert self._engine is not None
        while not self._is_dead():
            load = self._engine.load
            if load != self._load:
                self._load = load
                self._bell.set()
            await asyncio.sleep(LOAD_S)
