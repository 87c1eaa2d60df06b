"""Waiting for an engine that starts: not for ever, and nothing is left of one that does not come up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Literal, Protocol

from lrm.engines.engine import Settings
from lrm.errors import ModelError


class Stopping(Protocol):
    """What can be ended."""

    async def stop(self) -> None:
        """End it, with everything that it started."""
        ...


async def until_up(
    engine: Stopping, up: Awaitable[None], settings: Settings, log: Path, *, what: Literal["loaded", "served"]
) -> None:
    """Wait for `up`; end the engine where that fails, takes longer than it may, or is cancelled.

    Raises ModelError for one that takes longer, and what `up` raises.
    """
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await up
    except TimeoutError as error:
        await engine.stop()
        raise ModelError(
            f"`{settings.checkpoint}` was not {what} within {settings.start_timeout_s:g} s; its log is {log}",
            hint="raise `vllm.start_timeout_s`, or look into the log for what it waits for",
        ) from error
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(engine.stop()))
        raise
