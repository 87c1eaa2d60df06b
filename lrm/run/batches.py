"""A lane that asks by batches: calls go to the provider in files, and their responses are collected when the provider is done.

The steps of a batch, and what a kill at each of them leaves, are in docs/batches.md: rows in the catalog (`intended`), the file
sent, the batch made, its id in the journal (`sent`), the end waited for, the responses kept, the journal told (`collected`).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import IO, Any, TypeVar

from lrm.backends.base import Call, CallFailure, FailureClass, Reply
from lrm.backends.batch import BatchApi, BatchState
from lrm.backends.batch_lines import Line
from lrm.backends.failures import class_of_codes
from lrm.errors import BusyError, CatalogError
from lrm.registry.declarations import Model
from lrm.run.batch_waiting import Provider, Unsure
from lrm.run.feed import Calls
from lrm.store.batches import CallRows, OpenBatch, calls_of, intend, take_over, without_response
from lrm.store.catalog import Catalog
from lrm.store.journal import BatchNote, ModelCard

MOST_CALLS = 50_000
MOST_BYTES = 90_000_000
"""Calls and bytes of one batch: below OpenAI's 50,000 and 200 MB, Azure's 100,000 and 200 MB, and many gateways' 100 MB."""
LINES = 512
"""Lines that are read at a time."""
AMBIGUOUS: frozenset[FailureClass] = frozenset({"server", "timeout", "connection", "bad_payload"})
"""Failures of the request that makes a batch after which it may have been made."""

T = TypeVar("T")


@dataclass(slots=True)
class Draft:
    """A batch in the making: its file of requests, and its calls."""

    endpoint: str
    file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    rows: CallRows = field(default_factory=CallRows)
    size: int = 0

    def has_room(self, line: bytes) -> bool:
        """Return whether a line goes into it."""
        return len(self.rows) < MOST_CALLS and self.size + len(line) < MOST_BYTES

    def add(self, call: Call, line: bytes) -> None:
        """Take a call."""
        self.file.write(line + b"\n")
        self.size += len(line) + 1
        self.rows.add(call)


