"""What leaves the house: the texts, sets, models and names that an export takes along."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

from lrm.errors import SpecError, known_names_hint
from lrm.snapshot.manifest import Texts
from lrm.snapshot.tables import Family

FAMILIES: tuple[Family, ...] = get_args(Family)
AXES = ("model", "prompt_set", "attack", "condition", "judge")


@dataclass(frozen=True, slots=True)
class Choice:
    """What an export takes along of a spec."""

    texts: Mapping[Family, Texts] = field(default_factory=dict)
    """By family of texts; a family that is not named goes whole."""
    allow: frozenset[str] = frozenset()
    """Prompt sets whose prompts go although their terms do not say that they may; `*` is all."""
    only: tuple[tuple[str, str], ...] = ()
    """Axis and glob: the same axis adds, another narrows. Nothing is everything."""
    annotators: Literal["pseudonyms", "named"] = "pseudonyms"
    gated: str | None = None
    """What the card shows to who asks for access; None where it need not be asked for."""

    def of(self, family: Family) -> Texts:
        """Return what is done with the texts of a family. Judgements quote responses, so they go no further than those do."""
        said = self.texts.get(family, "all")
        held = self.texts.get("responses", "all") if family == "judgements" else "all"
        order = get_args(Texts)
        return held if order.index(held) > order.index(said) else said

    def takes(self, axis: str, name: str) -> bool:
        """Return whether a name on an axis is among those that are wanted."""
        globs = [glob for on, glob in self.only if on == axis]
        return not globs or any(fnmatchcase(name, glob) for glob in globs)

    def allows(self, prompt_set: str) -> bool:
        """Return whether a set's prompts go whatever its terms are."""
        return any(fnmatchcase(prompt_set, glob) for glob in self.allow)


def choice_of(
    texts: Iterable[str] = (), allow: Iterable[str] = (), only: Iterable[str] = (), *, named: bool = False
) -> Choice:
    """Return a choice from what was typed: `none`, `FAMILY=hashed`, `AXIS=GLOB`. Raises SpecError."""
    chosen: dict[Family, Texts] = {}
    for one in texts:
        family, equals, how = one.rpartition("=")
        if how not in get_args(Texts) or (equals and family not in FAMILIES):
            raise SpecError(
                f"`{one}` says nothing of texts",
                hint=f"all, hashed or none, or FAMILY=… with one of these; families: {', '.join(FAMILIES)}",
            )
        for name in FAMILIES:
            if not equals or name == family:
                chosen[name] = how  # type: ignore[assignment]
    narrowed = []
    for one in only:
        found = re.fullmatch(r"(\w+)=(.+)", one)
        if found is None or found[1] not in AXES:
            raise SpecError(f"`{one}` chooses nothing: AXIS=GLOB", hint=known_names_hint(one.partition("=")[0], AXES))
        narrowed.append((found[1], found[2]))
    return Choice(chosen, frozenset(allow), tuple(narrowed), "named" if named else "pseudonyms")
