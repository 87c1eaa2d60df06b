"""The desk of a running fill: what it says of itself, and what it is told, as files that other processes find.

In the folder `….runs` beside the catalog: `RUN.json` is its state, replaced whole about once a second; `RUN.wishes` is what
it is told; `RUN.lock` is held as long as it lives (`lrm.store.live`); `RUN.log.jsonl` is its log, which stays.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import orjson

from lrm import clock
from lrm.errors import CatalogError, MissingError, known_names_hint
from lrm.run.progress import EngineState
from lrm.run.wishes import InFlight, Pause, Resume, Stop, Wish, Wishes, append
from lrm.store.catalog import Catalog
from lrm.store.live import is_live, live_runs, living
from lrm.text import without_surrogates

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "Desk", "Died", "InFlight", "LaneState", "Pause", "Resume", "RunState", "Stop", "Told", "Wish", "died", "find",
    "running", "sweep", "tell",
]  # fmt: skip

PUBLISH_S = 1.0
"""Seconds between two states, unless it is another kind of state."""
WINDOW_S = 10.0
"""Seconds over which calls a second are taken."""
LARGEST = 4 * 2**20
"""Bytes of the largest file that is taken for a state."""
_LOOK_S = 0.05
_ENDINGS = (".json", ".json.new", ".wishes", ".lock")

State = Literal["planning", "running", "paused", "waiting", "stopping", "unknown"]
"""`unknown` is a fill that lives and whose state cannot be read: it has just begun, or its disk is full."""
Answer = Literal["obeyed", "ended", "none"]
"""What a fill did about a wish: as told; it is no longer there; nothing yet."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """How far one model of a running fill has come. Counts are calls."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

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
    engine: EngineState | None = None
    """The engine that it is asked through, while one is loaded."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A running fill, as it said last. None of what it said is known where `state` is `unknown`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    run: str
    spec: str | None = None
    doing: str | None = None
    """The command, in the user's words."""
    host: str | None = None
    pid: int | None = None
    since: str | None = None
    """ISO 8601, UTC."""
    state: State = "unknown"
    lanes: tuple[LaneState, ...] = ()
    budget: str | None = None
    """What is used of the budget."""
    note: str | None = None
    """What it waits for, beside what its lanes say."""
    speed: float | None = None
    """Calls finished a second, over the last seconds; None until that can be told."""
    heard: tuple[str, ...] = ()
    """Ids of the wishes that it heard last and has obeyed."""
    updated: str | None = None
    """When it said so: ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Died:
    """A run that died and left something behind."""

    run: str
    last: RunState | None
    """What it said last, where that can be read."""
    segments: int
    """Journal segments that the next command which opens the catalog merges."""
    bytes: int
    """Their size."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a wish."""

    state: RunState
    """The last that is known of the fill."""
    answer: Answer


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
        self._finished: deque[tuple[float, int]] = deque()
        self.log_file = _file(catalog, state.run, ".log.jsonl")

    @classmethod
    @contextmanager
    def open(cls, catalog: Catalog, run: str, *, spec: str, doing: str, say: Callable[[str], None]) -> Iterator[Desk]:
        """Be alive and found as `run` while the block goes on. Raises CatalogError where the folder cannot be written."""
        with living(catalog, run):
            sweep(catalog)
            desk = cls(
                catalog,
                RunState(
                    run, spec, doing, socket.gethostname(), os.getpid(), clock.now().isoformat(timespec="seconds")
                ),
                say,
            )
            try:
                desk._listen()
                desk.publish(state="planning")
                yield desk
            finally:
                for ending in _ENDINGS[:-1]:
                    with suppress(OSError):
                        _file(catalog, run, ending).unlink()

    def publish(
        self,
        *,
        state: State,
        lanes: tuple[LaneState, ...] = (),
        budget: str | None = None,
        note: str | None = None,
    ) -> None:
        """Say how far the fill is; no more often than once a second, unless it is in another state or was told something."""
        now = clock.monotonic()
        old, heard = self._state, self._wishes.heard
        if (state, note, heard) == (old.state, old.note, old.heard) and now - self._said_at < PUBLISH_S:
            return
        self._said_at = now
        self._state = replace(
            old, state=state, lanes=lanes, budget=budget, note=note, speed=self._speed(now, lanes), heard=heard,
            updated=clock.now().isoformat(timespec="seconds"),
        )  # fmt: skip
        draft = self._file.with_suffix(".json.new")
        try:
            draft.write_bytes(_dumped(self._state))
            draft.replace(self._file)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            self._cannot(error)

    def wishes(self) -> list[Wish]:
        """Return what the fill was told since the last time. The next state says that they were obeyed."""
        return self._wishes.new()

    def _listen(self) -> None:
        """Make the file of wishes: whoever wants to tell something adds to it, and makes none."""
        try:
            os.close(os.open(self._wishes.path, os.O_WRONLY | os.O_CREAT, 0o644))
        except OSError as error:
            self._cannot(error)

    def _cannot(self, error: OSError) -> None:
        if not self._mute:
            self._mute = True
            self._say(f"`lrm matrix ps` cannot show this fill: {self._file}: {error.strerror or error}")

    def _speed(self, now: float, lanes: tuple[LaneState, ...]) -> float | None:
        seen = self._finished
        seen.append((now, sum(lane.done + lane.failed for lane in lanes)))
        while len(seen) > 2 and now - seen[0][0] > WINDOW_S:
            seen.popleft()
        (then, before), (_, finished) = seen[0], seen[-1]
        return (finished - before) / (now - then) if lanes and now - then >= PUBLISH_S else None


