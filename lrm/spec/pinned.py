"""Pins of models that run here: which commit, or which files by checksum, their declarations mean now.

A commit is the declared one, else the lock's, else what the Hub client's cache has for the branch or tag, else the Hub's; with
`--update` the Hub is asked first. A folder and a chat template are known by the checksum of their files. What cannot be found
out leaves a model without a pin, which is said: the model has an id of its own then, and its engine will not start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lrm.engines import hub_files
from lrm.engines.checkpoint import checkpoint_at, digest_of, template_at, template_digest
from lrm.engines.folders import folder_at
from lrm.engines.hub_files import HubError
from lrm.errors import ModelError, SpecError
from lrm.hub_client import COMMIT
from lrm.registry.judges import is_folder
from lrm.registry.models import Model
from lrm.registry.vllm import Pins
from lrm.spec.lock import FilePin, Lock, ModelPins, Part
from lrm.spec.matrix import Located, Matrix

_KEYS: dict[Part, str] = {
    "checkpoint": "model",
    "tokenizer": "vllm.tokenizer",
    "adapter": "vllm.adapter",
    "chat_template": "chat_template",
}


@dataclass(frozen=True, slots=True)
class Pinned:
    """A matrix whose models that run here have pins, where those could be found out."""

    matrix: Matrix
    models: dict[str, ModelPins] = field(default_factory=dict)
    """For the lock, by declared name."""
    notes: tuple[str, ...] = ()
    """What could not be found out, in sentences without their full stop."""


def pin_models(matrix: Matrix, lock: Lock, *, say: Callable[[str], None] | None = None) -> Pinned:
    """Return a matrix with pinned models; the same object where none of its models runs here or all are pinned.

    `say` is told of files that take long to read. Raises SpecError for a folder or file that is not what the lock says.
    """
    groups = (matrix.models, matrix.judge_models, matrix.attack_models)
    wanted = {one.name: one for group in groups for one in group.values() if lacks_pins(one.declaration)}
    if not wanted:
        return Pinned(matrix)
    pinner = _Pinner(moving=lock.moving, say=say)
    found = {name: pinner.pins(one, lock.models.get(name, {})) for name, one in wanted.items()}

    def pinned(models: Mapping[str, Located[Model]]) -> dict[str, Located[Model]]:
        return {key: _with(one, found[one.name]) if lacks_pins(one.declaration) else one for key, one in models.items()}

    return Pinned(
        replace(
            matrix,
            models=pinned(matrix.models),
            judge_models=pinned(matrix.judge_models),
            attack_models=pinned(matrix.attack_models),
        ),
        {name: pins for name, pins in found.items() if pins},
        tuple(pinner.notes),
    )


def pin_model(located: Located[Model], *, ask: bool = True, say: Callable[[str], None] | None = None) -> Located[Model]:
    """Return one model with pins, without a spec or its lock; `ask` lets the Hub be asked. Others come back as they are."""
    if not lacks_pins(located.declaration):
        return located
    pinner = _Pinner(ask=ask, say=say)
    pinned = _with(located, pinner.pins(located, {}))
    if say is not None:
        for note in pinner.notes:
            say(note)
    return pinned


def lacks_pins(model: Model) -> bool:
    """Return whether a model's files are still to be looked at."""
    return model.runs_here and model.pins is None


def is_pinned(model: Model) -> bool:
    """Return whether all that a model's engine reads is known by commit or checksum; so it is of one that runs elsewhere."""
    pins, options = model.pins, model.options
    if not model.runs_here:
        return True
    return pins is not None and all(
        name is None or found is not None
        for name, found in (
            (model.model, pins.revision or pins.checkpoint_sha256),
            (options.tokenizer, pins.tokenizer_revision or pins.tokenizer_sha256),
            (options.adapter, pins.adapter_revision or pins.adapter_sha256),
            (model.chat_template, pins.template_sha256),
        )
    )


def _with(located: Located[Model], found: ModelPins) -> Located[Model]:
    def revision(part: Part) -> str | None:
        return found[part].revision if part in found else None

    def sha256(part: Part) -> str | None:
        return found[part].sha256 if part in found else None

    pins = Pins(
        revision=revision("checkpoint"),
        checkpoint_sha256=sha256("checkpoint"),
        template_sha256=sha256("chat_template"),
        tokenizer_revision=revision("tokenizer"),
        tokenizer_sha256=sha256("tokenizer"),
        adapter_revision=revision("adapter"),
        adapter_sha256=sha256("adapter"),
        paths=_paths(located),
    )
    return replace(located, declaration=located.declaration.model_copy(update={"pins": pins}))


