"""The files of a reward model's checkpoint: which belong to it, what they are by content, and what of them may be loaded.

Weights are read from safetensors files only: the older pickled files run code when they are opened. Code that comes with a
checkpoint is neither fetched nor hashed nor run unless the declaration says `trust_remote_code = true`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from lrm.engines import folders
from lrm.engines.folders import PICKLED, READ, folder_at
from lrm.engines.hub_files import HubError, fetched
from lrm.errors import BusyError, JudgeError, LrmError, MissingError
from lrm.registry.judges import RewardJudge, is_folder


def folder_of(judge: RewardJudge, beside: Path | None) -> Path:
    """Return the folder that a checkpoint names; a relative one is looked for beside the declaration.

    Raises MissingError where there is none.
    """
    path = folder_at(judge.checkpoint, beside)
    if not path.is_dir():
        raise MissingError(
            f"the checkpoint {judge.checkpoint} is no folder here",
            hint="a checkpoint that begins with `./`, `../`, `~/` or `/` is a folder, read relative to its declaration; "
            "anything else is the id of a model on the Hub",
        )
    return path


def folder_digest(folder: Path, *, code: bool) -> str:
    """Return the hex SHA-256 over names and contents of the files that a load of this folder reads; `code`: its Python too."""
    return folders.folder_digest(folder, code=code)


def snapshot(judge: RewardJudge, beside: Path | None) -> Path:
    """Return the folder with a checkpoint's files, fetched from the Hub at the pinned commit where it is a Hub id.

    Loading from a folder, and not by id, keeps the pin whatever the checkpoint's own code does with a revision. Endpoint,
    token and cache are the Hub client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME).
    Raises MissingError for a checkpoint or commit that is not there, BusyError for a Hub that does not answer, JudgeError
    for files that are not loaded.
    """
    folder = folder_of(judge, beside) if is_folder(judge.checkpoint) else _fetch(judge)
    if not any(folder.glob("*.safetensors")):
        pickled = any(path.suffix in PICKLED for path in folder.iterdir()) or not is_folder(judge.checkpoint)
        raise JudgeError(
            f"{judge.checkpoint} has no weights as safetensors" + (", only pickled ones or none" if pickled else ""),
            hint="pickled weights run code when they are opened, so they are not loaded; convert them once, elsewhere, with "
            "`save_pretrained` and declare that folder",
        )
    _check_code(judge, folder)
    return folder


def _fetch(judge: RewardJudge) -> Path:
    assert judge.revision is not None
    try:
        return fetched(judge.checkpoint, judge.revision, patterns=READ, code=judge.trust_remote_code)
    except HubError as error:
        raise _why(judge, error) from error


def _why(judge: RewardJudge, error: HubError) -> LrmError:
    """Return our error for one of the Hub's."""
    name = f"{judge.checkpoint} at {judge.revision}"
    match error.trouble:
        case "gated":
            hint = "accept its terms on its page, and set HF_TOKEN to a token of that account"
            return MissingError(f"{name} is gated", hint=hint)
        case "missing" | "revision":
            hint = "check `checkpoint` and `revision`; a private one needs HF_TOKEN"
            return MissingError(f"the Hub has no {name}", hint=hint)
        case "busy" | "unreachable" | "disk":
            hint = "try again, or copy its files into a folder and declare that"
            return BusyError(f"{name} cannot be fetched: {error}", hint=hint)


def _check_code(judge: RewardJudge, folder: Path) -> None:
    """Refuse a checkpoint whose classes are its own where that is not allowed, and one whose code is elsewhere."""
    for name in ("config.json", "tokenizer_config.json"):
        for own in _own_classes(folder / name):
            if "--" in own:
                raise JudgeError(
                    f"{judge.checkpoint}: {name} asks for code out of another repository ({own}), which no revision pins",
                    hint="copy checkpoint and code into one folder, read the code, and declare the folder",
                )
            if not judge.trust_remote_code:
                raise JudgeError(
                    f"{judge.checkpoint} is run by Python code of its own ({own}), and this declaration does not allow it",
                    hint="read that code; then write `trust_remote_code = true` into the declaration to run it here",
                )


def _own_classes(path: Path) -> list[str]:
    """Return the classes of its own that a checkpoint's configuration names for what is loaded here."""
    found: list[str] = []
    mapped = read_json(path).get("auto_map") or {}
    if not isinstance(mapped, dict):
        return [str(mapped)]
    for task in ("AutoConfig", "AutoModelForSequenceClassification", "AutoTokenizer"):
        named = mapped.get(task)
        found += [str(one) for one in (named if isinstance(named, list) else [named]) if one]
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object out of a checkpoint; an empty one where there is no file.

    Raises JudgeError for a file that is none.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise JudgeError(f"{path.name} of the checkpoint cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise JudgeError(f"{path.name} of the checkpoint is no JSON object")
    return content
