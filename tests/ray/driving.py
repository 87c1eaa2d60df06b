"""Asks by an executor on Ray, here or in a process that can be killed.

python -m tests.ray.driving     reads one line of JSON: the fields of `Given`, and fills
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lrm import hashing
from lrm.backends.base import Backend, Call, CallFailure, Reply
from lrm.ray.actors import Worker
from lrm.ray.executor import RayExecutor
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id
from lrm.run import executors, session
from lrm.run.executors import OnRay
from lrm.run.fill import fill
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders

ROOT = Path(__file__).resolve().parents[2]


def calls(model: Model, count: int) -> list[Call]:
    """Return calls of a model with messages of their own."""
    made, identity = [], model_id(model)
    for n in range(count):
        messages = hashing.canonical([{"role": "user", "content": f"prompt {n}"}]).decode()
        made.append(Call(hashing.call_id(identity, hashing.messages_text_id(messages), 0), messages, 0))
    return made


@asynccontextmanager
async def executing(
    address: str | None,
    folder: Path,
    worker: type[Worker] = Worker,
    *,
    hidden: bool = False,
    said: list[str] | None = None,
) -> AsyncIterator[RayExecutor]:
    """Give an executor. `hidden`: its workers do not see this process's disk."""
    heard = [] if said is None else said
    executor = RayExecutor(address, Catalog(folder / "catalog.duckdb"), "r1", heard.append, worker=worker)
    if hidden:
        executor.place = replace(executor.place, nonce=executor.place.nonce[::-1])
    try:
        yield executor
    finally:
        await executor.close()


async def ask_all(backend: Backend, asked: Sequence[Call], *, at_once: int) -> list[Reply | CallFailure]:
    """Ask calls, so many at the same time; return what came of each."""
    gate = asyncio.Semaphore(at_once)

    async def one(call: Call) -> Reply | CallFailure:
        async with gate:
            try:
                return await backend.ask(call)
            except CallFailure as failure:
                return failure

    return list(await asyncio.gather(*(one(call) for call in asked)))


async def ask_one(backend: Backend, call: Call) -> Reply | CallFailure:
    """Ask one call; return what came of it."""
    return (await ask_all(backend, [call], at_once=1))[0]


def http(url: str, behaviour: str = "ok", **fields: Any) -> Model:
    """Return a model behind the test server."""
    return Model.model_validate({"backend": "http", "endpoint": url, "model": behaviour, **fields})


@dataclass(frozen=True, slots=True)
class Given:
    """What a process fills."""

    catalog: str
    url: str
    address: str
    prompts: int
    at_once: int = 8
    worker: str = "Worker"
    hidden: bool = False


def spec_of(given: Given) -> Matrix:
    """Return one model behind the test server, each prompt once."""
    return builders.matrix(
        [builders.http_model(given.url, "served", limits={"max_in_flight": given.at_once})],
        [builders.prompt_set("set", [f"prompt {n}" for n in range(given.prompts)])],
        judges=[builders.judge()],
    )


@contextmanager
def driving(given: Given) -> Iterator[subprocess.Popen[str]]:
    """Have another process fill while the block runs; it is killed at the end if it still does."""
    command = [sys.executable, "-m", "tests.ray.driving"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(given)) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def carry_out(given: Given) -> None:
    """Fill, by workers of the class that is given."""
    from tests.ray import workers

    opened = executors.open_executor

    def open_executor(*arguments: Any) -> Any:
        executor: Any = opened(*arguments)
        executor.worker = getattr(workers, given.worker)
        if given.hidden:
            executor.place = replace(executor.place, nonce=executor.place.nonce[::-1])
        return executor

    session.open_executor = open_executor  # type: ignore[assignment,attr-defined]
    fill(spec_of(given), Catalog(Path(given.catalog)), executor=OnRay(given.address))


if __name__ == "__main__":
    carry_out(Given(**json.loads(sys.stdin.readline())))
