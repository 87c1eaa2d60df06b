"""A server of vLLM's that lrm starts, asks over HTTP and ends with everything that it started."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from lrm.backends.base import Backend, Call, CallFailure, Reply, raw_prompt
from lrm.backends.http import HttpBackend
from lrm.backends.seeds import seed_of
from lrm.backends.vllm import timeout_of
from lrm.engines import flags, ports
from lrm.engines.engine import Device, Load, Settings
from lrm.engines.faults import Fault, why
from lrm.engines.gpus import Gpus
from lrm.engines.launch import Child, launch
from lrm.engines.metrics import load_of
from lrm.engines.starting import until_up
from lrm.errors import ModelError
from lrm.registry.models import Model
from lrm.traces.split import parse_payload

if TYPE_CHECKING:
    import aiohttp

    from lrm.engines.checkpoint import Files

LOOK_S = 1.0
"""Seconds between two looks at what it is doing, and at whether it is up."""
_UNREAD_S = 5.0
"""Seconds after which a load that nobody reads is not asked for any more."""
_ANSWER_S = 5.0
"""Seconds for one look."""
_LONGEST_S = 86_400.0
"""Seconds for a call where nothing is declared: it may wait long in the server's queue."""
_PORTS = 3
"""Ports that are tried: another program may take one between the look and the start."""


async def start_server(settings: Settings, files: Files, *, log: Path, say: Callable[[str], None]) -> ServerEngine:
    """Start a server on a free port of this machine and return it when it can be asked.

    The key that it asks for is made for this run and kept in memory. Raises ModelError, with what its log says, where it does
    not start. Cancelling it leaves nothing behind.
    """
    key = secrets.token_urlsafe(32)
    for left in reversed(range(_PORTS)):
        place = Place(ports.LOOPBACK, ports.free_port(), key)
        try:
            return await started(settings, files, place, log=log, say=say)
        except NotStartedError as error:
            if error.fault.kind != "port" or not left:
                raise
    raise AssertionError("unreachable")


class NotStartedError(ModelError):
    """A server ended before it could be asked."""

    def __init__(self, settings: Settings, fault: Fault, log: Path) -> None:
        super().__init__(
            f"`{settings.checkpoint}` cannot be served: {fault.sentence}", hint=fault.hint or f"its log is {log}"
        )
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens."""

    host: str
    port: int
    key: str | None = field(repr=False)
    """What it asks for; None where it asks for nothing."""

    def url(self, path: str) -> str:
        """Return the URL of a path, as this machine reaches it."""
        return ports.url(self.host, self.port, path)


async def started(
    settings: Settings, files: Files, place: Place, *, log: Path, say: Callable[[str], None]
) -> ServerEngine:
    """Start a server at a place and return it when it can be asked. As `start_server` otherwise."""
    began = time.monotonic()
    arguments: dict[str, Any] = orjson.loads(settings.arguments)
    adapter = flags.adapter_name(arguments)
    argv = flags.command(arguments, files, name=settings.checkpoint, host=place.host, port=place.port)
    child = await launch(argv, log=log, env=flags.environment(arguments, key=place.key))
    engine = ServerEngine(settings, child, place, asked_as=adapter or settings.checkpoint)
    await until_up(engine, engine.until_up(), settings, log, what="served")
    engine.load_s = time.monotonic() - began
    on = "" if engine.device is None else f" on {engine.device.name}"
    say(f"{settings.label}: served{on} after {engine.load_s:.0f} s")
    return engine


class ServerEngine:
    """A server of vLLM's that runs (`lrm.engines.engine.Engine`). Belongs to one event loop."""

    def __init__(self, settings: Settings, child: Child, place: Place, *, asked_as: str) -> None:
        """Take over a server that was just started. `asked_as`: the model's name in a request."""
        self.settings = settings
        self.device: Device | None = None
        self.load_s = 0.0
        self.asked_as = asked_as
        self._child = child
        self._place = place
        self._gpus = Gpus(0 if flags.on_cpu() else settings.gpus)
        self._load = Load()
        self._counted = (0, 0)
        self._read = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._died: str | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._watching = asyncio.create_task(self._watch())
        self._room: int | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """The base URL of its API, as this machine reaches it."""
        return self._place.url("/v1")

    @property
    def key(self) -> str | None:
        """The key that it asks for; None where it asks for none."""
        return self._place.key

    @property
    def log(self) -> Path:
        """The file that takes what it prints."""
        return self._child.log

    @property
    def load(self) -> Load:
        """What it is doing, as it said last; it is asked about once a second while somebody reads this.

        Tokens of calls that were answered since are counted.
        """
        self._read = time.monotonic()
        if (self._looking is None or self._looking.done()) and self._running and self.load_s:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        said, (prompt, output) = self._load, self._counted
        return replace(
            said, prompt_tokens=max(said.prompt_tokens, prompt), output_tokens=max(said.output_tokens, output)
        )

    def count(self, reply: Reply) -> None:
        """Count the tokens of a call that was answered."""
        prompt, output = self._counted
        self._counted = (prompt + (reply.usage.input_tokens or 0), output + (reply.usage.output_tokens or 0))

    @property
    def died(self) -> str | None:
        """Why it does not run any more, in a sentence; None while it does, and after `stop`."""
        return self._died

    @property
    def _running(self) -> bool:
        return self._died is None and self._stopping is None

    def backend(self, model: Model) -> Backend:
        """Return what asks a model whose settings are the engine's. Raises ModelError where the server does not run."""
        if not self._running:
            raise ModelError(f"`{self.settings.checkpoint}` is not served: {self._died or 'the server was stopped'}")
        limits = model.limits.model_copy(update={"timeout_s": timeout_of(model) or _LONGEST_S})
        there = model.model_copy(
            update={"endpoint": self.endpoint, "model": self.asked_as, "api_key_env": None, "limits": limits}
        )
        return _ServerBackend(self, HttpBackend(there, key=self._place.key, room=self._room), there, self._room)

    async def until_up(self) -> None:
        """Wait until it answers. Raises NotStartedError, with the reason, where it ends before."""
        while not await self._is_up():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._watching), LOOK_S)
            if self._watching.done():
                fault = await asyncio.to_thread(why, self._child.said(), self._child.returncode)
                raise NotStartedError(self.settings, fault, self._child.log)
        version = flags.installed()
        name = "CPU" if flags.on_cpu() else self._gpus.name
        if version is not None and name is not None:
            self.device = Device(name, 0 if flags.on_cpu() else self.settings.gpus, version)

    async def ended(self) -> None:
        """Wait until it has ended, by itself or by `stop`."""
        await asyncio.shield(self._watching)

    async def why_gone(self, failure: CallFailure) -> CallFailure:
        """Return what a call's failure was, with the reason where it is that the server has gone."""
        if self._stopping is not None:
            return CallFailure("connection", "the server was stopped")
        if failure.kind in ("connection", "server") and self._died is None:
            # An engine that dies says so, or its connections break, some moments before the server has ended.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._watching), LOOK_S)
        return failure if self._died is None else CallFailure("connection", f"the server died: {self._died}")

    async def stop(self) -> None:
        """Free the weights, with all processes that hold them. May be called again."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._session is not None:
            await self._session.close()
        await self._child.kill_tree()
        await self._watching

    async def _watch(self) -> None:
        """Wait for the end of the process, and find out why it ended where nobody asked for it."""
        status = await self._child.wait()
        if self._stopping is None:
            self._died = (await asyncio.to_thread(why, self._child.said(), status)).sentence
            self._load = Load()

    async def _is_up(self) -> bool:
        """Whether the server that was started answers: what listens there knows the key and has the model."""
        text = await self._get("/v1/models")
        if text is None:
            return False
        with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError):
            there = orjson.loads(text)["data"]
            self._room = next((one["max_model_len"] for one in there if one.get("max_model_len")), None)
            return any(one["id"] == self.asked_as for one in there)
        return False

    async def _look(self) -> None:
        """Ask what it is doing, again and again until nobody reads it."""
        while self._running and time.monotonic() - self._read < _UNREAD_S:
            text = await self._get("/metrics")
            if text is not None and self._running:
                self._load = load_of(text, self._gpus.read())
            await asyncio.sleep(LOOK_S)

    async def _get(self, path: str) -> str | None:
        """Return the text of a page of the server; None where there is none."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))
        headers = {} if self._place.key is None else {"Authorization": f"Bearer {self._place.key}"}
        try:
            async with self._session.get(self._place.url(path), headers=headers, allow_redirects=False) as response:
                return await response.text() if response.status == 200 else None
        except (aiohttp.ClientError, OSError, UnicodeDecodeError):
            return None


