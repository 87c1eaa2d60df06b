"""What a running fill can be told from another terminal: lines in a file beside its state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import orjson


@dataclass(frozen=True, slots=True)
class Pause:
    """Begin no new call; what is in flight is finished."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Begin no new call, and end when what is in flight is finished; `now` gives up what is in flight too."""

    now: bool = False


@dataclass(frozen=True, slots=True)
class InFlight:
    """Let so many calls be in flight at most, for the models that the glob names."""

    model: str
    most: int


Wish = Pause | Resume | Stop | InFlight


def written(wish: Wish) -> bytes:
    """Return a wish as a line."""
    match wish:
        case Pause():
            value: dict[str, Any] = {"wish": "pause"}
        case Resume():
            value = {"wish": "resume"}
        case Stop(now):
            value = {"wish": "stop", "now": now}
        case InFlight(model, most):
            value = {"wish": "in_flight", "model": model, "most": most}
        case _:
            assert_never(wish)
    return orjson.dumps(value) + b"\n"


def read(line: bytes) -> Wish | None:
    """Return the wish that a line holds; None for one that holds none."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    match value:
        case {"wish": "pause"}:
            return Pause()
        case {"wish": "resume"}:
            return Resume()
        case {"wish": "stop", **rest}:
            return Stop(rest.get("now") is True)
        case {"wish": "in_flight", "model": str(model), "most": int(most)} if most >= 0 and not isinstance(most, bool):
            return InFlight(model, most)
        case _:
            return None


def append(path: Path, wish: Wish) -> None:
    """Add a wish to a file; several processes may do so at the same time."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, written(wish))
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Wishes:
    """The wishes in a file, each read once."""

    path: Path
    _read_to: int = 0

    def new(self) -> list[Wish]:
        """Return the wishes that came since the last time; a line that is not finished yet comes the next time."""
        try:
            if self.path.stat().st_size == self._read_to:
                return []
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                lines, _, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        if not lines:
            return []
        self._read_to += len(lines) + 1
        return [wish for line in lines.split(b"\n") if (wish := read(line)) is not None]
