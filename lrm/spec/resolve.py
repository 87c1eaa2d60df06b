"""From a spec's path to the matrix that it spans: what planning starts from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrm.errors import MissingError, SpecError, known_names_hint
from lrm.registry.attacks import models_in
from lrm.registry.declarations import TYPES, Attack, Condition, Kind, Model, PromptSet
from lrm.registry.judges import Judge
from lrm.registry.layers import WORDS, Registry, unknown
from lrm.registry.positions import Keys
from lrm.registry.source import Place, read_toml, shown, validate
from lrm.spec.bench import judge_uses, seat
from lrm.spec.cells import Names, span
from lrm.spec.choose import Known, is_glob, matching, unchosen
from lrm.spec.conditioned import conditioned
from lrm.spec.load import LoadedSpec, load_spec
from lrm.spec.matrix import UNCONDITIONED, Located, Matrix, Slice
from lrm.spec.merge import Merged, Origin, one
from lrm.spec.spec import AXES, INLINE, MAX_REPLICATES

ONLY: dict[str, Kind] = {
    "model": "models",
    "prompt_set": "prompt_sets",
    "attack": "attacks",
    "condition": "conditions",
    "judge": "judges",
}
"""What `only` may name."""

_ANCHORS: tuple[Keys, ...] = (("file",), ("artifact", "file"), ("rows",), ("hub",))
"""Keys whose author's file a declaration counts as written in, where overrides and `extends` mix several."""

_FILES: tuple[Keys, ...] = (
    ("model",), ("chat_template",), ("vllm", "tokenizer"), ("vllm", "adapter"), ("vllm", "speculative"),
)  # fmt: skip
"""Keys of a model that may name a folder or file, read from beside the file in which the key itself is written."""


def resolve(
    path: Path,
    registry: Registry,
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    replicates: int | None = None,
) -> Matrix:
    """Return the matrix that a spec spans, with every declaration that it uses.

    Reads the spec, what it extends, and the registry files of what it uses. `only` keeps the slices whose model, prompt_set,
    attack and condition, and the judges, that match one of its names or globs; `replicates` takes the place of every number
    of replicates. Raises SpecError for what is wrong in a file and MissingError for an `only` that matches nothing.
    """
    loaded = load_spec(path)
    known: dict[Kind, Known] = {
        kind: Known(kind, (*loaded.inline(kind), *((UNCONDITIONED,) if kind == "conditions" else ())), registry)
        for kind in INLINE
    }
    spanned = span(loaded, known)
    uses = judge_uses(loaded, known, spanned.chosen["prompt_sets"])
    chosen: dict[Kind, Names] = {
        **spanned.chosen,
        "judges": {name: use.place for name, use in uses.items() if use.place},
    }
    declarations = _Declarations(loaded, registry, known, chosen)
    bench = seat(uses, declarations)
    declarations.also_chosen("models", bench.models)
    declarations.also_chosen("judges", bench.members)
    declarations.check_overrides()
    declarations.check_inline()
    used = _used(spanned.slices)
    models = {name: declarations.model(name) for name in chosen["models"] if name in used["models"]}
    prompt_sets = {name: declarations.prompt_set(name) for name in chosen["prompt_sets"] if name in used["prompt_sets"]}
    attacks = {name: declarations.attack(name) for name in chosen["attacks"] if name in used["attacks"]}

    conditions = {name: declarations.condition(name) for name in chosen["conditions"] if name in used["conditions"]}

    axes: dict[Kind, Mapping[str, object]] = {
        "models": models,
        "prompt_sets": prompt_sets,
        "attacks": attacks,
        "conditions": conditions,
    }
    keep = _kept(only or {}, {**axes, "judges": uses})
    slices = _narrowed(spanned.slices, keep, replicates)
    used = _used(slices)
    under = conditioned(slices, models, attacks, conditions)
    attack_models = _of_attacks(attacks, used["attacks"], declarations)
    return Matrix(
        name=path.stem,
        file=path,
        models=under.models,
        prompt_sets={name: located for name, located in prompt_sets.items() if name in used["prompt_sets"]},
        attacks=under.attacks,
        conditions={name: located for name, located in conditions.items() if name in used["conditions"]},
        slices=under.slices,
        judges=tuple(judge for name, judge in bench.judges.items() if name in keep.get("judges", uses)),
        judge_models=bench.models,
        attack_models=attack_models,
        panel_members=bench.members,
        budget=loaded.spec.budget.caps(),
    )


