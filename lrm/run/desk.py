"""The desk of a running fill: what it says of itself, and what it is told, as files that other processes find.

In the folder `….runs` beside the catalog: `RUN.json` is its state, replaced whole about once a second; `RUN.wishes` is what
it is told; `RUN.lock` is held as long as it lives (`lrm.store.live`); `RUN.log.jsonl` is its log, which stays.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from lrm import clock
from lrm.errors import CatalogError, MissingError, known_names_hint
from lrm.run.wishes import InFlight, Pause, Resume, Stop, Wish, Wishes, append
from lrm.store.catalog import Catalog
from lrm.store.live import is_live, living

__all__ = ["Desk", "InFlight", "LaneState", "Pause", "Resume", "RunState", "Stop", "Wish", "running", "sweep", "tell"]

PUBLISH_S = 1.0
"""Seconds between two states, unless it is another kind of state."""
State = Literal["planning", "running", "paused", "waiting", "stopping"]


@dataclass(frozen=True, slots=True)
class LaneState:
    """How far one model of a running fill has come. Counts are calls."""

    label: str
    total: int
    done: int
    blocked: int
    failed: int
    in_flight: int
    limit: int | None
    """Calls that may be in flight at the moment."""
    retries: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    """Dollars; None is unknown."""
    stopped: str | None
    """Why it is not asked any more."""
    waiting: str | None
    """What it waits for."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A running fill, as it said last."""

    run: str
    spec: str
    doing: str
    """The command, in the user's words."""
    host: str
    pid: int
    since: str
    """ISO 8601, UTC."""
    state: State = "planning"
    lanes: tuple[LaneState, ...] = ()
    budget: str | None = None
    """What is used of the budget."""
    note: str | None = None
    """What it waits for, beside what its lanes say."""
    updated: str = ""
    """When it said so: ISO 8601, UTC."""


class Desk:
    """The desk of this process's fill. A folder that cannot be written makes it mute, and is said once."""

    def __init__(self, catalog: Catalog, state: RunState, say: Callable[[str], None]) -> None:
        """Take the run's first state; `open` is the way in."""
        self._state = state
        self._said_at = float("-inf")
        self._mute = False
        self._say = say
        self._file = _file(catalog, state.run, ".json")
        self._wishes = Wishes(_file(catalog, state.run, ".wishes"))
        self.log_file = _file(catalog, state.run, ".log.jsonl")

    @classmethod
    @contextmanager
    def open(cls, catalog: Catalog, run: str, *, spec: str, doing: str, say: Callable[[str], None]) -> Iterator[Desk]:
        """Be alive and found as `run` while the block goes on. Raises CatalogError where the folder cannot be written."""
        since = clock.now().isoformat(timespec="seconds")
        with living(catalog, run):
            sweep(catalog)
            desk = cls(catalog, RunState(run, spec, doing, socket.gethostname(), os.getpid(), since), say)
            try:
                desk.publish(state="planning")
                yield desk
            finally:
                _remove(catalog, run)

    def publish(
        self,
        *,
        state: State,
        lanes: tuple[LaneState, ...] = (),
        budget: str | None = None,
        note: str | None = None,
    ) -> None:
        """Say how far the fill is; no more often than once a second, unless it is in another state now."""
        now = time.monotonic()
        if state == self._state.state and note == self._state.note and now - self._said_at < PUBLISH_S:
            return
        self._said_at = now
        updated = clock.now().isoformat(timespec="seconds")
        self._state = replace(self._state, state=state, lanes=lanes, budget=budget, note=note, updated=updated)
        draft = self._file.with_suffix(".json.new")
        try:
            draft.write_bytes(orjson.dumps(asdict(self._state)))
            draft.replace(self._file)
        except OSError as error:
            if not self._mute:
                self._mute = True
                self._say(f"`lrm matrix ps` cannot show this fill: {self._file}: {error.strerror or error}")

    def wishes(self) -> list[Wish]:
        """Return what the fill was told since the last time."""
        return self._wishes.new()


def running(catalog: Catalog) -> tuple[RunState, ...]:
    """Return the fills that run, oldest first."""
    found = [state for path in sorted(catalog.runs_folder.glob("*.json")) if (state := _read(path)) is not None]
    return tuple(sorted((one for one in found if is_live(catalog, one.run)), key=lambda one: (one.since, one.run)))


def tell(catalog: Catalog, name: str | None, wish: Wish) -> RunState:
    """Tell a running fill something; return the fill. `name` is its run, the beginning of that, or its spec's name or file.

    None is the only one that runs. Raises MissingError where that names none or several, CatalogError where it cannot be told.
    """
    state = _named(running(catalog), name)
    path = _file(catalog, state.run, ".wishes")
    try:
        append(path, wish)
    except OSError as error:
        raise CatalogError(
            f"{path} cannot be written: {error.strerror or error}", hint="check the folder and its permissions"
        ) from error
    return state


def sweep(catalog: Catalog) -> None:
    """Remove what runs that died left on their desks. Logs stay."""
    for ending in (".json", ".wishes", ".lock", ".json.new"):
        for path in catalog.runs_folder.glob(f"*{ending}"):
            run = path.name.removesuffix(ending)
            if not is_live(catalog, run):
                _remove(catalog, run)


def _named(found: tuple[RunState, ...], name: str | None) -> RunState:
    if name is None:
        chosen = list(found)
    else:
        chosen = [one for one in found if one.run == name]
        chosen = chosen or [one for one in found if one.run.startswith(name) or one.spec in (name, Path(name).stem)]
    match chosen:
        case [one]:
            return one
        case [] if not found:
            raise MissingError("no fill is running in this catalog", hint="`lrm matrix ps` lists those that are")
        case []:
            names = [label for one in found for label in (one.run, one.spec)]
            raise MissingError(f"no running fill is called `{name}`", hint=known_names_hint(name or "", names))
        case _:
            several = ", ".join(f"{one.run} ({one.spec})" for one in chosen)
            raise MissingError("several fills are running", hint=f"name one by its run: {several}")


def _read(path: Path) -> RunState | None:
    """Return the state that a file holds; None for one that is gone, torn or not ours."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(RunState).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _file(catalog: Catalog, run: str, ending: str) -> Path:
    return catalog.runs_folder / f"{run}{ending}"


def _remove(catalog: Catalog, run: str) -> None:
    for ending in (".json", ".json.new", ".wishes"):
        with suppress(OSError):
            _file(catalog, run, ending).unlink()
    if not is_live(catalog, run):
        with suppress(OSError):
            _file(catalog, run, ".lock").unlink()
