"""Where an export goes: whole or not at all, and never over what is there without being told so."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lrm.errors import LrmError

_SAFE = re.compile(r"[^A-Za-z0-9.+=,@-]+")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Written:
    """What an export wrote."""

    path: Path
    """The file or folder that was asked for."""
    files: int
    bytes: int
    cells: int
    """Cells that are in it."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Cells that are not, by why."""


@contextmanager
def new_file(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary path beside `out`; put it there at the end. Raises LrmError where that cannot be."""
    with _placed(out, force=force) as part:
        yield part


@contextmanager
def new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Give an empty temporary folder beside `out`; put it there at the end. Raises LrmError where that cannot be."""
    with _placed(out, force=force) as part:
        part.mkdir()
        yield part


@contextmanager
def _placed(out: Path, *, force: bool) -> Iterator[Path]:
    refuse(out, force=force)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        refuse(out, force=force)
        _put(part, out)
    except OSError as error:
        raise LrmError(
            f"cannot write {out}: {error.strerror or error}", hint="name another place with --out"
        ) from error
    finally:
        _remove(part)


def refuse(out: Path, *, force: bool) -> None:
    """Raise LrmError where something is at `out` that must not be replaced."""
    if out.is_symlink() or (out.exists() and not force):
        raise LrmError(f"{out} is there already", hint="name another place with --out, or say --force to replace it")


def _put(part: Path, out: Path) -> None:
    if not out.exists():
        part.rename(out)
        return
    if part.is_file() and out.is_file():
        part.replace(out)
        return
    if out.is_dir() != part.is_dir():
        raise LrmError(f"{out} is {'a folder' if out.is_dir() else 'a file'}", hint="name another place with --out")
    old = out.with_name(f".{out.name}.{secrets.token_hex(4)}.old")
    out.rename(old)
    try:
        part.rename(out)
    except BaseException:
        old.rename(out)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def measured(path: Path, *, cells: int, left_out: dict[str, int] | None = None, at: Path | None = None) -> Written:
    """Return what was written at `path`, named as `at` where it is going to lie there."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    size = sum(one.stat().st_size for one in files)
    return Written(at or path, len(files), size, cells, {why: n for why, n in (left_out or {}).items() if n})


def safe_name(text: str) -> str:
    """Return a text as part of a file's name: as it is where it may be, else with a piece of its checksum behind it."""
    made = _SAFE.sub("-", text).strip(".-")[:_LONGEST].rstrip(".-")
    if made == text:
        return made
    return f"{made or 'x'}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"
