"""The lock beside a spec: what its outside sources resolved to. A fill obeys it; `--update` moves it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from lrm.errors import SpecError
from lrm.prompts.source import Pin
from lrm.registry.source import shown
from lrm.spec.matrix import Matrix

VERSION = 1
_HEADING = "# What this spec's files and datasets resolved to. Written by `lrm matrix fill`; `--update` moves it.\n"

Part = Literal["checkpoint", "tokenizer", "adapter", "chat_template"]
"""What of a model is files."""
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class FilePin:
    """What a model's folder, file or repository on the Hub was found to be; one of both is None."""

    name: str
    """As it was declared: a pin says nothing of another one. `@REVISION` follows where a branch or tag was declared."""
    sha256: str | None = None
    """Of a folder: over names and contents of its files; of a file."""
    revision: str | None = None
    """Commit of a repository."""


ModelPins = Mapping[Part, FilePin]


@dataclass(slots=True)
class Lock:
    """Pins by the names that the spec uses. Inline rows and texts need none: they are in the spec itself."""

    prompt_sets: dict[str, Pin] = field(default_factory=dict)
    attacks: dict[str, Pin] = field(default_factory=dict)
    models: dict[str, ModelPins] = field(default_factory=dict)
    """Those that run here, by declared name."""
    moving: bool = False
    """Whether it is to be written anew (`--update`): what can have moved is asked for again."""

    def add_prompt_set(self, name: str, *, sha256: str, revision: str | None) -> None:
        """Record what a prompt set was read from."""
        self.prompt_sets[name] = Pin(sha256=sha256, revision=revision)

    def add_attack(self, name: str, sha256: str) -> None:
        """Record an attack's artifact."""
        self.attacks[name] = Pin(sha256=sha256, revision=None)

    def over(self, older: Lock) -> Lock:
        """Return these pins, and the older ones of whatever these do not name."""
        return Lock(
            {**older.prompt_sets, **self.prompt_sets},
            {**older.attacks, **self.attacks},
            {**older.models, **self.models},
        )

    def of(self, matrix: Matrix) -> Lock:
        """Return the pins of what a matrix has."""
        models = (*matrix.models.values(), *matrix.judge_models.values(), *matrix.attack_models.values())
        kept = {one.name for one in models if one.declaration.runs_here}
        attacks = {located.name for located in matrix.attacks.values()}
        return Lock(
            {name: pin for name, pin in self.prompt_sets.items() if name in matrix.prompt_sets},
            {name: pin for name, pin in self.attacks.items() if name in attacks},
            {name: pins for name, pins in self.models.items() if name in kept},
        )


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
        tables = {kind: _as_table(content.get(kind, {}), kind) for kind in ("prompt_sets", "attacks", "models")}
        return Lock(
            {name: _pin(table, f"prompt_sets.{name}") for name, table in tables["prompt_sets"].items()},
            {name: _pin(table, f"attacks.{name}") for name, table in tables["attacks"].items()},
            {name: _model_pins(table, f"models.{name}") for name, table in tables["models"].items()},
        )
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"cannot be read as a lock: {error}", file=path, hint=remove) from error


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


def _model_pins(value: object, key: str) -> ModelPins:
    table = _as_table(value, key)
    strange = next((part for part in table if part not in PARTS), None)
    if strange is not None:
        raise ValueError(f"`{shown(key)}` has no part `{shown(strange)}`: {', '.join(PARTS)}")
    return {part: _file_pin(table[part], f"{key}.{part}") for part in PARTS if part in table}


def _file_pin(value: object, key: str) -> FilePin:
    table = _as_table(value, key)
    name, sha256, revision = table.get("name"), table.get("sha256"), table.get("revision")
    if not isinstance(name, str):
        raise ValueError(f"`{shown(key)}` needs `name`")  # noqa: TRY004
    for said, digits, length in ((sha256, "sha256", 64), (revision, "revision", 40)):
        if said is not None and not (isinstance(said, str) and re.fullmatch(f"[0-9a-f]{{{length}}}", said)):
            raise ValueError(f"`{digits}` of `{shown(key)}` is not {length} hexadecimal digits")
    if (sha256 is None) == (revision is None):
        raise ValueError(f"`{shown(key)}` needs `sha256` or `revision`")
    return FilePin(name, sha256 if isinstance(sha256, str) else None, revision if isinstance(revision, str) else None)


def write_lock(spec: Path, lock: Lock) -> bool:
    """Write the lock when it says something new; return whether it did. Raises OSError where the folder is read-only."""
    import tomli_w

    path = lock_path(spec)
    if not lock.prompt_sets and not lock.attacks and not lock.models:
        return False
    tables: dict[str, dict[str, Any]] = {
        "prompt_sets": {name: _table(pin) for name, pin in sorted(lock.prompt_sets.items())},
        "attacks": {name: _table(pin) for name, pin in sorted(lock.attacks.items())},
        "models": {
            name: {part: {"name": pins[part].name, **_table(pins[part])} for part in PARTS if part in pins}
            for name, pins in sorted(lock.models.items())
        },
    }
    content = {"version": VERSION, **{kind: table for kind, table in tables.items() if table}}
    written = (_HEADING + tomli_w.dumps(content)).encode()
    if path.is_file() and path.read_bytes() == written:  # an unreadable one is replaced, so it is not decoded
        return False
    path.write_bytes(written)
    return True


def _table(pin: Pin | FilePin) -> dict[str, str]:
    return {name: value for name, value in (("sha256", pin.sha256), ("revision", pin.revision)) if value is not None}
