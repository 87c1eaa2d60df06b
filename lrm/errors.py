"""What can go wrong, by what the user does next.

    LrmError                  message, and a hint that says what to do
    ├── SpecError             mend the declaration, spec or data file    exit 2
    ├── MissingError          name something that exists                 exit 2
    ├── CatalogError          mend, upgrade or move the catalog          exit 2
    ├── BusyError             wait, or stop the holder                   exit 3
    ├── ModelError            mend the model's declaration or its key    exit 3
    ├── JudgeError            mend the judge's declaration               exit 2
    └── SnapshotError         have the snapshot made or fetched again    exit 2

A failed call is a result (`lrm.backends.base.CallFailure`, stored), not one of these.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class LrmError(Exception):
    """A failure with a message for the user and, where there is one, the next step."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class SpecError(LrmError):
    """A declaration, spec or data file is wrong. Nothing of it was loaded."""

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        row: int | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep where the fault is: `line` and `row` count from 1; `row` counts data rows, the header not among them."""
        super().__init__(message, hint=hint)
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.row = row

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        if self.row is not None:
            place += f", row {self.row}" if place else f"row {self.row}"
        parts = [part for part in (place, self.key and f"key `{self.key}`", self.message) if part]
        text = ": ".join(parts)
        return text if self.hint is None else f"{text}\n  hint: {self.hint}"


class MissingError(LrmError):
    """What was named does not exist."""


class CatalogError(LrmError):
    """The catalog or a journal cannot be used as it is."""


class BusyError(LrmError):
    """Somebody else holds what is needed; the same command may work in a moment."""

    exit_code = 3


class ModelError(LrmError):
    """A model cannot be asked at all: no key, no endpoint, no package."""

    exit_code = 3


class JudgeError(LrmError):
    """A judge cannot be run as it is declared."""


class SnapshotError(LrmError):
    """A snapshot is not what its manifest says, or not fit to be read. Nothing of it was taken."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`, or None when none comes near."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None


def known_names_hint(name: str, known: Iterable[str], *, limit: int = 12) -> str:
    """Return a hint that names the nearest of the known names, then lists them (cut after `limit`)."""
    names = sorted(known)
    shown = ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
    guess = nearest(name, names)
    listing = f"known: {shown}" if names else "there are none yet"
    return f"did you mean `{guess}`? {listing}" if guess else listing
