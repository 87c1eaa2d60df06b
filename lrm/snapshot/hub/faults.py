"""What goes wrong when the Hub is asked: explained once, and tried again where another try may help.

None of the client's texts is passed on: an address in them may hold a signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lrm.errors import BusyError, LrmError, MissingError, SnapshotError
from lrm.hub_client import Fault, causes, hub_fault, is_offline, unheard

if TYPE_CHECKING:
    from tenacity import RetryCallState

Doing = Literal["read", "write"]
Answer = TypeVar("Answer")

TRIES = 5
"""How often a request is made that fails for a passing reason, on top of what the client does by itself."""
LONGEST_S = 120.0
"""Longest wait, in seconds, that the Hub may ask for."""
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token"


class PassingError(BusyError):
    """The Hub does not answer, or not now."""

    def __init__(self, message: str, *, hint: str | None = None, after_s: float | None = None) -> None:
        """`after_s` is when, in seconds, the Hub wants to be asked again; None where it does not say."""
        super().__init__(message, hint=hint)
        self.after_s = after_s


class StaleError(BusyError):
    """Somebody else has committed in the meantime, or a commit's answer was lost: what is there now tells."""

    def __init__(self, message: str, *, hint: str | None = None, after_s: float | None = None) -> None:
        """`after_s` is when, in seconds, the Hub wants to be asked again; None where it does not say."""
        super().__init__(message, hint=hint)
        self.after_s = after_s


def check_online() -> None:
    """Raise MissingError where the Hub is not to be asked."""
    if is_offline():
        raise MissingError(
            "the Hub is not asked, since HF_HUB_OFFLINE is set",
            hint="unset HF_HUB_OFFLINE, or use a snapshot that is a folder on this machine",
        )


def asked(repo: str, doing: Doing, call: Callable[[], Answer]) -> Answer:
    """Return what a call of the client returns.

    Rate limits, errors of the server and broken connections are tried again, as long as the Hub asks for and otherwise
    with a growing wait. Raises LrmError that says what to do.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    def once() -> Answer:
        with explained(repo, doing), unheard():
            return call()

    trying = Retrying(
        retry=retry_if_exception_type(PassingError), stop=stop_after_attempt(TRIES), wait=wait, reraise=True
    )
    return trying(once)


def wait(state: RetryCallState) -> float:
    """Return the seconds before the next try: what the Hub asks for, else by chance, longer from try to try."""
    from tenacity import wait_random_exponential

    fault = state.outcome.exception() if state.outcome is not None else None
    if isinstance(fault, PassingError | StaleError) and fault.after_s is not None:
        return fault.after_s
    return float(wait_random_exponential(multiplier=0.5, max=10)(state))


@contextmanager
def explained(repo: str, doing: Doing) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except LrmError:
        raise
    except Exception as error:
        told = _told(error, repo, doing)
        if told is None:
            raise
        raise told from error


def _told(error: Exception, repo: str, doing: Doing) -> LrmError | None:  # noqa: PLR0911 - one a kind of fault
    """Return what to tell for an error of the client; None for one that is a fault of ours."""
    fault = hub_fault(error)
    if fault is None:
        return _of_upload(causes(error)[-1], repo)
    match fault.kind:
        case "gated":
            return MissingError(
                f"{repo} is gated, and this account has no access to it",
                hint=f"ask for access on the page of the dataset {repo}, then {_LOG_IN} of that account",
            )
        case "revision":
            return MissingError(
                f"{repo} has no such revision", hint="name a branch, a tag or a whole commit; `main` is the default"
            )
        case "repository":
            return MissingError(
                f"there is no dataset {repo} that this account may see",
                hint=f"compare the name; for a private one {_LOG_IN} that may read it",
            )
        case "name":
            return bad_name(repo)
        case "offline":
            return MissingError("the Hub is not asked, since the client is offline", hint="unset HF_HUB_OFFLINE")
        case "disk":
            return MissingError(
                f"files of {repo} cannot be kept or read: {fault.reason}", hint="free or name another folder"
            )
        case "network":
            return PassingError(f"the Hub cannot be reached ({fault.reason})", hint="try again in a moment")
        case "answer" if fault.status == 400 and isinstance(error, ValueError):
            return SnapshotError(f"the Hub refuses the card for {repo}", hint="look at the head of its README.md")
        case "answer":
            return _of_status(fault, repo, doing)


def bad_name(repo: str) -> MissingError:
    """Return the error for what names no repository."""
    return MissingError(
        f"`{repo[:120]}` is no name of a dataset on the Hub", hint="it has the form ORG/NAME, such as lab/r1-results"
    )


def _of_status(fault: Fault, repo: str, doing: Doing) -> LrmError:  # noqa: PLR0911 - one a status
    match fault.status:
        case 401:
            return MissingError("the Hub does not know this account", hint=f"{_LOG_IN} that is still valid")
        case 403 if doing == "write":
            owner = repo.split("/", maxsplit=1)[0]
            return MissingError(
                f"this account may not write to {repo}",
                hint=f"{_LOG_IN} with write access, of {owner} or a member of it; or publish under a name of your own",
            )
        case 403:
            return MissingError(f"this account may not read {repo}", hint="ask for access on its page")
        case 404:
            return MissingError(f"the Hub does not have what was asked of {repo}", hint="compare the name and revision")
        case 412:
            return StaleError(f"somebody else is publishing to {repo}", hint="publish again in a moment")
        case 408 | 409 | 425:
            return _passing(fault, repo)
        case _ if fault.busy:
            return _passing(fault, repo)
        case status:
            return SnapshotError(f"the Hub answered {status} for {repo}")


def _passing(fault: Fault, repo: str) -> LrmError:
    status = fault.status
    said = "has been asked too often" if status == 429 else "answered that it cannot now"
    after = _after_s(fault.error)
    if after is not None and after > LONGEST_S:
        return BusyError(f"the Hub {said} ({status}) for {repo}", hint=f"it asks to come back in {after:,.0f} seconds")
    return PassingError(f"the Hub {said} ({status}) for {repo}", hint="try again in a moment", after_s=after)


def _after_s(error: BaseException) -> float | None:
    """Return how many seconds the Hub asks to wait, from `Retry-After` or its own `RateLimit`; None where it does not say."""
    headers: Any = getattr(getattr(error, "response", None), "headers", {})
    plain = str(headers.get("Retry-After", "")).strip()
    if plain.isdigit():
        return float(plain)
    limit = re.search(r";\s*t=(\d+)", str(headers.get("RateLimit", "")))
    return float(limit[1]) if limit else None


def _of_upload(error: BaseException, repo: str) -> LrmError | None:
    """Return what to tell for an error of the uploader, which has bare RuntimeErrors and ValueErrors."""
    if type(error) is RuntimeError:
        return PassingError(f"an upload to {repo} broke off", hint="publish again: what is there is not sent again")
    if isinstance(error, ValueError):
        return SnapshotError(
            f"the Hub refuses files for {repo}", hint="see on its page whether this account has room for them"
        )
    return None
