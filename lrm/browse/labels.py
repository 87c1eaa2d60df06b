"""Labels on their way into a catalog: written to a file of their own first, so that no lock and no kill can lose one.

Beside the catalog lies a folder of JSON lines files, `catalog.duckdb.labels/ANNOTATOR-….jsonl`; each process that labels
appends to one of its own. A line is on the disk before `LabelFile.add` returns. Taking a label back is another line, never
a change. `store_labels` merges what is pending into `lrm.annotations` in one transaction, then moves the file to `stored/`.
A label's id is its content, so a kill between the two does no harm: the same label is not stored twice.

    line        keys
    header      `labels` (format, now 1), `annotator`, `lrm` (version)
    label       `n` (ascending), `at` (UTC), `model`, `attack`, `prompt`, `replicate`, `generation` (ids), and what was said:
                `scope`, `rubric`, `label`, `unsafe`, `score`, `note`, `spans`
    taken back  `undo` (the label's `n`)
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

import lrm
from lrm import clock
from lrm.browse.reader import PATIENCE_S, Reader
from lrm.browse.trace import Anchor
from lrm.errors import CatalogError, LrmError, SpecError
from lrm.store import annotations as stored
from lrm.store.annotations import Annotation, Target
from lrm.store.catalog import Catalog

if TYPE_CHECKING:
    import duckdb

FORMAT = 1
_NOBODY = Target(0, 0, 0, 0, None)
"""Stands where a label's target is known by ids alone."""
_STORED = "stored"
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Pending:
    """A label that is on the disk and not in the catalog yet."""

    anchor: Anchor
    annotation: Annotation
    """Its target is filled in when it is stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of storing."""

    new: int
    """Labels that the catalog did not have."""
    known: int
    """Labels that it had already."""
    unknown: tuple[str, ...] = ()
    """Files that stay: the catalog does not have the cell or response of a label in them, or they are of a newer lrm."""
    damaged: tuple[str, ...] = ()
    """Files with lines that could not be read, kept as `….damaged`."""
    busy: tuple[str, ...] = ()
    """Files of other processes that are labelling now; they store their own."""


def labels_folder(catalog: Catalog) -> Path:
    """Return the folder of labels that are not in the catalog yet."""
    return catalog.path.with_name(catalog.path.name + ".labels")


