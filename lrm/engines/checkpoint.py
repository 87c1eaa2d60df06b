"""The files that an engine reads: found on the disk, or fetched from the Hub at the commit that is pinned.

An engine is started with folders alone, so vLLM itself asks the Hub for nothing, and what is loaded is what the model's id
says. Weights are read from safetensors only: the older pickled files run code when they are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lrm.engines.folders import PICKLED, READ, bytes_to_read, file_digest, folder_at, folder_digest
from lrm.engines.hub_files import HubError, Trouble, fetched, known_commit
from lrm.engines.weights import fault_of
from lrm.errors import ModelError
from lrm.hub_client import COMMIT
from lrm.registry.judges import is_folder
from lrm.registry.models import Model
from lrm.registry.vllm import Pins

PATTERNS = (*READ, "*.tiktoken", "tokenizer.model.*", "additional_chat_templates/*.jinja")
"""Names of the files that vLLM reads of a checkpoint, an adapter or a tokenizer."""
_TEXT = tuple(pattern for pattern in PATTERNS if pattern != "*.safetensors")

LONG_BYTES = 2 * 10**9
"""Bytes from which on it is said that they are read."""
_FOLDER_HINT = (
    "what begins with `./`, `../`, `~/` or `/` is a folder, read relative to its declaration; anything else is the id of a "
    "model on the Hub"
)
_HINTS: dict[Trouble, str] = {
    "gated": "accept its terms on its page, and set HF_TOKEN to a token of that account",
    "missing": "compare the name; a private one needs HF_TOKEN, and a folder is written `./…` or `/…`",
    "revision": "see its commits, branches and tags on its page",
    "busy": "try again in a moment; what was fetched is kept",
    "disk": "free some disk space, or name a folder that may be written in HF_HOME",
    "unreachable": "try again with a network (what was fetched is kept), or copy its files into a folder and declare that",
}


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of what an engine reads. None is not declared: what comes with the checkpoint counts."""

    model: Path
    tokenizer: Path | None = None
    adapter: Path | None = None
    chat_template: Path | None = None
    draft: Path | None = None
    """The model that drafts for speculative decoding."""


def files_of(model: Model, beside: Path | None = None, say: Callable[[str], None] | None = None) -> Files:
    """Return the files of a model that runs here, as its pins say (`lrm.spec.pinned`); fetches what the cache lacks.

    Folders are where they were when the model was pinned; without pins a relative one is read from `beside`. `say` is told what
    is fetched. Blocks for as long as that takes. Raises ModelError for a folder or repository that is not there, is gated,
    cannot be reached, changed since it was pinned, or has no weights that may be loaded.
    """
    pins, options = model.pins or Pins(), model.options
    finder = _Finder(beside, pins.paths, say, code=options.trust_remote_code)
    weights = finder.folder("checkpoint", model.model, _commit(pins.revision, model.revision), pins.checkpoint_sha256)
    _check_weights(model.model, weights, "config.json", "params.json")
    if options.trust_remote_code:
        _check_code(model.model, weights)
    tokenizer = adapter = draft = template = None
    if options.tokenizer is not None:
        commit = _commit(pins.tokenizer_revision, options.tokenizer_revision)
        tokenizer = finder.folder("tokenizer", options.tokenizer, commit, pins.tokenizer_sha256)
    if options.adapter is not None:
        commit = _commit(pins.adapter_revision, options.adapter_revision)
        adapter = finder.folder("adapter", options.adapter, commit, pins.adapter_sha256)
        _check_weights(options.adapter, adapter, "adapter_config.json")
    if isinstance(name := (options.speculative or {}).get("model"), str):
        draft = finder.draft(name, (options.speculative or {}).get("revision"))
        _check_weights(name, draft, "config.json")
    if model.chat_template is not None:
        place = pins.paths.get("chat_template", model.chat_template)
        template = _template(place, beside, pins.template_sha256)
    return Files(weights, tokenizer, adapter, template, draft)


def placed(arguments: dict[str, Any], files: Files) -> dict[str, Any]:
    """Return an engine's arguments (`lrm.engines.settings`) with paths in the place of names, and no revisions."""
    given = {
        name: value
        for name, value in arguments.items()
        if name not in ("revision", "tokenizer_revision", "adapter_revision")
    }
    for name, path in (
        ("model", files.model),
        ("tokenizer", files.tokenizer),
        ("adapter", files.adapter),
        ("chat_template", files.chat_template),
    ):
        if path is not None:
            given[name] = str(path)
    if files.draft is not None:
        drafting = {name: value for name, value in arguments["speculative_config"].items() if name != "revision"}
        given["speculative_config"] = {**drafting, "model": str(files.draft)}
    return given


def template_at(name: str, beside: Path | None) -> Path:
    """Return the path that a declared chat template means. Raises ModelError where there is no such file."""
    path = folder_at(name, beside)
    if not path.is_file():
        raise ModelError(
            f"there is no chat template {name}",
            hint="with backend = 'vllm' `chat_template` is a file beside the declaration; leave it out to have the checkpoint's",
        )
    return path


def checkpoint_at(what: str, name: str, beside: Path | None) -> Path:
    """Return the folder that a declaration means by a checkpoint, tokenizer or adapter. Raises ModelError without one."""
    path = folder_at(name, beside)
    if not path.is_dir():
        raise ModelError(f"the {what} {name} is no folder here", hint=_FOLDER_HINT)
    return path


