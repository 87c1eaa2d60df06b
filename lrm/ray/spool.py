"""Spools: what a worker received, on its node's disk before it is sent to the driver.

A spool is written as a journal is (`lrm.store.journal`), so that what a dead run left needs only to be moved into the
catalog's journal folder. It lies in `<catalog>.spool/RUN/WORKER/MODEL/` where the worker sees the driver's disk, else in the
node's temporary folder. A segment is deleted when the driver has had all of it in its own journal for a while.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from lrm.backends.base import Reply
from lrm.errors import CatalogError
from lrm.ray.wire import Item, Place
from lrm.registry.declarations import Model
from lrm.store import journal
from lrm.store.card import card_of
from lrm.store.journal import Journal, Record
from lrm.traces.split import parse_payload, usage

SEGMENT_BYTES = 4 * 2**20
"""Bytes at which a segment is closed, and can be deleted when the driver has it."""
FLUSH_S = 0.1
"""Seconds between two flushes to the disk."""
NONCE = "nonce"
"""File in a run's folder by which a worker knows the driver's disk."""
NODES = "nodes"
"""File in a run's folder that names the spools on nodes' own disks, a line of JSON each."""


def folder_on(place: Place, worker: str) -> tuple[Path, bool]:
    """Return the folder for a worker's spools, seen from its node, and whether the driver sees it too."""
    shared = Path(place.folder)
    with suppress(OSError):
        if (shared / NONCE).read_text(encoding="utf-8") == place.nonce and os.access(shared, os.W_OK):
            return shared / worker, True
    # A name that nobody can guess, right in the temporary folder: whoever else may write there cannot put anything in its place.
    return Path(tempfile.gettempdir()) / f"lrm-spool-{os.getuid()}-{place.run}-{place.nonce[:16]}" / worker, False


class Spool:
    """The spool of one worker and model, open for appending. Belongs to one event loop."""

    def __init__(self, folder: Path, run: str, model_hex: str, model: Model) -> None:
        """Make the folder and the first segment. Raises CatalogError where that is not possible."""
        for level in (folder.parent.parent, folder.parent, folder):
            level.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._model_hex = model_hex
        # The catalog, where the model is registered, knows it by its own name.
        self._journal = Journal(folder, run, {model_hex: card_of(model.model, model)})
        self._held: Counter[int] = Counter()
        """By segment: lines that the driver has not confirmed."""
        self._closed: dict[int, Path] = {}
        self._dirty = False

    def keep(self, item: Item, reply: Reply, *, at: int, ms: float) -> int:
        """Append a reply; return the number of its segment, to be given to `confirmed`. `at`: microseconds since 1970."""
        self._journal.append(
            Record(
                call=item.call.id.hex(), model=self._model_hex, messages=item.call.messages,
                replicate=item.call.replicate, at=at, attempts=item.attempts, raw=reply.raw, blocked=reply.blocked,
                ms=round(ms, 3), cost=reply.cost, fingerprint=reply.fingerprint, sent=reply.sent,
            )
        )  # fmt: skip
        self._dirty = True
        self._held[self._journal.number] += 1
        return self._journal.number

    def write(self) -> None:
        """Hand what was appended to the operating system. Raises CatalogError."""
        self._journal.write()
        if self._journal.bytes >= SEGMENT_BYTES:
            number = self._journal.number
            closed = self._journal.rotate()
            if closed is not None:
                self._closed[number] = closed

    async def flush(self) -> None:
        """Wait until what was written is on the disk. Raises CatalogError."""
        if self._dirty:
            self._dirty = False
            await asyncio.to_thread(self._journal.flush)

    def confirmed(self, number: int, lines: int) -> None:
        """Take note that the driver has lines of a segment; a closed one that it has whole is deleted."""
        self._held[number] -= lines
        if self._held[number] <= 0 and number in self._closed:
            del self._held[number]
            with suppress(OSError):
                self._closed.pop(number).unlink()

    def close(self) -> None:
        """Close for good; the files stay."""
        with suppress(CatalogError):
            self._journal.close()


def remove(folder: Path) -> None:
    """Remove a worker's spools, and what is empty above them, up to the run's folder and the one of all runs."""
    shutil.rmtree(folder, ignore_errors=True)
    for above in (folder.parent, folder.parent.parent):
        with suppress(OSError):
            above.rmdir()


def segments_in(folder: Path) -> tuple[Path, ...]:
    """Return all segments below a folder, oldest first within each spool."""
    return tuple(sorted(folder.rglob("*.jsonl")))


def replies_in(folder: Path, wanted: frozenset[str]) -> dict[str, Reply]:
    """Return the replies that a dead worker wrote down, by the call's id in hex, for the calls that are wanted.

    Quotas are not in a spool; tokens are counted anew from the payload.
    """
    found: dict[str, Reply] = {}
    for path in segments_in(folder):
        with suppress(OSError, CatalogError):
            for record in journal.read(path).records:
                if record["call"] in wanted and "raw" in record:
                    found[record["call"]] = _reply(record)
    return found


def _reply(record: Record) -> Reply:
    payload = parse_payload(record["raw"])
    plain = Reply(
        record["raw"], blocked=record.get("blocked", False), cost=record.get("cost"),
        fingerprint=record.get("fingerprint"), sent=record.get("sent"),
    )  # fmt: skip
    if payload is None:
        return plain
    return Reply(plain.raw, plain.blocked, plain.cost, plain.fingerprint, plain.sent, usage(payload))
