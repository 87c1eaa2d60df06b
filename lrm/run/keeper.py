"""Keeping what a run receives: in the journal at once, on the disk in small batches, in the catalog now and then.

The rule for a killed process: a response is handed to the operating system before the event loop looks at its sockets
again. What a kill can lose is a call in flight: asked, and its answer not yet read by this process, or read in this turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from lrm.errors import BusyError, LrmError
from lrm.store.journal import Journal, Line

FLUSH_S = 0.1
"""Seconds between two flushes of the journal to the disk."""
MERGE_S = 2.0
"""Seconds between two merges into the catalog, unless a segment is full before."""
SEGMENT_BYTES = 16 * 2**20
"""Bytes at which a segment is closed; a merge's memory is a few times as much."""
MERGE_SHARE = 4
"""A merge is not begun before this many times as long as the last one took; small ones cost the catalog more."""
LAST_TRIES = 3
"""How often the last merge waits for a reader that has the catalog open, before it is left to the next command."""


@dataclass(slots=True)
class Keeper:
    """Takes lines from the event loop. `merge` brings a closed segment into the catalog; it runs in a thread."""

    journal: Journal
    merge: Callable[[Path], None]
    broke: Callable[[LrmError], None]
    """Told of what makes it impossible to go on: a full disk, a catalog that cannot be written."""
    say: Callable[[str], None]
    _at_journal: asyncio.Lock = field(default_factory=asyncio.Lock)
    _closed: deque[Path] = field(default_factory=deque)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _dirty: bool = False
    _write_due: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self) -> None:
        """Begin to flush and merge. Called inside the event loop."""
        self._tasks = [asyncio.create_task(self._flush_often()), asyncio.create_task(self._merge_often())]

    def keep(self, line: Line) -> None:
        """Take a line; it is with the operating system before the event loop waits for anything again."""
        self.journal.append(line)
        self._dirty = True
        if not self._write_due:
            self._write_due = True
            asyncio.get_running_loop().call_soon(self._write)

    async def keep_on_disk(self, line: Line) -> None:
        """Take a line and return when it is on the disk. Raises CatalogError when it cannot be."""
        self.journal.append(line)
        self.journal.write()
        await self._flush()

    async def end(self) -> None:
        """Flush and merge what is left. The journal is closed afterwards."""
        # The tasks end by themselves: a merge that was cancelled would go on in its thread, unseen.
        self._ended.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(LAST_TRIES):
            await self._guard(self._merge_closed(last=True))
            if not self._closed:
                return

    def _write(self) -> None:
        self._write_due = False
        try:
            self.journal.write()
            if self.journal.bytes >= SEGMENT_BYTES:
                self._close_segment()
        except LrmError as error:
            self.broke(error)

    def _close_segment(self, *, last: bool = False) -> None:
        closed = self.journal.close() if last else self.journal.rotate()
        if closed is not None:
            self._closed.append(closed)

    async def _flush_often(self) -> None:
        while not await set_within(self._ended, FLUSH_S):
            if self._dirty:
                self._dirty = False
                await self._guard(self._flush())

    async def _flush(self) -> None:
        async with self._at_journal:
            await asyncio.to_thread(self.journal.flush)

    async def _merge_often(self) -> None:
        ended, pause = time.monotonic(), MERGE_S
        while not await set_within(self._ended, FLUSH_S):
            if not self._closed and time.monotonic() - ended < pause:
                continue
            began = time.monotonic()
            await self._guard(self._merge_closed())
            ended = time.monotonic()
            pause = max(MERGE_S, MERGE_SHARE * (ended - began))

    async def _merge_closed(self, *, last: bool = False) -> None:
        """Merge the segments that are full, or else the one that is being written."""
        async with self._at_journal:
            if last or not self._closed:
                self._close_segment(last=last)
        while self._closed:
            try:
                await asyncio.to_thread(self.merge, self._closed[0])
            except BusyError as error:
                # It stays in the journal: tried again in a while, and at the latest by the next command.
                self.say(f"not merged yet: {error.message}")
                return
            self._closed.popleft()

    async def _guard(self, work: Awaitable[None]) -> None:
        """Await `work`; a failure to store ends the run."""
        try:
            await work
        except LrmError as error:
            self.broke(error)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, or for so many seconds; return whether it is."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