class LabelFile:
    """The labels that one annotator gives in this process. Threads may share it."""

    def __init__(self, catalog: Catalog, annotator: str) -> None:
        """Raise SpecError for a name that cannot be kept. The file is made with the first label."""
        from lrm.text import visible

        if not annotator.strip() or annotator != visible(annotator, one_line=True):
            raise SpecError("the annotator needs a name of signs that can be shown", hint="any pseudonym will do")
        self.catalog = catalog
        self.annotator = annotator
        self._lock = threading.RLock()
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._size = 0
        self._next = 1
        self._given: dict[int, Pending] = {}

    @property
    def path(self) -> Path | None:
        """The file that is being written; None while nothing is pending."""
        return self._path

    @property
    def pending(self) -> tuple[Pending, ...]:
        """Labels of this process that are not stored and not taken back, in the order given."""
        with self._lock:
            return tuple(self._given.values())

    def add(self, anchor: Anchor, annotation: Annotation) -> Pending:
        """Write a label to the disk and return it; when this returns, it is safe.

        The annotator is this file's, and the time is now where none is given. Raises SpecError for what cannot be kept,
        CatalogError where the disk refuses; then the label is not there.
        """
        at = annotation.made_at or clock.now().replace(tzinfo=None)
        given = replace(annotation, annotator=self.annotator, made_at=at, source="tui")
        stored._check(given)  # noqa: SLF001 -- what storing would refuse is refused while the annotator can mend it
        with self._lock:
            number = self._next
            self._append(_line(number, anchor, given))
            self._next += 1
            self._given[number] = found = Pending(anchor, given)
        return found

    def undo_last(self) -> Pending | None:
        """Take back the last label that is pending, and return it; None where there is none.

        One that is in the catalog stays there: label the response again, and the newer label counts. Raises CatalogError.
        """
        with self._lock:
            if not self._given:
                return None
            number = max(self._given)
            self._append(orjson.dumps({"undo": number}))
            return self._given.pop(number)

    def close(self) -> None:
        """Let go of the file. What is in it is stored by whoever calls `store_labels` next."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = self._path = None
            self._given.clear()

    def _append(self, line: bytes) -> None:
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            try:
                self._file.write(line + b"\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError:
                # What was half written must not stand before the next line.
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), self._size)
                raise
            self._size += len(line) + 1
        except OSError as error:
            raise CatalogError(
                f"the label cannot be written to {self._path or labels_folder(self.catalog)}: {error.strerror or error}",
                hint="free some disk space or mend the permissions, and give it again; earlier labels are safe",
            ) from error

    def _open(self) -> None:
        folder = labels_folder(self.catalog)
        folder.mkdir(exist_ok=True)
        stem = _SAFE.sub("_", self.annotator)[:40].strip(".") or "_"
        moment = f"{clock.now():%Y%m%dT%H%M%S}"
        for number in range(1000):
            path = folder / f"{stem}-{moment}-{os.getpid()}-{number}.jsonl"
            draft = path.with_suffix(".new")
            try:
                descriptor = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            # It gets its name when it is locked: whoever stores would else take it for one that nobody writes any more.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() or (folder / _STORED / path.name).exists():
                os.close(descriptor)
                draft.unlink()
                continue
            draft.rename(path)
            break
        else:
            raise OSError("no name is free")
        self._file, self._path, self._size = os.fdopen(descriptor, "wb", buffering=0), path, 0
        header = orjson.dumps({"labels": FORMAT, "annotator": self.annotator, "lrm": lrm.__version__}) + b"\n"
        self._file.write(header)
        self._size = len(header)
        _sync_folder(folder)

    @contextmanager
    def _handing_over(self) -> Iterator[Path | None]:
        """Give the file to be stored; nothing is added meanwhile. The next label begins another file."""
        with self._lock:
            yield self._path
            if self._path is not None and not self._path.exists():
                self.close()


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelLines:
    """What a file of labels holds."""

    labels: tuple[Pending, ...]
    """Without those taken back."""
    damaged: int
    """Lines that could not be read. A last line that was cut off was never acknowledged, and is not among them."""


def read_labels(path: Path) -> LabelLines:
    """Return the labels of a file. Raises CatalogError for one of a newer format, or that cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror or error}") from error
    *lines, _torn = content.split(b"\n")
    found: dict[int, Pending] = {}
    annotator = ""
    damaged = 0
    for line in lines:
        try:
            fields = orjson.loads(line)
            if "labels" in fields:
                if fields["labels"] > FORMAT:
                    raise CatalogError(f"{path} was written by a newer lrm", hint="update lrm to store these labels")
                annotator = fields["annotator"]
            elif "undo" in fields:
                found.pop(fields["undo"], None)
            else:
                found[fields["n"]] = _pending(fields, annotator)
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return LabelLines(tuple(found.values()), damaged)


def pending_labels(catalog: Catalog) -> Iterator[Pending]:
    """Yield the labels of all annotators that are not in the catalog yet, also of processes that are labelling now."""
    for path in _files(catalog):
        with suppress(LrmError):  # stored and moved away by another process, or of a newer one
            yield from read_labels(path).labels


def _files(catalog: Catalog) -> list[Path]:
    return sorted(labels_folder(catalog).glob("*.jsonl"))


def _line(number: int, anchor: Anchor, given: Annotation) -> bytes:
    assert given.made_at is not None
    fields = {
        "n": number, "at": given.made_at.isoformat(), "model": anchor.model, "attack": anchor.attack,
        "prompt": anchor.prompt, "replicate": anchor.replicate, "generation": anchor.generation, "scope": given.scope,
        "rubric": given.rubric, "label": given.label, "unsafe": given.unsafe, "score": given.score, "note": given.note,
        "spans": [list(span) for span in given.spans],
    }  # fmt: skip
    return orjson.dumps(fields)


def _pending(fields: Mapping[str, Any], annotator: str) -> Pending:
    anchor = Anchor(fields["model"], fields["attack"], fields["prompt"], fields["replicate"], fields["generation"])
    spans = tuple((int(start), int(end), str(what)) for start, end, what in fields["spans"])
    return Pending(
        anchor,
        Annotation(
            _NOBODY, fields["scope"], annotator, fields["label"], fields["rubric"], fields["score"], fields["unsafe"],
            fields["note"], spans, made_at=datetime.fromisoformat(fields["at"]),
        ),
    )  # fmt: skip


# --- storing ----------------------------------------------------------------------------------------------------------


