"""Workers that go wrong at a known moment, by files beside the catalog that tell them to."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from lrm.ray.actors import Worker
from lrm.ray.wire import Batch


class Dying(Worker):
    """Dies as long as the file `die` is there: when all that it was asked is answered and written down, and nothing sent."""

    async def take(self, have: int, confirmed: int) -> Batch:
        flag = beside(self) / "die"
        while flag.exists():
            await asyncio.sleep(0.005)
            if self._ready and not self._tasks:
                flag.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return await super().take(have, confirmed)


class Silent(Worker):
    """Sends nothing."""

    async def take(self, have: int, confirmed: int) -> Batch:
        await asyncio.Event().wait()
        raise AssertionError


class Poisoned(Worker):
    """Dies of every call."""

    async def submit(self, shard: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def beside(worker: Worker) -> Path:
    """Return the catalog's folder."""
    return Path(worker.place.folder).parent.parent