@dataclass(slots=True)
class BatchLane:
    """One model's part of a run, where the model is declared with `batch = true`. Made inside the event loop."""

    model: Model
    model_id: bytes
    card: ModelCard
    run_id: str
    calls: Calls
    """What is missing and in no open batch."""
    catalog: Catalog
    keep: Callable[[Call, Reply | CallFailure], None]
    """Takes what came of a call; it is in the journal before anything is noted after it."""
    note: Callable[[BatchNote], Awaitable[None]]
    """Appends a line to the journal and returns when it is on the disk."""
    say: Callable[[str], None]
    stopping: asyncio.Event
    """Set when nothing more is to be sent or waited for; what is at the provider stays there."""
    sent: int = 0
    """Calls that this run sent."""
    waiting: int = 0
    """Calls that are at the provider."""
    collected: int = 0
    """Calls whose responses or failures came back."""
    stopped: str | None = None
    """Why the other calls are not sent; None while they are."""
    api: BatchApi = field(init=False)
    _provider: Provider = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _open: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the provider. Raises ModelError where the model cannot be asked by batches."""
        self.api = BatchApi(self.model)
        self._provider = Provider(self.api, self.card["name"], self.say, self.stopping)

    async def run(self) -> None:
        """Collect what earlier runs left, send what is missing, and wait for all of it until it is there or `stopping` is set.

        Raises CatalogError and BusyError; a provider's failures end in `stopped`, and leave calls missing or at the provider.
        """
        try:
            left = await self._stored(take_over, self.catalog, self.run_id, self.model_id)
            for batch in left:
                self._opened(batch.key, batch.calls)
                self._start(self._see_to(batch))
            self._start(self._send_all())
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._tasks.discard(task)
                    task.result()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.api.close()
        if self._open:
            self.say(
                f"{self.card['name']}: {self.waiting:,} calls are at the provider in {len(self._open)} batches, which go on; "
                "the next fill collects them"
            )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _opened(self, key: str, calls: int) -> None:
        self._open[key] = calls
        self.waiting += calls

    def _closed(self, key: str) -> None:
        self.waiting -= self._open.pop(key)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        """Write the missing calls into files, one for each endpoint at a time, and send each that is full."""
        drafts: dict[str, Draft] = {}
        try:
            for number in itertools.count(1):
                call = None if self._over else self.calls.next()
                if call is None:
                    break
                if number % 64 == 0:
                    await asyncio.sleep(0)
                try:
                    endpoint, line = self.api.line(call)
                except CallFailure as failure:
                    self.keep(call, failure)
                    continue
                draft = drafts.get(endpoint)
                if draft is not None and not draft.has_room(line):
                    await self._send(drafts.pop(endpoint))
                    draft = None
                if draft is None:
                    draft = drafts[endpoint] = Draft(endpoint)
                draft.add(call, line)
            while drafts and not self._over:
                await self._send(drafts.popitem()[1])
        except OSError as error:
            raise _no_room(error) from error
        finally:
            for draft in drafts.values():
                draft.file.close()

    @property
    def _over(self) -> bool:
        return self.stopping.is_set() or self.stopped is not None

    async def _send(self, draft: Draft) -> None:
        """Have a file carried out, or say why not; `stopped` is set where the provider refuses it."""
        key = f"lrm-{secrets.token_hex(12)}"
        calls = len(draft.rows)
        since = time.time()
        try:
            await self._stored(intend, self.catalog, self.run_id, key, self.model_id, self.card, draft.rows)
            made = await self._deliver(key, draft, since)
        finally:
            draft.file.close()
        if made is None:
            return
        await self._note(key, "sent", made.id)
        self.sent += calls
        self._opened(key, calls)
        self.say(f"{self.card['name']}: {calls:,} calls sent as the batch {made.id}")
        self._start(self._follow(key, made.id, since))

    async def _deliver(self, key: str, draft: Draft, since: float) -> BatchState | None:
        """Send the file and make the batch; None where there is no batch, or it is not known whether there is."""
        file, calls = None, len(draft.rows)
        draft.rows = CallRows()  # the catalog has them
        for attempt in itertools.count(1):
            asked = False
            try:
                file = file or await self.api.upload(draft.file, key)
                asked = True
                return await self.api.create(file, draft.endpoint, key)
            except CallFailure as failure:
                if asked and failure.kind in AMBIGUOUS:
                    try:
                        made = await self._provider.settled(key, since)
                    except Unsure:
                        self._opened(key, calls)
                        self._give_up(f"it is not known whether a batch was made: {failure.message}")
                        return None
                    if made is not None:
                        return made
                transient = failure.transient and attempt < self.model.limits.max_attempts
                if not transient or await self._provider.pause(attempt, failure):
                    await self._note(key, "lost")
                    if not self.stopping.is_set():
                        self._give_up(f"a batch could not be made: {failure}")
                    return None
        raise AssertionError("unreachable")

    def _give_up(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
            self.say(f"{self.card['name']}: its other calls are not sent: {reason}")

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _see_to(self, batch: OpenBatch) -> None:
        """Collect a batch that an earlier run left."""
        since = batch.made_at.replace(tzinfo=UTC).timestamp()
        if batch.id is not None:
            await self._follow(batch.key, batch.id, since)
            return
        try:
            made = await self._provider.settled(batch.key, since)
        except Unsure:
            return
        if made is None:
            await self._note(batch.key, "lost")
            self._closed(batch.key)
            self.say(f"{self.card['name']}: a batch of {batch.calls:,} calls was never made; they are missing again")
            return
        await self._note(batch.key, "sent", made.id)
        await self._follow(batch.key, made.id, since)

    async def _follow(self, key: str, batch: str, since: float) -> None:
        """Wait until a batch has ended, and collect it. Does nothing more when stopped before."""
        with suppress(Unsure):
            state = await self._provider.ended(batch, since)
            if state is not None:
                await self._collect(key, state)
                return
            await self._note(key, "lost")
            self._closed(key)
            self.say(f"{self.card['name']}: the provider has forgotten the batch {batch}; its calls are missing again")

    # --- collecting ---------------------------------------------------------------------------------------------------

    async def _collect(self, key: str, state: BatchState) -> None:
        """Keep what came of each call of a batch that has ended, and close it."""
        handled: set[bytes] = set()
        strange = 0
        for file, expected in ((state.output, state.completed), (state.errors, state.failed)):
            if file is not None:
                strange += await self._collect_file(key, file, expected, handled)
        silent = [one for one in await self._stored(without_response, self.catalog, key) if one not in handled]
        for start in range(0, len(silent), LINES):
            calls, _ = await self._stored(calls_of, self.catalog, key, silent[start : start + LINES])
            for call in calls.values():
                self._take(call, _unanswered(state))
        if strange:
            self.say(
                f"{self.card['name']}: {strange:,} lines of the batch {state.id} name none of its calls, or name one again"
            )
        await self._note(key, "collected")
        self._closed(key)
        ending = f": {state.faults[0].message}" if state.faults else ""
        if state.status != "completed" or silent:
            self.say(
                f"{self.card['name']}: the batch {state.id} is {state.status} with {len(silent):,} calls unanswered{ending}"
            )

    async def _collect_file(self, key: str, file_id: str, expected: int, handled: set[bytes]) -> int:
        """Keep what a file holds; return how many lines name no call of the batch, or one again."""
        strange = 0
        with tempfile.TemporaryFile() as file:
            try:
                if not await self._provider.fetch(file_id, expected, file):
                    return 0
                while lines := await asyncio.to_thread(self._read, file):
                    strange += await self._keep_lines(key, lines, handled)
            except OSError as error:
                raise _no_room(error) from error
        return strange

    def _read(self, file: IO[bytes]) -> list[Line | None]:
        """Return what the next lines of a file say; None for one that cannot be read."""
        written = (line for line in file if line.strip())
        return [self.api.reader.read(line) for line in itertools.islice(written, LINES)]

    async def _keep_lines(self, key: str, lines: list[Line | None], handled: set[bytes]) -> int:
        named = {line.call for line in lines if line is not None} - handled
        calls, had = await self._stored(calls_of, self.catalog, key, named)
        strange = 0
        for line in lines:
            if line is None or line.call in handled or line.call not in calls:
                strange += line is None or line.call not in had
                continue
            handled.add(line.call)
            self._take(calls[line.call], line.result)
        await asyncio.sleep(0)  # what was kept is written now
        return strange

    def _take(self, call: Call, result: Reply | CallFailure) -> None:
        self.keep(call, result)
        self.collected += 1

    async def _stored(self, work: Callable[..., T], *arguments: Any) -> T:
        """Have the catalog read or written, however long somebody else keeps it open. Raises BusyError when stopped before."""
        while True:
            try:
                return await asyncio.to_thread(work, *arguments)
            except BusyError as error:
                if self.stopping.is_set():
                    raise
                self.say(f"{self.card['name']}: {error.message}")

    async def _note(self, key: str, state: str, batch: str | None = None) -> None:
        note = BatchNote(batch=key, state=state, at=time.time_ns() // 1000)
        if batch is not None:
            note["id"] = batch
        await self.note(note)


def _unanswered(state: BatchState) -> CallFailure:
    """Return the failure of a call of an ended batch that has no line."""
    if state.status == "expired":
        return CallFailure("timeout", "the batch expired before the provider came to the call")
    if state.status == "cancelled":
        return CallFailure("server", "the batch was cancelled before the provider came to the call")
    if state.faults:
        codes = frozenset(fault.code.lower() for fault in state.faults if fault.code)
        limited = "token_limit_exceeded" in codes
        kind: FailureClass = "rate_limited" if limited else class_of_codes(codes) or "server"
        return CallFailure(kind, f"the provider refused the batch: {state.faults[0].message}")
    return CallFailure("server", f"the batch is {state.status}, and the provider gives no line for the call")


def _no_room(error: OSError) -> CatalogError:
    return CatalogError(
        f"the files of a batch cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}",
        hint="free some disk space there, or name another folder in TMPDIR; nothing received is lost",
    )
