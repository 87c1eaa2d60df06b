"""A resolved spec: which declarations, which slices of the matrix, which judges. What planning starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from lrm.registry.declarations import Attack, Condition, Model, PromptSet
from lrm.registry.judges import Judge, Scope
from lrm.registry.tables import Declaration
from lrm.run.budget import Caps

AT = "@"
"""What stands between a name and a condition: no declaration's name has it."""
UNCONDITIONED = "none"
"""The condition of cells for which none is chosen."""

D_co = TypeVar("D_co", bound=Declaration, covariant=True)


@dataclass(frozen=True, slots=True)
class Located(Generic[D_co]):
    """A declaration with the name it is used under and the place it was read from."""

    name: str
    declaration: D_co
    file: Path
    """The TOML file that holds it; relative data files are looked for beside it."""
    line: int | None = None
    """Line on which its table begins, for error messages."""
    table: tuple[str, ...] = ()
    """Keys of the tables around it in the file; empty where the file is the declaration."""
    written: Mapping[str, Path] = field(default_factory=dict, hash=False)
    """The files in which single keys of a model were written (dotted), where overrides mix several."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A block of cells: one model, one prompt set, one attack, one condition, replicates 0 … n-1."""

    model: str
    """Key of the matrix's models: a name, or `NAME@CONDITION` where the condition changes how the model is asked."""
    prompt_set: str
    attack: str
    """Key of the matrix's attacks, likewise."""
    replicates: int
    condition: str = UNCONDITIONED


def named(key: str) -> str:
    """Return the declared name in a key of a matrix's models or attacks."""
    return key.partition(AT)[0]


@dataclass(frozen=True, slots=True)
class ChosenJudge:
    """A judge, the scopes that it looks at in this spec, and the prompt sets whose cells it looks at."""

    judge: Located[Judge]
    scopes: tuple[Scope, ...]
    prompt_sets: tuple[str, ...] | None = None
    """Names; None is every set."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a spec spans, after inheritance, overrides, include and exclude."""

    name: str
    """The spec's name: its file's stem."""
    file: Path
    models: dict[str, Located[Model]] = field(default_factory=dict)
    """Only those that a slice uses, by key (see `Slice`); likewise below."""
    prompt_sets: dict[str, Located[PromptSet]] = field(default_factory=dict)
    attacks: dict[str, Located[Attack]] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    judges: tuple[ChosenJudge, ...] = ()
    judge_models: dict[str, Located[Model]] = field(default_factory=dict)
    """The models that the chosen judges, and the members of their panels, ask."""
    attack_models: dict[str, Located[Model]] = field(default_factory=dict)
    """The other models that the attacks have in them, by declared name."""
    panel_members: dict[str, Located[Judge]] = field(default_factory=dict)
    """The judges that chosen panels are made of, chosen themselves or not."""
    budget: Caps = field(default_factory=Caps)
    """What a fill may take at most."""
    conditions: dict[str, Located[Condition]] = field(default_factory=dict)
