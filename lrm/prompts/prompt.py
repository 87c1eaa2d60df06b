"""A prompt: one row of a prompt set, as everything behind the loaders sees it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import orjson


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of a prompt set."""

    key: str
    """The row's id in its set, unique there."""
    text: str
    """The prompt's text; of a conversation, its last user message."""
    system: str | None = None
    """The row's system prompt; None when it has none."""
    turns: tuple[tuple[str, str], ...] = ()
    """(role, content) of the messages before the last user message; empty for a single prompt."""
    category: tuple[str, ...] = ()
    """Taxonomy path, coarse to fine; empty when unknown."""
    expect: Literal["unsafe", "safe"] | None = None
    """`unsafe` should be declined, `safe` should be answered; None is unknown."""
    meta: str = "{}"
    """The row's other columns, as canonical JSON text."""

    def fields(self) -> dict[str, Any]:
        """Return what the row's id is the hash of."""
        return {
            "key": self.key,
            "text": self.text,
            "system": self.system,
            "turns": [{"role": role, "content": content} for role, content in self.turns],
            "category": list(self.category),
            "expect": self.expect,
            "meta": json.loads(self.meta),
        }

    def id(self) -> bytes:
        """Return the row's 32-byte id (`p1`): that of `fields`, with `meta` spliced in as the canonical text that it is."""
        values = {
            "category": list(self.category),
            "expect": self.expect,
            "key": self.key,
            "lrm": "p1",
            "meta": orjson.Fragment(self.meta),
            "system": self.system,
            "text": self.text,
            "turns": [{"content": content, "role": role} for role, content in self.turns],
        }
        return hashlib.sha256(orjson.dumps(values)).digest()
