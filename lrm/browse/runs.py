"""What a monitor reads of fills: what they say of themselves, their logs, their journals, and how earlier ones ended.

Nothing here opens the catalog but `recent`.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from lrm import clock
from lrm.browse.reader import Reader, Stop
from lrm.run.desk import Died, RunState, died, running
from lrm.store.holdings import HeldRun
from lrm.store.live import is_live, live_runs

if TYPE_CHECKING:
    from lrm.store.catalog import Catalog

SILENT_S = 30.0
"""Seconds without a word from a fill after which what it said last is old, and not how it stands."""
MOST_FAILURES = 10
MOST_LINES = 500
"""Lines of a log that are kept."""
AT_ONCE = 2 * 2**20
"""Bytes of a log that are read at a time; of a log that is first looked at, so many of its end."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that brought no response."""

    at: str
    """ISO 8601, UTC."""
    model: str
    call: str
    """`c1:…`; the catalog has it once the fill has merged its journal."""
    kind: str
    status: int | None
    """Of HTTP."""
    attempt: int
    again_in_s: float | None
    """Seconds until it is tried again; None where it is not."""


@dataclass(frozen=True, slots=True)
class End:
    """How a run said that it ended."""

    at: str
    state: str
    """`ended`, `budget`, `interrupted` or `broken`."""
    reason: str | None
    done: int | None
    failed: int | None
    cost: float | None


@dataclass(slots=True)
class RunLogTail:
    """The end of a run's log, read on as it grows. What is not a line of it is left out."""

    path: Path
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=MOST_FAILURES))
    failed_attempts: int = 0
    """Failed attempts in what was read."""
    whole: bool = True
    """Whether the log was read from its beginning."""
    end: End | None = None
    _offset: int = 0
    _rest: bytes = b""
    _began: bool = False
    _skip: bool = False
    """Whether what comes next is the rest of a line whose beginning was not read."""

    def read(self) -> bool:
        """Read what is new, up to some megabytes, and return whether anything was. A log that is not there yet has nothing."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not self._began:
                    self._began = True
                    self._offset = max(size - AT_ONCE, 0)
                    self._skip = self._offset > 0
                    self.whole = not self._skip
                if size <= self._offset:
                    return False
                file.seek(self._offset)
                data = file.read(AT_ONCE)
        except OSError:
            return False
        self._offset += len(data)
        *found, self._rest = (self._rest + data).split(b"\n")
        if found and self._skip:
            self._skip = False
            del found[0]
        for line in found:
            self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        self.lines.append(line.decode("utf-8", "replace"))
        match event.get("event"):
            case "attempt failed":
                self.failed_attempts += 1
                self.failures.append(
                    Failure(
                        str(event.get("at", "")), str(event.get("model", "")), f"c1:{event.get('call', '')}",
                        str(event.get("kind", "")), _whole(event.get("status")), _whole(event.get("attempt")) or 0,
                        _number(event.get("again_in_s")),
                    )
                )  # fmt: skip
            case "end":
                self.end = End(
                    str(event.get("at", "")), str(event.get("state", "")), _text(event.get("reason")),
                    _whole(event.get("done")), _whole(event.get("failed")), _number(event.get("cost")),
                )  # fmt: skip
            case _:
                pass


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Desks:
    """The fills of a catalog at a moment."""

    running: tuple[RunState, ...]
    """Oldest first."""
    died: tuple[Died, ...]


def desks(catalog: Catalog) -> Desks:
    """Return the fills that run, and those that died and left something behind."""
    return Desks(running(catalog), died(catalog))


@dataclass(frozen=True, slots=True)
class Sight:
    """One run at a moment."""

    run: str
    alive: bool
    state: RunState | None
    """What it says of itself, or said last where it died; None when that is gone."""
    age_s: float | None
    """Seconds since it said so; None where it did not say when."""
    journal_bytes: int
    """What it received and has not merged into the catalog."""
    journal_age_s: float | None
    """Seconds since its journal last grew."""
    end: End | None
    """What its log says of its end."""
    died: bool
    """Whether it is dead without having said how it ended."""

    @property
    def stale(self) -> bool:
        """Whether what it said last is too old to be how it stands."""
        return not self.alive or self.age_s is None or self.age_s > SILENT_S


def sight(catalog: Catalog, run: str, tail: RunLogTail) -> Sight:
    """Return how one run stands, reading its log on."""
    alive = is_live(catalog, run)
    state = next((one for one in running(catalog) if one.run == run), None) if alive else None
    if not alive:
        left = next((one for one in died(catalog) if one.run == run), None)
        state = left.last if left is not None else None
    tail.read()
    total, age = _journal(catalog, run)
    return Sight(
        run=run,
        alive=alive,
        state=state,
        age_s=None if state is None else age_s(state.updated),
        journal_bytes=total,
        journal_age_s=age,
        end=tail.end,
        died=not alive and tail.end is None and (state is not None or total > 0),
    )


def log_of(catalog: Catalog, run: str) -> Path:
    """Return where a run's log is, whether or not there is one."""
    return catalog.runs_folder / f"{run}.log.jsonl"


def age_s(moment: str | None) -> float | None:
    """Return the seconds since a moment that a fill wrote down; None for none, or what is no moment."""
    try:
        found = None if moment is None else datetime.fromisoformat(moment)
        return None if found is None else max((clock.now() - found.astimezone(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def _journal(catalog: Catalog, run: str) -> tuple[int, float | None]:
    """Return the bytes of a run's journal that wait to be merged, and the seconds since it last grew."""
    from lrm.store import journal

    total, newest = 0, None
    for path in journal.segments(catalog.journal_folder):
        if journal.run_of(path) != run:
            continue
        try:
            found = path.stat()
        except OSError:
            continue  # merged meanwhile
        total += found.st_size
        newest = found.st_mtime if newest is None else max(newest, found.st_mtime)
    return total, None if newest is None else max(clock.now().timestamp() - newest, 0.0)


def recent(reader: Reader, stop: Stop | None = None, *, most: int = 50) -> tuple[HeldRun, ...]:
    """Return the runs that began last, newest first. Raises what `Reader.burst` raises."""
    live = list(live_runs(reader.catalog))
    with reader.burst(stop) as connection:
        rows = connection.execute(
            """
            SELECT id, spec, started_at, ended_at,
                CASE WHEN state = 'running' AND NOT list_contains($live::VARCHAR[], id) THEN 'killed' ELSE state END,
                reason, done, failed, requests, cost
            FROM lrm.runs ORDER BY started_at DESC, id LIMIT $most
            """,
            {"live": live, "most": most},
        ).fetchall()
    return tuple(HeldRun(*row) for row in rows)
