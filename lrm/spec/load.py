"""A spec's files, read and merged: what it extends, then itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrm.registry.layers import NAME, NAME_RULE, WORDS
from lrm.registry.source import Document, Place, files_hint, read_toml, shown, validate
from lrm.spec.merge import Merged, one
from lrm.spec.spec import INLINE, Overrides, Spec

MAX_EXTENDS = 32
"""Specs in a row, each extending the next."""


@dataclass(frozen=True, slots=True)
class OverrideLayer:
    """The overrides that one file of the chain writes."""

    overrides: Overrides
    source: Merged
    """The file's `overrides` table."""
    own: bool
    """Whether the spec itself writes them, and not a spec that it extends."""


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec with what it extends merged in. Its inline declarations are not validated yet: overrides come first."""

    file: Path
    spec: Spec
    """Without the inline declarations and the overrides."""
    source: Merged
    """The merged table, inline declarations and all."""
    overrides: tuple[OverrideLayer, ...]
    """In the order in which they are laid on: of the extended specs first, the spec's own last."""

    def inline(self, kind: str) -> dict[str, Any]:
        """Return the inline declarations of a kind as they are written."""
        tables: dict[str, Any] = self.source.data.get(kind, {})
        return tables

    def own(self, place: Place) -> bool:
        """Return whether a place is in the spec itself, and not in one that it extends."""
        return place.file == self.file


def load_spec(path: Path) -> LoadedSpec:
    """Return a spec, merged with what it extends: the child over its parents, a later parent over an earlier one.

    Raises SpecError, which points into the file that wrote the wrong value.
    """
    chain = _Chain()
    merged = chain.add(path, ())
    for kind in INLINE:
        _check_tables(merged, kind)
    # Declarations are validated one by one, when overrides have been laid over them.
    shell = {key: value for key, value in merged.data.items() if key not in (*INLINE, "extends", "overrides")}
    spec: Spec = validate(Merged(shell, merged.origins), Spec, name="the spec")
    layers = tuple(
        OverrideLayer(
            validate(document, Overrides, at=("overrides",), name="the spec's overrides"),
            one(document, ("overrides",)),
            own=document.file == path,
        )
        for document in chain.documents
        if "overrides" in document.data
    )
    return LoadedSpec(path, spec, merged, layers)


class _Chain:
    """The files of one spec, in the order in which they are laid on."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.merged: dict[str, Merged] = {}

    def add(self, path: Path, above: tuple[Path, ...]) -> Merged:
        """Read a spec and what it extends; `above` are the specs that led here."""
        real = os.path.realpath(path)
        if real in self.merged:
            return self.merged[real]
        document = read_toml(path)
        result: Merged | None = None
        for parent, place in _parents(document):
            _check_parent(parent, (*above, path), place)
            layer = self.add(parent, (*above, path))
            result = layer if result is None else result.with_over(layer)
        if not isinstance(document.data.get("overrides", {}), dict):
            raise document.place(("overrides",)).error("must be a table", hint="write [overrides.models.NAME]")
        own = one(document)
        result = own if result is None else result.with_over(own)
        self.merged[real] = result
        self.documents.append(document)
        return result


def _parents(document: Document) -> list[tuple[Path, Place]]:
    """Return the specs that a document extends, and where it says so."""
    match document.data.get("extends"):
        case None:
            return []
        case str(text) if text:
            written = [(text, document.place(("extends",)))]
        case list(texts) if all(isinstance(text, str) and text for text in texts):
            written = [(text, document.place(("extends", index))) for index, text in enumerate(texts)]
        case _:
            raise document.place(("extends",)).error("must be the path of a spec, or a list of such paths")
    return [(_parent(document.file.parent / text), place) for text, place in written]


def _parent(path: Path) -> Path:
    """Return the path of a spec that may be named without its ending."""
    if path.name.endswith(".toml") or not path.name or _is_file(path):
        return path
    return path.with_name(path.name + ".toml")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, a loop of links
        return False


def _check_parent(path: Path, above: tuple[Path, ...], place: Place) -> None:
    if not _is_file(path):
        raise place.error(f"there is no spec {shown(path, limit=200)}", hint=files_hint(path))
    real = [os.path.realpath(other) for other in above]
    if os.path.realpath(path) in real:
        circle = [*above[real.index(os.path.realpath(path)) :], path]
        raise place.error(
            "the spec extends itself: " + " → ".join(other.name for other in circle),
            hint="take one `extends` out of the circle",
        )
    if len(above) > MAX_EXTENDS:
        raise place.error(f"more than {MAX_EXTENDS} specs extend one another in a row")


def _check_tables(merged: Merged, kind: str) -> None:
    tables = merged.data.get(kind, {})
    if not isinstance(tables, dict):
        raise merged.place((kind,)).error(f"must be a table of declarations, each under its name: [{kind}.NAME]")
    for name, table in tables.items():
        place = merged.place((kind, name))
        if not isinstance(table, dict):
            hint = f"write [{kind}.NAME] and the declaration's keys below it"
            raise place.error(
                f"`{name}` must be a declaration, a table" if NAME.fullmatch(name) else "must be a table", hint=hint
            )
        if not NAME.fullmatch(name):
            word = next(word for known, word in WORDS.items() if known == kind)
            raise place.error(f"the {word} has no possible name", hint=NAME_RULE)
