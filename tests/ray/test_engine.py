"""An engine on two nodes: replicas that share the calls, one of them killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from lrm.backends.base import Reply
from lrm.errors import ModelError
from lrm.ray.engine import RayEngine
from tests.ray.driving import ask_all, calls, executing
from tests.ray.test_workers import until

for name in ("vllm", "torch", "transformers"):
    pytest.importorskip(name, reason=f"{name} is not installed here: `make test-ray` runs these tests")


async def test_replicas_share_calls_and_outlive_one_another(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import tiny_model
    from tests.vllm import engines

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    model = engines.model(tiny_model.make(tmp_path / "tiny"), sampling={"max_tokens": 200, "temperature": 0})
    said: list[str] = []
    async with executing(address, tmp_path) as executor:
        engine = await executor.start(model, log=tmp_path / "engine.log", say=said.append)
        assert isinstance(engine, RayEngine)
        assert engine.device is not None
        backend = engine.backend(model)
        workers = engine.fleet.workers
        before = await ask_all(backend, calls(model, 20), at_once=20)
        await until(lambda: len([one for one in workers if one.opened]) == 2, seconds=300)
        asking = asyncio.create_task(ask_all(backend, calls(model, 60), at_once=30))
        await until(lambda: all(one.in_flight for one in workers))
        victim = workers[0].hello
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        after = await asking
        engine_processes = [one.hello.pid for one in workers if one.hello is not None]
        await engine.stop()
        assert engine.died is None
    assert all(isinstance(reply, Reply) for reply in (*before, *after)), after
    # Without chance, replicas give the same.
    assert [reply.raw for reply in before if isinstance(reply, Reply)] == [
        reply.raw for reply in after[:20] if isinstance(reply, Reply)
    ]
    assert any("died" in line for line in said)
    assert not any(lives(pid) for pid in engine_processes)
    assert "process" in (tmp_path / "engine.log").read_text(encoding="utf-8")


def lives(pid: int) -> bool:
    """Return whether a process is there."""
    return Path(f"/proc/{pid}").exists()


async def test_an_engine_that_does_not_start_says_why(address: str, tmp_path: Path) -> None:
    from tests.vllm import engines

    async with executing(address, tmp_path) as executor:
        with pytest.raises(ModelError, match="nowhere"):
            await executor.start(engines.model(tmp_path / "nowhere"), log=tmp_path / "log", say=lambda _: None)
