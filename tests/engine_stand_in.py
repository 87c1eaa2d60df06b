"""An executor whose engines are objects of this process, for tests of when engines are loaded and freed.

The engines themselves are tested for real in tests/vllm.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lrm.backends.base import Backend, Call, CallFailure, Reply
from lrm.engines.engine import Device, Load, Settings
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model


def local(name: str = "org/one", **vllm: object) -> Model:
    """Return a model whose weights lrm loads."""
    return Model.model_validate(
        {"backend": "vllm", "model": name, "vllm": vllm} if vllm else {"backend": "vllm", "model": name}
    )


@dataclass
class StandIn:
    """An engine that answers at once."""

    settings: Settings
    log: list[str]
    asked: list[str]
    """The messages of its calls, in order."""
    dies_after: int | None = None
    device: Device | None = field(default_factory=lambda: Device("stand-in", 1, "0"))
    load_s: float = 2.0
    load: Load = field(default_factory=Load)
    died: str | None = None

    def backend(self, model: Model) -> Backend:
        return _Backend(self)

    async def stop(self) -> None:
        self.log.append(f"stop {self.settings.label}")


@dataclass
class _Backend:
    engine: StandIn

    async def ask(self, call: Call) -> Reply:
        engine = self.engine
        engine.asked.append(call.messages)
        await asyncio.sleep(0)
        if engine.dies_after is not None and engine.load.output_tokens >= engine.dies_after:
            engine.died = "out of memory"
        if engine.died is not None:
            raise CallFailure("server", engine.died)
        engine.load = Load(output_tokens=engine.load.output_tokens + 1)
        said = f"You said: {json.loads(call.messages)[-1]['content']}"
        message = {"role": "assistant", "content": said}
        return Reply(json.dumps({"choices": [{"finish_reason": "stop", "message": message}]}))

    async def close(self) -> None:
        """Leave the engine as it is."""


@dataclass
class Executor:
    """Starts stand-ins, and writes down what was started and stopped, in order."""

    log: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    """Reason by checkpoint."""
    dies_after: dict[str, list[int]] = field(default_factory=dict)
    """Replies after which the engines of a checkpoint die, one after the other."""
    held_back: asyncio.Event | None = None

    def open(self, model: Model) -> Backend:
        raise AssertionError(f"{model.model} was opened without an engine")

    async def start(self, model: Model, *, log: Path, say: Callable[[str], None]) -> StandIn:
        settings = settings_of(model)
        self.log.append(f"start {settings.label}")
        if self.held_back is not None:
            try:
                await self.held_back.wait()
            except asyncio.CancelledError:
                self.log.append(f"cancelled {settings.label}")
                raise
        if model.model in self.refuses:
            raise ModelError(self.refuses[model.model])
        deaths = self.dies_after.get(model.model, [])
        return StandIn(settings, self.log, self.asked, deaths.pop(0) if deaths else None)

    async def close(self) -> None:
        self.log.append("close")
