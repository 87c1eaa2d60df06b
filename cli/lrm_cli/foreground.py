"""Work that stays in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from lrm_cli.output import say

LOOK_S = 0.5
"""Seconds between two looks at a log that is followed."""


class Follower:
    """Shows on stderr what is added to a file."""

    def __init__(self, file: Path) -> None:
        """Begin at what is in it now."""
        self._file = file
        self._at = file.stat().st_size if file.is_file() else 0
        self._rest = b""

    def show(self) -> None:
        """Show the lines that were ended since the last time."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._at)
                new = stream.read()
        except OSError:
            return
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            say(line.decode(errors="replace").rstrip())

    async def run(self) -> None:
        """Show lines as they come, until it is cancelled."""
        while True:
            self.show()
            await asyncio.sleep(LOOK_S)


def run_until_told(work: Coroutine[Any, Any, None], *, follow: Path | None = None) -> bool:
    """Run `work` until it ends by itself, or by Ctrl-C, SIGTERM or SIGHUP, for which it is cancelled and then waited for.

    Return whether it was told to. What is added to the file `follow` meanwhile is shown on stderr. Raises what `work` raises.
    """
    return asyncio.run(_until_told(work, None if follow is None else Follower(follow)))


async def _until_told(work: Coroutine[Any, Any, None], follower: Follower | None) -> bool:
    told = False
    task = asyncio.ensure_future(work)

    def stop() -> None:
        nonlocal told
        if not told:
            told = True
            say("stopping")
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    following = None if follower is None else asyncio.create_task(follower.run())
    try:
        await task
    except asyncio.CancelledError:
        if not told:
            raise
    finally:
        if follower is not None and following is not None:
            following.cancel()
            follower.show()
    return told
