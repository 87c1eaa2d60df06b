"""The journal: what was received, on disk before anything is done with it.

A run writes segments `RUN-000001.jsonl` into the catalog's journal folder. The first line of a segment is its header
(format version, run, the models that it asks); each further line is one response or one final failure, with all that is
needed to store it in an empty catalog, or one failed attempt, or a note on a batch at a provider. What one turn of the
event loop received is handed to the operating system in one write at the start of the next, so that killing the process
loses nothing that was received before; it is flushed to the disk in small batches, so that a power cut loses at most the
last of them. A segment is deleted when its rows are committed to the catalog, and merging a segment twice changes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import orjson

from lrm import __version__, hashing
from lrm.errors import CatalogError

FORMAT = 2
"""Format 2 added attempts and notes on batches; format 1 is read as well."""


_ID_BYTES = 32


class ModelCard(TypedDict):
    """What a journal's header says of a model, by its id in hex."""

    name: str
    identity: str
    declaration: str
    visibility: str
    simulated: bool


class Header(TypedDict):
    """First line of a segment."""

    journal: int
    lrm: str
    run: str
    models: dict[str, ModelCard]


class Record(TypedDict, total=False):
    """A response (`kind` absent) or a failure (`kind` present). Ids are hex, `at` is microseconds since 1970, UTC."""

    call: str
    model: str
    messages: str
    replicate: int
    at: int
    attempts: int
    raw: str
    blocked: bool
    ms: float
    cost: float | None
    fingerprint: str | None
    sent: str | None
    kind: str
    message: str


class Attempt(TypedDict):
    """One request that brought no response. `at` is microseconds since 1970, UTC; `ms` how long it took."""

    call: str
    attempt: int
    kind: str
    message: str
    status: int | None
    ms: float | None
    at: int


class BatchNote(TypedDict, total=False):
    """What became of a batch at a provider's batch endpoint."""

    batch: str
    """Our key."""
    id: str
    """The provider's."""
    state: str
    at: int


