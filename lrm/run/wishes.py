"""What a running fill can be told from another terminal: lines in a file beside its state, read once each."""

from __future__ import annotations

import os
import secrets
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import orjson

LONGEST = 65_536
"""Bytes that are looked at in one go. A line that is longer is no wish."""
REMEMBERED = 32
"""Wishes whose ids a fill names in its state, so that whoever told it knows that it heard."""


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


def written(wish: Wish, name: str) -> bytes:
    """Return a wish as a line; `name` is its id."""
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
    # A line that a full disk cut off before has no end: the newline in front keeps this one whole.
    return b"\n" + orjson.dumps({"id": name, **value}) + b"\n"


def read(line: bytes) -> tuple[str | None, Wish] | None:
    """Return the id and the wish that a line holds; None for one that holds no wish that this version knows."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    wish: Wish
    match value:
        case {"wish": "pause"}:
            wish = Pause()
        case {"wish": "resume"}:
            wish = Resume()
        case {"wish": "stop", **rest}:
            wish = Stop(rest.get("now") is True)
        case {"wish": "in_flight", "model": str(model), "most": int(most)} if most >= 0 and not isinstance(most, bool):
            wish = InFlight(model, most)
        case _:
            return None
    name = value.get("id")
    return name if isinstance(name, str) and len(name) <= 64 else None, wish


def append(path: Path, wish: Wish) -> str:
    """Add a wish to a file and return its id; several processes may do so at the same time. Raises OSError.

    The file is there as long as the fill lives: FileNotFoundError says that it listens no more.
    """
    name = secrets.token_hex(8)
    line = written(wish, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        if os.write(descriptor, line) != len(line):
            os.write(descriptor, line)  # says what stands in the way
    finally:
        os.close(descriptor)
    return name


@dataclass(slots=True)
class Wishes:
    """The wishes in a file, each read once."""

    path: Path
    _read_to: int = 0
    _heard: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def heard(self) -> tuple[str, ...]:
        """Ids of the last wishes that were read."""
        return tuple(self._heard)

    def new(self) -> list[Wish]:
        """Return the wishes that came since the last time; a line that is not finished yet comes the next time."""
        found = []
        for line in self._lines():
            known = read(line)
            if known is not None:
                name, wish = known
                if name is not None:
                    self._heard.append(name)
                found.append(wish)
        return found

    def _lines(self) -> list[bytes]:
        try:
            size = self.path.stat().st_size
            if size <= self._read_to:
                return []
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                piece = file.read(LONGEST)
        except OSError:
            return []
        end = piece.rfind(b"\n") + 1
        if not end and len(piece) == LONGEST:
            end = len(piece)  # whatever this is, what comes after it is to be heard
        self._read_to += end
        return [line for line in piece[:end].split(b"\n") if line]
