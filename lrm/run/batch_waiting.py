"""Waiting for a provider's batches: patience with what passes, and what is not believed at once."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import IO, TypeVar

import orjson

from lrm.backends.base import CallFailure
from lrm.backends.batch import BatchApi, BatchState
from lrm.run.keeper import set_within

POLL_FIRST_S = 5.0
POLL_LAST_S = 60.0
POLL_GROWTH = 1.5
"""Seconds between two questions how far a batch is, at first and at last, and by what they grow."""
LONGEST_WAIT_S = 3600.0
"""A provider that asks for a longer pause is asked again after this."""
SETTLE_S = 60.0
"""Seconds that a batch may take from the request that makes it to the provider's list. One that was not listed before and after
them is not there."""
KNOWN_S = 25 * 3600.0
"""Seconds after a batch was made in which a provider that does not know it is not believed: it may be the wrong key."""
CLOCK_S = 3600.0
"""By so many seconds the provider's clock may differ from ours."""
LOOKS = 10
"""How often a batch that has ended and names no file of its responses is looked at, before there is none."""
DOWNLOADS = 3
"""How often a file that ends too early is fetched, before what it holds is all there is."""
ERRORS_SAID = 10
"""Failed questions in a row after which the user is told."""

T = TypeVar("T")


class Unsure(Exception):  # noqa: N818  nothing went wrong: the next run will see
    """It is not known what became of a batch, which stays as it is."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's batches, asked until it answers."""

    api: BatchApi
    name: str
    """The model's, for what is said."""
    say: Callable[[str], None]
    stopping: asyncio.Event

    async def settled(self, key: str, since: float) -> BatchState | None:
        """Return the batch with our key, intended at `since` (Unix time); None where there is none, now and after a while.

        Raises Unsure where that is not known.
        """
        try:
            made = await self._find(key, since)
            if made is None:
                if await set_within(self.stopping, SETTLE_S):
                    raise Unsure
                made = await self._find(key, since)
        except CallFailure as failure:
            if failure.kind == "not_found" and time.time() - since > KNOWN_S:
                return None
            self.say(f"{self.name}: its batches cannot be listed: {failure.message}")
            raise Unsure from failure
        return made

    async def _find(self, key: str, since: float) -> BatchState | None:
        return await self._persist("be listed", lambda: self.api.find(key, since - CLOCK_S))

    async def ended(self, batch: str, since: float) -> BatchState | None:
        """Return a batch, made at `since` (Unix time), when it has ended; None for one that the provider has forgotten.

        Raises Unsure when stopped before, or where it cannot be asked for.
        """
        looks = 0
        for question in itertools.count(1):
            try:
                state = await self._persist("be asked", lambda: self.api.retrieve(batch))
            except CallFailure as failure:
                if failure.kind == "not_found" and time.time() - since > KNOWN_S:
                    return None
                hint = "; is the key of the account that made it?" if failure.kind == "not_found" else ""
                self.say(f"{self.name}: the batch {batch} cannot be followed: {failure.message}{hint}")
                raise Unsure from failure
            looks += state.ended
            if state.ended and (looks == LOOKS or not state.withholds):
                return state
            if await self.pause(question, None):
                raise Unsure
        raise AssertionError("unreachable")

    async def _persist(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer. Raises what is not transient, and Unsure when stopped before."""
        for attempt in itertools.count(1):
            try:
                return await ask()
            except CallFailure as failure:
                if not failure.transient:
                    raise
                if attempt % ERRORS_SAID == 0:
                    self.say(f"{self.name}: its batches cannot {what} at the moment: {failure.message}")
                if await self.pause(attempt, failure):
                    raise Unsure from failure
        raise AssertionError("unreachable")

    async def pause(self, number: int, failure: CallFailure | None) -> bool:
        """Wait before the next question; return whether it was stopped meanwhile."""
        pause: float = min(POLL_FIRST_S * POLL_GROWTH ** min(number - 1, 50), POLL_LAST_S)
        named = (failure.retry_after_s or 0.0) if failure is not None else 0.0
        return await set_within(self.stopping, max(min(named, LONGEST_WAIT_S), pause * random.uniform(0.9, 1.1)))

    async def fetch(self, file_id: str, expected: int, file: IO[bytes]) -> bool:
        """Write a file of the provider's into `file`; return whether the provider has it."""
        for download in range(1, DOWNLOADS + 1):
            try:
                await self._persist("be collected", lambda: self.api.download(file_id, file))
            except CallFailure as failure:
                self.say(f"{self.name}: the provider does not give out the file {file_id}: {failure.message}")
                if failure.kind != "not_found":
                    raise Unsure from failure
                return False
            if await asyncio.to_thread(_is_whole, file, expected):
                break
            if download == DOWNLOADS:
                self.say(
                    f"{self.name}: the file {file_id} ends too early, {DOWNLOADS} times; what it lacks is missing again"
                )
            elif await self.pause(download, None):
                raise Unsure
        file.seek(0)
        return True


def _is_whole(file: IO[bytes], expected: int) -> bool:
    """Return whether a file has as many lines as the provider counts, the last of them a whole one."""
    file.seek(0)
    count, last = 0, b""
    for line in file:
        if line.strip():
            count, last = count + 1, line
    if count < expected:
        return False
    if not last or last.endswith(b"\n"):
        return True
    try:
        orjson.loads(last)
    except orjson.JSONDecodeError:
        return False
    return True
