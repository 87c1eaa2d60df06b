"""TOML files, read so that every fault has a file, a line and a key, and checked against a pydantic model."""

from __future__ import annotations

import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from lrm.errors import SpecError, nearest
from lrm.registry.positions import Keys, positions

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64
"""Tables and arrays within each other. A bound of ours: no declaration needs it, and nothing behind it has to fear recursion."""
MAX_INTEGER = 2**53 - 1
"""The largest integer that canonical JSON (RFC 8785) holds exactly."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: for error messages."""

    file: Path
    line: int
    """From 1."""
    keys: Keys
    """Keys and indices that lead to it in that file."""

    @property
    def key(self) -> str | None:
        """The keys as one dotted path; None for the whole file."""
        return dotted(self.keys) or None

    def error(self, message: str, *, hint: str | None = None) -> SpecError:
        """Return a SpecError that points here."""
        return SpecError(message, file=self.file, line=self.line, key=self.key, hint=hint)


class Source(Protocol):
    """A table that knows where each of its values was written: one document, or several merged."""

    @property
    def data(self) -> dict[str, Any]:
        """The table."""
        ...

    def place(self, keys: Keys) -> Place:
        """Return where the value at `keys` was written; for a missing one, where the table around it was."""
        ...


@dataclass(frozen=True)
class Document:
    """One TOML file, read. Its values are JSON values: no dates, no NaN, no infinity, no integer beyond 2**53 - 1."""

    file: Path
    data: dict[str, Any]
    text: str

    @cached_property
    def lines(self) -> Mapping[Keys, int]:
        """Line of every key and array element; scanned when it is first asked for."""
        return positions(self.text, depth=MAX_DEPTH)

    def place(self, keys: Keys) -> Place:
        """Return where the value at `keys` stands; for a missing one, where the table around it begins."""
        known = next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), 1)
        return Place(self.file, known, keys)


def dotted(keys: Keys) -> str:
    """Return keys as TOML writes them: `matrix.models[0]`, `overrides.models."sim-*".sampling`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += "." if text else ""
            text += key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + shown(key, limit=80) + '"'
    return text


def shown(value: object, *, limit: int = 60) -> str:
    """Return a name or another short value fit for a message: one line, no control characters, cut."""
    from lrm.text import visible

    text = visible(str(value), one_line=True)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read_toml(path: Path) -> Document:
    """Return a TOML file as a document.

    Raises SpecError for a file that is missing, no regular file, unreadable, larger than 64 MiB, not UTF-8 or not TOML, and for values
    that no declaration can hold: NaN, infinities, dates, integers beyond 2**53 - 1, NUL, nesting deeper than 64.
    """
    text = _text(path, _bytes(path))
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise SpecError(
            "is nested too deep", file=path, line=_first_deep_line(text), hint=f"the limit is {MAX_DEPTH} levels"
        ) from None
    except ValueError as error:
        _refuse_syntax(path, text, error)
    document = Document(path, data, text)
    _refuse_what_no_declaration_holds(document)
    return document


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SpecError("is a folder, not a TOML file", file=path, hint=files_hint(path / "?"))
        if not stat.S_ISREG(status.st_mode):
            raise SpecError("is not a regular file", file=path)
        if status.st_size > MAX_BYTES:
            raise SpecError(
                f"is larger than {MAX_BYTES // 2**20} MiB",
                file=path,
                hint="put the rows into a data file (CSV, JSONL, Parquet) and name it with `file`",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError("there is no such file", file=path, hint=files_hint(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"cannot be read: {reason}", file=path) from error


def files_hint(path: Path) -> str | None:
    """Return a hint that names the TOML file in the same folder whose name is nearest."""
    try:
        beside = sorted(entry.name for entry in os.scandir(path.parent) if entry.name.endswith(".toml"))
    except OSError:
        return f"there is no folder {path.parent} either"
    guess = nearest(path.name, beside)
    if guess is not None:
        return f"did you mean {path.with_name(guess)}?"
    if not beside:
        return None
    return "in that folder: " + ", ".join(beside[:8]) + (f" and {len(beside) - 8} more" if len(beside) > 8 else "")


def _text(path: Path, raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError("is UTF-16; TOML is UTF-8", file=path, line=1, hint="save the file as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"is not UTF-8: byte {raw[error.start]:#04x} at offset {error.start}",
            file=path,
            line=raw.count(b"\n", 0, error.start) + 1,
            hint="save the file as UTF-8",
        ) from None
    text = text.removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        raise SpecError("holds a NUL character", file=path, line=text.count("\n", 0, nul) + 1, hint="remove it")
    return text


def _refuse_syntax(path: Path, text: str, error: ValueError) -> NoReturn:
    message = str(error)
    line: int | None
    if found := re.search(r" ?\(at line (\d+), column (\d+)\)", message):
        line = int(found[1])
        message = message.replace(found[0], f", at column {found[2]}")
    elif message.endswith("(at end of document)"):
        line = text.rstrip().count("\n") + 1
        message = message.replace(" (at end of document)", ", at the end of the file")
    else:
        long = re.search(r"[0-9_]{4000}", text)
        line = None if long is None else text.count("\n", 0, long.start()) + 1
        message = message if long is None else "an integer is too large"
    raise SpecError(
        f"is not valid TOML: {shown(message, limit=200)}", file=path, line=line, hint=_syntax_hint(message)
    ) from None


def _syntax_hint(message: str) -> str | None:
    if "Cannot overwrite a value" in message or "twice" in message or "Duplicate" in message:
        return "a key or table stands twice, or a value is used as a table"
    if "Invalid value" in message:
        return 'text is written in quotes ("…"), true and false in lower case; lists and inline tables end with ] and }'
    return None


_DEEP_TOKEN = re.compile(
    r'"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"{3,5}|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]'
)


def _first_deep_line(text: str) -> int | None:
    """Return the line on which brackets first stand deeper than the limit."""
    depth = 0
    for token in _DEEP_TOKEN.finditer(text):
        sign = token[0]
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        if depth > MAX_DEPTH:
            return text.count("\n", 0, token.start()) + 1
    return None


def _walk(data: dict[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Yield every value with its path, tables and arrays before what they hold; without recursion."""
    todo: list[tuple[Keys, Any]] = [((), data)]
    while todo:
        path, value = todo.pop()
        yield path, value
        if len(path) <= MAX_DEPTH:
            if isinstance(value, dict):
                todo.extend(((*path, key), item) for key, item in value.items())
            elif isinstance(value, list):
                todo.extend(((*path, index), item) for index, item in enumerate(value))


