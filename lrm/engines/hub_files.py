"""Files of a model's repository on the Hugging Face Hub: which commit a name means, and a folder with its files.

Endpoint, token and cache are the Hub client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME), read when they are needed.
"""

from __future__ import annotations

import errno
import glob
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import orjson

from lrm.engines.folders import is_read

Trouble = Literal["gated", "missing", "revision", "busy", "unreachable", "disk"]
"""`missing`: no such repository, or none that this account may see; `revision`: it has no such commit; `disk`: the cache's."""

COMMIT = re.compile(r"[0-9a-f]{40}")
_TRUE = {"1", "on", "yes", "true"}
_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EIO,
}  # fmt: skip
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
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
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
        found = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision or "main", timeout=_ASK_S).sha
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
        info = HfApi(endpoint=_endpoint()).model_info(repo, revision=commit, files_metadata=True, timeout=3 * _ASK_S)
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
            with _explained(repo, commit), _unheard():
                snapshot_download(
                    repo, revision=commit, endpoint=_endpoint(), cache_dir=_cache(), tqdm_class=silent_bar(),
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


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _cache() -> Path:
    """Return the client's cache folder, by its own rules."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(name):
            return Path(value).expanduser()
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(home).expanduser() / "hub"


def _kept(repo: str) -> Path:
    return _cache() / f"models--{repo.replace('/', '--')}"


@contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Turn the client's errors into HubError."""
    from huggingface_hub import errors

    shown = revision[:12] if COMMIT.fullmatch(revision) else revision
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError("gated", f"{repo} is gated, and this account has no access to it") from error
    except errors.RevisionNotFoundError as error:
        raise HubError("revision", f"{repo} has no revision `{shown}`") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError("missing", f"the Hub has no model {repo} that this account may see") from error
    except errors.HFValidationError as error:
        raise HubError("missing", f"`{repo}` is no name of a model on the Hub") from error
    except errors.LocalEntryNotFoundError as error:
        # The client says so when the request for a file's headers gets no usable answer.
        raise _answered(repo, _cause(error)) from error
    except errors.HfHubHTTPError as error:
        raise _answered(repo, error) from error
    except Exception as error:
        # The client's own network errors come from whichever HTTP library its version uses.
        library = type(error).__module__.split(".")[0]
        if isinstance(error, OSError) or library in {"httpx", "httpx2", "httpcore", "requests"}:
            raise _broken(error) from error
        raise


def _answered(repo: str, error: BaseException) -> HubError:
    status = int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
    if status in {401, 403}:
        return HubError("gated", f"{repo} is gated, and this account has no access to it")
    if status == 429 or status >= 500:
        return HubError("busy", f"the Hub answered {status} for {repo}")
    if status:
        return HubError("missing", f"the Hub answered {status} for {repo}")
    return _broken(error)


def _broken(error: BaseException) -> HubError:
    """Return the error for no answer, or for a cache that cannot be written."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return HubError("disk", f"the Hub client's cache cannot be written: {error.strerror}")
    return HubError("unreachable", f"the Hub cannot be reached ({type(error).__name__})")


def _cause(error: BaseException) -> BaseException:
    """Return the HTTP error behind the client's complaint that a file is not in the cache, where there is one."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
        if getattr(cause, "response", None) is not None:
            return cause
    return cause


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep the client's warnings (of downloads that it takes up again) off stderr, which belongs to the front end."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def silent_bar() -> Any:
    """Return a progress bar class that prints nothing: stderr belongs to the front end."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    return Silent
