"""An executor whose pooling engines are objects of this process: they answer with numbers made of the text.

The engines themselves are tested for real in tests/vllm.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrm.backends.base import Backend, Call, CallFailure, Reply, raw_prompt
from lrm.backends.open import open_backend
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model
from tests.engine_stand_in import Executor, StandIn

LABELS = ["kind", "long"]


def vector(response: str) -> list[float]:
    """Return what the stand-in makes of a response: two numbers."""
    return [float(response.count("e")), float(len(response))]


@dataclass
class Pooled(StandIn):
    """A pooling engine that answers at once."""

    wishes: list[dict[str, Any]] = field(default_factory=list)
    """What each of its backends was opened for."""

    def backend(self, model: Model) -> Backend:
        self.wishes.append(dict(model.extra_body))
        return _Backend(self)


@dataclass
class _Backend:
    engine: Pooled

    async def ask(self, call: Call) -> Reply:
        engine = self.engine
        prompt = raw_prompt(call.messages)
        assert prompt is not None, "a text is sent as a whole prompt"
        told = json.loads(json.loads(prompt))
        engine.asked.append(told["response"])
        await asyncio.sleep(0)
        if engine.dies_after is not None and len(engine.asked) > engine.dies_after:
            engine.died = "out of memory"
        if engine.died is not None:
            raise CallFailure("server", f"the engine died: {engine.died}")
        if "unreadable" in told["response"]:
            return Reply(json.dumps({"unshown": "the tokenizer finds nothing to read in the text", "cut": False}))
        numbers: list[float | None] = [*vector(told["response"])]
        if "broken" in told["response"]:
            numbers[0] = None
        coverage = 0.5 if "cut" in told["response"] else 1.0
        said = {"data": numbers, "labels": LABELS, "tokens": len(told["response"]), "coverage": coverage}
        return Reply(json.dumps(said))

    async def close(self) -> None:
        """Leave the engine as it is."""


@dataclass
class PoolingExecutor(Executor):
    """Starts pooling stand-ins, and writes down what was started and stopped, in order."""

    started: list[Pooled] = field(default_factory=list)

    def open(self, model: Model) -> Backend:
        return open_backend(model)

    async def start(self, model: Model, *, log: Path, say: Callable[[str], None]) -> Pooled:
        settings = settings_of(model)
        self.log.append(f"start {settings.label}")
        if model.model in self.refuses:
            raise ModelError(self.refuses[model.model])
        deaths = self.dies_after.get(model.model, [])
        self.started.append(Pooled(settings, self.log, self.asked, deaths.pop(0) if deaths else None))
        return self.started[-1]