def _refuse_what_no_declaration_holds(document: Document) -> None:
    for path, value in _walk(document.data):
        if len(path) > MAX_DEPTH:
            raise document.place(path).error("is nested too deep", hint=f"the limit is {MAX_DEPTH} levels")
        if path and isinstance(path[-1], str) and "\0" in path[-1]:
            raise document.place(path).error("the key holds a NUL character", hint="remove it")
        match value:
            case str():
                if "\0" in value:
                    raise document.place(path).error("holds a NUL character", hint="remove it")
            case int():
                if abs(value) > MAX_INTEGER:
                    raise document.place(path).error(
                        "the integer is too large: ids are hashes of JSON, which holds integers up to 2**53 - 1",
                        hint="write it as text, in quotes, where text is allowed",
                    )
            case float():
                if not math.isfinite(value):
                    raise document.place(path).error(
                        f"{value} is not possible: ids are hashes of JSON, which has no such number",
                        hint="leave the key out, or give a finite number",
                    )
            case dict() | list():
                pass
            case _:
                raise document.place(path).error(
                    "dates and times are not possible here", hint="write it as text, in quotes"
                )


def validate(source: Source, cls: type[T] | Any, *, at: Keys = (), name: str) -> T:
    """Return the table at `at` as an instance of `cls`, a pydantic model or a union of them.

    `name` says in messages what is read: "model `r1`". Types are strict: text is no number, true is not 1. Raises SpecError for the
    fault that stands first in the file, with what is allowed and the nearest known name, and says how many more there are.
    """
    table: Any = source.data
    for key in at:
        table = table[key]
    result: Any
    try:
        if isinstance(cls, type) and issubclass(cls, BaseModel):
            result = cls.model_validate(table, strict=True)
        else:
            result = TypeAdapter(cls).validate_python(table, strict=True)
    except ValidationError as error:
        from lrm.registry.faults import first_fault

        raise first_fault(error, source, cls, at=at, name=name) from None
    return cast("T", result)
