"""Keys and tokens that logs keep of their requests: taken out before anything of a payload is stored."""

from __future__ import annotations

import re
from typing import Any

from lrm.imports.payload import dumped
from lrm.key_names import names_a_key
from lrm.traces.split import parse_payload

REDACTED = "[key]"

_VALUE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai)-[\w-]{16,}|\bhf_\w{16,}|\bAIza[\w-]{30,}|\bBearer\s+[\w.~+/=-]{8,}"
    r"|(?<=[?&]key=)[^&#\s\"]+|(?<=[?&]api_key=)[^&#\s\"]+|(?<=[?&]token=)[^&#\s\"]+|(?<=[?&]access_token=)[^&#\s\"]+"
)
_SAID = frozenset({"choices", "content", "message", "messages", "output", "reasoning", "reasoning_content", "thinking"})
"""What a model said or was asked is evidence, whatever it looks like; a field in it that is named as a key is not."""


def without_secrets(raw: str) -> str:
    """Return a payload without keys: fields named like one, and texts that look like one but are not what a model said.

    Where there are none it is returned as it stands, byte for byte.
    """
    payload = parse_payload(raw)
    if payload is None:
        return raw
    cleaned = clean(payload)
    return raw if cleaned == payload else dumped(cleaned)


def clean(value: Any, *, said: bool = False) -> Any:
    """Return a JSON value in which `[key]` stands for every key."""
    match value:
        case dict():
            return {
                name: _hidden(part) if names_a_key(name) else clean(part, said=said or name in _SAID)
                for name, part in value.items()
            }
        case list():
            return [clean(part, said=said) for part in value]
        case str() if not said:
            return _VALUE.sub(REDACTED, value)
        case _:
            return value


def _hidden(value: Any) -> Any:
    """Return `[key]` for what can be a key: texts, wherever they stand in it. Numbers and truth values are none."""
    match value:
        case str():
            return REDACTED if value else value
        case dict():
            return {name: _hidden(part) for name, part in value.items()}
        case list():
            return [_hidden(part) for part in value]
        case _:
            return value
