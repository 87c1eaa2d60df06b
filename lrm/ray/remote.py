"""What the driver knows of a worker, and of the calls that are on their way."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lrm.backends.base import Call, Reply
from lrm.engines.engine import Load
from lrm.ray.wire import Hello, Refused

SAID = 120
"""Characters of an error of Ray's that are shown."""


@dataclass(eq=False, slots=True)
class Asked:
    """A call on its way."""

    ticket: int
    key: str
    call: Call
    attempts: int
    future: asyncio.Future[Reply]
    worker: Remote | None = None
    deaths: int = 0


@dataclass(eq=False, slots=True)
class Remote:
    """A worker, as the driver sees it."""

    name: str
    actor: Any
    hello: Hello | None = None
    opened: set[str] = field(default_factory=set)
    """Keys of models that it can be asked."""
    refused: dict[str, Refused] = field(default_factory=dict)
    in_flight: dict[int, Asked] = field(default_factory=dict)
    batches: deque[tuple[float, int]] = field(default_factory=deque)
    """(monotonic seconds, serial) of those that are not confirmed."""
    have: int = 0
    """Serial of the last batch."""
    confirmed: int = 0
    unclaimed: bool = False
    """Whether it sent a reply that nobody waited for any more: its spool stays."""
    gave_up: bool = False
    """Whether it was told to give up a call, which it may have had a reply to."""
    load: Load | None = None
    task: asyncio.Task[None] | None = None


class EngineDied(Exception):  # noqa: N818 - what a worker says, not what a caller is told
    """A worker's engine does not run any more."""


def explained(error: BaseException) -> Refused:
    """Return what a worker's death was, in a line."""
    if isinstance(error, EngineDied):
        return Refused(str(error), None)
    said = str(error)
    if "No module named 'lrm" in said or "No module named 'orjson" in said:
        return Refused(
            "lrm is not installed on the nodes of the Ray cluster",
            "install the same version there, in the environment that `ray start` runs in",
        )
    first = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    return Refused(f"{type(error).__name__}: {first}"[:SAID], None)


async def whatever(ref: Any) -> None:
    """Wait for a call of a worker's method, whatever comes of it."""
    with suppress(Exception):
        await ref
