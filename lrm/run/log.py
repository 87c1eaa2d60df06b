"""The log of a fill: one JSON object a line, of what happened and when; never a prompt, a response or a key.

Each line has `at` (UTC), `t` (seconds since the log began, by a clock that never jumps) and `event`. What providers say
in words, which may quote a prompt, is written only with LRM_LOG_TEXTS=1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from lrm import clock
from lrm.backends.failures import redacted

TEXTS = "LRM_LOG_TEXTS"
"""The environment variable that asks for providers' messages too."""

Value = str | int | float | bool | list[str] | None


class RunLog:
    """A log that is being written. A disk that takes nothing more does not stop the fill; it is said once."""

    def __init__(self, path: Path, *, say: Callable[[str], None], texts: bool | None = None) -> None:
        """Begin a log; `texts` asks for providers' messages, and is what the environment says where it is None."""
        self._path = path
        self._say = say
        self._texts = os.environ.get(TEXTS, "") not in ("", "0") if texts is None else texts
        self._began = time.monotonic()
        self._lines: list[bytes] = []
        self._broken = False

    def event(self, event: str, *, said: str | None = None, **fields: Value) -> None:
        """Note an event. `fields` are ids, names, classes, counts and seconds; `said` is a provider's message."""
        if self._broken:
            return
        line = {
            "at": clock.now().isoformat(timespec="milliseconds"),
            "t": round(time.monotonic() - self._began, 3),
            "event": event,
            **fields,
        }
        if self._texts and said is not None:
            line["said"] = redacted(said, ())
        self._lines.append(orjson.dumps(line))

    def write(self) -> None:
        """Write what was noted."""
        if not self._lines or self._broken:
            return
        lines = b"\n".join((*self._lines, b""))
        self._lines.clear()
        try:
            with self._path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            self._broken = True
            self._say(f"the log {self._path} cannot be written, and ends here: {error.strerror or error}")
