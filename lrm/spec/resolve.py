"""From a spec's path to the matrix that it spans: what planning starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrm.errors import MissingError, SpecError, known_names_hint
from lrm.registry.declarations import TYPES, Attack, Judge, Kind, Model, PromptSet, Scope
from lrm.registry.layers import WORDS, Registry, unknown
from lrm.registry.positions import Keys
from lrm.registry.source import Place, read_toml, shown, validate
from lrm.spec.cells import Names, span
from lrm.spec.choose import Known, is_glob, matching, unchosen
from lrm.spec.load import LoadedSpec, load_spec
from lrm.spec.matrix import ChosenJudge, Located, Matrix, Slice
from lrm.spec.merge import Merged, Origin, one
from lrm.spec.spec import AXES, INLINE, MAX_REPLICATES

ONLY: dict[str, Kind] = {"model": "models", "prompt_set": "prompt_sets", "attack": "attacks", "judge": "judges"}
"""What `only` may name."""

_ANCHORS: tuple[Keys, ...] = (("file",), ("artifact", "file"), ("rows",), ("hub",))
"""Keys whose author's file a declaration counts as written in, where overrides and `extends` mix several."""


def resolve(
    path: Path,
    registry: Registry,
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    replicates: int | None = None,
) -> Matrix:
    """Return the matrix that a spec spans, with every declaration that it uses.

    Reads the spec, what it extends, and the registry files of what it uses. `only` keeps the slices whose model, prompt_set and attack,
    and the judges, that match one of its names or globs; `replicates` takes the place of every number of replicates. Raises SpecError for
    what is wrong in a file and MissingError for an `only` that matches nothing.
    """
    loaded = load_spec(path)
    known: dict[Kind, Known] = {kind: Known(kind, tuple(loaded.inline(kind)), registry) for kind in INLINE}
    spanned = span(loaded, known)
    judges = _judges(loaded, known["judges"])
    chosen: dict[Kind, Names] = {**spanned.chosen, "judges": {name: place for name, (place, _) in judges.items()}}
    declarations = _Declarations(loaded, registry, known, chosen)
    declarations.check_overrides()
    declarations.check_inline()
    used = _used(spanned.slices)
    models = {name: declarations.model(name) for name in chosen["models"] if name in used["models"]}
    prompt_sets = {name: declarations.prompt_set(name) for name in chosen["prompt_sets"] if name in used["prompt_sets"]}
    attacks = {name: declarations.attack(name) for name in chosen["attacks"] if name in used["attacks"]}
    chosen_judges = {name: _chosen_judge(declarations.judge(name), scopes) for name, (_, scopes) in judges.items()}

    keep = _kept(only or {}, {"models": models, "prompt_sets": prompt_sets, "attacks": attacks, "judges": judges})
    slices = _narrowed(spanned.slices, keep, replicates)
    used = _used(slices)
    return Matrix(
        name=path.stem,
        file=path,
        models={name: located for name, located in models.items() if name in used["models"]},
        prompt_sets={name: located for name, located in prompt_sets.items() if name in used["prompt_sets"]},
        attacks={name: located for name, located in attacks.items() if name in used["attacks"]},
        slices=slices,
        judges=tuple(judge for name, judge in chosen_judges.items() if name in keep.get("judges", judges)),
    )


def _used(slices: Sequence[Slice]) -> dict[Kind, set[str]]:
    return {
        "models": {block.model for block in slices},
        "prompt_sets": {block.prompt_set for block in slices},
        "attacks": {block.attack for block in slices},
    }


# --- judges -----------------------------------------------------------------------------------------------------------


def _judges(loaded: LoadedSpec, known: Known) -> dict[str, tuple[Place, tuple[Scope, ...] | None]]:
    """Return the judges that the spec chooses, with the scopes that it names for each; None where it names none."""
    found: dict[str, tuple[Place, tuple[Scope, ...] | None]] = {}
    for number, entry in enumerate(loaded.spec.matrix.judges):
        at: Keys = ("matrix", "judges", number)
        pattern, scopes = (entry, None) if isinstance(entry, str) else (entry.use, entry.scopes)
        place = loaded.source.place(at if isinstance(entry, str) else (*at, "use"))
        for index, scope in enumerate(scopes or ()):
            if scope in (scopes or ())[:index]:
                raise loaded.source.place((*at, "scopes", index)).error(
                    f"the scope `{scope}` stands twice in this list"
                )
        for name in known.resolve(pattern, place):
            if name not in found:
                found[name] = (place, None if scopes is None else tuple(scopes))
            elif not is_glob(pattern):
                raise place.error(
                    f"the judge `{name}` is chosen twice", hint="name it once, with all its scopes, before any glob"
                )
    return found


def _chosen_judge(judge: Located[Judge], scopes: tuple[Scope, ...] | None) -> ChosenJudge:
    return ChosenJudge(judge, tuple(dict.fromkeys(judge.declaration.scopes)) if scopes is None else scopes)


# --- only, replicates -------------------------------------------------------------------------------------------------


