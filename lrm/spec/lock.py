"""The lock beside a spec: what its outside sources resolved to. A fill obeys it; `--update` moves it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from lrm.errors import SpecError
from lrm.prompts.source import Pin
from lrm.registry.source import shown

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
    # A spec may have any name; its lock is never the spec itself.
    return spec.with_suffix(".lock") if spec.suffix != ".lock" else spec.with_name(f"{spec.name}.lock")


def read_lock(spec: Path) -> Lock:
    """Return a spec's lock; an empty one when there is none. Raises SpecError for one that cannot be read."""
    path = lock_path(spec)
    if not path.is_file():
        return Lock()
    remove = f"delete {path.name} or run with --update to write it anew"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if type(content.get("version")) is not int or content["version"] != VERSION:
            raise SpecError(
                f"is of version {content.get('version')!r}; this lrm reads {VERSION}", file=path, hint=remove
            )
        tables = {
            kind: {
                name: _pin(table, f"{kind}.{name}") for name, table in _as_table(content.get(kind, {}), kind).items()
            }
            for kind in ("prompt_sets", "attacks")
        }
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"cannot be read as a lock: {error}", file=path, hint=remove) from error
    return Lock(tables["prompt_sets"], tables["attacks"])


def _as_table(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"`{shown(key)}` is no table")  # noqa: TRY004
    return value


def _pin(value: object, key: str) -> Pin:
    table = _as_table(value, key)
    sha256, revision = table.get("sha256"), table.get("revision")
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"`{shown(key)}` needs `sha256`, 64 hexadecimal digits")
    if not isinstance(revision, str | None):
        raise ValueError(f"`revision` of `{shown(key)}` is no text")  # noqa: TRY004
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
    written = (_HEADING + tomli_w.dumps(content)).encode()
    if path.is_file() and path.read_bytes() == written:  # an unreadable one is replaced, so it is not decoded
        return False
    path.write_bytes(written)
    return True


def _table(pin: Pin) -> dict[str, str]:
    return {name: value for name, value in (("sha256", pin.sha256), ("revision", pin.revision)) if value is not None}