Line = Record | Attempt | BatchNote


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as read back."""

    path: Path
    header: Header
    records: tuple[Record, ...]
    attempts: tuple[Attempt, ...]
    batches: tuple[BatchNote, ...]
    damaged: tuple[int, ...]
    """Line numbers that could not be read, the unfinished last line not among them."""
    cut: bool
    """Whether the last line was unfinished: it was never acknowledged."""


_TRIES = 20


class Journal:
    """The journal of one run, open for appending."""

    def __init__(self, folder: Path, run: str, models: dict[str, ModelCard], *, after: int = 0) -> None:
        """Make the folder and the first segment, numbered above `after`. Raises CatalogError when that is not possible."""
        self._folder = folder
        self._run = run
        self._header = orjson.dumps(Header(journal=FORMAT, lrm=__version__, run=run, models=models)) + b"\n"
        self.number = after
        """Number of the present segment; the last one's after `close`."""
        self._fd = -1
        self._full: list[int] = []
        self._waiting: list[bytes] = []
        self.written = 0
        """Lines in the present segment."""
        self.bytes = 0
        """Bytes of lines in the present segment."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        self._open()

    @property
    def path(self) -> Path:
        """The present segment."""
        return self._folder / f"{self._run}-{self.number:06d}.jsonl"

    def append(self, line: Line) -> None:
        """Take one line; `write` hands it on."""
        self._waiting.append(orjson.dumps(line))
        self.written += 1

    def write(self) -> None:
        """Hand what was appended to the operating system. Raises CatalogError when the disk will not take it whole."""
        if not self._waiting:
            return
        self._waiting.append(b"")
        lines = b"\n".join(self._waiting)
        self._waiting.clear()
        try:
            count = os.write(self._fd, lines)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        if count != len(lines):
            # What follows half a line could not be read back.
            half = count - (lines.rfind(b"\n", 0, count) + 1)
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - half)
            raise _cannot_write(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self.bytes += count

    def flush(self) -> None:
        """Wait until everything written is on the disk. May run in a thread beside `append`, `write` and `rotate`."""
        present = self._fd
        try:
            while self._full:
                os.fsync(self._full[0])
                os.close(self._full.pop(0))
            os.fsync(present)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def rotate(self) -> Path | None:
        """Begin the next segment and return the one before; None when it holds no line. The next `flush` flushes both."""
        if not self.written:
            return None
        self.write()
        closed = self.path
        self._full.append(self._fd)
        self._fd = -1
        self._open()
        return closed

    def close(self) -> Path | None:
        """Close for good; return the last segment, or None when it held no line and was removed."""
        if self._fd < 0:
            return None
        last = self.path
        try:
            self.write()
            self.flush()
        finally:
            for descriptor in (*self._full, self._fd):
                os.close(descriptor)
            self._full.clear()
            self._fd = -1
        if self.written:
            return last
        last.unlink(missing_ok=True)
        with suppress(OSError):  # unless another run has something in it, or took it away
            self._folder.rmdir()
        return None

    def _open(self) -> None:
        self.number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        for last in (*(False,) * _TRIES, True):
            try:
                # Another run that ends takes the folder away while it is empty.
                with suppress(FileExistsError):
                    self._folder.mkdir()
                self._fd = os.open(self.path, flags, 0o644)
                break
            except FileNotFoundError as error:
                if last or not self._folder.parent.is_dir():
                    raise _cannot_write(self.path, error) from error
            except OSError as error:
                raise _cannot_write(self.path, error) from error
        try:
            count = os.write(self._fd, self._header)
        except OSError:
            count = 0
        if count != len(self._header):
            os.close(self._fd)
            self._fd = -1
            raise _cannot_write(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self.written = 0
        self.bytes = 0


def segments(folder: Path) -> tuple[Path, ...]:
    """Return the segments in a journal folder, oldest first."""
    return tuple(sorted(folder.glob("*.jsonl"))) if folder.is_dir() else ()


def run_of(path: Path) -> str:
    """Return the run that a segment is of, by its name."""
    return path.stem.rpartition("-")[0]


def read(path: Path) -> Segment:
    """Read a segment back. Raises CatalogError for one that a newer version wrote, or whose header is not readable."""
    lines = _lines(path)
    first = next(lines, (1, b"", False))
    header = _parse(first[1])
    if header is None or not isinstance(header.get("journal"), int):
        if not first[1] or not first[2]:
            empty = Header(journal=FORMAT, lrm=__version__, run=path.stem, models={})
            return Segment(path, empty, (), (), (), (), cut=bool(first[1]))
        raise CatalogError(f"{path} is not a journal of lrm's", hint="move it out of the journal folder")
    if header["journal"] > FORMAT:
        raise CatalogError(
            f"{path} is a journal of format {header['journal']}, written by lrm {header.get('lrm', '?')}; this one reads up to {FORMAT}",
            hint="merge it with the lrm that wrote it, or a newer one: `lrm catalog merge`",
        )
    found: dict[str, list[Any]] = {"record": [], "attempt": [], "batch": []}
    damaged: list[int] = []
    cut = False
    for number, line, whole in lines:
        value = _parse(line)
        kind = None if value is None else _kind(value, header["models"])
        if not whole:
            cut = True
        elif kind is None:
            damaged.append(number)
        else:
            found[kind].append(value)
    records, attempts, batches = (tuple(found[name]) for name in ("record", "attempt", "batch"))
    return Segment(path, header, records, attempts, batches, tuple(damaged), cut)  # type: ignore[arg-type]


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (number from 1, line, whether it ended with a newline)."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield number, line.rstrip(b"\n"), line.endswith(b"\n")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _kind(value: dict[str, Any], models: dict[str, Any]) -> Literal["record", "attempt", "batch"] | None:
    """Return what a line is; None for one that is nothing that this version writes."""
    if "batch" in value:
        return "batch" if all(isinstance(value.get(name, ""), str) for name in ("batch", "id", "state")) else None
    if "attempt" in value:
        return "attempt" if _is_attempt(value) else None
    return "record" if _is_record(value, models) else None


def _is_attempt(value: dict[str, Any]) -> bool:
    try:
        known = len(bytes.fromhex(value["call"])) == _ID_BYTES
    except (KeyError, TypeError, ValueError):
        return False
    texts, numbers = ("kind", "message"), ("attempt", "at")
    return (
        known
        and all(isinstance(value.get(name), str) for name in texts)
        and all(isinstance(value.get(name), int) for name in numbers)
        and isinstance(value.get("status"), int | None)
        and isinstance(value.get("ms"), int | float | None)
    )


def _is_record(record: dict[str, Any], models: dict[str, Any]) -> bool:
    """Return whether a line says what its call's id says, and holds a response or a failure."""
    try:
        identity, messages = bytes.fromhex(record["model"]), hashing.messages_text_id(record["messages"])
        call = hashing.call_id(identity, messages, record["replicate"])
    except (KeyError, TypeError, ValueError):
        return False
    outcome = record.get("raw") if "kind" not in record else record.get("message")
    numbers = (record.get("at"), record.get("attempts"))
    return (
        record.get("call") == call.hex()
        and record["model"] in models
        and isinstance(outcome, str)
        and all(isinstance(number, int) for number in numbers)
    )


def _cannot_write(path: Path, error: OSError) -> CatalogError:
    reason: Literal["full", "other"] = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "other"
    return CatalogError(
        f"the journal {path} cannot be written: {error.strerror or error}",
        hint="free some disk space and run the same command again; nothing received before is lost"
        if reason == "full"
        else "check the folder and its permissions, or name another --catalog",
    )