def _declared(model: Model) -> tuple[tuple[Part, str | None, str | None], ...]:
    """Return the parts of a model, as they are declared, and their revisions."""
    return (
        ("checkpoint", model.model, model.revision),
        ("tokenizer", model.options.tokenizer, model.options.tokenizer_revision),
        ("adapter", model.options.adapter, model.options.adapter_revision),
        ("chat_template", model.chat_template, None),
    )


def _paths(located: Located[Model]) -> dict[str, str]:
    """Return where the declared folders and files of a model are meant to be, there or not."""
    model = located.declaration
    found: dict[str, str] = {
        part: str(folder_at(name, _beside(located, _KEYS[part])))
        for part, name, _ in _declared(model)
        if name is not None and (part == "chat_template" or is_folder(name))
    }
    draft = (model.options.speculative or {}).get("model")
    if isinstance(draft, str) and is_folder(draft):
        found["draft"] = str(folder_at(draft, _beside(located, "vllm.speculative")))
    return found


def _beside(located: Located[Model], key: str) -> Path:
    """Return the folder from which the value of a key is read: that of the file in which it is written."""
    return located.written.get(key, located.file).absolute().parent


@dataclass(slots=True)
class _Pinner:
    """Finds pins. A Hub that does not answer once is not asked again."""

    moving: bool = False
    ask: bool = True
    say: Callable[[str], None] | None = None
    notes: list[str] = field(default_factory=list)
    _silent: str | None = None
    """Why the Hub gives no answer."""
    _commits: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def pins(self, located: Located[Model], locked: ModelPins) -> dict[Part, FilePin]:
        """Return what the parts of a model were found to be."""
        found: dict[Part, FilePin] = {}
        for part, name, revision in _declared(located.declaration):
            if name is None:
                continue
            wanted = name if revision is None or COMMIT.fullmatch(revision) else f"{name}@{revision}"
            kept = locked.get(part)
            if kept is not None and kept.name != wanted:
                kept = None
            if part == "chat_template" or is_folder(name):
                pin = self._files(located, part, name, kept)
            else:
                pin = self._commit(located, part, name, revision, kept)
            if pin is not None:
                found[part] = replace(pin, name=wanted)
        return found

    def _files(self, located: Located[Model], part: Part, name: str, kept: FilePin | None) -> FilePin | None:
        beside = _beside(located, _KEYS[part])
        try:
            if part == "chat_template":
                sha256 = template_digest(template_at(name, beside))
            else:
                code = located.declaration.options.trust_remote_code
                sha256 = digest_of(checkpoint_at(part, name, beside), code=code, say=self.say)
        except ModelError as error:
            # A plan may be made where the files are not: what the lock knows of them keeps the ids.
            self._note(located, error.message, kept)
            return kept
        if kept is not None and kept.sha256 not in (None, sha256):
            file = located.written.get(_KEYS[part], located.file)
            raise SpecError(
                f"{name} changed since the lock was written: its content is not {str(kept.sha256)[:12]}… any more",
                file=file,
                line=located.line if file == located.file else None,
                key=_KEYS[part],
                hint="run with --update to accept what is there now, or put the locked version back",
            )
        return FilePin(name, sha256=sha256)

    def _commit(
        self, located: Located[Model], part: Part, name: str, revision: str | None, kept: FilePin | None
    ) -> FilePin | None:
        if revision is not None and COMMIT.fullmatch(revision):
            return FilePin(name, revision=revision)
        if kept is not None and kept.revision is not None:
            return kept
        cached = hub_files.known_commit(name, revision)
        if cached is not None and not self.moving:
            return FilePin(name, revision=cached)
        try:
            return FilePin(name, revision=self._asked(name, revision))
        except HubError as error:
            if cached is None:
                self._note(located, str(error), None)
                return None
            self._note(located, f"{part} {name}: {error}; the commit that the cache has is taken", kept, whole=True)
            return FilePin(name, revision=cached)

    def _asked(self, name: str, revision: str | None) -> str:
        if not self.ask:
            raise HubError("unreachable", "the Hub is not asked for this")
        if self._silent is not None:
            raise HubError("unreachable", self._silent)
        if (name, revision) not in self._commits:
            try:
                self._commits[name, revision] = hub_files.commit_of(name, revision)
            except HubError as error:
                if error.trouble == "unreachable":
                    self._silent = str(error)
                raise
        return self._commits[name, revision]

    def _note(self, located: Located[Model], why: str, kept: FilePin | None, *, whole: bool = False) -> None:
        if whole:
            said = why
        elif kept is not None:
            said = f"{why}; the lock's checksum stands for {located.name}"
        else:
            said = f"{why}; {located.name} is not pinned, and cannot be loaded as it is"
        if said not in self.notes:
            self.notes.append(said)
