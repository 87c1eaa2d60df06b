"""A snapshot's manifest: which files it has, what is in them and how they were made. Nothing in it depends on when or where."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)  # fmt: skip

from lrm.errors import SnapshotError
from lrm.snapshot.tables import BY_NAME, FORMAT, Family
from lrm.text import visible

NAME = "manifest.json"
CARD = "README.md"
MAX_BYTES = 16 * 2**20
"""A manifest larger than this is not read, in bytes: some 50,000 files, and what JSON becomes in memory is many times as large."""
Texts = Literal["all", "hashed", "none"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_FILE = re.compile(r"data/([a-z_]+)/([0-9a-f]{32})\.parquet")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class File(_Part):
    """A shard: a run of rows of one table, named by its own hash."""

    path: str
    table: str
    rows: int = Field(ge=1)
    bytes: int = Field(ge=1)
    unpacked: int = Field(ge=0)
    """Bytes of its columns without compression, at most as many as reading it may take."""
    sha256: Sha256

    @model_validator(mode="after")
    def _is_where_it_belongs(self) -> File:
        found = _FILE.fullmatch(self.path)
        if found is None or found[1] != self.table or found[2] != self.sha256[:32] or self.table not in BY_NAME:
            raise ValueError(f"{self.path!r} is no path of a shard: data/TABLE/HASH.parquet")
        return self


class Spec(_Part):
    """A spec as it was when its matrix was exported."""

    name: str
    text: str | None = None
    """The TOML file; None for an import, which has none."""
    lock: str | None = None


class SetTerms(_Part):
    """A prompt set in the snapshot, and the terms of those who made it."""

    name: str
    prompts: int = Field(ge=0)
    licence: str | None = None
    homepage: str | None = None
    citation: str | None = None
    gated: bool = False
    withheld: str | None = None
    """Why its prompts are not in the snapshot; None where they are."""


class Manifest(_Part):
    """What a snapshot says of itself."""

    format: int = Field(ge=1)
    version: str
    """The version of lrm that wrote it."""
    made_with: dict[str, str]
    """Versions of the packages that wrote the files."""
    identity: tuple[str, ...]
    """The tags of the rules that its ids follow."""
    splitter: int
    specs: tuple[Spec, ...]
    sets: tuple[SetTerms, ...]
    texts: dict[Family, Texts]
    counts: dict[str, Annotated[int, Field(ge=0, lt=2**63)]]
    """Rows by table, and cells by state (`cells done` …), generations by source (`generations simulated` …)."""
    files: tuple[File, ...]

    @field_validator("specs", "sets", "files", "identity", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _no_file_is_there_twice(self) -> Manifest:
        if len({one.path for one in self.files}) != len(self.files):
            raise ValueError("a file is listed twice")
        return self

    def of(self, table: str) -> tuple[File, ...]:
        """Return the shards of a table, in the order of their rows."""
        return tuple(one for one in self.files if one.table == table)

    @property
    def weight(self) -> int:
        """Responses and verdicts: what memory and time go by."""
        return sum(one.rows for one in self.files if one.table in ("generations", "verdicts"))

    def text(self) -> str:
        """Return it as it is written: sorted keys, so that equal content is equal bytes."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, indent=1) + "\n"


def read(text: str | bytes, where: str) -> Manifest:
    """Return a manifest out of its JSON. Raises SnapshotError for one that is damaged, hostile or of a newer format."""
    if len(text) > MAX_BYTES:
        raise SnapshotError(
            f"{where}: the manifest is larger than {MAX_BYTES:,} bytes",
            hint="it was not written by lrm: do not trust it",
        )
    try:
        plain = text.decode("utf-8") if isinstance(text, bytes) else text
        found = json.loads(plain, object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()  # lone surrogates are no text
    except (ValueError, RecursionError) as error:
        said = visible(str(error), one_line=True)[:200]
        raise SnapshotError(f"{where}: the manifest is no JSON: {said}", hint="export or pull it again") from error
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise SnapshotError(
            f"{where} has format {number}, and this lrm reads up to {FORMAT}",
            hint=f"it was written by lrm {visible(str(found.get('version'))[:20], one_line=True)}: upgrade to that or a later version",
        )
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SnapshotError(
            visible(f"{where}: the manifest is not sound: {place}: {first['msg']}"[:500], one_line=True),
            hint="export or pull it again",
        ) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def safe_path(path: str) -> bool:
    """Return whether a path stays below the snapshot's folder and is one that a snapshot has."""
    return path in (NAME, CARD) or (_FILE.fullmatch(path) is not None and ".." not in PurePosixPath(path).parts)
