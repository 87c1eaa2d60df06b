"""Files of a model's repository on the Hugging Face Hub: which commit a name means, and a folder with its files.

Endpoint, token and cache are the Hub client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME), read when they are needed.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import orjson

from lrm.engines.folders import is_read
from lrm.hub_client import COMMIT, Fault, cache_folder, endpoint, hub_fault, is_offline, silent_bar, unheard

Trouble = Literal["gated", "missing", "revision", "busy", "unreachable", "disk"]
"""`missing`: no such repository, or none that this account may see; `revision`: it has no such commit; `disk`: the cache's."""

_TRIES = 3
_ASK_S = 10.0


class HubError(Exception):
    """A repository's files cannot be had. None of the client's texts is passed on: an address in them may hold a signature."""

    def __init__(self, trouble: Trouble, said: str) -> None:
        """`said` says why, as a sentence without its full stop."""
        super().__init__(said)
        self.trouble: Trouble = trouble


def _check_online() -> None:
    """Raise HubError where the Hub is not to be asked."""
    if is_offline():
        raise HubError("unreachable", "HF_HUB_OFFLINE is set")


def known_commit(repo: str, revision: str | None) -> str | None:
    """Return the commit that a branch or tag meant when its files were fetched last, without loading the client."""
    name = revision or "main"
    if ".." in Path(name).parts:
        return None
    with suppress(OSError, ValueError):
        commit = (_kept(repo) / "refs" / name).read_text(encoding="ascii").strip()
        return commit if COMMIT.fullmatch(commit) else None
    return None


def commit_of(repo: str, revision: str | None) -> str:
    """Return the commit that a branch or tag (default: main) means on the Hub now. Raises HubError."""
    from huggingface_hub import HfApi

    _check_online()
    with _explained(repo, revision or "main"):
        found = HfApi(endpoint=endpoint()).model_info(repo, revision=revision or "main", timeout=_ASK_S).sha
    if not isinstance(found, str) or not COMMIT.fullmatch(found):
        raise HubError("busy", f"the Hub names no commit of {repo}")
    return found


def fetched(
    repo: str, commit: str, *, patterns: tuple[str, ...], code: bool, say: Callable[[str], None] | None = None
) -> Path:
    """Return a folder with the files of a commit that are wanted (`folders.is_read`), fetched where the cache lacks some.

    A download that broke off is taken up where it stopped. A commit does not change, so what the cache has of it is good
    without the Hub, as long as no shard of the weights is missing. `say` is told what is fetched. Raises HubError.
    """
    kept = _kept(repo) / "snapshots" / commit
    try:
        left = _left(repo, commit, kept, patterns, code=code)
        if left:
            _download(repo, commit, left, say)
    except HubError:
        if is_whole(kept, weights="*.safetensors" in patterns):
            return kept
        raise
    if not kept.is_dir():
        raise HubError("missing", f"{repo} at {commit[:12]} has none of the files of a checkpoint")
    return kept


def is_whole(folder: Path, *, weights: bool) -> bool:
    """Return whether a folder of the cache has what is needed: with `weights`, all that its index names; without an index, any."""
    if not any(folder.glob("*.json")):
        return False
    if not weights:
        return True
    try:
        index = orjson.loads((folder / "model.safetensors.index.json").read_bytes())
        return all((folder / str(name)).is_file() for name in index["weight_map"].values())
    except FileNotFoundError:
        return any(folder.glob("*.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _left(repo: str, commit: str, kept: Path, patterns: tuple[str, ...], *, code: bool) -> dict[str, int]:
    """Return the wanted files that the cache lacks, with their sizes in bytes; 0 where the Hub does not say."""
    from huggingface_hub import HfApi

    _check_online()
    with _explained(repo, commit):
        info = HfApi(endpoint=endpoint()).model_info(repo, revision=commit, files_metadata=True, timeout=3 * _ASK_S)
    return {
        one.rfilename: one.size or 0
        for one in info.siblings or ()
        if is_read(one.rfilename, patterns, code=code) and not (kept / one.rfilename).is_file()
    }


def _download(repo: str, commit: str, left: dict[str, int], say: Callable[[str], None] | None) -> None:
    from huggingface_hub import snapshot_download

    if say is not None:
        say(f"fetching {repo} at {commit[:12]}: {_files(len(left))}, {_bytes(sum(left.values()))}")
    for attempt in range(1, _TRIES + 1):
        try:
            with _explained(repo, commit), unheard():
                snapshot_download(
                    repo, revision=commit, endpoint=endpoint(), cache_dir=cache_folder(), tqdm_class=silent_bar(),
                    allow_patterns=[glob.escape(name) for name in left],
                )  # fmt: skip
        except HubError as error:
            if error.trouble != "unreachable" or attempt == _TRIES:
                raise
        else:
            return


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"


# --- the client -------------------------------------------------------------------------------------------------------


def _kept(repo: str) -> Path:
    return cache_folder() / f"models--{repo.replace('/', '--')}"


@contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Turn the client's errors into HubError."""
    try:
        yield
    except Exception as error:
        fault = hub_fault(error)
        if fault is None:
            raise
        raise _told(fault, repo, revision[:12] if COMMIT.fullmatch(revision) else revision) from error


def _told(fault: Fault, repo: str, revision: str) -> HubError:  # noqa: PLR0911 - one a kind of fault
    match fault.kind:
        case "revision":
            return HubError("revision", f"{repo} has no revision `{revision}`")
        case "repository":
            return HubError("missing", f"the Hub has no model {repo} that this account may see")
        case "name":
            return HubError("missing", f"`{repo}` is no name of a model on the Hub")
        case "disk":
            return HubError("disk", f"the Hub client's cache cannot be written: {fault.reason}")
        case "network" | "offline":
            return HubError("unreachable", f"the Hub cannot be reached ({fault.reason})")
        case "gated" | "answer" if fault.refused:
            return HubError("gated", f"{repo} is gated, and this account has no access to it")
        case "gated" | "answer":
            trouble: Trouble = "busy" if fault.busy else "missing"
            return HubError(trouble, f"the Hub answered {fault.status} for {repo}")
