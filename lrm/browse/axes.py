"""The axes along which cells and their verdicts are spread, and what somebody looks at a part of: a slice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lrm.errors import SpecError, known_names_hint

CELL_AXES = (
    "spec", "model", "prompt_set", "category", "category2", "category3", "category4", "attack", "condition", "expect",
    "visibility", "origin", "replicate", "state",
)  # fmt: skip
"""Axes of cells. `categoryN` is a category's path down to level N; `condition` is how the model was told to think; `origin`
is `run`, `simulated` or `imported`."""
VERDICT_AXES = ("judge", "scope")
"""Axes that only verdicts have."""
AXES = (*CELL_AXES, *VERDICT_AXES)
SCOPES = ("thinking", "answer", "both")
NOTHING = "—"
"""How the value of an axis is written where there is none: a prompt without a category or expectation."""

_SHORT = {
    "set": "prompt_set",
    "sets": "prompt_set",
    "models": "model",
    "attacks": "attack",
    "specs": "spec",
    "category1": "category",
}


def axis(name: str) -> str:
    """Return an axis by its name or a short form of it. Raises SpecError for any other."""
    found = _SHORT.get(name, name)
    if found not in AXES:
        raise SpecError(f"there is no axis `{name}`", hint=known_names_hint(name, AXES))
    return found


def level(axis: str) -> int | None:
    """Return the level that a category axis goes down to, from 1; None for another axis."""
    found = re.fullmatch(r"category([2-4]?)", axis)
    return None if found is None else int(found[1] or 1)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of what the catalog holds."""

    spec: str | None = None
    """The spec or import; None for all of them, each cell counted once."""
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Axes and the values to keep of each, sorted by axis; an axis that is not named keeps all. `—` keeps what has none."""

    def __post_init__(self) -> None:
        for name, _ in self.only:
            axis(name)

    def values(self, axis: str) -> tuple[str, ...] | None:
        """Return what is kept of an axis; None for all."""
        return dict(self.only).get(axis)

    def narrowed(self, axis: str, values: Iterable[str] | None) -> Slice:
        """Return this slice with other values kept of one axis; None keeps all."""
        kept = {name: found for name, found in self.only if name != axis}
        if values is not None:
            kept[axis] = tuple(values)
        return replace(self, only=tuple(sorted(kept.items())))