def _of_attacks(
    attacks: Mapping[str, Located[Attack]], used: Collection[str], declarations: _Declarations
) -> dict[str, Located[Model]]:
    """Return the other models that the attacks have in them, by name. Raises SpecError for one that nobody declares."""
    found: dict[str, Located[Model]] = {}
    for name, located in attacks.items():
        if name in used and located.declaration.adaptive is not None:
            place = Place(located.file, located.line or 1, located.table)
            for model in models_in(located.declaration):
                found.setdefault(model, declarations.model(model, asked_from=place))
    return found


def _used(slices: Sequence[Slice]) -> dict[Kind, set[str]]:
    return {
        "models": {block.model for block in slices},
        "prompt_sets": {block.prompt_set for block in slices},
        "attacks": {block.attack for block in slices},
        "conditions": {block.condition for block in slices},
    }


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
        kept = [keep.get(axis) for axis in AXES]
        slices = tuple(
            block
            for block in slices
            if all(
                names is None or name in names
                for names, name in zip(
                    kept, (block.model, block.prompt_set, block.attack, block.condition), strict=True
                )
            )
        )
        if not slices:
            raise MissingError(
                "no cell is left: the matrix has no such combination of model, prompt set, attack and condition"
            )
    return slices if replicates is None else tuple(replace(block, replicates=replicates) for block in slices)


# --- declarations -----------------------------------------------------------------------------------------------------


class _Declarations:
    """The declarations that a spec chooses, with its overrides laid over them."""

    def __init__(
        self,
        loaded: LoadedSpec,
        registry: Registry,
        known: Mapping[Kind, Known],
        chosen: dict[Kind, Names],
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

    def also_chosen(self, kind: Kind, names: Iterable[str]) -> None:
        """Count as chosen what a chosen judge needs, so that it may be overridden."""
        place = self.loaded.source.place(("matrix", "judges"))
        self.chosen[kind] = {**dict.fromkeys(names, place), **self.chosen[kind]}

    def model(self, name: str, *, asked_from: Place | None = None) -> Located[Model]:
        """Return a model."""
        return self.located("models", name, asked_from)

    def prompt_set(self, name: str) -> Located[PromptSet]:
        """Return a chosen prompt set."""
        return self.located("prompt_sets", name)

    def attack(self, name: str) -> Located[Attack]:
        """Return a chosen attack."""
        return self.located("attacks", name)

    def condition(self, name: str) -> Located[Condition]:
        """Return a chosen condition."""
        return self.located("conditions", name)

    def judge(self, name: str, *, asked_from: Place | None = None) -> Located[Judge]:
        """Return a judge."""
        return self.located("judges", name, asked_from)

    def located(self, kind: Kind, name: str, asked_from: Place | None = None) -> Located[Any]:
        """Return a declaration, inline or from the registry, with the overrides that match its name.

        Raises SpecError for an unknown name at `asked_from`, else at the place in the spec that chose it.
        """
        place = asked_from or self.chosen[kind].get(name)
        layers = [
            layer.source.under((kind, pattern))
            for layer in self.loaded.overrides
            for pattern in getattr(layer.overrides, kind)
            if matching(pattern, (name,))
        ]
        is_inline = name in self.loaded.inline(kind)
        if kind == "conditions" and name == UNCONDITIONED and not is_inline and not layers:
            return Located(name, Condition(), self.loaded.file)
        if not is_inline and not layers:
            return self.registry.get(kind, name, asked_from=place)
        if is_inline:
            source = self.loaded.source.under((kind, name))
        else:
            files = self.registry.layers(kind, name)
            if not files:
                raise unknown(kind, name, self.registry.names(kind), place)
            source = one(read_toml(files[0]))
        for layer in layers:
            source = source.with_over(layer)
        declaration: Any = validate(source, TYPES[kind], name=f"{WORDS[kind]} `{name}`")
        origin, table = _written_in(source)
        written = {".".join(map(str, keys)): source.origin(keys).document.file for keys in _FILES if kind == "models"}
        return Located(
            name, declaration, origin.document.file, origin.document.place(table).line, tuple(map(str, table)), written
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