class _ServerBackend:
    """Asks a model of a server. Closing it leaves the server running."""

    def __init__(self, engine: ServerEngine, http: HttpBackend, model: Model, room: int | None) -> None:
        self._engine = engine
        self._http = http
        self._model = model
        self._room = room
        body = model.extra_body
        self._wanted = body.get("max_completion_tokens") or body.get("max_tokens") or model.sampling.max_tokens

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call; raises CallFailure. One attempt."""
        if self._engine.died is not None:
            # Nobody knows who listens there now.
            raise CallFailure("connection", f"the server died: {self._engine.died}")
        try:
            reply = await self._http.ask(call)
        except CallFailure as failure:
            raise await self._engine.why_gone(failure) from failure
        self._engine.count(reply)
        self._check_room(reply)
        return replace(reply, sent=self._sent(call, reply))

    def _check_room(self, reply: Reply) -> None:
        """Raise CallFailure where the reply could not have had the length that is declared.

        The server shortens it without a word; the engine itself is not asked for such a call, so it fails alike.
        """
        prompt, wanted = reply.usage.input_tokens, self._wanted
        if self._room is None or prompt is None or not isinstance(wanted, int) or prompt + wanted <= self._room:
            return
        raise CallFailure(
            "context_too_long",
            f"the prompt has {prompt} tokens, and with max_tokens = {wanted} that is more than the {self._room} tokens of the "
            "context",
        )

    def _sent(self, call: Call, reply: Reply) -> str | None:
        """Return what was effectively asked, as the engine in a process tells it; None where the prompt is not known."""
        raw = raw_prompt(call.messages)
        prompt = (parse_payload(reply.raw) or {}).get("prompt_text") if raw is None else orjson.loads(raw)
        if prompt is None:
            return None
        most = self._wanted
        if most is None and self._room is not None and reply.usage.input_tokens is not None:
            most = self._room - reply.usage.input_tokens
        seed = self._model.extra_body.get("seed", seed_of(self._model, call))
        return orjson.dumps({"prompt": prompt, "seed": seed, "max_tokens": most}).decode()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