def running(catalog: Catalog) -> tuple[RunState, ...]:
    """Return the fills that run, oldest first."""
    found = [state for run in live_runs(catalog) if (state := _state(catalog, run)) is not None]
    return tuple(sorted(found, key=lambda one: (one.since or "", one.run)))


def died(catalog: Catalog) -> tuple[Died, ...]:
    """Return the runs that died and left a journal or a state behind, by name; also one that ended and could not merge."""
    from lrm.store import journal

    segments: dict[str, list[Path]] = {}
    for path in journal.segments(catalog.journal_folder):
        segments.setdefault(journal.run_of(path), []).append(path)
    runs = segments.keys() | {path.name.removesuffix(".json") for path in catalog.runs_folder.glob("*.json")}
    found = []
    for run in sorted(runs - live_runs(catalog)):
        # Looked at only now: a run that ended meanwhile has taken all away before it let go of its lock.
        sizes = [size for path in segments.get(run, ()) if (size := _size(path)) is not None]
        if sizes or _size(_file(catalog, run, ".json")) is not None:
            found.append(Died(run, _read(catalog, run), len(sizes), sum(sizes)))
    return tuple(found)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def find(catalog: Catalog, name: str | None) -> RunState:
    """Return the running fill that `name` means: its run, its spec's name or file, or the beginning of a name.

    None is the only one that runs. Raises MissingError where that names none or several.
    """
    found = running(catalog)
    specs = {name, Path(name).stem} if name and name.endswith(".toml") else {name}
    chosen = (
        [one for one in found if name is None or one.run == name]
        or [one for one in found if name and (one.run.startswith(name) or one.spec in specs)]
        or [one for one in found if name and one.spec is not None and one.spec.startswith(name)]
    )
    match chosen:
        case [one]:
            return one
        case [] if not found:
            raise MissingError("no fill is running in this catalog", hint="`lrm matrix ps` lists those that are")
        case []:
            names = {label for one in found for label in (one.run, one.spec) if label}
            raise MissingError(f"no running fill is called `{name}`", hint=known_names_hint(name or "", names))
        case _:
            several = ", ".join(f"{one.run} ({one.spec or 'unknown'})" for one in chosen)
            what = (
                "several fills are running" if name is None else f"`{name}` means several of the fills that are running"
            )
            raise MissingError(what, hint=f"name one by its run: {several}")


def tell(catalog: Catalog, name: str | None, wish: Wish, *, patience_s: float = 0.0) -> Told:
    """Tell a running fill something, and wait so many seconds for it to obey. `name` is as `find` takes it.

    Raises MissingError as `find` does, CatalogError where the fill cannot be told.
    """
    state = find(catalog, name)
    path = _file(catalog, state.run, ".wishes")
    try:
        wish_id = append(path, wish)
    except FileNotFoundError:
        if not is_live(catalog, state.run):
            return Told(state, "ended")
        raise CatalogError(
            f"the fill {state.run} cannot be told anything: it could not write beside the catalog",
            hint=f"Ctrl-C where it runs, or `kill {state.pid or 'PID'}` on {state.host or 'its host'}, stops it",
        ) from None
    except OSError as error:
        raise CatalogError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="free some disk space, or tell it as the user who started it",
        ) from error
    given_up = clock.monotonic() + patience_s
    while True:
        state, lives = _read(catalog, state.run) or state, is_live(catalog, state.run)
        if wish_id in state.heard:
            return Told(state, "obeyed")
        if not lives:
            return Told(state, "ended")
        if clock.monotonic() >= given_up:
            return Told(state, "none")
        time.sleep(_LOOK_S)


def sweep(catalog: Catalog) -> None:
    """Remove what runs that died left on their desks. Logs stay."""
    for path in catalog.runs_folder.glob("*"):
        ending = next((one for one in _ENDINGS if path.name.endswith(one)), None)
        if ending is not None:
            with suppress(OSError):
                _sweep(catalog, path.name.removesuffix(ending))


def _sweep(catalog: Catalog, run: str) -> None:
    """Remove what a run left, unless it lives. Its lock is held meanwhile: a run that is about to take it begins anew."""
    lock = _file(catalog, run, ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for ending in _ENDINGS:
            with suppress(FileNotFoundError):
                _file(catalog, run, ending).unlink()
    finally:
        os.close(descriptor)


def _state(catalog: Catalog, run: str) -> RunState | None:
    """Return the state of a run that was alive a moment ago; None when it has ended."""
    state = _read(catalog, run)
    return state if state is not None or not is_live(catalog, run) else RunState(run)


@cache
def _adapter() -> TypeAdapter[RunState]:
    from pydantic import TypeAdapter

    return TypeAdapter(RunState)


def _read(catalog: Catalog, run: str) -> RunState | None:
    """Return the state that a run's file holds; None for one that is gone, torn or not the run's."""
    from pydantic import ValidationError

    try:
        with _file(catalog, run, ".json").open("rb") as file:
            # orjson before pydantic: it takes no number that cannot be printed.
            state = _adapter().validate_python(orjson.loads(file.read(LARGEST)))
    except (OSError, ValueError, ValidationError):
        return None
    return state if state.run == run else None


def _dumped(state: RunState) -> bytes:
    value = asdict(state)
    try:
        return orjson.dumps(value)
    except TypeError:  # half a character in a path or in what a provider said
        return orjson.dumps(_whole(value))


def _whole(value: Any) -> Any:
    match value:
        case str():
            return without_surrogates(value)
        case list() | tuple():
            return [_whole(one) for one in value]
        case dict():
            return {key: _whole(one) for key, one in value.items()}
        case _:
            return value


def _file(catalog: Catalog, run: str, ending: str) -> Path:
    return catalog.runs_folder / f"{run}{ending}"
