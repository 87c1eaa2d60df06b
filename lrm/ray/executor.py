"""Carries out a fill's calls on a Ray cluster: APIs from workers spread over its nodes, engines where there is room.

Only the driver, which is the fill's own process, writes the catalog and the journal, and only it decides what is asked
again.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lrm.backends.base import Backend, Call, Reply
from lrm.backends.open import check_model
from lrm.engines.engine import Engine
from lrm.errors import CatalogError, ModelError
from lrm.ray.actors import CONCURRENCY, EngineWorker, Worker
from lrm.ray.cluster import Cluster, connect
from lrm.ray.fleet import Fleet
from lrm.ray.remote import Remote
from lrm.ray.spool import NODES, NONCE
from lrm.ray.wire import Place
from lrm.registry.declarations import Model
from lrm.store.catalog import Catalog

MOST_WORKERS = 32
"""Workers for APIs, at most."""
CPUS_EACH = 2
"""CPUs for one worker for APIs: litellm takes 2.4 ms of one for a call."""


@dataclass(slots=True)
class RayExecutor:
    """The executor of `--executor ray`."""

    address: str | None
    """As `ray.init` takes it; None: the cluster that RAY_ADDRESS names, else one started on this machine."""
    catalog: Catalog
    run: str
    say: Callable[[str], None]
    worker: type[Worker] = Worker
    engine_worker: type[EngineWorker] = EngineWorker
    cluster: Cluster = field(init=False)
    place: Place = field(init=False)
    kept: bool = False
    """Whether spools of an engine's workers stay."""
    _fleet: Fleet | None = None
    _opened: int = 0
    _engines: int = 0

    def __post_init__(self) -> None:
        """Connect. Raises ModelError where that is not possible, CatalogError where the spool's folder cannot be written."""
        folder = self.catalog.spool_folder / self.run
        self.cluster = connect(self.address)
        self.place = Place(self.run, str(folder), secrets.token_hex(16))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / NONCE).write_text(self.place.nonce, encoding="utf-8")
        except OSError as error:
            raise CatalogError(f"{folder} cannot be written: {error.strerror or error}") from error

    def open(self, model: Model) -> Backend:
        """Return the backend of a model that needs no engine. Raises ModelError."""
        lacking = check_model(model)
        if lacking is not None:
            raise ModelError(lacking)
        self._opened += 1
        key = str(self._opened)
        fleet = self._apis()
        fleet.open(key, model)
        return RayBackend(fleet, key)

    async def start(self, model: Model, *, log: Path, say: Callable[[str], None]) -> Engine:
        """Start the engine of a model, as often as the cluster has room for. Raises ModelError where it does not start."""
        from lrm.ray.engine import start_engines

        return await start_engines(self, model, log=log, say=say)

    async def close(self) -> None:
        """End the workers and let go of the cluster."""
        try:
            stays = False if self._fleet is None else await self._fleet.end()
        finally:
            self.cluster.close()
        folder = Path(self.place.folder)
        if not stays and not self.kept:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # unless another run has one

    def _apis(self) -> Fleet:
        """Return the workers that ask APIs, which all models share."""
        if self._fleet is None:
            nodes = self.cluster.nodes()
            cpus = int(sum(node.cpus for node in nodes))
            count = max(1, min(MOST_WORKERS, max(len(nodes), cpus // CPUS_EACH)))

            def spawn(name: str) -> Any:
                number = int(name.removeprefix("w"))
                # Those that replace a lost one go where Ray finds a node that lives.
                where = self.cluster.at(nodes[number % len(nodes)].id, soft=False) if number < count else "SPREAD"
                return self.actor(self.worker, name, num_cpus=0, scheduling_strategy=where)

            self._fleet = Fleet(self.cluster, self.place, self.say, spawn, self.noted)
            self._fleet.grow(count)
        return self._fleet

    def engine_name(self) -> str:
        """Return how the workers of the next engine are called, up to their numbers."""
        self._engines += 1
        return f"e{self._engines}-"

    def actor(self, worker: type[Worker], name: str, **options: Any) -> Any:
        """Begin an actor. It dies with this process, and is never begun again by Ray."""
        made = self.cluster.ray.remote(worker)
        return made.options(max_concurrency=CONCURRENCY, max_restarts=0, **options).remote(name, self.place)

    def noted(self, remote: Remote) -> None:
        """Write down where a worker's spool lies that this machine does not see, for whoever comes after this process."""
        if remote.hello is None or remote.hello.shared:
            return
        line = {"node": remote.hello.node, "host": remote.hello.host, "folder": remote.hello.spool}
        with (Path(self.place.folder) / NODES).open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")


@dataclass(frozen=True, slots=True)
class RayBackend:
    """Carries out calls of one model by a fleet."""

    fleet: Fleet
    key: str

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call; raises CallFailure. Cancelling it gives it up at the worker too."""
        return await self.fleet.ask(self.key, call)

    async def close(self) -> None:
        """Close the model at the workers."""
        await self.fleet.shut(self.key)
