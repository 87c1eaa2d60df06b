"""Reads the body of an error: what the provider says went wrong, in its words and by its codes.

Shapes: `{"error": {"message", "code", "type"}}` (OpenAI and most others), the same in a list (Gemini), `{"error": "…"}`
(Ollama, TGI), `{"detail": …}` (FastAPI), `{"message", "__type"}` (AWS); OpenRouter keeps what its provider said in `metadata.raw`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from lrm.traces.split import parse_payload

_BLOCK_CODES = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "data_inspection_failed",
        "datainspectionfailed",
        "content_moderation",
        "prompt_blocked",
        "guardrail_intervened",
    }
)
_BLOCK_WORDS = re.compile(
    r"content violates usage guidelines|content exists risk|considered high risk"
    r"|content management policy|flagged (?:as|for) (?:potentially )?violating"
    r"|inappropriate content|sensitive content|unsafe or sensitive",
    re.IGNORECASE,
)
"""xAI, DeepSeek, Moonshot, Azure, OpenAI, Qwen, Zhipu, where they give no code that says so."""
_ACCOUNT_WORDS = re.compile(
    r"\b(?:account|organi[sz]ation|access)\b.{0,60}\b(?:terminated|suspended|deactivated|banned)", re.IGNORECASE
)
_READ = 4000


def error_payload(body: str) -> dict[str, Any] | None:
    """Return the JSON object of an error body, or the first of a list of them; None when there is none."""
    payload = parse_payload(body)
    if payload is None and body.lstrip()[:1] == "[":
        try:
            listed = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        return next((item for item in listed if isinstance(item, dict)), None)
    return payload


def error_object(payload: Any) -> dict[str, Any]:
    """Return the object of an error body that holds `message` and `code`; empty when there is none."""
    if not isinstance(payload, dict):
        return {}
    error = payload.get("error")
    return error if isinstance(error, dict) else payload


def error_text(payload: Any, body: str) -> str:
    """Return what an error body says, as the provider words it; the body's text when it is no JSON."""
    error = error_object(payload)
    named = (error.get(name) for name in ("message", "error", "detail", "Message", "msg"))
    text = next((said for value in named if (said := _said(value))), body)
    behind = _metadata(error).get("raw")
    return f"{text}: {behind}" if isinstance(behind, str) and behind.strip() else text


def error_codes(payload: Any) -> frozenset[str]:
    """Return the codes, types and reasons that an error body carries, in lower case."""
    return frozenset(
        value.rpartition("#")[2].strip().lower()
        for value in _codes(payload, error_object(payload))
        if isinstance(value, str)
    )


def says_blocked(payload: Any) -> bool:
    """Return whether an error body says that a content filter refused the call."""
    error = error_object(payload)
    codes = error_codes(payload)
    if codes & _BLOCK_CODES:
        return True
    metadata = _metadata(error)
    if metadata.get("reasons") and "flagged_input" in metadata:
        return True  # OpenRouter's moderation, sent as 403
    text = error_text(payload, "")[:_READ]
    if "invalid_prompt" in codes and "policy" in text.lower():
        return True
    return _BLOCK_WORDS.search(text) is not None and _ACCOUNT_WORDS.search(text) is None


def told_headers(payload: Any) -> dict[str, str]:
    """Return the headers that OpenRouter repeats in `metadata.headers`, names in lower case."""
    headers = _metadata(error_object(payload)).get("headers")
    if not isinstance(headers, dict):
        return {}
    return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}


def retry_delay(payload: Any) -> str | None:
    """Return the `retryDelay` of Google's `RetryInfo`, such as `37s`; None without it."""
    details = error_object(payload).get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return delay
    return None


def _codes(payload: Any, error: dict[str, Any]) -> Iterator[Any]:
    for name in ("code", "type", "status", "error_type", "__type", "reason"):
        yield error.get(name)
    for name in ("innererror", "inner_error"):
        inner = error.get(name)
        if isinstance(inner, dict):
            yield inner.get("code")
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail.get("reason")
    if isinstance(payload, dict) and error is not payload:
        yield payload.get("__type")
        yield payload.get("code")


def _said(value: Any) -> str:
    """Return a text, or those that a list of faults or an object has; empty for none."""
    match value:
        case str():
            return value if value.strip() else ""
        case list():
            return "; ".join(said for item in value[:8] if (said := _said(item)))
        case dict():
            return next((said for name in ("message", "msg", "detail") if (said := _said(value.get(name)))), "")
        case _:
            return ""


def _metadata(error: dict[str, Any]) -> dict[str, Any]:
    metadata = error.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
