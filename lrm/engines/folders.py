"""Folders with a checkpoint's files: where one is, which of its files are read, and what they are by content."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

READ: tuple[str, ...] = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""Names of the files that a load reads, in the folder itself."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
"""Endings of weights that run code when they are opened."""

_CODE = "*.py"
_REMEMBERED_FROM = 1 << 20
"""Bytes from which a file's digest is remembered over processes: what is smaller is read in no time."""
_SETTLED_NS = 2_000_000_000
"""A file changed this lately may change again without its times showing it."""
_MOST = 20_000
_TOGETHER = 8


def folder_at(name: str, beside: Path | None) -> Path:
    """Return the path that a declaration's folder means: a relative one is read from `beside`. It need not be there."""
    path = Path(name).expanduser()
    return path if path.is_absolute() or beside is None else beside / path


def is_read(name: str, patterns: Iterable[str], *, code: bool) -> bool:
    """Return whether a file is among those that a load reads; `code`: Python files too, wherever they lie.

    `name` is its path in the folder or repository with `/` between the parts; a pattern holds for as many parts as it has.
    """
    path = PurePosixPath(name)
    if code and path.suffix == ".py" and "__pycache__" not in path.parts:
        return True
    return any(len(PurePosixPath(one).parts) == len(path.parts) and fnmatchcase(name, one) for one in patterns)


def folder_digest(folder: Path, *, code: bool, patterns: tuple[str, ...] = READ) -> str:
    """Return the hex SHA-256 over names and contents of the files that a load of this folder reads; `code`: its Python too.

    Raises OSError for a file that cannot be read.
    """
    whole = hashlib.sha256()
    known = _Remembered()
    paths = _files(folder, patterns, code=code)
    # Shards of weights are read side by side: hashing lets go of the interpreter, and disks are faster than one core.
    with ThreadPoolExecutor(max_workers=_TOGETHER) as pool:
        for path, digest in zip(paths, pool.map(known.digest, paths), strict=True):
            whole.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    known.save()
    return whole.hexdigest()


def bytes_to_read(folder: Path, *, code: bool, patterns: tuple[str, ...] = READ) -> int:
    """Return how many bytes `folder_digest` would read now: those of files whose digest is not remembered. Raises OSError."""
    known = _Remembered()
    return sum(path.stat().st_size for path in _files(folder, patterns, code=code) if known.kept(path) is None)


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path, patterns: tuple[str, ...], *, code: bool) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    if code:
        found |= {path for path in folder.rglob(_CODE) if "__pycache__" not in path.parts}
    return sorted(path for path in found if path.is_file())


class _Remembered:
    """Digests of big files by path, size and times, kept in the user's cache folder: weights are not read for every plan."""

    def __init__(self) -> None:
        self._file = cache_folder() / "digests.json"
        self._known = self._read()
        self._new: dict[str, Any] = {}

    def digest(self, path: Path) -> str:
        """Return a file's hex SHA-256."""
        if path.stat().st_size < _REMEMBERED_FROM:
            return file_digest(path)
        kept = self.kept(path)
        if kept is not None:
            return kept
        name, marks = _marks(path)
        digest = _digest(name, *marks)
        if time.time_ns() - max(marks[1:]) > _SETTLED_NS:
            self._new[name] = [*marks, digest]
        return digest

    def kept(self, path: Path) -> str | None:
        """Return the digest of a file that is as it was when it was read; None where it has to be read."""
        name, marks = _marks(path)
        kept = self._known.get(name)
        return kept[-1] if isinstance(kept, list) and kept[:-1] == marks and isinstance(kept[-1], str) else None

    def save(self) -> None:
        """Write what is new; a folder that cannot be written is left alone."""
        if not self._new:
            return
        # Read again: another process may have written meanwhile.
        kept = list({**self._read(), **self._new}.items())[-_MOST:]
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(orjson.dumps(dict(kept)))
            part.replace(self._file)
        self._new = {}

    def _read(self) -> dict[str, Any]:
        try:
            content = orjson.loads(self._file.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return content if isinstance(content, dict) else {}


def _marks(path: Path) -> tuple[str, list[int]]:
    """Return what a file is known by: where it is, its size and times."""
    stat = path.stat()
    return os.path.realpath(path), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def cache_folder() -> Path:
    """Return the folder in which lrm keeps what it can find out again: `lrm` in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lrm"


@lru_cache(maxsize=512)
def _digest(path: str, size: int, modified_ns: int, changed_ns: int) -> str:  # noqa: ARG001 - they say when to read again
    return file_digest(Path(path))
