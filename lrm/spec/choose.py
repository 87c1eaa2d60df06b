"""Names that a spec may choose, and what its names and globs choose among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from lrm.errors import LrmError, known_names_hint
from lrm.registry.declarations import Kind
from lrm.registry.layers import WORDS, Registry, unknown
from lrm.registry.source import Place, shown


def is_glob(pattern: str) -> bool:
    """Return whether a name is a pattern: no declaration's name has such signs."""
    return any(sign in pattern for sign in "*?[")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that a name or glob means, in their order."""
    if is_glob(pattern):
        return [name for name in names if fnmatchcase(name, pattern)]
    return [name for name in names if name == pattern]


@dataclass(frozen=True)
class Known:
    """The names of one kind: inline ones in the order of the file, then the registry's, sorted."""

    kind: Kind
    inline: tuple[str, ...]
    registry: Registry

    @cached_property
    def names(self) -> dict[str, None]:
        """All names, as an ordered set."""
        return dict.fromkeys((*self.inline, *self.registry.names(self.kind)))

    def choose(self, written: Iterable[tuple[str, Place]]) -> dict[str, Place]:
        """Return the names that a list of names and globs chooses, in order, each with the place that chose it.

        Raises SpecError for what chooses nothing and for what is said twice; globs may overlap.
        """
        chosen: dict[str, Place] = {}
        said: set[str] = set()
        for pattern, place in written:
            if pattern in said:
                raise place.error(f"`{shown(pattern)}` stands twice in this list", hint="remove one")
            said.add(pattern)
            for name in self.resolve(pattern, place):
                chosen.setdefault(name, place)
        return chosen

    def resolve(self, pattern: str, place: Place) -> list[str]:
        """Return the names that one name or glob means. Raises SpecError at `place` when there are none."""
        found = matching(pattern, self.names) if is_glob(pattern) else [pattern] if pattern in self.names else []
        if not found:
            raise self.unknown(pattern, place)
        return found

    def unknown(self, pattern: str, place: Place) -> LrmError:
        """Return the error for a name or glob that means nothing."""
        if is_glob(pattern):
            return place.error(
                f"no {WORDS[self.kind]} matches `{shown(pattern)}`", hint=known_names_hint(pattern, self.names)
            )
        return unknown(self.kind, pattern, list(self.names), place)


def unchosen(pattern: str, chosen: Mapping[str, object], known: Known) -> tuple[str, str]:
    """Return message and hint for a name or glob that matches nothing of what a spec chose."""
    word = WORDS[known.kind]
    if is_glob(pattern):
        what = f"no chosen {word} matches `{shown(pattern)}`"
    elif pattern in known.names:
        what = f"the {word} `{shown(pattern)}` is not chosen by this spec"
    else:
        what = f"there is no {word} `{shown(pattern)}`"
    return what, known_names_hint(pattern, chosen)
