"""Names what went wrong with a call: from an HTTP status and what the provider says in the body, to a failure class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lrm.backends.base import CallFailure, FailureClass
from lrm.text import without_surrogates

MESSAGE_CHARACTERS = 500
_LONGEST_WAIT_S = 86_400.0

_BY_STATUS: dict[int, FailureClass] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "not_found",
    408: "timeout",
    429: "rate_limited",
}
_BLOCK_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "data_inspection_failed",
    }
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_window_exceeded", "string_above_max_length"})
_NO_MONEY_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context length exceeded|exceeds? (the |this model's )?(context|maximum model len)"
    r"|context window|prompt is too long|input is too long|longer than the maximum model length|max_model_len",
    re.IGNORECASE,
)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|hf|gsk|xai|key|AIza)[-_][\w*.-]{8,}|\bBearer\s+[^\s\"',;}]+", re.IGNORECASE)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without the secrets and what looks like a key, fit to store, cut to 500 characters."""
    for secret in secrets:
        text = text.replace(secret, "[key]")
    text = without_surrogates(_KEY_LIKE.sub("[key]", text)).strip()
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 1] + "…"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or as a date (RFC 9110, 10.2.3); None without it."""
    value = headers.get("Retry-After", headers.get("retry-after"))
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if seconds == seconds else None  # noqa: PLR0124  a NaN


def error_object(payload: Any) -> dict[str, Any]:
    """Return the object of an error body that holds `message` and `code`; empty when there is none."""
    if not isinstance(payload, dict):
        return {}
    error = payload.get("error")
    return error if isinstance(error, dict) else payload


def error_text(payload: Any, body: str) -> str:
    """Return what an error body says, as the provider words it; the body's text when it is no JSON."""
    error = error_object(payload)
    for value in (error.get("message"), error.get("error"), error.get("detail")):
        if isinstance(value, str) and value.strip():
            return value
    return body


def says_blocked(payload: Any) -> bool:
    """Return whether an error body says that a content filter refused the call."""
    error = error_object(payload)
    if _codes(error) & _BLOCK_CODES:
        return True
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("reasons") and "flagged_input" in metadata:
        return True  # OpenRouter's moderation, sent as 403
    return "invalid_prompt" in _codes(error) and "policy" in str(error.get("message")).lower()


def failure_class(status: int, payload: Any, text: str, *, told_to_wait: bool) -> FailureClass:
    """Return the failure class of an HTTP status and what its body says. `told_to_wait`: there was a Retry-After."""
    codes = _codes(error_object(payload))
    if status == 429 and codes & _NO_MONEY_CODES:
        return "auth"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "rate_limited" if status == 503 and told_to_wait else "server"
    too_long = bool(codes & _CONTEXT_CODES) or _CONTEXT_WORDS.search(text) is not None
    return "context_too_long" if too_long else "bad_request"


def from_status(
    status: int, payload: Any, body: str, *, headers: Mapping[str, str], secrets: Iterable[str]
) -> CallFailure:
    """Return the failure that an HTTP error is: its class, the provider's words without secrets, how long to wait."""
    wait = retry_after_s(headers)
    text = error_text(payload, body)
    kind = failure_class(status, payload, text, told_to_wait=wait is not None)
    said = redacted(text, secrets)
    return CallFailure(kind, f"HTTP {status}: {said}" if said else f"HTTP {status}", retry_after_s=wait, status=status)


def _codes(error: dict[str, Any]) -> set[str]:
    """Return the codes and types that an error object carries, in lower case."""
    inner = error.get("innererror")
    values = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return {value.lower() for value in values if isinstance(value, str)}
