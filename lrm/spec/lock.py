"""The lock beside a spec: what its outside sources resolved to. A fill obeys it; `--update` moves it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from lrm.errors import SpecError
from lrm.prompts.source import Pin

VERSION = 1
_HEADING = "# What this spec's files and datasets resolved to. Written by `lrm matrix fill`; `--update` moves it.\n"


@dataclass(slots=True)
class Lock:
    """Pins by the names that the spec uses. Inline rows and texts need none: they are in the spec itself."""

    prompt_sets: dict[str, Pin] = field(default_factory=dict)
    attacks: dict[str, Pin] = field(default_factory=dict)

    def add_prompt_set(self, name: str, *, sha256: str, revision: str | None) -> None:
        """Record what a prompt set was read from."""
        self.prompt_sets[name] = Pin(sha256=sha256, revision=revision)

    def add_attack(self, name: str, sha256: str) -> None:
        """Record an attack's artifact."""
        self.attacks[name] = Pin(sha256=sha256, revision=None)

    def over(self, older: Lock) -> Lock:
        """Return these pins, and the older ones of whatever these do not name."""
        return Lock({**older.prompt_sets, **self.prompt_sets}, {**older.attacks, **self.attacks})


def lock_path(spec: Path) -> Path:
    """Return where a spec's lock stands: `r1.toml` has `r1.lock` beside it."""
    return spec.with_suffix(".lock")


def read_lock(spec: Path) -> Lock:
    """Return a spec's lock; an empty one when there is none. Raises SpecError for one that cannot be read."""
    path = lock_path(spec)
    if not path.is_file():
        return Lock()
    remove = f"delete {path.name} or run with --update to write it anew"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if content.get("version") != VERSION:
            raise SpecError(
                f"is of version {content.get('version')!r}; this lrm reads {VERSION}", file=path, hint=remove
            )
        tables = {
            kind: {name: _pin(table) for name, table in content.get(kind, {}).items()}
            for kind in ("prompt_sets", "attacks")
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(f"cannot be read as a lock: {error}", file=path, hint=remove) from error
    return Lock(tables["prompt_sets"], tables["attacks"])


def _pin(table: dict[str, object]) -> Pin:
    sha256, revision = table["sha256"], table.get("revision")
    if not isinstance(sha256, str) or not isinstance(revision, str | None):
        raise TypeError("sha256 and revision are strings")
    return Pin(sha256=sha256, revision=revision)


def write_lock(spec: Path, lock: Lock) -> bool:
    """Write the lock when it says something new; return whether it did. Raises OSError where the folder is read-only."""
    import tomli_w

    path = lock_path(spec)
    if not lock.prompt_sets and not lock.attacks:
        return False
    content = {
        "version": VERSION,
        **{
            kind: {name: _table(pin) for name, pin in sorted(pins.items())}
            for kind, pins in (("prompt_sets", lock.prompt_sets), ("attacks", lock.attacks))
            if pins
        },
    }
    text = _HEADING + tomli_w.dumps(content)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def _table(pin: Pin) -> dict[str, str]:
    return {name: value for name, value in (("sha256", pin.sha256), ("revision", pin.revision)) if value is not None}
