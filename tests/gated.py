"""Keeps the books of a fill that is killed: what a gated server was asked and sent, against what the catalog kept."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lrm import hashing
from lrm.store import journal
from lrm.store.catalog import Catalog
from tests import builders
from tests.servers import Server, fetch, serving

SCRIPT = Path(__file__).with_name("gated_server.py")
PATIENCE_S = 120
"""Seconds after which a fill that does nothing is taken to hang, so that the suite ends."""


@dataclass(frozen=True, slots=True)
class Book:
    """What a server was asked, by question (see tests/gated_server.py)."""

    asked: Counter[str]
    sent: Counter[str]
    """Responses that it finished sending."""
    refused: Counter[str]
    """Failures that it finished sending, and connections that it dropped."""
    in_flight: int
    """Questions not answered yet, of clients that are still there."""
    room: int | None
    """Responses that may still go out; None is any number."""

    def since(self, before: Book) -> Book:
        """Return what came after an earlier look."""
        return replace(
            self, asked=self.asked - before.asked, sent=self.sent - before.sent, refused=self.refused - before.refused
        )

    def of(self, *models: str) -> Book:
        """Return what concerns these models."""

        def only(counts: Counter[str]) -> Counter[str]:
            return Counter({key: count for key, count in counts.items() if key.split(" ")[0] in models})

        return replace(self, asked=only(self.asked), sent=only(self.sent), refused=only(self.refused))

    @property
    def unanswered(self) -> int:
        """Questions that were never answered."""
        return self.asked.total() - self.sent.total() - self.refused.total()


@dataclass(frozen=True, slots=True)
class Gated:
    """A running gated server."""

    server: Server

    @property
    def url(self) -> str:
        """The endpoint that a model declares."""
        return self.server.url

    def book(self) -> Book:
        """Return the book as it stands."""
        found = fetch(f"{self.server.root}/book")
        asked, sent, refused = (Counter[str](found[name]) for name in ("asked", "sent", "refused"))
        return Book(asked, sent, refused, found["in_flight"], found["room"])

    def settled(self) -> Book:
        """Return the book when nobody is connected any more and what a dead client had sent has been read."""
        self.until(lambda book: not book.in_flight)
        self.book()
        return self.until(lambda book: not book.in_flight)

    def until(self, seen: Callable[[Book], bool], alive: Callable[[], bool] = lambda: True) -> Book:
        """Return the book when `seen` says so."""
        given_up = time.monotonic() + PATIENCE_S
        while not seen(book := self.book()):
            assert alive(), "the fill ended before it was killed"
            assert time.monotonic() < given_up, "the fill hangs"
            time.sleep(0.003)
        return book

    def hold(self, after: int) -> None:
        """Let so many more responses out and hold back the others."""
        fetch(f"{self.server.root}/hold?after={after}", method="POST")

    def let_go(self) -> None:
        """Open the gate."""
        fetch(f"{self.server.root}/let-go", method="POST")

    def reset(self) -> None:
        """Forget everything."""
        self.server.reset()


@contextmanager
def gated(*options: str) -> Iterator[Gated]:
    """Run a gated server for as long as the block runs."""
    with serving(*options, script=SCRIPT) as server:
        yield Gated(server)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a catalog and its journals hold."""

    responses: Counter[str]
    """By question; more than one where it was answered more than once, in different bytes."""
    attempts: frozenset[tuple[str, int, int]]
    """Failed attempts: (call, attempt, microseconds)."""


def kept(catalog: Catalog) -> Kept:
    """Return what was kept, merged or not."""
    found: set[tuple[str, str]] = set()
    attempts: set[tuple[str, int, int]] = set()
    for path in journal.segments(catalog.journal_folder):
        segment = journal.read(path)
        assert not segment.damaged
        wired = {name: _wired(card["declaration"]) for name, card in segment.header["models"].items()}
        for record in segment.records:
            if "raw" in record:
                messages = hashing.messages_text_id(record["messages"]).hex()
                found.add((f"{wired[record['model']]} {messages}", hashing.text_digest(record["raw"]) or ""))
        attempts |= {(one["call"], one["attempt"], one["at"]) for one in segment.attempts}
    if catalog.exists():
        rows = builders.rows(
            catalog,
            """
            SELECT m.declaration, lower(hex(x.id)), sha256(g.raw) FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n
            JOIN lrm.models m ON m.n = c.model_n JOIN lrm.messages x ON x.n = c.messages_n
            """,
        )
        found |= {(f"{_wired(declaration)} {messages}", raw) for declaration, messages, raw in rows}
        attempts |= set(
            builders.rows(catalog, "SELECT lower(hex(call)), attempt, epoch_us(tried_at) FROM lrm.attempts")
        )
    return Kept(Counter(key for key, _ in found), frozenset(attempts))


def _wired(declaration: str) -> str:
    """Return a model's name as requests carry it."""
    name: str = json.loads(declaration)["model"]
    return name