def _kept(only: Mapping[str, Sequence[str]], names: Mapping[Kind, Mapping[str, object]]) -> dict[Kind, set[str]]:
    """Return by kind the names that `only` keeps; a kind that it does not name is absent."""
    kept: dict[Kind, set[str]] = {}
    for key, patterns in only.items():
        if key not in ONLY:
            raise MissingError(f"`{shown(key)}` is nothing to choose by", hint=known_names_hint(key, ONLY))
        kind = ONLY[key]
        for pattern in patterns:
            found = matching(pattern, names[kind])
            if not found:
                word = WORDS[kind]
                raise MissingError(
                    f"the spec has no {word} that matches `{shown(pattern)}`"
                    if is_glob(pattern)
                    else f"the spec has no {word} `{shown(pattern)}`",
                    hint=known_names_hint(pattern, names[kind]),
                )
            kept.setdefault(kind, set()).update(found)
    return kept


def _narrowed(slices: tuple[Slice, ...], keep: Mapping[Kind, set[str]], replicates: int | None) -> tuple[Slice, ...]:
    if replicates is not None and not 1 <= replicates <= MAX_REPLICATES:
        raise SpecError(f"the number of replicates must be 1 to {MAX_REPLICATES}, not {shown(replicates)}")
    if keep.keys() & set(AXES):
        models, prompt_sets, attacks = (keep.get(axis) for axis in AXES)
        slices = tuple(
            block
            for block in slices
            if (models is None or block.model in models)
            and (prompt_sets is None or block.prompt_set in prompt_sets)
            and (attacks is None or block.attack in attacks)
        )
        if not slices:
            raise MissingError("no cell is left: the matrix has no such combination of model, prompt set and attack")
    if replicates is not None:
        slices = tuple(Slice(block.model, block.prompt_set, block.attack, replicates) for block in slices)
    return slices


# --- declarations -----------------------------------------------------------------------------------------------------


class _Declarations:
    """The declarations that a spec chooses, with its overrides laid over them."""

    def __init__(
        self,
        loaded: LoadedSpec,
        registry: Registry,
        known: Mapping[Kind, Known],
        chosen: Mapping[Kind, Names],
    ) -> None:
        self.loaded = loaded
        self.registry = registry
        self.known = known
        self.chosen = chosen

    def check_overrides(self) -> None:
        """Raise SpecError for an override that changes nothing; one of an extended spec may mean what is not chosen."""
        for layer in self.loaded.overrides:
            for kind in INLINE:
                for pattern in getattr(layer.overrides, kind):
                    place = layer.source.place((kind, pattern))
                    if matching(pattern, self.chosen[kind]):
                        continue
                    if layer.own:
                        message, hint = unchosen(pattern, self.chosen[kind], self.known[kind])
                        raise place.error(f"overrides nothing: {message}", hint=hint)
                    self.known[kind].resolve(pattern, place)

    def check_inline(self) -> None:
        """Raise SpecError for a wrong inline declaration, chosen or not."""
        for kind in INLINE:
            for name in self.loaded.inline(kind):
                if name not in self.chosen[kind]:
                    self.located(kind, name)

    def model(self, name: str) -> Located[Model]:
        """Return a chosen model."""
        return self.located("models", name)

    def prompt_set(self, name: str) -> Located[PromptSet]:
        """Return a chosen prompt set."""
        return self.located("prompt_sets", name)

    def attack(self, name: str) -> Located[Attack]:
        """Return a chosen attack."""
        return self.located("attacks", name)

    def judge(self, name: str) -> Located[Judge]:
        """Return a chosen judge."""
        return self.located("judges", name)

    def located(self, kind: Kind, name: str) -> Located[Any]:
        """Return a declaration, inline or from the registry, with the overrides that match its name."""
        layers = [
            layer.source.under((kind, pattern))
            for layer in self.loaded.overrides
            for pattern in getattr(layer.overrides, kind)
            if matching(pattern, (name,))
        ]
        is_inline = name in self.loaded.inline(kind)
        if not is_inline and not layers:
            return self.registry.get(kind, name, asked_from=self.chosen[kind][name])
        if is_inline:
            source = self.loaded.source.under((kind, name))
        else:
            files = self.registry.layers(kind, name)
            if not files:
                raise unknown(kind, name, self.registry.names(kind), self.chosen[kind][name])
            source = one(read_toml(files[0]))
        for layer in layers:
            source = source.with_over(layer)
        declaration: Any = validate(source, TYPES[kind], name=f"{WORDS[kind]} `{name}`")
        origin, table = _written_in(source)
        return Located(
            name, declaration, origin.document.file, origin.document.place(table).line, tuple(map(str, table))
        )


def _written_in(source: Merged) -> tuple[Origin, Keys]:
    """Return the document that a declaration counts as written in, and the keys of its table there."""
    for anchor in _ANCHORS:
        value: Any = source.data
        for key in anchor:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            origin = source.origin(anchor)
            return origin, origin.keys[: len(origin.keys) - len(anchor)]
    origin = source.origin(())
    return origin, origin.keys
