"""Reads what litellm passes on of a response and of an error: headers, the provider's words, what it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def plain_headers(headers: Any) -> dict[str, str]:
    """Return headers as litellm passes them on, under their own names in lower case."""
    if not isinstance(headers, Mapping):
        return {}
    return {
        name.lower().removeprefix("llm_provider-"): value
        for name, value in headers.items()
        if isinstance(name, str) and isinstance(value, str)
    }


def message_of(error: Exception) -> str:
    """Return what an exception says, without the traceback that litellm appends to some."""
    text = getattr(error, "message", None)
    text = text if isinstance(text, str) and text else str(error)
    return text.partition("\nTraceback (most recent call last)")[0] or type(error).__name__


def error_payload_of(error: Exception) -> dict[str, Any]:
    """Return the provider's error body as litellm passes it on: in the exception, in what it came from, or in its message."""
    for cause in causes_of(error):
        body = getattr(cause, "body", None)
        if isinstance(body, dict):
            return body if "error" in body else {"error": body}
    message = message_of(error)
    start = message.find("{")
    if start >= 0:
        try:
            value, _ = json.JSONDecoder().raw_decode(message, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "error" in value:
            return value
    return {"error": {"message": message}}