def digest_of(folder: Path, *, code: bool, say: Callable[[str], None] | None = None) -> str:
    """Return the hex SHA-256 over the files of a folder that vLLM reads. Raises ModelError for one that cannot be read.

    `say` is told where that takes long.
    """
    try:
        if say is not None and (size := bytes_to_read(folder, code=code, patterns=PATTERNS)) >= LONG_BYTES:
            say(f"reading {size / 1e9:.0f} GB in {folder} to know its checksum, which is remembered")
        return folder_digest(folder, code=code, patterns=PATTERNS)
    except OSError as error:
        raise _unreadable(error) from error


def template_digest(path: Path) -> str:
    """Return the hex SHA-256 of a chat template's file. Raises ModelError for one that cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> ModelError:
    return ModelError(f"{error.filename} cannot be read: {error.strerror or error}")


def _commit(pinned: str | None, declared: str | None) -> str | None:
    """Return the commit to load; None where none is known."""
    return pinned or (declared if declared is not None and COMMIT.fullmatch(declared) else None)


@dataclass(frozen=True, slots=True)
class _Finder:
    beside: Path | None
    paths: Mapping[str, str]
    say: Callable[[str], None] | None
    code: bool

    def folder(self, what: str, name: str, commit: str | None, sha256: str | None) -> Path:
        """Return the folder of a checkpoint, tokenizer or adapter."""
        if is_folder(name):
            path = checkpoint_at(what, self.paths.get(what, name), self.beside)
            if sha256 is not None and digest_of(path, code=self.code) != sha256:
                raise ModelError(
                    f"the {what} {name} changed since it was looked at: its files are not {sha256[:12]}… any more",
                    hint="leave its files alone while it is used, and run the command again",
                )
            return path
        if commit is None:
            raise ModelError(
                f"it is not known which commit of {name} to load",
                hint="run again with a network, or declare the 40 digits of a commit as its revision",
            )
        return self._fetched(name, commit, _TEXT if what == "tokenizer" else PATTERNS)

    def draft(self, name: str, revision: object) -> Path:
        """Return the folder of a draft model: no text depends on it, so nothing pins it."""
        from lrm.engines.hub_files import commit_of

        if is_folder(name):
            return checkpoint_at("draft", self.paths.get("draft", name), self.beside)
        wanted = revision if isinstance(revision, str) else None
        commit = _commit(None, wanted) or known_commit(name, wanted)
        if commit is None:
            try:
                commit = commit_of(name, wanted)
            except HubError as error:
                raise _not_had(error) from error
        return self._fetched(name, commit, PATTERNS)

    def _fetched(self, name: str, commit: str, patterns: tuple[str, ...]) -> Path:
        try:
            return fetched(name, commit, patterns=patterns, code=self.code, say=self.say)
        except HubError as error:
            raise _not_had(error) from error


def _not_had(error: HubError) -> ModelError:
    return ModelError(str(error), hint=_HINTS[error.trouble])


def _check_weights(name: str, folder: Path, *configurations: str) -> None:
    """Raise ModelError for a folder that has no weights to be loaded, or nothing that says what they are."""
    if not any(folder.glob("*.safetensors")):
        pickled = not is_folder(name) or any(path.suffix in PICKLED for path in folder.iterdir())
        raise ModelError(
            f"{name} has no weights as safetensors" + (", only pickled ones or none" if pickled else ""),
            hint="pickled weights run code when they are opened, so they are not loaded; convert them once, elsewhere, with "
            "`save_pretrained`, and declare that folder",
        )
    for path in sorted(folder.glob("*.safetensors")):
        fault = fault_of(path)
        if fault is not None:
            raise ModelError(
                f"{name}: {path.name} {fault}",
                hint="copy or fetch it again; what a Hub cache holds is fetched anew when deleted",
            )
    if not any((folder / one).is_file() for one in configurations):
        raise ModelError(f"{name} has no {configurations[0]}, which says what its weights are", hint=_FOLDER_HINT)


def _template(name: str, beside: Path | None, sha256: str | None) -> Path:
    path = template_at(name, beside)
    if sha256 is not None and template_digest(path) != sha256:
        raise ModelError(
            f"the chat template {name} changed since it was looked at",
            hint="run the command again to take it as it is now",
        )
    return path


def _check_code(name: str, folder: Path) -> None:
    """Raise ModelError for a checkpoint whose code is in another repository, where no revision pins it."""
    for file in ("config.json", "tokenizer_config.json"):
        for own in own_classes(folder / file):
            if "--" in own:
                raise ModelError(
                    f"{name}: {file} asks for code out of another repository ({own}), which no revision pins",
                    hint="copy checkpoint and code into one folder, read the code, and declare the folder",
                )


def own_classes(path: Path) -> list[str]:
    """Return the classes of its own that a checkpoint's configuration names; none where there is no such file."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    mapped = content.get("auto_map") if isinstance(content, dict) else None
    if not isinstance(mapped, dict):
        return [str(mapped)] if mapped else []
    named = [one for value in mapped.values() for one in (value if isinstance(value, list) else [value])]
    return [str(one) for one in named if one]
