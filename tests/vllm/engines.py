"""Models, calls and engines for the tests of this folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from lrm import hashing
from lrm.backends.base import Call, Reply
from lrm.engines.checkpoint import files_of
from lrm.engines.process import ProcessEngine, start_process
from lrm.engines.settings import settings_of
from lrm.registry.models import Model, Sampling
from lrm.registry.vllm import Vllm

CONTEXT = 512
HOW: dict[str, Any] = {"max_model_len": CONTEXT, "max_num_seqs": 32, "enforce_eager": True}
Declares = Callable[..., Model]


def model(checkpoint: Path, **more: Any) -> Model:
    """Return a model of a checkpoint in a folder; `vllm` is laid over what all of them have."""
    how = Vllm(**{**HOW, **more.pop("vllm", {})})
    sampling = Sampling(**{"temperature": 0.8, "max_tokens": 24, **more.pop("sampling", {})})
    return Model(
        backend="vllm", model=str(checkpoint), dtype="float32", vllm=how, sampling=sampling, **more
    )  # fmt: skip


def call(text: str = "What is 3 + 4?", *, replicate: int = 0, begun: str | None = None, raw: bool = False) -> Call:
    """Return a call: a conversation, one whose reply begins with `begun`, or a whole prompt."""
    messages = [{"role": "raw" if raw else "user", "content": text}]
    if begun is not None:
        messages.append({"role": "assistant", "content": begun})
    said = hashing.canonical(messages).decode()
    return Call(hashlib.sha256(f"{said}{replicate}".encode()).digest(), said, replicate)


@contextlib.asynccontextmanager
async def running(declared: Model, log: Path) -> AsyncIterator[ProcessEngine]:
    """Start a model's engine, and stop it at the end."""
    started = await start_process(settings_of(declared), files_of(declared), log=log, say=lambda _: None)
    try:
        yield started
    finally:
        await started.stop()


def payload(reply: Reply) -> Any:
    """Return a reply's payload."""
    return json.loads(reply.raw)


def choice(reply: Reply) -> Any:
    """Return the only choice of a reply's payload."""
    return payload(reply)["choices"][0]


def text(reply: Reply) -> str:
    """Return the text that the model wrote."""
    content: str = choice(reply)["message"]["content"]
    return content


def sent(reply: Reply) -> Any:
    """Return what was effectively asked."""
    assert reply.sent is not None
    return json.loads(reply.sent)
