"""What an engine is: weights in memory, which models that share them are asked through; and who starts engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from lrm.backends.base import Backend
from lrm.registry.models import Model

Kind = Literal["process", "server"]
"""`process`: vLLM's engine in a process of ours; `server`: a server of vLLM's that speaks HTTP."""
DEFAULT_MEMORY = 0.92
"""The share of each GPU's memory that vLLM (0.32) takes where nothing is declared."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is loaded, and how. Models with equal settings share one engine, however differently they are asked."""

    kind: Kind
    checkpoint: str
    """As it is declared: a folder, or an id on the Hub."""
    arguments: str
    """Canonical JSON of the arguments of vLLM's engine, `model` and file paths as declared."""
    gpus: int
    """GPUs that it takes."""
    memory: float
    """Share of each GPU's memory that it takes, in (0, 1]."""
    start_timeout_s: float

    @property
    def label(self) -> str:
        """The checkpoint's name, to be shown."""
        return self.checkpoint.rstrip("/").rpartition("/")[2] or self.checkpoint


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine is doing, as it said last. None is not known, or there is no such thing."""

    running: int | None = None
    """Sequences that are being decoded."""
    waiting: int | None = None
    """Sequences that wait for room in the cache."""
    cache: float | None = None
    """Share of the cache that is in use."""
    prompt_tokens: int = 0
    """Since it started, those found in the cache among them."""
    cached_tokens: int = 0
    """Of these, how many the cache had."""
    output_tokens: int = 0
    memory_used: int | None = None
    """Bytes in use on all its GPUs."""
    memory_total: int | None = None
    """Bytes that its GPUs have."""
    busy: float | None = None
    """How busy its GPUs are, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where an engine runs."""

    name: str
    """As the driver calls it, e.g. `NVIDIA H200`; `CPU` without a GPU."""
    gpus: int
    """GPUs that it takes; 0 without one."""
    vllm: str
    """Version of vLLM."""


class Engine(Protocol):
    """Loaded weights. Belongs to one event loop."""

    settings: Settings
    device: Device | None
    """None where it is not known."""
    load_s: float
    """Seconds that it took to start."""

    @property
    def load(self) -> Load:
        """What it is doing, as it said last."""
        ...

    @property
    def died(self) -> str | None:
        """Why it does not run any more, in a sentence; None while it does, and after `stop`."""
        ...

    def backend(self, model: Model) -> Backend:
        """Return what asks a model whose settings are the engine's. Closing it leaves the engine running.

        Raises ModelError where the model declares what the engine does not know.
        """
        ...

    async def stop(self) -> None:
        """Free the weights, with all processes that hold them. May be called again."""
        ...


class Executor(Protocol):
    """Where calls are carried out: in this process and beside it, or on a cluster."""

    def open(self, model: Model) -> Backend:
        """Return the backend of a model that needs no engine. Raises ModelError."""
        ...

    async def start(self, model: Model, *, log: Path, say: Callable[[str], None]) -> Engine:
        """Start the engine of a model and return it when it can be asked. Cancelling it leaves nothing behind.

        `log` takes what the engine prints. Raises ModelError, with what to do next, where it does not start.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds beside engines."""
        ...
