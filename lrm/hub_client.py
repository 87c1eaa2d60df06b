"""The Hub's client as all of lrm uses it: its settings, its silence, and what went wrong when it was asked.

Endpoint, token and cache are the client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME), read when they are needed. None of its texts is
passed on in errors: an address in them may hold a signature.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["gated", "repository", "revision", "name", "offline", "disk", "network", "answer"]
"""`repository`: there is none, or none that this account may see; `name`: it cannot be one's name; `disk`: of this machine."""

COMMIT = re.compile(r"[0-9a-f]{40}")
_TRUE = {"1", "on", "yes", "true"}
_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EIO,
}  # fmt: skip
# The client's network errors come from whichever HTTP library its version uses, or from its own storage's.
_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "hf_xet"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong when the Hub was asked."""

    kind: Kind
    status: int
    """What the Hub answered; 0 where it did not."""
    error: BaseException
    """The Hub's answer, or the first cause where there is none."""

    @property
    def reason(self) -> str:
        """What the system said, of a disk; else the name of the error."""
        return str(getattr(self.error, "strerror", None) or type(self.error).__name__)

    @property
    def refused(self) -> bool:
        """Whether this account has no access."""
        return self.kind == "gated" or self.status in {401, 403}

    @property
    def busy(self) -> bool:
        """Whether the Hub cannot now."""
        return self.status == 429 or self.status >= 500


def hub_fault(error: BaseException) -> Fault | None:
    """Return what an error of the client means; None for one that is none of the Hub's."""
    from huggingface_hub import errors

    known: tuple[tuple[type[BaseException], Kind], ...] = (
        (errors.GatedRepoError, "gated"),
        (errors.RevisionNotFoundError, "revision"),
        (errors.RepositoryNotFoundError, "repository"),
        (errors.HFValidationError, "name"),
        (errors.OfflineModeIsEnabled, "offline"),
    )
    # The client complains that a file is not in its cache when a request got no usable answer: the answer lies behind it.
    chain = causes(error)
    cause = next((one for one in chain if status_of(one)), chain[-1])
    kind: Kind | None = next((kind for one, kind in known if isinstance(cause, one)), None)
    if kind is None and status_of(cause):
        kind = "answer"
    elif kind is None and any(type(one).__module__.split(".")[0] in _LIBRARIES for one in chain):
        kind = "network"
    elif kind is None and isinstance(cause, OSError | json.JSONDecodeError):
        kind = "disk" if isinstance(cause, OSError) and cause.errno in _DISK else "network"
    return None if kind is None else Fault(kind, status_of(cause), cause)


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, down to the first."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return chain


def status_of(error: BaseException) -> int:
    """Return the status that the Hub answered with; 0 where it did not answer."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def is_offline() -> bool:
    """Return whether the Hub is not to be asked (HF_HUB_OFFLINE)."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE


def endpoint() -> str:
    """Return the address of the Hub, by the client's own rule."""
    from huggingface_hub.constants import ENDPOINT

    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def cache_folder() -> Path:
    """Return the client's cache folder, by its own rules, without loading it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(name):
            return Path(value).expanduser()
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(home).expanduser() / "hub"


@contextmanager
def unheard() -> Iterator[None]:
    """Keep the client's warnings (of requests that it makes again) off stderr, which belongs to the front end."""
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
