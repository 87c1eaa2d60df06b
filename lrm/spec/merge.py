"""Tables laid over one another, each value remembering the file and line that it was written on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrm.registry.positions import Keys
from lrm.registry.source import Document, Place


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a document, and the keys that lead to it there."""

    document: Document
    keys: Keys


@dataclass(frozen=True, slots=True)
class Merged:
    """A table made from several documents."""

    data: dict[str, Any]
    origins: Mapping[Keys, Origin]
    """By path in `data`; a path that is not named stands below the nearest one that is. The empty path is always named."""

    def origin(self, keys: Keys) -> Origin:
        """Return where the value at `keys` was written; for a missing one, where it would stand."""
        return _origin(self.origins, keys)

    def place(self, keys: Keys) -> Place:
        """Return file, line and key of the value at `keys`; for a missing one, of the table around it."""
        origin = self.origin(keys)
        return origin.document.place(origin.keys)

    def under(self, keys: Keys) -> Merged:
        """Return the table at `keys` alone."""
        data: Any = self.data
        for key in keys:
            data = data[key]
        origins = {path[len(keys) :]: origin for path, origin in self.origins.items() if path[: len(keys)] == keys}
        return Merged(data, {(): self.origin(keys), **origins})

    def with_over(self, other: Merged) -> Merged:
        """Return this table with another laid over it: tables merge, everything else replaces."""
        data = dict(self.data)
        origins = dict(self.origins)
        _lay(data, other.data, (), origins, other)
        return Merged(data, origins)


def one(document: Document, keys: Keys = ()) -> Merged:
    """Return a document, or the table at `keys` in it, as a table to merge with others."""
    return Merged(document.data, {(): Origin(document, ())}).under(keys)


def _lay(below: dict[str, Any], above: dict[str, Any], at: Keys, origins: dict[Keys, Origin], source: Merged) -> None:
    """Lay `above` over `below`, which is the caller's own copy."""
    for key in below:
        origins.setdefault((*at, key), _origin(origins, (*at, key)))  # before the table itself gets a new one
    origins[at] = source.origin(at)
    for key, value in above.items():
        path: Keys = (*at, key)
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            below[key] = dict(old)
            _lay(below[key], value, path, origins, source)
        else:
            for gone in [known for known in origins if known[: len(path)] == path]:
                del origins[gone]
            below[key] = value
            origins[path] = source.origin(path)
            origins |= {known: origin for known, origin in source.origins.items() if known[: len(path)] == path}


def _origin(origins: Mapping[Keys, Origin], keys: Keys) -> Origin:
    known = next(keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in origins)
    return Origin(origins[known].document, (*origins[known].keys, *keys[len(known) :]))
