"""A server of vLLM's that lrm starts: it gives what the engine in a process gives, and nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from lrm.backends.base import CallFailure, Reply
from lrm.backends.http import HttpBackend
from lrm.engines.checkpoint import files_of
from lrm.engines.process import ProcessEngine
from lrm.engines.server import ServerEngine, start_server
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model
from tests.vllm.engines import CONTEXT, Declares, call, choice, payload, sent
from tests.vllm.processes import alive, below, command_line, told, until

SERVER = "vllm-server"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(declares: Declares, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerEngine]:
    """Return a server of the tiny checkpoint; the last test of this module kills it."""
    declared = declares(engine=SERVER)
    log = tmp_path_factory.mktemp("server") / "server.log"
    started = await start_server(settings_of(declared), files_of(declared), log=log, say=lambda _: None)
    try:
        yield started
    finally:
        await started.stop()
        await started.stop()


def family(server: ServerEngine) -> set[int]:
    """Return the processes of a server."""
    return told(f"--port={urlsplit(server.endpoint).port}")


def written(reply: Reply) -> str:
    """Return the text of a reply to a conversation or to a whole prompt."""
    one = choice(reply)
    said: str = one["message"]["content"] if "message" in one else one["text"]
    return said


async def test_it_gives_the_texts_of_the_engine_in_a_process(
    server: ServerEngine, engine: ProcessEngine, declares: Declares
) -> None:
    declared = declares()
    calls = [call(f"What is {number} + 2?", replicate=number % 2) for number in range(6)]
    calls += [call("Say it.", begun="<think>\nLet me"), call("What is", raw=True)]
    there, here = server.backend(declares(engine=SERVER)), engine.backend(declared)
    by_http, by_engine = [await asyncio.gather(*(backend.ask(one) for one in calls)) for backend in (there, here)]
    assert [written(one) for one in by_http] == [written(one) for one in by_engine]
    for one, other in zip(by_http, by_engine, strict=True):
        assert choice(one)["token_ids"] == choice(other)["token_ids"]
        assert choice(one)["finish_reason"] == choice(other)["finish_reason"]
        assert one.usage.input_tokens == other.usage.input_tokens
        assert sent(one) == {name: sent(other)[name] for name in ("prompt", "seed", "max_tokens")}
    assert payload(by_http[0])["prompt_token_ids"] == payload(by_engine[0])["prompt_token_ids"]
    assert payload(by_http[0])["model"] == declared.model
    await there.close()
    assert server.died is None


async def test_without_a_declared_length_both_ways_fill_the_context(server: ServerEngine, declares: Declares) -> None:
    endless = {"sampling": {"max_tokens": None}, "extra_body": {"ignore_eos": True}}
    backend = server.backend(declares(engine=SERVER, **endless))
    for one in (call("1" * (CONTEXT - 40)), call("1" * (CONTEXT - 40), raw=True)):
        assert payload(await backend.ask(one))["usage"]["total_tokens"] == CONTEXT
    await backend.close()


async def test_what_does_not_fit_fails_alone(server: ServerEngine, declares: Declares) -> None:
    backend = server.backend(declares(engine=SERVER))
    fits, long, full = await asyncio.gather(
        backend.ask(call()), backend.ask(call("What is 3 + 4? " * 200)), backend.ask(call("1" * (CONTEXT - 30))),
        return_exceptions=True,
    )  # fmt: skip
    await backend.close()
    assert isinstance(fits, Reply)
    for failure in (long, full):
        assert isinstance(failure, CallFailure)
        assert failure.kind == "context_too_long"
        assert not failure.transient
    assert "max_tokens = 24" in str(full)


async def test_nobody_else_can_ask_it_and_the_key_is_nowhere_to_be_read(server: ServerEngine) -> None:
    key = server.key
    assert key is not None
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server.endpoint}/chat/completions", json={}) as refused:
            assert refused.status == 401
        async with session.get(f"{server.endpoint}/models", headers={"Authorization": "Bearer x"}) as refused:
            assert refused.status == 401
    assert len(family(server)) >= 3
    assert not [pid for pid in family(server) if key in command_line(pid)]
    printed = await asyncio.to_thread(server.log.read_text, encoding="utf-8", errors="replace")
    assert printed
    assert key not in printed


async def test_a_declaration_of_the_running_server_gets_the_same(
    server: ServerEngine, declares: Declares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRM_TEST_SERVER_KEY", str(server.key))
    here = declares(engine=SERVER)
    there = Model.model_validate(
        {
            "backend": "vllm", "model": here.model, "endpoint": server.endpoint, "api_key_env": "LRM_TEST_SERVER_KEY",
            "sampling": here.sampling.model_dump(),
        }
    )  # fmt: skip
    replies = []
    for backend in (server.backend(here), HttpBackend(there)):
        replies.append(await backend.ask(call("the same")))
        await backend.close()
    assert choice(replies[0])["token_ids"] == choice(replies[1])["token_ids"]


async def test_it_says_where_it_runs_and_what_it_did(server: ServerEngine, declares: Declares) -> None:
    backend = server.backend(declares(engine=SERVER, sampling={"max_tokens": 400}, extra_body={"ignore_eos": True}))
    assert server.device is not None
    assert server.device.vllm
    assert server.load_s > 0
    before = server.load.output_tokens
    while server.load.output_tokens < before + 400:  # it is asked once a second
        await backend.ask(call())
    await backend.close()
    assert server.load.prompt_tokens > 0
    assert server.load.running is not None
    assert server.load.cache is not None


async def test_one_that_does_not_start_says_why_and_leaves_nothing(declares: Declares, tmp_path: Path) -> None:
    declared = declares(engine=SERVER, vllm={"arguments": {"no_such_thing": 3}})
    before = below()
    with pytest.raises(ModelError) as caught:
        await start_server(settings_of(declared), files_of(declared), log=tmp_path / "log", say=lambda _: None)
    assert "--no-such-thing=3" in caught.value.message
    assert "vllm.arguments" in (caught.value.hint or "")
    assert below() <= before


async def test_a_start_that_is_cancelled_leaves_nothing(declares: Declares, tmp_path: Path) -> None:
    declared = declares(engine=SERVER)
    before = below()
    starting = asyncio.ensure_future(
        start_server(settings_of(declared), files_of(declared), log=tmp_path / "log", say=lambda _: None)
    )
    await until(lambda: len(below() - before) >= 2)
    begun = below() - before
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(begun)
    assert below() <= before


async def test_when_it_dies_calls_in_flight_fail_and_it_says_why(server: ServerEngine, declares: Declares) -> None:
    backend = server.backend(declares(engine=SERVER))
    assert isinstance(await backend.ask(call("first?")), Reply)
    processes = family(server)
    (core,) = (pid for pid in processes if "EngineCore" in command_line(pid))
    # A stopped engine answers nothing, so that what is asked now is in flight on a machine of any speed.
    os.kill(core, signal.SIGSTOP)
    asked = [asyncio.ensure_future(backend.ask(call(f"{number}?"))) for number in range(40)]
    await asyncio.sleep(1)
    os.kill(core, signal.SIGKILL)
    outcomes: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
    await server.ended()
    assert {one.kind for one in outcomes} <= {"connection", "server"}
    assert all(one.transient for one in outcomes)
    assert server.died is not None
    assert "ended without a word" in server.died
    with pytest.raises(CallFailure, match="the server died"):
        await backend.ask(call("again"))
    await backend.close()
    with pytest.raises(ModelError, match="ended without a word"):
        server.backend(declares(engine=SERVER))
    assert not alive(processes)
