"""vLLM's engine in a process of its own: started, asked over a socket, and ended with everything that it started.

lrm itself never imports vLLM: an engine that dies takes no fill with it, its log says why, and the end of the process frees
the weights. What runs there is `lrm.engines.worker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

import orjson

from lrm.backends.base import Backend, CallFailure
from lrm.engines import frames
from lrm.engines.checkpoint import Files, placed
from lrm.engines.engine import Device, Load, Settings
from lrm.engines.faults import why
from lrm.engines.flags import environment
from lrm.engines.launch import Child, launch
from lrm.engines.starting import until_up
from lrm.errors import ModelError
from lrm.registry.models import Model

STOP_S = 15.0
"""Seconds in which an engine may free its weights by itself before it is ended."""
DESK_S = 60.0
"""Seconds in which it is to have looked at how a model is asked."""


async def start_process(settings: Settings, files: Files, *, log: Path, say: Callable[[str], None]) -> ProcessEngine:
    """Start an engine and return it when it can be asked. Raises ModelError, with what its log says, where it does not.

    Cancelling it leaves nothing behind.
    """
    began = time.monotonic()
    talk, talk_there = socket.socketpair()
    desk, desk_there = socket.socketpair()
    ours, theirs = (talk, desk), (talk_there, desk_there)
    arguments: dict[str, Any] = orjson.loads(settings.arguments)
    argv = (
        sys.executable, "-P", "-m", "lrm.engines.worker", str(talk_there.fileno()), str(desk_there.fileno())
    )  # fmt: skip
    try:
        child = await launch(
            argv, log=log, env=environment(arguments, key=None), pass_fds=tuple(end.fileno() for end in theirs)
        )
    except BaseException:
        for end in ours:
            end.close()
        raise
    finally:
        for end in theirs:
            end.close()
    desk.settimeout(DESK_S)
    engine = ProcessEngine(settings, child, desk)

    async def up() -> None:
        await engine.begin(talk, _start(arguments, files))
        await engine.until_ready()

    await until_up(engine, up(), settings, log, what="loaded")
    engine.load_s = time.monotonic() - began
    if engine.device is not None:
        say(f"{settings.label}: loaded on {engine.device.name} in {engine.load_s:.0f} s")
    return engine


class ProcessEngine:
    """An engine that runs in a process of ours (`lrm.engines.engine.Engine`). Belongs to one event loop."""

    def __init__(self, settings: Settings, child: Child, desk: socket.socket) -> None:
        """Take over a process that was just started, and the socket at which forms are handed in."""
        self.settings = settings
        self.device: Device | None = None
        self.load_s = 0.0
        self._child = child
        self._desk = desk
        self._frames: frames.Frames | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open: dict[int, asyncio.Future[frames.Answered]] = {}
        self._calls = 0
        self._forms = 0
        self._load = Load()
        self._counted = (0, 0, 0)
        self._died: str | None = None
        self._burying: asyncio.Task[None] | None = None
        self._stopped: asyncio.Task[None] | None = None

    @property
    def load(self) -> Load:
        """What it is doing, as it said last; tokens of calls that were answered since are counted."""
        said, here = self._load, self._counted
        return replace(
            said,
            prompt_tokens=max(said.prompt_tokens, here[0]),
            cached_tokens=max(said.cached_tokens, here[1]),
            output_tokens=max(said.output_tokens, here[2]),
        )

    @property
    def died(self) -> str | None:
        """Why it does not run any more, in a sentence; None while it does, and after `stop`."""
        return self._died

    def backend(self, model: Model) -> Backend:
        """Return what asks a model whose settings are the engine's.

        Raises ModelError where the model declares what the engine does not know, or the engine has gone.
        """
        from lrm.backends.vllm import VllmBackend

        return VllmBackend(self, model)

    async def begin(self, talk: socket.socket, start: frames.Start) -> None:
        """Say what is to be loaded."""
        self._frames = await frames.joined(talk, self._heard, self._lost)
        self._frames.send(start)

    async def until_ready(self) -> None:
        """Wait until it can be asked. Raises ModelError, with the reason, where it does not start."""
        await self._ready

    def enter(self, chat: dict[str, Any], raw: dict[str, Any]) -> int:
        """Hand in how a model is asked; return the number of the form. Blocks for some milliseconds. Raises ModelError."""
        if self._died is not None or self._stopped is not None:
            raise ModelError(
                f"the engine of `{self.settings.checkpoint}` does not run: {self._died or 'it was stopped'}"
            )
        self._forms += 1
        try:
            frames.send(self._desk, {"form": self._forms, "chat": chat, "raw": raw})
            verdict = frames.receive(self._desk)
        except OSError as error:
            raise ModelError(f"the engine of `{self.settings.checkpoint}` does not answer: {error}") from error
        if verdict is None:
            raise ModelError(f"the engine of `{self.settings.checkpoint}` has ended; its log is {self._child.log}")
        if verdict["wrong"] is not None:
            raise ModelError(f"model `{self.settings.checkpoint}`: {verdict['wrong']}", hint=verdict["hint"])
        return self._forms

    async def ask(
        self, form: int, *, name: str, messages: str, raw: bool, prefill: bool, seed: int | None
    ) -> frames.Answered:
        """Return what a call gave. Cancelling it takes the call out of the engine's batch. Raises CallFailure."""
        if self._burying is not None:
            await asyncio.shield(self._burying)
        if self._frames is None or self._died is not None or self._stopped is not None:
            raise self._gone()
        self._calls += 1
        n = self._calls
        answer: asyncio.Future[frames.Answered] = asyncio.get_running_loop().create_future()
        self._open[n] = answer
        self._frames.send({
            "do": "ask", "n": n, "form": form, "id": name, "messages": messages, "raw": raw, "prefill": prefill,
            "seed": seed,
        })  # fmt: skip
        try:
            return await answer
        except asyncio.CancelledError:
            self._frames.send({"do": "cancel", "n": n})
            raise
        finally:
            self._open.pop(n, None)

    async def stop(self) -> None:
        """Free the weights, with all processes that hold them. May be called again."""
        if self._stopped is None:
            self._stopped = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopped)

    async def _stop(self) -> None:
        if self._frames is not None:
            self._frames.send({"do": "stop"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), STOP_S if self._ready.done() else 0.0)
            self._frames.close()
        await self._child.kill_tree()
        self._desk.close()
        if self._burying is not None:
            await self._burying
        self._let_go(self._gone())

    def _heard(self, message: frames.Up) -> None:
        if message["do"] == "answered":
            self._count(message)
            answer = self._open.get(message["n"])
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif message["do"] == "failed":
            answer = self._open.get(message["n"])
            if answer is not None and not answer.done():
                answer.set_exception(CallFailure(message["kind"], message["said"]))
        elif message["do"] == "loaded":
            self._load = Load(**message["load"])
        elif message["do"] == "ready":
            self.device = Device(message["name"], message["gpus"], message["vllm"])
            if not self._ready.done():
                self._ready.set_result(None)
        elif message["do"] == "broken":
            self._bury(message["said"], message["hint"])
        elif message["do"] == "dead":
            self._bury(None, None)
        else:
            assert_never(message)

    def _count(self, message: frames.Answered) -> None:
        prompt, cached, output = self._counted
        self._counted = (
            prompt + message["prompt_tokens"],
            cached + message["cached_tokens"],
            output + message["completion_tokens"],
        )

    def _lost(self) -> None:
        self._bury(None, None)

    def _bury(self, said: str | None, hint: str | None) -> None:
        """End what is left of an engine that ended by itself, and say why it did."""
        if self._burying is None and self._stopped is None:
            self._burying = asyncio.create_task(self._buried(said, hint))

    async def _buried(self, said: str | None, hint: str | None) -> None:
        await self._child.kill_tree()
        if said is None:
            fault = why(self._child.said(), self._child.returncode)
            said, hint = fault.sentence, fault.hint
        if not self._ready.done():
            self._ready.set_exception(ModelError(f"`{self.settings.checkpoint}` cannot be loaded: {said}", hint=hint))
            return
        self._died = said
        self._load = Load()
        self._let_go(self._gone())

    def _gone(self) -> CallFailure:
        return CallFailure("server", f"the engine died: {self._died}" if self._died else "the engine was stopped")

    def _let_go(self, failure: CallFailure) -> None:
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(CallFailure(failure.kind, failure.message))


def _start(arguments: dict[str, Any], files: Files) -> frames.Start:
    """Return what the process is told to load: the declared arguments with what `files` found in place of names."""
    told = {name: value for name, value in placed(arguments, files).items() if name not in _APART}
    return {
        "do": "start",
        "name": arguments["model"],
        "arguments": told,
        "adapter": None if files.adapter is None else str(files.adapter),
        "chat_template": None if files.chat_template is None else str(files.chat_template),
    }


_APART = frozenset({"chat_template", "adapter", "batch_invariant", "reasoning_parser"})
"""Arguments that the engine gets in another way, or not at all."""