class _Impatient(Catalog):
    """The catalog, for somebody at a screen: a write waits no longer for the file than a read does."""

    @contextmanager
    def writing(self, *, patience_s: float = PATIENCE_S) -> Iterator[duckdb.DuckDBPyConnection]:
        with Catalog.writing(self, patience_s=patience_s) as connection:
            yield connection


def store_labels(reader: Reader, own: LabelFile | None = None) -> Stored:
    """Merge into the catalog what is pending: in the own file, and in those of processes that have ended.

    Raises BusyError where the catalog stays locked for PATIENCE_S seconds, CatalogError; everything is in the files then,
    as before.
    """
    if own is None:
        return _store(reader, None)
    with own._handing_over() as path:  # noqa: SLF001 -- of this module
        return _store(reader, path)


def _store(reader: Reader, own: Path | None) -> Stored:
    opened: list[tuple[Path, IO[bytes] | None]] = []
    busy: list[str] = []
    try:
        for path in _files(reader.catalog):
            if path == own:
                opened.append((path, None))
                continue
            held = _held(path)
            if held is not None:
                opened.append((path, held))
            elif path.exists():
                busy.append(path.name)
        return _merge(reader, [path for path, _ in opened if path.exists()], busy)
    finally:
        for _, held in opened:
            if held is not None:
                held.close()


def _held(path: Path) -> IO[bytes] | None:
    """Return a file with its lock; None where its process lives, or another stores it."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _merge(reader: Reader, paths: list[Path], busy: list[str]) -> Stored:
    read: dict[Path, LabelLines] = {}
    unknown: list[str] = []
    for path in paths:
        try:
            read[path] = read_labels(path)
        except CatalogError:
            unknown.append(path.name)
    everything = [one for found in read.values() for one in found.labels]
    new = known = 0
    targets: dict[Anchor, Target] = {}
    if everything:
        with reader.burst() as connection:
            targets = find_targets(connection, {one.anchor for one in everything})
        ready = [replace(one.annotation, target=targets[one.anchor]) for one in everything if one.anchor in targets]
        with reader.alone() as catalog:
            new = stored.add(_Impatient(catalog.path), ready)
        known = len(ready) - new
    damaged: list[str] = []
    for path, found in read.items():
        if any(one.anchor not in targets for one in found.labels):
            unknown.append(path.name)
            continue
        name = f"{path.name}.damaged" if found.damaged else path.name
        damaged += [name] if found.damaged else []
        _archive(path, name)
    return Stored(new, known, tuple(unknown), tuple(damaged), tuple(busy))


def _archive(path: Path, name: str) -> None:
    """Move a file whose labels are in the catalog to `stored/`."""
    folder = path.parent / _STORED
    try:
        folder.mkdir(exist_ok=True)
        path.rename(folder / name)
        _sync_folder(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CatalogError(
            f"the labels of {path} are in the catalog, and the file cannot be moved away: {error.strerror or error}",
            hint="mend the permissions; storing them again does no harm",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_targets(connection: duckdb.DuckDBPyConnection, anchors: Iterable[Anchor]) -> dict[Anchor, Target]:
    """Return the cells that ids name, by this catalog's numbers; without those that it does not have."""
    wanted = list(anchors)
    numbers = {
        table: _numbers(connection, table, ids)
        for table, ids in (
            ("models", {one.model for one in wanted}),
            ("attacks", {one.attack for one in wanted}),
            ("prompts", {one.prompt for one in wanted}),
            ("generations", {one.generation for one in wanted if one.generation is not None}),
        )
    }
    found: dict[Anchor, Target] = {}
    for one in wanted:
        model, attack, prompt = (
            numbers["models"].get(one.model), numbers["attacks"].get(one.attack), numbers["prompts"].get(one.prompt)
        )  # fmt: skip
        generation = None if one.generation is None else numbers["generations"].get(one.generation)
        if model is None or attack is None or prompt is None or (one.generation is not None and generation is None):
            continue
        found[one] = Target(model, attack, prompt, one.replicate, generation)
    return found


def _numbers(connection: duckdb.DuckDBPyConnection, table: str, ids: set[str]) -> dict[str, int]:
    if not ids:
        return {}
    by_bytes: dict[bytes, str] = {}
    for one in ids:
        with suppress(ValueError):
            by_bytes[bytes.fromhex(one.partition(":")[2])] = one
    rows = connection.execute(f"SELECT id, n FROM lrm.{table} WHERE id IN $ids", {"ids": list(by_bytes)}).fetchall()
    return {by_bytes[found]: n for found, n in rows}
