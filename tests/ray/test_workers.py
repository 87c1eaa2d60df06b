"""Workers on two nodes: what crosses, what bounds it, and what a death costs. Counted at a real server."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lrm.backends.base import CallFailure, Reply
from lrm.backends.http import HttpBackend
from lrm.ray.executor import RayExecutor
from lrm.registry.declarations import Model
from tests.ray import workers
from tests.ray.driving import ask_all, ask_one, calls, executing, http
from tests.servers import Server

FAILING = (
    "400", "401", "404", "429", "429-retry-after", "503", "context", "html", "no-choices", "half-body", "error-in-200",
    "no-money",
)  # fmt: skip


def fields(result: Reply | CallFailure) -> Any:
    """Return all that is known of a result."""
    if isinstance(result, Reply):
        return result
    return {name: getattr(result, name) for name in ("kind", "message", "retry_after_s", "status", "quota", "final")}


async def test_what_comes_back_is_what_the_backend_itself_gives(address: str, server: Server, tmp_path: Path) -> None:
    async with executing(address, tmp_path) as executor:
        for behaviour in ("ok", "filter400", "cost", "surrogate", "nul", *FAILING):
            declared = http(server.url, behaviour)
            (call,) = calls(declared, 1)
            local, there = HttpBackend(declared), executor.open(declared)
            assert fields(await ask_one(there, call)) == fields(await ask_one(local, call)), behaviour
            await there.close()
            await local.close()
    assert not (tmp_path / "catalog.duckdb.spool").exists()


async def test_calls_go_to_both_nodes_and_no_more_at_once_than_are_asked(
    address: str, server: Server, tmp_path: Path
) -> None:
    server.order(latency_s=0.005)
    async with executing(address, tmp_path) as executor:
        model = http(server.url)
        backend = executor.open(model)
        await until(lambda: all(one.opened for one in fleet(executor).workers))
        replies = await ask_all(backend, calls(model, 300), at_once=12)
        nodes = {worker.hello.node for worker in fleet(executor).workers if worker.hello is not None}
    assert all(isinstance(reply, Reply) for reply in replies)
    assert len(nodes) == 2
    counted = server.count()
    assert (counted["total"], counted["in_flight_max"] <= 12) == (300, True)


async def test_every_backend_that_needs_no_engine(address: str, server: Server, tmp_path: Path) -> None:
    litellm = {"backend": "litellm", "endpoint": server.url, "model": "hosted_vllm/ok"}
    async with executing(address, tmp_path) as executor:
        for declared in (litellm, {"backend": "simulated", "model": "checkpoint"}):
            model = Model.model_validate(declared)
            replies = await ask_all(executor.open(model), calls(model, 20), at_once=20)
            assert all(isinstance(reply, Reply) for reply in replies), replies[0]
    assert server.total() == 20


async def test_a_cancelled_call_is_given_up_at_the_worker(address: str, server: Server, tmp_path: Path) -> None:
    async with executing(address, tmp_path) as executor:
        model = http(server.url, "hang")
        asking = asyncio.create_task(executor.open(model).ask(calls(model, 1)[0]))
        await until(lambda: server.total() == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: [one["broken"] for one in server.calls().values()] == [1])
    assert server.total() == 1


@pytest.mark.parametrize("hidden", [False, True], ids=["on the driver's disk", "on the node's own disk"])
async def test_what_a_dead_worker_had_written_down_is_asked_of_nobody_again(
    address: str, server: Server, tmp_path: Path, hidden: bool
) -> None:
    (tmp_path / "die").touch()
    async with executing(address, tmp_path, workers.Dying, hidden=hidden) as executor:
        model = http(server.url)
        replies = await ask_all(executor.open(model), calls(model, 60), at_once=60)
        folders = [Path(one.hello.spool) for one in (*fleet(executor)._gone, *fleet(executor).workers) if one.hello]
    assert not (tmp_path / "die").exists()
    assert all(isinstance(reply, Reply) for reply in replies)
    assert server.total() == 60
    assert not any(folder.exists() for folder in folders)


async def test_workers_killed_at_any_moment_cost_what_they_had_in_flight(
    address: str, server: Server, tmp_path: Path
) -> None:
    server.order(latency_s=0.005)
    kills, at_once, count = 3, 16, 400
    async with executing(address, tmp_path) as executor:
        model = http(server.url)
        asking = asyncio.create_task(ask_all(executor.open(model), calls(model, count), at_once=at_once))
        for n in range(1, kills + 1):
            await until(lambda n=n: server.total() > n * 80)
            await until(lambda: any(one.hello for one in fleet(executor).workers))
            victim = next(one.hello for one in fleet(executor).workers if one.hello is not None)
            os.kill(victim.pid, signal.SIGKILL)
        replies = await asking
    assert all(isinstance(reply, Reply) for reply in replies)
    seen = server.calls().values()
    assert len(seen) == count
    assert all(one["finished"] >= 1 for one in seen)
    assert count <= server.total() <= count + kills * at_once


async def test_a_node_that_is_gone_with_its_disk_costs_what_its_worker_had_in_flight(
    address: str, cluster: Any, server: Server, tmp_path: Path
) -> None:
    server.order(latency_s=1.0)
    node = cluster.add_node(num_cpus=2, object_store_memory=128 * 2**20)
    cluster.wait_for_nodes()
    said: list[str] = []
    async with executing(address, tmp_path, hidden=True, said=said) as executor:
        model = http(server.url)
        backend = executor.open(model)
        await until(lambda: len([one for one in fleet(executor).workers if one.opened]) == 3)
        asking = asyncio.create_task(ask_all(backend, calls(model, 30), at_once=30))
        await until(lambda: server.total() == 30)
        there = [one for one in fleet(executor).workers if one.hello.node == node.node_id]
        in_flight = sum(len(one.in_flight) for one in there)
        await asyncio.to_thread(cluster.remove_node, node, allow_graceful=False)
        replies = await asking
    assert [reply for reply in replies if not isinstance(reply, Reply)] == [], said
    assert in_flight > 0
    assert 30 <= server.total() <= 30 + in_flight
    assert any("is gone" in line for line in said)


async def test_a_call_that_kills_workers_is_given_up(address: str, server: Server, tmp_path: Path) -> None:
    async with executing(address, tmp_path, workers.Poisoned) as executor:
        model = http(server.url)
        result = await ask_one(executor.open(model), calls(model, 1)[0])
    assert isinstance(result, CallFailure)
    assert (result.kind, result.transient) == ("internal", False)
    assert "3 workers died" in result.message
    assert server.total() == 0


def fleet(executor: RayExecutor) -> Any:
    """Return the workers that ask APIs."""
    return executor._fleet


async def until(holds: Any, *, seconds: float = 60) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what it waits for is in other processes
            await asyncio.sleep(0.01)
