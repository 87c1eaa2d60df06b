"""The log of a fill: one JSON object a line, of what happened and when; never a prompt, a response or a key.

Each line has `at` (UTC), `t` (seconds since the log began, by a clock that never jumps) and `event`. What providers say
in words, which may quote a prompt, is written only with LRM_LOG_TEXTS=1.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson

from lrm import clock
from lrm.backends.failures import redacted

TEXTS = "LRM_LOG_TEXTS"
"""The environment variable that asks for providers' messages too."""
MOST_BYTES = 256 * 2**20
"""Size from which on a log takes only what is rare; the event `large` says so."""
RARE = 1000
"""Times that an event may come and still be rare."""
MOST_WAITING = 8 * 2**20
"""Bytes that wait for a disk to take them again; what comes after is counted, not kept."""

_USERINFO = re.compile(r"://[^/\s@]*@")

Value = str | int | float | bool | list[str] | None


class RunLog:
    """A log that is being written. A disk that takes nothing more does not stop the fill; it is said once.

    What it could not take is written as soon as it can, up to some megabytes.
    """

    def __init__(self, path: Path, *, say: Callable[[str], None], texts: bool | None = None) -> None:
        """Begin a log; `texts` asks for providers' messages, and is what the environment says where it is None."""
        self._path = path
        self._say = say
        self._texts = os.environ.get(TEXTS, "") not in ("", "0") if texts is None else texts
        self._began = clock.monotonic()
        self._waiting = bytearray()
        self._size = 0
        self._seen: Counter[str] = Counter()
        self._left_out = 0
        self._large = False
        self._complained = False

    def event(self, event: str, /, *, said: str | None = None, **fields: Value) -> None:
        """Note an event. `fields` are ids, names, classes, counts and seconds; `said` is a provider's message."""
        self._seen[event] += 1
        if len(self._waiting) >= MOST_WAITING:
            self._left_out += 1
            return
        if self._size >= MOST_BYTES and self._seen[event] > RARE:
            if not self._large:
                self._large = True
                self._add("large", {"rare": RARE}, None)
            return
        self._add(event, {name: _clean(value) for name, value in fields.items()}, said)

    def write(self) -> None:
        """Write what was noted."""
        if not self._waiting:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                while self._waiting:
                    # A copy: another thread may note something meanwhile, and what is being written cannot grow.
                    count = os.write(descriptor, bytes(self._waiting))
                    self._size += count
                    del self._waiting[:count]
            finally:
                os.close(descriptor)
            if self._left_out:
                self._add("left out", {"events": self._left_out}, None)
                self._left_out = 0
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._say(
                    f"the log {self._path} cannot be written: {error.strerror or error}; the fill goes on without it"
                )

    def _add(self, event: str, fields: dict[str, Value], said: str | None) -> None:
        line = {
            "at": clock.now().isoformat(timespec="milliseconds"),
            "t": round(clock.monotonic() - self._began, 3),
            "event": event,
            **{name: value for name, value in fields.items() if name not in ("at", "t", "event")},
        }
        if self._texts and said is not None:
            line["said"] = _clean(said)
        self._waiting += orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE, default=str)


def _clean(value: Value) -> Value:
    """Return a value without keys, userinfo of URLs, and what no JSON can hold."""
    match value:
        case str():
            text = redacted(value, ())
            return _USERINFO.sub("://[key]@", text) if "://" in text else text
        case list():
            return [str(_clean(one)) for one in value]
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**64:
            return str(value)
        case _:
            return value
